"""McNemar's exact test against scipy's binomial test."""

from __future__ import annotations

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from fef.measure.intervals import discordant, mcnemar

COUNTS = st.integers(0, 200)


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS)
def test_the_p_value_is_that_of_a_fair_coin_over_the_discordant_problems(only_first, only_second):
    wanted = 1.0
    if only_first + only_second:
        wanted = scipy.stats.binomtest(only_first, only_first + only_second).pvalue
    assert mcnemar(only_first, only_second) == pytest.approx(wanted, rel=1e-6, abs=1e-300)
    assert mcnemar(only_first, only_second) == mcnemar(only_second, only_first)


def test_values_by_hand_and_one_sided_values_are_others():
    assert mcnemar(0, 5) == 2 / 32
    assert mcnemar(1, 7) == 2 * (1 + 8) / 256
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0
    assert mcnemar(900, 1100) == pytest.approx(2 * scipy.stats.binom.cdf(900, 2000, 0.5), rel=1e-9)
    assert mcnemar(1, 7) != pytest.approx(scipy.stats.binomtest(1, 8, alternative="less").pvalue)


@given(st.lists(st.tuples(st.booleans(), st.booleans())))
def test_discordant_problems_are_those_that_one_alone_has_right(pairs):
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    gained, lost = discordant(first, second)
    assert (gained, lost) == (pairs.count((True, False)), pairs.count((False, True)))
    assert gained - lost == sum(first) - sum(second)
