"""What a step draws is a function of the seed and its number, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import torch

import fef
from fef.training.step_generator import step_generator


def drawn(seed: int, number: int) -> int:
    return int(torch.randint(2**62, (), generator=step_generator("cpu", seed, number)))


def test_steps_of_all_seeds_differ_and_are_drawn_again_alike() -> None:
    found = {(seed, number): drawn(seed, number) for seed in range(5) for number in (0, 1, 2, 999, 1_000_002)}
    assert len(set(found.values())) == len(found)
    assert all(drawn(seed, number) == value for (seed, number), value in found.items())


def test_the_numbers_are_those_of_runs_that_were_stopped_before() -> None:
    """Else a run would go on with other batches than it began with."""
    for seed, number in ((0, 0), (3, 17), (8, 1_000_003)):
        assert step_generator("cpu", seed, number).initial_seed() == seed * 1_000_003 + number


def test_the_mixture_of_seed_and_step_is_said_once() -> None:
    package = Path(fef.__file__).parent / "training"
    assert [path.name for path in package.rglob("*.py") if "1_000_003" in path.read_text()] == ["step_generator.py"]
