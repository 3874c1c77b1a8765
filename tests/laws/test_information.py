"""Schedules for an information profile, against brute force and closed forms; the estimate from measured nats."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fef.laws.information import estimate_profile, measuring_points, optimal_counts, resample_profile, schedule_error

STEEP = [3.0 * 0.9**k + 0.05 for k in range(64)]  # most of the information is in the first tokens

profiles = st.lists(st.floats(0.0, 5.0), min_size=1, max_size=8).map(lambda f: sorted(f, reverse=True))


def even_counts(length: int, steps: int) -> list[int]:
    return [length // steps + (step < length % steps) for step in range(steps)]


def cosine_counts(length: int, steps: int) -> list[int]:
    """MaskGIT's schedule: a share cos(pi/2 step / steps) stays masked."""
    masked = [round(length * np.cos(np.pi / 2 * step / steps)) for step in range(steps + 1)]
    return [before - after for before, after in itertools.pairwise(masked)]


def every_schedule(length: int, steps: int) -> list[list[int]]:
    cuts = itertools.combinations(range(1, length), steps - 1)
    return [np.diff([0, *inner, length]).tolist() for inner in cuts]


def by_the_formula(profile: list[float], counts: list[int]) -> float:
    total, start = 0.0, 0
    for count in counts:
        total += sum(profile[start] - profile[k] for k in range(start, start + count))
        start += count
    return total


@given(profiles, st.integers(1, 8))
def test_the_best_schedule_is_that_of_brute_force(profile: list[float], steps: int) -> None:
    found = optimal_counts(profile, len(profile), steps)
    assert sum(found) == len(profile) and len(found) == min(steps, len(profile)) and min(found) >= 1
    best = min(by_the_formula(profile, counts) for counts in every_schedule(len(profile), len(found)))
    assert schedule_error(profile, found) == pytest.approx(by_the_formula(profile, found), abs=1e-9)
    assert schedule_error(profile, found) == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("steps", [4, 8, 16, 32])
def test_it_beats_even_and_cosine_steps_and_starts_slowly_where_the_profile_is_steep(steps: int) -> None:
    found = optimal_counts(STEEP, len(STEEP), steps)
    error = schedule_error(STEEP, found)
    assert error < 0.8 * schedule_error(STEEP, even_counts(len(STEEP), steps))
    assert error < schedule_error(STEEP, cosine_counts(len(STEEP), steps))
    assert found[0] < found[-1]


@pytest.mark.parametrize(("length", "steps"), [(12, 3), (12, 5), (7, 7), (30, 4)])
def test_even_steps_are_best_for_a_linear_profile_and_not_for_a_bent_one(length: int, steps: int) -> None:
    linear = [1.0 - 0.02 * k for k in range(length)]
    even = even_counts(length, steps)
    assert sorted(optimal_counts(linear, length, steps)) == sorted(even)
    bent = [0.5**k for k in range(length)]
    assert sorted(optimal_counts(bent, length, steps)) != sorted(even) or steps == length


def test_one_token_a_step_costs_nothing_and_all_at_once_the_total_correlation() -> None:
    assert schedule_error(STEEP, [1] * 64) == 0
    assert schedule_error(STEEP, [64]) == pytest.approx(64 * STEEP[0] - sum(STEEP))


@given(profiles, st.integers(1, 20))
def test_a_profile_at_another_length_is_non_increasing_and_in_range(profile: list[float], length: int) -> None:
    found = resample_profile(profile, length)
    assert len(found) == length and (np.diff(found) <= 1e-12).all()
    assert found[0] == profile[0] and found[-1] >= profile[-1]
    assert resample_profile(profile, len(profile)).tolist() == profile


@given(st.integers(1, 200), st.integers(2, 40))
def test_points_run_from_nothing_to_all_but_one_and_are_denser_at_first(length: int, points: int) -> None:
    found = measuring_points(length, points)
    assert found[0] == 0 and found[-1] == length - 1
    assert len(set(found)) == len(found) <= points
    assert found == sorted(found)


def test_the_estimate_interpolates_means_and_errors_and_never_rises() -> None:
    nats = np.array([[2.0, 1.0, 1.2], [4.0, 1.0, 1.4]])
    found = estimate_profile(nats, [0, 2, 4], 5)
    assert found.nats == pytest.approx((3.0, 2.0, 1.0, 1.0, 1.0))  # 1.3 at the end is noise: a profile does not rise
    assert found.errors == pytest.approx((1.0, 0.5, 0.0, 0.05, 0.1))  # |4 - 2| / 2, |1.4 - 1.2| / 2
    assert found.texts == 2
