"""Times of single rounds of the engine at batch 1, of a network of random weights: chains and trees, with their drafts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, weight_bytes
from fef.engine.engine import Engine
from fef.measure.timing import Clock, free_memory
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.transformer import Transformer

__all__ = ["RoundRow", "extras_of", "round_rows"]


@dataclass(frozen=True)
class RoundRow:
    """A round at batch 1, its drafts included. read: bytes of weights and keys, once each. times: that of one token."""

    kind: str
    tokens: int
    seconds: float
    read: int
    share: float  # of copy bandwidth
    times: float


@torch.no_grad()
def round_rows(network: Transformer, cached: int, trees: Sequence[int], anchors: int) -> Iterator[RoundRow]:
    """Rounds of one token, of chains of 16, and of trees, behind `cached` tokens; trees with a head of random weights and
    without."""
    clock = Clock(network.device)
    bandwidth = copy_bandwidth(clock)
    ids = [0] * (cached + 128)
    order = list(range(cached, len(ids)))
    head = random_head(network)
    rounds: list[tuple[str, dict[str, Any], bool]] = [("one token", {"windows": (0,)}, False)]
    rounds.append(("chain of 16", {"windows": (16,)}, False))
    for on, tree in product((False, True), trees):
        options = {"tree": (tree,), "windows": (), "anchors": anchors}
        rounds.append((f"tree of {tree}, {anchors + 1} groups", options, on))
    one_token: float | None = None
    for kind, options, on in rounds:
        with extras_of(network, Extras(draft_head=head if on else None)):
            engine = Engine(network, max_batch=1, max_length=len(ids), max_new_tokens=128, **options)
            [shape] = engine.shapes
            with engine.held(1, ids, order, shape) as held:
                seconds = clock.seconds(held.work, held.restore)
        read = weight_bytes(network) + len(ids) * key_value_bytes(network)
        del engine, held
        free_memory(network.device)
        label = f"{kind}, {'head' if on else 'no head'}"
        one_token = one_token or seconds
        yield RoundRow(label, shape.tokens, seconds, read, read / seconds / bandwidth, seconds / one_token)


@contextmanager
def extras_of(network: Transformer, extras: Extras) -> Iterator[None]:
    before, network.extras = network.extras, extras
    try:
        yield
    finally:
        network.extras = before


def random_head(network: Transformer) -> DraftHead:
    """A head that corrects at random: as much work as a trained one."""
    head = DraftHead(HeadSizes.of(network.config)).to(network.device)
    head.reset(0)
    torch.nn.init.constant_(head.out_norm.weight, 0.1)
    return head.to(network.embed.weight.dtype).requires_grad_(False)
