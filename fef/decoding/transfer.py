"""Transfer schedules: how many slots a round without speculation commits at least. They read counts only, never values.

Shapes: B rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from fef.laws.information import optimal_counts, resample_profile

__all__ = [
    "BlockShare",
    "DreamShare",
    "EvenShare",
    "Everything",
    "ManyThenOne",
    "Pace",
    "PerRound",
    "Planned",
    "Progress",
    "TransferSchedule",
]


@dataclass(frozen=True)
class Progress:
    """How far each row is in its block."""

    masks_B: Tensor  # slots of the block when its pass began
    pending_B: Tensor  # those still open
    round_B: Tensor  # rounds done
    block_B: Tensor  # which block it is
    sizes: Callable[[], Tensor]  # gives the open slots [B, N] of every block, 0 where a row has fewer blocks
    random_B: Tensor  # pending slots of the part of the order that is drawn


class TransferSchedule:
    @property
    def one(self) -> bool:
        """Is it one slot per round, whatever the length?"""
        return False

    @property
    def bound(self) -> str | None:
        """What it bounds if the order is random."""
        return None

    def __call__(self, progress: Progress) -> Tensor:
        """Slots to commit, int64 [B]."""
        raise NotImplementedError


@dataclass(frozen=True)
class PerRound(TransferSchedule):
    """The same number every round, as far as there are slots."""

    count: int = 1

    @property
    def one(self) -> bool:
        return self.count == 1

    def __call__(self, progress: Progress) -> Tensor:
        return progress.pending_B.clamp(max=self.count)


@dataclass(frozen=True)
class Everything(TransferSchedule):
    """All open slots in one round."""

    def __call__(self, progress: Progress) -> Tensor:
        return progress.pending_B


@dataclass(frozen=True)
class ManyThenOne(PerRound):
    """Eso-LM (2506.01928): so many a round of the slots whose order is drawn, then one a round."""

    def __call__(self, progress: Progress) -> Tensor:
        one_B = progress.pending_B.clamp(max=1)
        return torch.where(progress.random_B > 0, progress.random_B.clamp(max=self.count), one_B)


@dataclass(frozen=True)
class EvenShare(TransferSchedule):
    """LLaDA (2502.09992, `get_num_transfer_tokens`): each block has an equal part of `steps` rounds, and its slots are
    spread evenly over them, the remainder over the first. LLaDA's code asks that the blocks divide the steps; what is left
    where they do not goes to the first blocks, and what a block has no slots for to others."""

    steps: int

    def __call__(self, progress: Progress) -> Tensor:
        rounds_B = torch.minimum(block_rounds(self.steps, progress, progress.sizes()), progress.masks_B)
        return progress.masks_B // rounds_B + (progress.round_B < progress.masks_B % rounds_B).long()


@dataclass(frozen=True)
class BlockShare(TransferSchedule):
    """SDAR (2510.06303) and LLaDA2 (2512.15745): the slots of a whole block are spread evenly over `steps` rounds, the
    remainder over the first, also where the prompt fills a part of the block."""

    block_length: int
    steps: int

    @property
    def one(self) -> bool:
        return self.steps >= self.block_length

    def __call__(self, progress: Progress) -> Tensor:
        steps = min(self.steps, self.block_length)
        return self.block_length // steps + (progress.round_B < self.block_length % steps).long()


@dataclass(frozen=True)
class Pace(TransferSchedule):
    """What is left of an even pace of `steps` rounds over the slots of a block, when all were taken that it allowed."""

    steps: int

    def __call__(self, progress: Progress) -> Tensor:
        due_B = (progress.masks_B * (progress.round_B + 1) // self.steps).minimum(progress.masks_B)
        return (due_B - (progress.masks_B - progress.pending_B)).clamp(min=1)


@dataclass(frozen=True)
class DreamShare(TransferSchedule):
    """Dream (2508.15487, `diffusion_generate`): int(open * (1 - s / t)) over times from 1 to `eps`, all at the last step.
    Each block has an equal part of `steps`, the first ones the remainder; a step may commit nothing.

    steps: None takes one step per slot. Not uniform: with steps = slots the first round commits nothing and the last two.
    """

    steps: int | None = None
    eps: float = 1e-3

    def __call__(self, progress: Progress) -> Tensor:
        steps_B = progress.masks_B
        if self.steps is not None:
            steps_B = block_rounds(self.steps, progress, (progress.sizes() > 0) * self.steps)
        transfer = [
            dream_count(pending, steps, round_, self.eps)
            for pending, steps, round_ in zip(
                progress.pending_B.tolist(), steps_B.tolist(), progress.round_B.tolist(), strict=True
            )
        ]
        return torch.tensor(transfer, device=progress.masks_B.device)


@dataclass(frozen=True)
class Planned(TransferSchedule):
    """The schedule of least factorization error for an information profile (Lavenant and Zanella, 2510.25544).

    Each block has an equal part of `steps`, the first ones the remainder. blocks: is there more than one? Its counts are then
    those of the profile's stretch behind the slots of the blocks before, as if these had been revealed in a random order;
    they were not, so nothing is bounded. measured: is the profile that of the law that is sampled?
    """

    profile: tuple[float, ...]
    steps: int
    blocks: bool = False
    measured: bool = True

    @property
    def bound(self) -> str | None:
        return None if self.blocks or not self.measured else "mean KL over orders as by the information profile"

    def __call__(self, progress: Progress) -> Tensor:
        sizes_BN = progress.sizes()
        steps_B = block_rounds(self.steps, progress, sizes_BN)
        behind_BN = sizes_BN.flip(1).cumsum(1).flip(1)
        own_B1 = progress.block_B[:, None]
        before_B = sizes_BN.sum(1) - behind_BN.gather(1, own_B1)[:, 0]
        length_B = sizes_BN.sum(1) - sizes_BN.gather(1, own_B1)[:, 0] + progress.masks_B
        columns = (length_B, before_B, progress.masks_B, steps_B, progress.round_B)
        transfer = []
        for length, before, masks, steps, round_ in zip(*(column.tolist() for column in columns), strict=True):
            counts = stretch_counts(self.profile, length, before, masks, steps)
            transfer.append(counts[round_] if round_ < len(counts) else 1)
        return torch.tensor(transfer, device=progress.masks_B.device)


def block_rounds(steps: int, progress: Progress, most_BN: Tensor) -> Tensor:
    """Rounds of the current block [B], of `steps` in all; a block has at most `most_BN`."""
    most, blocks = most_BN.tolist(), progress.block_B.tolist()
    shares = [spread(steps, tuple(row))[block] for row, block in zip(most, blocks, strict=True)]
    assert min(shares, default=1) > 0, "fewer steps than blocks are refused before the first pass"
    return torch.tensor(shares, device=most_BN.device)


@lru_cache(maxsize=256)
def spread(total: int, most: tuple[int, ...]) -> tuple[int, ...]:
    """`total` in shares as even as their limits allow, the remainder over the first."""
    shares = [0] * len(most)
    left = min(total, sum(most))
    while left:
        free = [i for i, limit in enumerate(most) if shares[i] < limit]
        each = max(1, min(left // len(free), min(most[i] - shares[i] for i in free)))
        for i in free[:left]:
            shares[i] += each
            left -= each
    return tuple(shares)


def dream_count(pending: int, steps: int, round_: int, eps: float) -> int:
    if round_ >= steps - 1:
        return pending
    times = torch.linspace(1, eps, steps + 1)  # float32, as released: rounding decides some of the counts
    return int(pending * (1 - times[round_ + 1] / times[round_]))


@lru_cache(maxsize=256)
def stretch_counts(profile: tuple[float, ...], length: int, before: int, masks: int, steps: int) -> list[int]:
    """The best counts for `masks` slots of a text of `length`, of which `before` are revealed."""
    return optimal_counts(resample_profile(profile, length)[before : before + masks].tolist(), masks, steps)
