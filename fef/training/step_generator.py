"""The randomness of a training step: a function of the seed and of the step's number, so that a stopped run goes on with the
same batches."""

from __future__ import annotations

import torch

__all__ = ["step_generator"]

_BETWEEN_SEEDS = 1_000_003  # steps; runs of neighbouring seeds share none before


def step_generator(device: torch.device | str, seed: int, number: int) -> torch.Generator:
    """Draws what a step, or a piece of one, needs. number: of the step or of the piece."""
    return torch.Generator(device).manual_seed(seed * _BETWEEN_SEEDS + number)
