import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fef.measure.intervals import RESAMPLES, difference_interval


def pairs(gained: int, lost: int, both: int, neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * gained + [False] * lost + [True] * both + [False] * neither
    second = [False] * gained + [True] * lost + [True] * both + [False] * neither
    return first, second


@pytest.mark.parametrize("counts", [(12, 30, 140, 18), (0, 7, 93, 0), (40, 40, 10, 10)])
def test_the_paired_interval_agrees_with_scipy(counts):
    first, second = pairs(*counts)
    found = difference_interval(first, second, seed=3)

    def difference(a, b, axis):
        return np.mean(a, axis=axis) - np.mean(b, axis=axis)

    data = (np.array(first, float), np.array(second, float))
    wanted = scipy.stats.bootstrap(
        data, difference, paired=True, method="percentile", n_resamples=RESAMPLES, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found == pytest.approx((wanted.low, wanted.high), abs=2 / sum(counts))


def test_pairing_cancels_what_two_methods_share():
    # they differ on 10 of 1000 problems, so the interval is far narrower than that of independent samples
    first, second = pairs(10, 0, 490, 500)
    low, high = difference_interval(first, second, seed=0)
    closed = (0.01 - 0.01**2) ** 0.5 / 1000**0.5
    assert (high - low) / 2 == pytest.approx(1.96 * closed, rel=0.1)
    assert low > 0
    assert (high - low) / 2 < 0.2 * 1.96 * (0.5 / 1000) ** 0.5


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6), st.integers(1, 6))
def test_the_paired_interval_is_odd_and_holds_the_difference(gained, lost, both, neither):
    first, second = pairs(gained, lost, both, neither)
    low, high = difference_interval(first, second, seed=0)
    assert -1 <= low <= (gained - lost) / len(first) <= high <= 1
    assert difference_interval(first, first, seed=0) == (0, 0)
