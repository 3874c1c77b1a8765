"""Bytes that a pass must read, and how many bytes per second the device copies: their quotient is the least time of the pass.

At few tokens a pass takes as long as its weights take to read, so the share of the copy bandwidth that it reaches says how
much there is still to gain.
"""

from __future__ import annotations

from itertools import chain

import torch

from fef.measure.timing import Clock
from fef.models.mlp import Experts
from fef.models.transformer import Transformer

__all__ = ["copy_bandwidth", "key_value_bytes", "weight_bytes"]

_COPIED = {"cuda": 1 << 30, "cpu": 1 << 28}  # bytes, far more than any cache holds


def weight_bytes(network: Transformer, experts: int | None = None) -> int:
    """Bytes of the weights that a pass multiplies by: all blocks, quantized ones with their scales, the last norm and the
    head. The embedding counts only where it is the head: a pass looks up a few of its rows. experts: how many experts of all
    layers the tokens of the pass chose, where they did not choose all."""
    parts = [network.blocks, network.norm, network.embed if network.head is None else network.head]
    tensors = chain.from_iterable((*part.parameters(), *part.buffers()) for part in parts)
    whole = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    stacks = [tensor for part in network.modules() if isinstance(part, Experts) for tensor in part.parameters()]
    if experts is None or not stacks:
        return whole
    every = sum(tensor.numel() * tensor.element_size() for tensor in stacks)
    each = sum(tensor[0].numel() * tensor.element_size() for tensor in stacks[:3])
    return whole - every + experts * each


def key_value_bytes(network: Transformer) -> int:
    """Bytes of the keys and values of one cached token, all layers."""
    config = network.config
    return 2 * config.layers * config.kv_head_count * config.head_size * network.embed.weight.element_size()


def copy_bandwidth(clock: Clock, size: int | None = None) -> float:
    """Bytes per second that a copy of `size` bytes (1 GiB on a GPU, 256 MiB on a CPU) reads and writes."""
    size = size or _COPIED[clock.device.type]
    source = torch.zeros(size, dtype=torch.uint8, device=clock.device)
    target = torch.ones_like(source)  # written once, so that a CPU has its pages
    return 2 * size / clock.seconds(lambda: target.copy_(source))
