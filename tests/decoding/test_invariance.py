"""What a row's tokens may depend on: its ids, its options and its seed. Not window, drafter, batch or place."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from drafters import odd_drafter
from tiny_network import EOS, MASK, tiny_network

import fef
from tests.tiny_tables import empty_rows, inconsistent

ROWS = 8
WINDOWS = pytest.mark.parametrize("window", [1, 4, 16])
SETTINGS = pytest.mark.parametrize(("temperature", "top_p"), [(0.0, 1.0), (0.7, 1.0), (1.0, 1.0), (1.0, 0.9)])
EOS_IDS = pytest.mark.parametrize("eos_id", [None, EOS])
NETWORK = tiny_network(scale=0.3)
SERVED = ("calls", "rows", "token_forwards", "rounds", "drafted", "accepted", "committed")


def canvas(rows: int = ROWS, length: int = 9) -> torch.Tensor:
    ids = torch.full((rows, length), MASK)
    ids[:, 0] = torch.arange(rows) % 6
    ids[:, 5] = 1  # a given token among the holes
    return ids


def mixed_settings(rows: int) -> dict[str, list[Any]]:
    return {
        "temperature": [(0.0, 0.7, 1.0)[i % 3] for i in range(rows)],
        "top_p": [(1.0, 0.9)[i % 2] for i in range(rows)],
        "top_k": [(0, 0, 4)[i % 3] for i in range(rows)],
        "seed": [1000 + 7 * i for i in range(rows)],
    }


@cache
def sequential(**settings: Any) -> fef.Decoded:
    return fef.decode(NETWORK, canvas(), method="sequential", **settings)


@cache
def sequential_on_a_table(**settings: Any) -> fef.Decoded:
    return fef.decode(inconsistent(), empty_rows(100), method="sequential", **settings)


@WINDOWS
@SETTINGS
@EOS_IDS
@pytest.mark.parametrize("verify", ["rows", "packed"])
@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_coupled_fef_gives_the_text_of_sequential(window, temperature, top_p, eos_id, verify, order):
    settings = {
        "temperature": temperature,
        "top_p": top_p,
        "eos_id": eos_id,
        "order": order,
        "verify": verify,
        "seed": 5,
    }
    base = sequential(**settings)
    for draft in ("fresh", "reuse", "random"):
        out = fef.decode(NETWORK, canvas(), window=window, draft=draft, **settings)
        assert torch.equal(out.ids, base.ids)
        torch.testing.assert_close(out.logprobs, base.logprobs, rtol=0, atol=1e-9, equal_nan=True)


@WINDOWS
@SETTINGS
@EOS_IDS
@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_coupled_fef_gives_the_text_of_sequential_on_a_table(window, temperature, top_p, eos_id, order):
    settings = {"temperature": temperature, "top_p": top_p, "eos_id": eos_id, "order": order}
    base = sequential_on_a_table(**settings)
    for draft in ("fresh", "reuse", "random", odd_drafter):
        bonus = draft != "reuse"
        out = fef.decode(inconsistent(), empty_rows(100), window=window, draft=draft, bonus=bonus, **settings)
        assert torch.equal(out.ids, base.ids)


@EOS_IDS
@pytest.mark.parametrize("verify", ["rows", "packed"])
@pytest.mark.parametrize(
    "options",
    [
        {"steps": 3},
        {"steps": 2, "block_length": 3},
        {"order": "blocks", "block_length": 4},
        {"steps": 2, "order": "random"},
    ],
)
def test_window_and_drafter_change_no_token_of_many_passes(eos_id, verify, options):
    settings = {"temperature": 1.0, "eos_id": eos_id, "verify": verify, **options}
    base = fef.decode(NETWORK, canvas(), window=1, draft="fresh", bonus=False, **settings)
    for window, draft in [(4, "fresh"), (16, "reuse"), (3, "random")]:
        assert torch.equal(fef.decode(NETWORK, canvas(), window=window, draft=draft, **settings).ids, base.ids)


@EOS_IDS
def test_blocks_are_the_same_for_sequential(eos_id):
    for verify in ("rows", "packed"):
        for order in ("left-to-right", "random", "blocks"):
            settings = {"temperature": 1.0, "eos_id": eos_id, "verify": verify, "order": order, "block_length": 3}
            base = fef.decode(NETWORK, canvas(), method="sequential", **settings)
            assert torch.equal(fef.decode(NETWORK, canvas(), window=4, **settings).ids, base.ids)


@EOS_IDS
@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_anchors_change_no_token(eos_id, order):
    settings = {"temperature": 1.0, "eos_id": eos_id, "order": order}
    base = fef.decode(NETWORK, canvas(), method="sequential", verify="packed", **settings)
    for anchors, window, bonus in [(0, 4, True), (2, 1, False), (3, 16, True), (100, 3, False)]:
        out = fef.decode(NETWORK, canvas(), anchors=anchors, window=window, bonus=bonus, **settings)
        assert torch.equal(out.ids, base.ids)


DECODERS = [
    {"method": "sequential", "order": "random"},
    {"method": "fef"},
    {"method": "fef", "verify": "rows", "draft": "fresh", "steps": 2},
    {"method": "fef", "verify": "packed", "draft": "fresh", "window": 3},
    {"method": "fef", "accept": "rejection", "window": 4, "steps": 2, "order": "random"},
    {"method": "fef", "accept": "block", "window": 4, "draft": "random", "block_length": 4},
    {"method": "fef", "accept": "rejection", "window": 3, "steps": 3, "verify": "packed", "bonus": False},
    {"method": "dual-exact", "accept": "rejection", "window": 16, "drafts": 4, "verify": "rows"},
    {"method": "fef", "steps": 2, "remask": "low-confidence"},
    {"method": "low-confidence", "tokens_per_step": 2},
    {"method": "random", "steps": 3, "block_length": 4},
]


@EOS_IDS
@pytest.mark.parametrize("options", DECODERS)
def test_a_row_alone_in_a_batch_and_elsewhere_in_it(options, eos_id):
    """Ragged rows with settings of their own: same tokens, log p and counters alone, in a batch of 32, and shuffled."""
    rows = 32
    ids = canvas(rows, 10)
    lengths = torch.tensor([10 - i % 4 for i in range(rows)])
    settings = mixed_settings(rows)
    inside = torch.arange(10) < lengths[:, None]
    ids, open_ = ids.masked_fill(~inside, 0), (ids == MASK) & inside
    whole = fef.decode(NETWORK, ids, open=open_, lengths=lengths, eos_id=eos_id, **options, **settings)

    turn = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
    moved = fef.decode(
        NETWORK,
        ids[turn],
        open=open_[turn],
        lengths=lengths[turn],
        eos_id=eos_id,
        **options,
        **{name: [values[i] for i in turn.tolist()] for name, values in settings.items()},
    )
    assert torch.equal(moved.ids, whole.ids[turn])
    for i in range(0, rows, 5):
        n = int(lengths[i])
        alone = fef.decode(
            NETWORK,
            ids[i : i + 1, :n],
            open=open_[i : i + 1, :n],
            eos_id=eos_id,
            **options,
            **{name: values[i] for name, values in settings.items()},
        )
        assert torch.equal(alone.ids[0], whole.ids[i, :n])
        torch.testing.assert_close(alone.logprobs[0], whole.logprobs[i, :n], rtol=0, atol=1e-9, equal_nan=True)
        assert {k: alone.stats[0][k] for k in SERVED} == {k: whole.stats[i][k] for k in SERVED}


def test_one_seed_counts_up_along_the_rows():
    whole = fef.decode(inconsistent(), empty_rows(5), temperature=1.0, seed=40)
    listed = fef.decode(inconsistent(), empty_rows(5), temperature=1.0, seed=[40, 41, 42, 43, 44])
    assert torch.equal(whole.ids, listed.ids)
    last = fef.decode(inconsistent(), empty_rows(1), temperature=1.0, seed=44)
    assert torch.equal(last.ids[0], whole.ids[4])
    assert len({tuple(t) for t in fef.decode(inconsistent(), empty_rows(50), temperature=1.0).ids.tolist()}) > 10


def test_decode_leaves_its_arguments_alone():
    ids = torch.tensor([[0, 1, 2, 0]])
    open_ = torch.tensor([[False, True, True, True]])
    fef.decode(inconsistent(), ids, open=open_)
    assert ids.tolist() == [[0, 1, 2, 0]]
    assert open_.tolist() == [[False, True, True, True]]
    masked = empty_rows(1)
    fef.decode(inconsistent(), masked)
    assert torch.equal(masked, empty_rows(1))


def test_a_window_much_longer_than_the_canvas_costs_nothing():
    short = fef.decode(inconsistent(), empty_rows(8), temperature=1.0, window=4)
    long = fef.decode(inconsistent(), empty_rows(8), temperature=1.0, window=10**9)
    assert torch.equal(short.ids, long.ids)
    assert [s["calls"] for s in short.stats] == [s["calls"] for s in long.stats]


def test_a_prompt_that_starts_with_the_end_token_decodes():
    """Absent slots are never looked at: position 0 is certain to be the end token, which is banned before others."""
    ids = torch.tensor([[2, 3, 3, 3]]).expand(64, -1)
    out = fef.decode(inconsistent(), ids, eos_id=2, temperature=1.0, window=2, draft="fresh")
    assert bool((out.ids < 3).all())


def test_nothing_open_runs_nothing():
    ids = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 3]])
    out = fef.decode(inconsistent(), ids)
    assert out.ids[0].tolist() == [0, 1, 2, 0]
    assert {out.stats[0][k] for k in SERVED} == {0}
    assert bool(out.logprobs[0].isnan().all())
    assert not bool(out.logprobs[1].isnan().any())
    assert fef.decode(inconsistent(), ids[:1]).stats[0]["calls"] == 0


def test_a_literal_mask_id_in_a_prompt_is_a_token():
    open_ = torch.tensor([[False, True, True, True]])
    out = fef.decode(inconsistent(), empty_rows(1), open=open_)
    assert out.ids[0, 0] == 3
    assert bool((out.ids[0, 1:] < 3).all())
    assert out.logprobs[0].isnan().tolist() == [True, False, False, False]


def test_the_trace_replays_the_decode():
    seen = []
    out = fef.decode(
        NETWORK, canvas(6), temperature=1.0, window=4, eos_id=EOS, steps=2, trace=True, on_round=seen.append
    )
    assert seen == out.trace
    replay = canvas(6)
    for round_ in out.trace:
        place = round_.written & (round_.slots >= 0)
        row, column = place.nonzero(as_tuple=True)
        state = round_.ids
        assert torch.equal(state[row, round_.slots[row, column]], round_.tokens[row, column])
        replay[round_.rows] = state
        if round_.drafts is None:  # the first slot of a pass is drawn from the context pass
            assert round_.slots.shape[1] == 1
            continue
        assert round_.drafts.shape == (len(round_.rows), 4)
        assert bool((round_.accepted <= 4).all())
    assert torch.equal(replay, out.ids)
    for row in range(6):
        steps = [int(r.step[r.rows == row]) for r in out.trace if row in r.rows]
        assert steps == sorted(steps)


@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_rounds_tell_which_branches_were_tried_and_which_held(order):
    out = fef.decode(NETWORK, canvas(6), temperature=1.0, tree=12, depth=4, order=order, steps=2, trace=True)
    longest = 0
    for round_ in out.trace:
        if round_.nodes is None:
            continue
        assert round_.drafts.shape[1] == 4 and round_.nodes.shape == round_.parents.shape == (len(round_.rows), 12)
        for row in range(len(round_.rows)):
            state, accepted = 0, int(round_.accepted[row])
            for place in range(accepted):
                token = int(round_.tokens[row, place])
                children = (round_.parents[row] == state) & (round_.nodes[row] == token)
                assert int(children.sum()) == 1 and int(round_.drafts[row, place]) == token
                state = int(children.nonzero()[0]) + 1
            assert accepted <= int((round_.drafts[row] >= 0).sum())
            if bool(round_.written[row, accepted]):  # no branch held what was drawn there
                token = int(round_.tokens[row, accepted])
                assert not bool(((round_.parents[row] == state) & (round_.nodes[row] == token)).any())
            longest = max(longest, accepted)
    assert longest > 1
