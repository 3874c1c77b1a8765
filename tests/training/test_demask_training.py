"""Training of the dependency head: states, measured targets, the fit, and what the report says of good and bad heads."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import EOS, MASK, tiny_network

from fef.laws.influence import exact_influence
from fef.models.demask import DependencyHead
from fef.training.data import Examples
from fef.training.demask import HeadOptions, asymmetric_error, fit_head, measure
from fef.training.demask_report import (
    ReportOptions,
    calibration,
    gain,
    head_report,
    law_bounds,
    parity,
    sampled_report,
    table_bounds,
)
from fef.training.influence_targets import States, Targets, Teacher, draw_states, sampled_influence
from fef.training.patterns import Canvases, decoding_masks


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def teacher() -> Teacher:
    return Teacher(tiny_network(eos_id=EOS, answer_id=6, max_length=64), torch.tensor([MASK, 6]))


@pytest.fixture
def examples() -> Examples:
    noise = generator()
    prompt, response = (torch.randint(3, 6, (20, length), generator=noise) for length in (4, 9))
    return Examples(prompt, torch.full((20,), 4), response, torch.randint(2, 10, (20,), generator=noise))


@given(st.integers(0, 200))
def test_masks_have_a_clean_prefix_and_a_masked_tail_or_are_random(seed):
    L, start, stop, text = 40, 5, 35, 20
    ids = torch.zeros(8, L, dtype=torch.int64)
    ids[:, start + text : stop] = EOS
    canvases = Canvases(ids, torch.full((8,), start), torch.full((8,), stop), torch.full((8,), L))
    masked = decoding_masks(canvases, EOS, generator(seed))
    assert not (masked & ~canvases.region_BL()).any()
    assert masked[:, start : start + text + 1].any(1).all()


def test_all_patterns_of_masks_occur():
    ids = torch.zeros(600, 40, dtype=torch.int64)
    canvases = Canvases(ids, torch.full((600,), 0), torch.full((600,), 40), torch.full((600,), 40))
    masked = decoding_masks(canvases, EOS, generator())
    first, revealed = masked.long().argmax(1), (~masked).long()
    last = torch.where(revealed.any(1), 39 - revealed.flip(1).argmax(1), -1)
    assert 150 < int((last < first).sum()) < 300  # left to right: everything before the front, nothing behind
    assert int(((last > first) & (last < 36)).sum()) > 100  # a block behind the front
    assert int((last >= 36).sum()) > 100  # random order


def test_slots_are_masked_positions_without_repeats(teacher, examples):
    states = draw_states(examples, teacher, 32, 12, 40, generator())
    assert states.lengths_B.tolist() == sorted(states.lengths_B.tolist())
    for ids, slots in zip(states.ids_BL, states.slots_BS, strict=True):
        present = slots[slots >= 0]
        assert sorted(present.tolist()) == (ids == MASK).nonzero()[:, 0].tolist()
        assert (slots[len(present) :] == -1).all()


def test_sampled_influence_is_unbiased(teacher, examples):
    states = draw_states(examples, teacher, 3, 12, 6, generator(1))
    exact = exact_influence(teacher.score(states), states.ids_BL, states.slots_BS, teacher.law).matrix_BSS
    found = sampled_influence(teacher, states, 6, 4000, generator(2))
    assert float(exact.max()) > 0.05
    error = (found.influence_BXS - exact[:, :6]) * found.weight_BXS()
    assert float(error.abs().max()) < 4.5 * 0.5 / 4000**0.5  # a variable in [0, 1] has a deviation of at most 1/2


def test_targets_and_states_do_not_depend_on_the_pieces_of_a_pass(teacher, examples, monkeypatch):
    from fef.training import influence_targets

    states = draw_states(examples, teacher, 3, 12, 6, generator(1))
    whole = sampled_influence(teacher, states, 4, 8, generator(2))
    monkeypatch.setattr(influence_targets, "ROWS", 1)
    pieces = sampled_influence(teacher, states, 4, 8, generator(2))
    torch.testing.assert_close(pieces.influence_BXS, whole.influence_BXS, rtol=0, atol=1e-6)


def test_measuring_more_states_starts_with_the_same(teacher, examples):
    few = measure(teacher, examples, HeadOptions(states=64, slots=5, sources=2, canvas_length=12))
    more = measure(teacher, examples, HeadOptions(states=70, slots=5, sources=2, canvas_length=12))
    assert torch.equal(more.influence_BXS[:64], few.influence_BXS)
    assert more.hidden_BSD.shape == (70, 5, 16)


def test_a_head_overfits_ten_states():
    noise = generator(3)
    slots = torch.stack([torch.randperm(60, generator=noise)[:6] for _ in range(10)])
    hidden = torch.randn(10, 6, 48, generator=noise).bfloat16()
    targets = Targets(hidden, slots, torch.rand(10, 3, 6, generator=noise))
    head = fit_head(targets, 1.0, HeadOptions(steps=300, batch_size=10, weight_decay=0.0, under_weight=1.0))
    error = (head(hidden, slots)[:, :3] - targets.influence_BXS) * targets.weight_BXS()
    assert float(error.abs().mean()) < 0.02
    again = fit_head(targets, 1.0, HeadOptions(steps=3, batch_size=10))
    assert torch.equal(again.distance, fit_head(targets, 1.0, HeadOptions(steps=3, batch_size=10)).distance)


def test_absent_slots_are_not_learned():
    targets = Targets(torch.zeros(1, 3, 4), torch.tensor([[5, -1, 8]]), torch.zeros(1, 2, 3))
    assert targets.weight_BXS().tolist() == [[[0, 0, 1], [0, 0, 0]]]


def test_under_prediction_costs_more():
    error = asymmetric_error(torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.2]), 3.0)
    torch.testing.assert_close(error, torch.tensor([0.03, 0.01]))


def test_calibration_of_a_known_case():
    report = calibration(torch.tensor([0.005, 0.2, 0.2, 0.9]), torch.tensor([0.0, 0.1, 0.3, 0.9]))
    assert (report["pairs"], report["under"], report["under_by_0.05"]) == (4, 0.25, 0.25)
    assert [(b["from"], b["to"], b["pairs"]) for b in report["bins"]] == [(0.0, 0.01, 1), (0.1, 0.3, 2), (0.5, 1.0, 1)]
    assert report["bins"][1]["true"] == pytest.approx(0.2)
    assert report["correlation"] == pytest.approx(0.98, abs=0.02)


def test_where_nothing_varies_no_share_of_it_is_explained():
    flat = calibration(torch.tensor([0.01, 0.0, 0.002, 0.0]), torch.tensor([1e-5, 0.0, 0.0, 1e-5]))
    assert (flat["correlation"], flat["explained_variance"]) == (None, None)
    assert flat["error"] == pytest.approx((1e-4 + 4e-6) ** 0.5 / 2, rel=0.01)
    varied = calibration(torch.tensor([0.5, 0.0, 0.0, 0.0]), torch.tensor([0.4, 0.0, 0.0, 0.0]))
    assert varied["explained_variance"] == pytest.approx(1 - 0.0025 / 0.03)
    wrong = calibration(torch.tensor([0.0, 0.4, 0.0, 0.0]), torch.tensor([0.4, 0.0, 0.0, 0.0]))
    assert wrong["explained_variance"] == pytest.approx(1 - 0.08 / 0.03)
    assert wrong["error"] == pytest.approx(0.08**0.5)


def test_parity_is_reported_as_a_violated_bound():
    assert law_bounds(parity()) == pytest.approx({"tv": 0.5, "bound": 0.0, "sub_additive": False, "violated": True})


def test_a_product_law_has_no_error_and_a_pair_meets_its_bound():
    p, q = torch.tensor([0.2, 0.8], dtype=torch.float64), torch.tensor([0.7, 0.3], dtype=torch.float64)
    product = law_bounds(p[:, None] * q)
    assert (product["sub_additive"], product["violated"]) == (True, False)
    assert product["tv"] == pytest.approx(0, abs=1e-12)
    copy = law_bounds(torch.diag(p))
    assert copy["tv"] == pytest.approx(copy["bound"]) == pytest.approx(0.32)


def test_sub_additivity_fails_for_most_random_tables_and_the_bound_for_few():
    report = table_bounds(40, seed=0)
    assert 0.1 < report["sub_additive"] < 0.6
    assert report["violated"] < 0.1


def test_the_report_tells_a_good_head_from_a_blind_one(teacher, examples):
    options = HeadOptions(states=320, sources=4, draws=8, slots=9, canvas_length=12, steps=300, under_weight=1.0)
    head = fit_head(measure(teacher, examples, options), 1.0, options)
    blind = DependencyHead(16)
    torch.nn.init.constant_(blind.distance, -9.0)
    torch.nn.init.zeros_(blind.query.weight)
    torch.nn.init.zeros_(blind.query.bias)
    settings = ReportOptions(states=20, slots=5, values=6, tables=2, canvas_length=12)
    good, bad = (head_report(teacher, h, examples, settings) for h in (head, blind))
    json.dumps(good, allow_nan=False)
    assert good["calibration"]["correlation"] > 0.3
    assert good["calibration"]["explained_variance"] > 0 > bad["calibration"]["explained_variance"]
    assert good["calibration"]["under"] < 0.5 < bad["calibration"]["under"]
    assert good["triples"]["near"]["over_predicted_bound"] < bad["triples"]["near"]["over_predicted_bound"]
    assert good["calibration"]["missing_mass"] < 1e-9  # six real ids, six values
    near = good["triples"]["near"]
    assert near["tv"] <= near["true_bound"] + near["missing_mass"]


def test_near_triples_are_successive_masks(teacher, examples):
    from fef.training.demask_report import triples_of

    states = draw_states(examples, teacher, 16, 12, 40, generator(4))
    for kind, three in triples_of(states, MASK):
        assert isinstance(three, States)
        for ids, length, slots in zip(three.ids_BL, three.lengths_B, three.slots_BS, strict=True):
            masked = (ids[:length] == MASK).nonzero()[:, 0].tolist()
            places = [masked.index(int(slot)) for slot in slots]
            assert places == sorted(set(places))
            if kind == "near":
                assert places[2] - places[0] == 2


def planted(states: int, seed: int) -> Targets:
    """Hidden states of unit normals, and the influence that a head of 4 ranks reads off them: few pairs have any."""
    noise, head = generator(seed), DependencyHead(32, width=16, rank=4)
    head.reset(7)
    with torch.no_grad():
        head.query.weight.mul_(4)
    slots = torch.stack([torch.randperm(60, generator=noise)[:12] for _ in range(states)])
    hidden = torch.randn(states, 12, 32, generator=noise)
    return Targets(hidden.bfloat16(), slots, head(hidden, slots)[:, :4].detach())


STATES = {  # means of the first dimensions, and a scale of all
    "centred, large": ([], 10.0),
    "as in a pretrained network": ([25.0, -10.0, 10.0, -8.0, 7.0, 6.0], 1.0),
    "one dimension, huge": ([300.0], 1.0),
    "half of the dimensions": ([6.0, -6.0] * 8, 1.0),
    "half of the dimensions, small": ([20.0, -20.0] * 8, 0.1),
}


@pytest.mark.parametrize(("means", "scale"), STATES.values(), ids=STATES.keys())
def test_massive_activations_do_not_keep_a_head_from_learning(means, scale):
    mean = torch.zeros(32)
    mean[: len(means)] = torch.tensor(means)
    options = HeadOptions(steps=150, batch_size=32, under_weight=4.0)
    train, unseen = (
        Targets(((t.hidden_BSD + mean) * scale).bfloat16(), t.slots_BS, t.influence_BXS)
        for t in (planted(96, 0), planted(24, 1))
    )
    report = sampled_report(fit_head(train, 1.0, options), unseen, options.under_weight)
    assert report["rank_correlation"] > 0.5
    assert report["gain"] > 0.5
    assert 0.7 < report["predicted"] / report["true"] < 1.5


def test_a_head_that_says_zero_everywhere_gains_nothing():
    head = DependencyHead(32)
    torch.nn.init.constant_(head.distance, -40.0)
    report = sampled_report(head.requires_grad_(False), planted(24, 1), 4.0)
    assert report["gain"] < 0 and report["explained_variance"] < 0


def test_gain_is_one_for_right_predictions_and_zero_for_the_best_constant():
    true = torch.tensor([0.0, 0.0, 0.0, 0.6], dtype=torch.float64)
    assert gain(true, true, 4.0) == pytest.approx(1.0)
    # errors of both sides balance at c: 3 c = 4 (0.6 - c)
    assert gain(torch.full_like(true, 2.4 / 7), true, 4.0) == pytest.approx(0.0, abs=1e-9)
    assert gain(torch.full_like(true, 0.15), true, 1.0) == pytest.approx(0.0, abs=1e-9)
    assert gain(torch.full_like(true, 0.15), true, 4.0) < -0.1


def test_ranks_share_ties_and_equal_predictions_correlate_with_nothing():
    true = torch.tensor([0.0, 0.1, 0.4, 0.9])
    curved = calibration(torch.tensor([0.0, 0.2, 0.21, 0.3]), true)
    assert curved["rank_correlation"] == pytest.approx(1.0) != pytest.approx(curved["correlation"])
    assert calibration(torch.tensor([0.2, 0.2, 0.5, 0.5]), true)["rank_correlation"] == pytest.approx(0.8**0.5)
    flat = calibration(torch.full((4,), 0.3), true)
    assert (flat["correlation"], flat["rank_correlation"]) == (None, None)
    assert flat["explained_variance"] < 0
