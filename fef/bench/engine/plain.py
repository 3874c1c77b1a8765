"""A plain full pass over whole canvases, the unit of decoders of one token per pass, with no overhead but its own work.

In plain torch, and on a GPU in the kernels of the engine too: whichever is faster stands for the pass. The inputs are there
before, no token is drawn and none committed, so decoders get their passes for less than any loop could have them.

Shapes: B rows, L canvas length, S slots that the head reads, N tokens of a row (here L).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from fef.bench.engine.bandwidth import weight_bytes
from fef.bench.engine.rows import PassRow
from fef.engine.draws import Vocabulary
from fef.engine.runner import rows_alone
from fef.engine.slots import PassRequest, SlotState
from fef.measure.timing import Clock, Work, captured, free_memory
from fef.models.device import from_hopper_on
from fef.models.joined import join_weights
from fef.models.packed_pass import RoundShape, SlotTable
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

__all__ = ["kernel_logits", "plain_passes"]


@torch.no_grad()
def plain_passes(
    network: Transformer, batch: int, ids: list[int], heads: Mapping[str, int], clock: Clock, bandwidth: float
) -> list[PassRow]:
    """Plain passes over `batch` canvases `ids`. heads: by kind, at how many of the last places the head runs."""
    device, read = network.device, weight_bytes(network)
    ids_BL = torch.tensor(ids, device=device).expand(batch, -1).contiguous()
    rows = []
    for kind, slots in heads.items():
        at_BS = torch.arange(len(ids) - slots, len(ids), device=device).expand(batch, -1)
        times = {"torch": clock.seconds(captured(partial(network.logits_at, ids_BL, at_BS), device))}
        free_memory(device)
        if device.type == "cuda":
            work = kernel_logits(network, ids, batch, slots, overlap=from_hopper_on(device))
            times["kernels"] = clock.seconds(captured(work, device))
        seconds, how = min((taken, way) for way, taken in times.items())
        rows.append(PassRow(batch, kind, batch, len(ids), seconds, read, read / seconds / bandwidth, how))
    return rows


def kernel_logits(network: Transformer, ids: list[int], rows: int, slots: int, *, overlap: bool) -> Work:
    """A function that computes the logits [B * S, V] of `Transformer.logits_at` at the last places with the kernels."""
    from fef.engine.kernel_passes import KernelPasses  # needs Triton
    from fef.engine.kernels.compose import compose

    device, length = network.device, len(ids)
    table = SlotTable(rows, length, 1, 1, slots)
    state = SlotState.empty(table, device)
    cache = SlotCache.empty(network.config, table, device, network.embed.weight.dtype)
    vocabulary = Vocabulary(None, torch.tensor([network.mask_id], device=device))
    passes = KernelPasses(network, join_weights(network), state, cache, vocabulary, overlap=overlap)
    passes.load(list(range(rows)), PassRequest(ids, [length - 1]).pack(table).repeat(rows, 1))
    slot_B = torch.arange(rows, device=device)
    inputs = compose(state, slot_B, RoundShape(0, 0, 1), network.mask_id, None, length)
    # without the query that a context pass of the engine has besides the canvas
    canvas = replace(
        inputs, **{name: x[:, :length].contiguous() for name, x in vars(inputs).items() if name[-3:] == "_BN"}
    )

    def logits() -> Tensor:
        alone = rows_alone(length, network.config.dim)
        return passes.forward.logits(passes.hidden(canvas, slot_B, slots, alone=alone))

    return torch.no_grad()(logits)
