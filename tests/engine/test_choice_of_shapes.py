"""How many tokens rounds of a shape are expected to commit, and the shape of most tokens per second."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fef.engine.choice import FIRST_GUESS, Acceptance, Calibration, choose_shape, with_ends
from fef.models.packed_pass import RoundShape


def test_the_first_guess():
    assert Acceptance().expected(3) == pytest.approx(sum(FIRST_GUESS**i for i in (1, 2, 3)))
    assert Acceptance().expected(0) == 0.0


@pytest.mark.parametrize("chance", [0.3, 0.7])
def test_acceptance_is_what_was_seen(chance):
    acceptance, rng = Acceptance(), np.random.default_rng(0)
    for _ in range(300):
        acceptance.observe(4, rng.geometric(1 - chance, 8).clip(max=5) - 1)
    for depth in (0, 1, 4, 9):
        assert acceptance.expected(depth) == pytest.approx(sum(chance**i for i in range(1, depth + 1)), rel=0.15)


def test_acceptance_forgets():
    acceptance = Acceptance()
    acceptance.observe(4, np.full(2000, 4))
    assert acceptance.expected(4) == pytest.approx(4, rel=0.02)
    acceptance.observe(4, np.full(4000, 0))
    assert acceptance.expected(4) < 0.5 and acceptance.tried <= 500


def test_drafts_that_always_hold_are_all_expected():
    assert Acceptance(lambda: 0.0).expected(7) == 7.0


def test_nothing_seen_changes_nothing():
    acceptance = Acceptance()
    acceptance.observe(4, np.zeros(0, dtype=np.int64))
    assert acceptance.expected(4) == Acceptance().expected(4)


NONE, FOUR, SIXTEEN = CHAINS = [RoundShape(w) for w in (0, 4, 16)]
TREE = RoundShape(8, 7, 7, 8, head=True)
TOKENS = {NONE: 1.0, FOUR: 4.1, SIXTEEN: 8.3}


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ((1.0, 2.0, 3.0), SIXTEEN),
        ((1.0, 2.0, 6.0), FOUR),
        ((1.0, 6.0, 16.0), NONE),
        ((math.inf, 6.0, 16.0), FOUR),
        ((math.inf, math.inf, 16.0), SIXTEEN),
    ],
)
def test_the_shape_of_most_tokens_a_second(seconds, best):
    assert choose_shape(CHAINS, TOKENS, dict(zip(CHAINS, seconds, strict=True))) == best


def test_a_shape_of_unknown_cost_comes_first_where_it_may_be_the_best():
    assert choose_shape(CHAINS, TOKENS, {}) == FOUR, "nothing is known: that in the middle"
    assert choose_shape(CHAINS, TOKENS, {FOUR: 1.0}) == SIXTEEN, "it costs as much at least"
    assert choose_shape(CHAINS, TOKENS, {FOUR: 1.0, SIXTEEN: 5.0}) == NONE, "it may cost a fifth"
    assert choose_shape(CHAINS, TOKENS, {FOUR: 1.0, SIXTEEN: 5.0, NONE: 0.5}) == FOUR


def test_what_a_head_takes_says_nothing_of_the_cost_of_chains():
    """Chains of 16 have as many tokens as this tree, and may cost as little as those of 4."""
    assert TREE.tokens >= SIXTEEN.tokens > FOUR.tokens
    tokens = TOKENS | {TREE: 8.5}
    assert choose_shape([*CHAINS, TREE], tokens, {NONE: 1.0, FOUR: 1.1, TREE: 3.0}) == SIXTEEN
    assert choose_shape([*CHAINS, TREE], tokens, {NONE: 1.0, FOUR: 1.1, SIXTEEN: 3.0}) == FOUR, "nor is a tree cheaper"


def test_a_shape_that_cannot_win_is_never_measured():
    assert choose_shape(CHAINS, {NONE: 1.0, FOUR: 1.2, SIXTEEN: 1.3}, {NONE: 1.0, FOUR: 1.5}) == NONE
    assert choose_shape(CHAINS, {NONE: 1.0, FOUR: 1.2, SIXTEEN: 1.9}, {NONE: 1.0, FOUR: 1.5}) == SIXTEEN


def test_a_busy_moment_does_not_keep_a_shape_out_for_good():
    seconds = {NONE: 4.0, FOUR: 9.0, SIXTEEN: 5.0}
    tokens = {NONE: 1.0, FOUR: 4.1, SIXTEEN: 4.05}
    assert choose_shape(CHAINS, tokens, seconds) == FOUR, "it costs no more than the larger one"
    assert choose_shape([*CHAINS, TREE], tokens | {TREE: 9.0}, seconds | {TREE: 20.0}) == FOUR, (
        "trees are of another kind"
    )


def test_costs_that_memory_forbids_leave_the_others():
    """Nothing fits: the first one is tried, and says so."""
    assert choose_shape(CHAINS, TOKENS, dict.fromkeys(CHAINS, math.inf)) == NONE
    assert choose_shape(CHAINS, TOKENS, {SIXTEEN: math.inf}) != SIXTEEN


def test_a_shape_in_use_stays_unless_another_is_clearly_faster():
    seconds = {NONE: 1.0, FOUR: 4.1 / 1.01, SIXTEEN: 99.0}
    assert choose_shape(CHAINS, TOKENS, seconds) == FOUR
    assert choose_shape(CHAINS, TOKENS, seconds, NONE) == NONE
    assert choose_shape(CHAINS, TOKENS, seconds | {FOUR: 4.1 / 1.1}, NONE) == FOUR


def test_rounds_behind_the_end_of_a_text_count():
    """20 tokens in 5 rounds of 4, and two more."""
    assert with_ends(4.0, 20.0, 2) == pytest.approx(20 / 7)
    assert with_ends(4.0, math.inf, 2) == with_ends(4.0, 20.0, 0) == 4.0


def observed(
    calibration: Calibration, shape: RoundShape, accepted: list[int], times: int, settled: bool = True
) -> None:
    for _ in range(times):
        predicted = calibration.tokens[shape]
        calibration.observe(shape, np.array(accepted), predicted=predicted, settled=settled)


def test_tokens_are_calibrated_by_the_rounds_of_a_shape():
    calibration = Calibration([*CHAINS, TREE])
    assert calibration.tokens[NONE] == 1.0
    assert calibration.tokens[SIXTEEN] > 4.8, "a first guess"
    observed(calibration, FOUR, [2, 1], 200)
    assert calibration.tokens[FOUR] == pytest.approx(2.5, rel=0.02)
    assert calibration.tokens[SIXTEEN] < 4.5, "where the first drafts do not hold, later ones do not"
    observed(calibration, TREE, [5], 2000)
    assert calibration.tokens[TREE] == pytest.approx(6, rel=0.03)


def test_a_tree_whose_drafts_all_hold_has_none_that_failed():
    calibration = Calibration([LARGE])
    observed(calibration, LARGE, [6], 4000)
    assert calibration.acceptance[True].failing < 0.01 and calibration.tokens[LARGE] == pytest.approx(7, rel=0.01)


SMALL, LARGE = (RoundShape(nodes, 3, 7, 8, head=True) for nodes in (8, 32))


def test_before_a_tree_was_tried_chains_say_what_it_may_be_worth():
    """It holds where a chain does, and somewhat longer; the more nodes, the longer."""
    found = []
    for accepted in (0, 2, 4):
        calibration = Calibration([FOUR, SMALL, LARGE])
        observed(calibration, FOUR, [accepted], 400)
        tokens = calibration.tokens
        assert tokens[FOUR] < tokens[SMALL] < tokens[LARGE] <= 1 + LARGE.deepest
        found.append(tokens[SMALL])
    assert found == sorted(found) and found[2] > 2 * found[0]


def test_rounds_of_one_tree_say_what_another_may_be_worth():
    calibration = Calibration([FOUR, SMALL, LARGE])
    before = calibration.tokens[LARGE]
    observed(calibration, SMALL, [0], 400)
    assert calibration.tokens[SMALL] < calibration.tokens[LARGE] < 0.5 * before


def test_a_tree_that_was_unlucky_once_is_tried_again_while_chains_run():
    calibration = Calibration([FOUR, LARGE])
    observed(calibration, LARGE, [0], 10)
    unlucky = calibration.tokens[LARGE]
    observed(calibration, FOUR, [3], 3000)
    assert calibration.tokens[LARGE] > calibration.tokens[FOUR] > unlucky


def test_what_a_shape_did_long_ago_counts_less_than_what_drafts_do_now():
    calibration = Calibration([FOUR, SIXTEEN])
    observed(calibration, SIXTEEN, [0], 100)
    long_ago = calibration.tokens[SIXTEEN]
    observed(calibration, FOUR, [4], 5000)
    assert long_ago < 1.5 and calibration.tokens[SIXTEEN] > 4


def test_rounds_behind_another_shape_are_counted_and_say_nothing():
    calibration = Calibration([FOUR])
    observed(calibration, FOUR, [0, 0, 1], 50, settled=False)
    assert calibration.tokens[FOUR] == Calibration([FOUR]).tokens[FOUR]
    tally = calibration.tallies[FOUR]
    assert (tally.rounds, tally.rows, tally.tokens) == (50, 150, 200)


def test_the_tally_sets_what_was_predicted_against_what_came():
    """Predicted before each round: once calibrated, the two agree; a wrong calibration shows."""
    calibration, rng = Calibration([FOUR]), np.random.default_rng(1)
    for _ in range(2000):
        accepted = (rng.geometric(0.4, 4).clip(max=5) - 1).tolist()
        observed(calibration, FOUR, accepted, 1)
    tally = calibration.tallies[FOUR]
    assert tally.predicted == pytest.approx(tally.tokens, rel=0.02)
    calibration.observe(FOUR, np.zeros(2000, dtype=np.int64), predicted=4.0, settled=False)
    assert tally.predicted > 1.2 * tally.tokens
