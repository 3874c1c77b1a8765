"""Which response tokens a training step masks, and the packed layout of the masked ones. Pure functions on tensors.

Shapes: B rows, L canvas length, M slots of the packed streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.laws.noise import Schedule
from fef.models.packed import REVEALED

__all__ = ["Canvases", "PackedSlots", "block_masks", "decoding_masks", "mask_canvases", "numbers_on", "packed_slots"]


@dataclass
class Canvases:
    """Clean training canvases. Row b: `lengths_B[b]` tokens, of which [start_B[b], stop_B[b]) are the response to fill
    (its text, then end tokens); the rest is prompt or suffix."""

    ids_BL: Tensor
    start_B: Tensor
    stop_B: Tensor
    lengths_B: Tensor

    def region_BL(self) -> Tensor:
        index_L = torch.arange(self.ids_BL.shape[1], device=self.ids_BL.device)
        return (index_L >= self.start_B[:, None]) & (index_L < self.stop_B[:, None])

    def text_stop_B(self, eos_id: int) -> Tensor:
        """One past the first end token of each response (its stop when it has none)."""
        is_end_BL = self.region_BL() & (self.ids_BL == eos_id)
        index_L = torch.arange(self.ids_BL.shape[1], device=self.ids_BL.device)
        first_B = torch.where(is_end_BL, index_L, self.ids_BL.shape[1]).amin(1)
        return torch.minimum(first_B + 1, self.stop_B)


def mask_canvases(
    canvases: Canvases, eos_id: int, schedule: Schedule, shares: tuple[float, float, float], generator: torch.Generator
) -> Tensor:
    """Masked positions [B, L] of one training step.

    Each row is one of three patterns, drawn with probabilities `shares`:
    *noisy*: every response token masked with probability 1 - keep(t), t uniform (the masked-diffusion objective);
    *prefix*: a clean prefix x_0^{<i} and X_t from i on, i uniform over the text, t = 1 for half of the rows (FeF's
    position-conditioned states, 2605.14305); *full*: everything masked. At least one token of each row is masked.
    """
    device, (B, L) = canvases.ids_BL.device, canvases.ids_BL.shape
    region_BL = canvases.region_BL()
    index_L = torch.arange(L, device=device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    noisy_BL = uniform(B, L) >= schedule.keep(uniform(B, 1))
    text_stop_B = canvases.text_stop_B(eos_id)
    reach_B = (text_stop_B - canvases.start_B).clamp(min=1)
    prefix_stop_B = canvases.start_B + (uniform(B) * reach_B).long().clamp(max=reach_B - 1)
    after_prefix_BL = index_L >= prefix_stop_B[:, None]
    prefix_BL = after_prefix_BL & (noisy_BL | (uniform(B, 1) < 0.5))
    kind_B = torch.multinomial(numbers_on(device, shares), B, replacement=True, generator=generator)[:, None]
    masked_BL = torch.where(kind_B == 0, noisy_BL, torch.where(kind_B == 1, prefix_BL, True)) & region_BL
    chosen_BL = index_L == prefix_stop_B[:, None]
    return masked_BL | (chosen_BL & ((kind_B == 1) | ~masked_BL.any(1, keepdim=True)) & region_BL)


def numbers_on(device: torch.device, numbers: Sequence[float]) -> Tensor:
    """These numbers as a tensor. Copied from pinned memory, for which the host does not wait until the device is idle."""
    tensor = torch.tensor(numbers)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def decoding_masks(canvases: Canvases, eos_id: int, generator: torch.Generator) -> Tensor:
    """Masked positions [B, L] of canvases as decoders leave them: clean before a front, masked behind a block.

    Inside the block each token is masked with one probability, uniform per row. A third of the rows has no block (left
    to right), a third a block of up to half the canvas (blocks), a third one block that is the whole response (random
    order). The front is uniform over the text, and masked.
    """
    device, (B, L) = canvases.ids_BL.device, canvases.ids_BL.shape
    index_L = torch.arange(L, device=device)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    reach_B = canvases.text_stop_B(eos_id) - canvases.start_B
    front_B = canvases.start_B + (uniform(B) * reach_B).long().clamp(max=reach_B - 1)
    size_B = (uniform(B) * (L // 2)).long()
    kind_B = torch.randint(3, (B,), generator=generator, device=device)
    block_start_B = torch.where(kind_B == 2, canvases.start_B, front_B)
    block_stop_B = torch.where(kind_B == 0, front_B, torch.where(kind_B == 1, front_B + size_B, L))
    hidden_BL = (uniform(B, L) < uniform(B, 1)) | (index_L >= block_stop_B[:, None])
    masked_BL = (hidden_BL & (index_L >= block_start_B[:, None])) | (index_L == front_B[:, None])
    return masked_BL & canvases.region_BL()


def block_masks(
    canvases: Canvases, block_length: int, shares: tuple[float, float, float], generator: torch.Generator
) -> Tensor:
    """Masked positions [B, L] in which every block of the response is a state of its own.

    Each block is one of the patterns of `mask_canvases`, drawn with probabilities `shares`: *noisy*, each token masked with
    one probability, uniform per block; *prefix*, masked behind a clean prefix of uniform length; *full*, all masked. At
    least one response token of each block is masked.
    """
    device, (B, L) = canvases.ids_BL.device, canvases.ids_BL.shape
    blocks = -(-L // block_length)
    index_L = torch.arange(L, device=device)
    block_L = index_L // block_length
    region_BL = canvases.region_BL()

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=device)

    first_BL = torch.maximum(block_L * block_length, canvases.start_B[:, None])
    last_BL = torch.minimum((block_L + 1) * block_length, canvases.stop_B[:, None])
    cut_BL = first_BL + (uniform(B, blocks)[:, block_L] * (last_BL - first_BL).clamp(min=1)).long()
    noisy_BL = uniform(B, L) < uniform(B, blocks)[:, block_L]
    drawn = torch.multinomial(numbers_on(device, shares), B * blocks, replacement=True, generator=generator)
    kind_BL = drawn.view(B, blocks)[:, block_L]
    masked_BL = torch.where(kind_BL == 0, noisy_BL, torch.where(kind_BL == 1, index_L > cut_BL, True))
    return (masked_BL | (index_L == cut_BL)) & region_BL


@dataclass
class PackedSlots:
    """Masked text positions in decoding order, [B, M] with -1 where absent, and the order at every position [B, L]."""

    index_BM: Tensor
    rank_BL: Tensor
    group_start_BM: Tensor


def packed_slots(
    canvases: Canvases, masked_BL: Tensor, eos_id: int, count: int, group_sizes: Tensor, generator: torch.Generator
) -> PackedSlots:
    """Left-to-right slots for the packed objective: the masked positions up to the first end token.

    Masked positions behind it get ranks too (they are context masks ranked later) but no slot. Draft groups are runs of
    ranks whose length is drawn per row from `group_sizes`, with a random offset.
    """
    device, (B, L) = masked_BL.device, masked_BL.shape
    rank_BL = torch.where(masked_BL, masked_BL.long().cumsum(1) - 1, REVEALED)
    index_L = torch.arange(L, device=device)
    slot_BL = masked_BL & (index_L < canvases.text_stop_B(eos_id)[:, None])
    order_BL = torch.where(slot_BL, index_L, L)
    index_BM = order_BL.topk(min(count, L), dim=1, largest=False).values
    index_BM = torch.where(index_BM < L, index_BM, -1)
    size_B1 = group_sizes[torch.randint(len(group_sizes), (B, 1), generator=generator, device=device)]
    offset_B1 = (torch.rand((B, 1), generator=generator, device=device) * size_B1).long()
    rank_M = torch.arange(index_BM.shape[1], device=device)
    group_start_BM = ((rank_M + offset_B1) // size_B1 * size_B1 - offset_B1).clamp(min=0)
    return PackedSlots(index_BM, rank_BL, group_start_BM)
