"""Intervals of proportions, against scipy's and the quadratic that defines Wilson's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from fef.measure.intervals import NORMAL_95, share_interval

SHARES = [(0, 1), (1, 1), (0, 8), (8, 8), (20, 20), (786, 1000), (1, 1319), (63, 164)]


@pytest.mark.parametrize(("right", "count"), SHARES)
def test_the_interval_is_that_of_scipy(right: int, count: int) -> None:
    theirs = binomtest(right, count).proportion_ci(method="wilson")
    assert share_interval(right, count) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize("right", [0, 20])
def test_it_has_a_width_also_where_none_or_all_are_right(right: int) -> None:
    width = NORMAL_95**2 / (20 + NORMAL_95**2)
    assert share_interval(right, 20) == pytest.approx((0, width) if right == 0 else (1 - width, 1))


@given(st.integers(1, 3000).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_the_ends_are_z_standard_errors_of_their_own_from_the_share(pair: tuple[int, int]) -> None:
    right, count = pair
    low, high = share_interval(right, count)
    assert 0 <= low <= right / count <= high <= 1
    assert low < high
    for end in (low, high):
        if 0 < end < 1:
            assert (right / count - end) ** 2 == pytest.approx(NORMAL_95**2 * end * (1 - end) / count, rel=1e-6)
