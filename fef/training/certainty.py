"""Certainty forcing (dParallel, arXiv 2509.26488): a network learns to be sure of its own answers in many slots of a pass.

Shapes: B rows, L canvas length, K counted positions of all rows, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fef.models.transformer import Transformer
from fef.training.data import Examples, batch
from fef.training.patterns import Canvases
from fef.training.processes import ALONE, Processes
from fef.training.step_generator import step_generator
from fef.training.trainer import Objective, TrainOptions, rows_of

__all__ = ["BLOCK_LENGTH", "certainty_loss", "certainty_objective", "complementary_masks"]

BLOCK_LENGTH = 32  # of decoding, from left to right
WEIGHT, SHARPNESS = 2.0, 0.5  # of the entropy term, and the temperature of the laws in it


def certainty_objective(examples: Examples, options: TrainOptions, processes: Processes = ALONE) -> Objective:
    """The loss of a step on answers that the network gave itself. Pieces are every n-th row, one for each process."""

    def objective(model: Transformer, number: int) -> tuple[Tensor, dict[str, Any]]:
        step, piece = divmod(number, options.pieces)
        generator = step_generator(model.device, options.seed, step)
        size, length, full = options.batch_size, options.canvas_length, options.full_share
        canvases = batch(examples, model.config, size, length, full, 0.0, generator)
        masked_2BL, counted_2BL = complementary_masks(canvases, BLOCK_LENGTH, generator)
        rows = slice(piece, None, options.pieces)
        return certainty_loss(model, rows_of(canvases, rows), masked_2BL[:, rows], counted_2BL[:, rows], processes)

    return objective


def complementary_masks(canvases: Canvases, block_length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(masked, counted) bool [2, B, L]: a block drawn for each row has about half of its tokens masked in the first canvas
    and the others in the second; earlier blocks are clean, later ones masked. Only the block counts."""
    device, (B, L) = canvases.ids_BL.device, canvases.ids_BL.shape
    region_BL = canvases.region_BL()
    place_BL = torch.arange(L, device=device) - canvases.start_B[:, None]
    block_BL = torch.where(region_BL, place_BL // block_length, -1)
    blocks_B = -(-(canvases.stop_B - canvases.start_B) // block_length)
    active_B1 = (torch.rand(B, generator=generator, device=device) * blocks_B).long()[:, None]
    half_BL = torch.rand(B, L, generator=generator, device=device) < 0.5
    counted_2BL = (block_BL == active_B1) & torch.stack([half_BL, ~half_BL])
    return counted_2BL | (block_BL > active_B1), counted_2BL


def certainty_loss(
    model: Transformer,
    canvases: Canvases,
    masked_2BL: Tensor,
    counted_2BL: Tensor,
    processes: Processes = ALONE,
) -> tuple[Tensor, dict[str, Any]]:
    """Mean cross-entropy at the counted positions, and `WEIGHT` times the mean entropy of the law at temperature `SHARPNESS`
    where its best token is right; nats per token. Elsewhere being sure would only fix a mistake.

    processes: those that have the other rows. The mean of what each of them gets is that over the positions of all, of which
    one has more than another.
    """
    ids_NL = canvases.ids_BL.repeat(2, 1)
    masked_NL, counted_NL = masked_2BL.flatten(0, 1), counted_2BL.flatten(0, 1)
    # forward pass of the whole canvas, head at the counted positions alone
    index_NL = torch.arange(ids_NL.shape[1], device=ids_NL.device).expand_as(ids_NL)
    hidden_NLD = model.hidden_at(ids_NL.masked_fill(masked_NL, model.mask_id), index_NL, canvases.lengths_B.repeat(2))
    logits_KV = model.logits(hidden_NLD[counted_NL]).float()
    label_K = ids_NL[counted_NL]
    right_K = (logits_KV.argmax(-1) == label_K).float()
    counted, right = processes.summed(torch.stack([torch.ones_like(right_K).sum(), right_K.sum()]))
    nll = cross_entropy(logits_KV, label_K, reduction="sum") / counted * processes.size
    logp_KV = (logits_KV / SHARPNESS).log_softmax(-1)
    entropy_K = -(logp_KV.exp() * logp_KV).sum(-1)
    entropy = (entropy_K * right_K).sum() / right.clamp(min=1) * processes.size
    loss = nll + WEIGHT * entropy
    named = {"nll": nll, "entropy": entropy, "right": right / counted}
    return loss, {"loss": loss.detach()} | {name: value.detach() for name, value in named.items()}
