"""What a decode costs and how often drafts are accepted: closed forms and bounds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from drafters import fixed_drafter
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.models.table import TableDenoiser
from fef.verify.tables import random_joint
from tests.tiny_tables import L, empty_rows, inconsistent

P, Q = [0.5, 0.3, 0.2], [0.1, 0.3, 0.6]
TV = 0.4
NETWORK = tiny_network()


def total(out: fef.Decoded, name: str) -> int:
    return int(sum(s[name] for s in out.stats))


def stats(out: fef.Decoded, row: int = 0) -> dict[str, Any]:
    return {k: v for k, v in out.stats[row].items() if k != "seconds"}


def acceptance(accept: str, p: list[float], q: list[float], rows: int = 40_000) -> float:
    denoiser = TableDenoiser(torch.tensor(p))
    out = fef.decode(
        denoiser,
        empty_rows(rows, 1),
        temperature=1.0,
        accept=accept,
        window=1,
        bonus=False,
        draft=fixed_drafter(q),
    )
    assert total(out, "drafted") == rows
    return total(out, "accepted") / rows


@pytest.mark.parametrize("accept", ["rejection", "block"])
def test_acceptance_is_one_minus_tv(accept):
    assert abs(acceptance(accept, P, Q) - (1 - TV)) < 4 * math.sqrt(0.24 / 40_000)


def test_coupled_acceptance_lies_between_its_bounds():
    frequency, error = acceptance("coupled", P, Q), 4 * math.sqrt(0.25 / 40_000)
    assert (1 - TV) / (1 + TV) - error < frequency < 1 - TV + error
    ratio = np.array(P)[:, None] / np.array(P), np.array(Q)[:, None] / np.array(Q)
    closed_form = float((1 / np.maximum(*[r.T for r in ratio]).sum(1)).sum())
    assert abs(frequency - closed_form) < error


@pytest.mark.parametrize("accept", ["coupled", "rejection", "block"])
def test_equal_laws_accept_always_and_disjoint_ones_never(accept):
    assert acceptance(accept, P, P, 500) == 1
    assert acceptance(accept, [0.5, 0.5, 0.0], [0.0, 0.0, 1.0], 500) == 0


@pytest.mark.parametrize("accept", ["coupled", "rejection", "block"])
@pytest.mark.parametrize("verify", ["rows", "packed"])
def test_the_first_fresh_draft_is_always_accepted(accept, verify):
    out = fef.decode(
        NETWORK,
        torch.full((40, 9), MASK),
        temperature=1.0,
        accept=accept,
        draft="fresh",
        window=3,
        verify=verify,
        trace=True,
    )
    assert out.trace
    for round_ in out.trace:
        busy = round_.slots[:, 0] >= 0
        assert bool((round_.accepted[busy] >= 1).all())
        assert bool(busy.any())


@pytest.mark.parametrize("bonus", [True, False])
def test_fresh_rows_that_are_all_accepted_by_hand(bonus):
    """Independent tokens: drafts are always right. L = 4, W = 3."""
    one = torch.tensor(P).double()
    joint = torch.einsum("a,b,c,d->abcd", one, one, one, one)
    out = fef.decode(TableDenoiser(joint), empty_rows(3), temperature=1.0, window=3, draft="fresh", bonus=bonus)
    if bonus:  # draft 1, verify slots 2, 3 and the bonus: 1 + 2 + 1 rows, and all is done
        calls, rows, rounds, drafted = 2, 1 + 2 + 1, 1, 3
    else:  # the last slot is a round of one call: its draft is its own target
        calls, rows, rounds, drafted = 3, 1 + 2 + 1, 2, 4
    expected = {"calls": calls, "rows": rows, "token_forwards": rows * L, "rounds": rounds, "drafted": drafted}
    assert stats(out) == {**expected, "accepted": drafted, "committed": 4}


def test_reused_rows_that_are_all_accepted_by_hand():
    """W = 2, L = 8: draft (1 row), then rounds of 2 drafts and a bonus that commit 3, 3 and 2.

    The first target of the first round is known from the draft call.
    """
    one = torch.tensor(P).double()
    joint = torch.einsum("a,b,c,d,e,f,g,h->abcdefgh", *[one] * 8)
    out = fef.decode(TableDenoiser(joint), empty_rows(1, 8), temperature=1.0, window=2, draft="reuse")
    rows = 1 + 2 + 3 + 2
    assert stats(out) == {
        "calls": 4,
        "rows": rows,
        "token_forwards": 8 * rows,
        "rounds": 3,
        "drafted": 6,
        "accepted": 6,
        "committed": 8,
    }


@pytest.mark.parametrize("draft", ["fresh", "random"])
@pytest.mark.parametrize("bonus", [True, False])
@pytest.mark.parametrize("window", [1, 3, 20])
def test_packed_costs_by_hand(draft, bonus, window):
    """The context once; then passes of references (drafts, the last correction) and queries, counted from the trace."""
    length = 8
    ids = torch.full((1, length), MASK)
    out = fef.decode(NETWORK, ids, temperature=1.5, window=window, draft=draft, bonus=bonus, trace=True)
    calls, tokens, left, waiting = 1, length, length, 0
    for round_ in out.trace:
        drafts, targets = min(window, left), min(window + bonus, left)
        if draft == "fresh":
            calls, tokens, waiting = calls + 1, tokens + drafts + waiting, 0
        queries = targets - (draft == "fresh")  # a fresh draft is made from its own target
        if queries:
            calls, tokens = calls + 1, tokens + waiting + drafts + queries
        accepted = int(round_.accepted)
        committed = min(accepted + 1, targets)
        waiting = int(committed > accepted or not queries)
        left -= committed
    assert left == 0
    assert (out.stats[0]["calls"], out.stats[0]["token_forwards"]) == (calls, tokens)


@pytest.mark.parametrize("verify", ["rows", "packed"])
def test_sequential_costs_by_hand(verify):
    out = fef.decode(NETWORK, torch.full((2, 5), MASK), method="sequential", verify=verify)
    context = verify == "packed"
    # packed: the context of 5, then a query each and the token before it
    tokens = 5 + 1 + 4 * 2 if context else 5 * 5
    for row in range(2):
        assert stats(out, row) == {
            "calls": 5 + context,
            "rows": 5 + context,
            "token_forwards": tokens,
            "rounds": 5,
            "drafted": 0,
            "accepted": 0,
            "committed": 5,
        }


@pytest.mark.parametrize(
    ("options", "calls"),
    [
        ({"method": "low-confidence"}, 8),
        ({"method": "low-confidence", "tokens_per_step": 3}, 3),
        ({"method": "low-confidence", "steps": 4}, 4),
        ({"method": "low-confidence", "steps": 4, "block_length": 4}, 4),
        ({"method": "random", "steps": 2}, 2),
        ({"method": "random", "tokens_per_step": 3, "block_length": 4}, 4),
        ({"method": "low-confidence", "steps": 100}, 8),
    ],
)
def test_llada_costs_by_hand(options, calls):
    out = fef.decode(NETWORK, torch.full((1, 8), MASK), **options)
    assert (out.stats[0]["calls"], out.stats[0]["token_forwards"], out.stats[0]["committed"]) == (calls, 8 * calls, 8)


def test_tokens_behind_the_end_are_not_counted():
    """The end is certain at the second slot."""
    joint = torch.zeros(3, 3, 3, 3)
    joint[:, 2, 2, 2] = 1 / 3
    for options in (
        {"method": "sequential"},
        {"method": "fef"},
        {"method": "fef", "accept": "block", "draft": "fresh"},
    ):
        out = fef.decode(TableDenoiser(joint), empty_rows(4), eos_id=2, temperature=1.0, seed=3, **options)
        for row in range(4):
            ends_at_once = int(out.ids[row, 0]) == 2
            assert out.stats[row]["committed"] == (1 if ends_at_once else 2)


@given(
    window=st.sampled_from([1, 2, 4, 16]),
    draft=st.sampled_from(["fresh", "reuse", "random"]),
    accept=st.sampled_from(["coupled", "rejection", "block"]),
    bonus=st.booleans(),
    steps=st.integers(1, 4),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
    verify=st.sampled_from(["rows", "packed"]),
    ends=st.booleans(),
    schedule=st.sampled_from(["linear", "cosine"]),
    remask=st.sampled_from(["random", "low-confidence"]),
    seed=st.integers(0, 10**6),
    anchors=st.sampled_from([0, 2, 20]),
)
@settings(max_examples=40)
def test_calls_never_exceed_committed_tokens_by_more_than_one_a_step(ends, steps, **options):
    if (options["verify"], options["draft"]) != ("packed", "reuse"):
        options["anchors"] = 0
    out = fef.decode(NETWORK, torch.full((4, 7), MASK), steps=steps, eos_id=EOS if ends else None, **options)
    for row in out.stats:
        assert row["calls"] <= row["committed"] + steps
        assert row["accepted"] <= row["drafted"]
        assert row["calls"] <= row["rows"] <= row["token_forwards"]
        assert row["rounds"] <= row["committed"]
        assert ends or row["committed"] >= 7


def test_nothing_is_verified_behind_a_fresh_end_token():
    out = fef.decode(NETWORK, torch.full((300, 7), MASK), draft="fresh", temperature=2.0, eos_id=EOS, window=1)
    assert all(row["calls"] <= row["committed"] + 1 for row in out.stats)


@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_so_do_calls_on_a_table(order):
    for steps in (1, 2):
        out = fef.decode(inconsistent(), empty_rows(200), temperature=1.0, order=order, window=4, steps=steps)
        assert all(s["calls"] <= s["committed"] + steps for s in out.stats)


def test_a_better_drafter_is_accepted_more_often():
    denoiser = TableDenoiser(random_joint())
    outs = [fef.decode(denoiser, empty_rows(500), temperature=1.0, draft=d, window=4) for d in ("reuse", "random")]
    good, bad = [total(out, "accepted") / total(out, "drafted") for out in outs]
    assert good > bad + 0.1
