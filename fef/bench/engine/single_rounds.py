"""Times of single rounds of the engine at batch 1, of a network of random weights: chains and trees, with their drafts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth
from fef.bench.engine.drafts_page import RoundRow
from fef.bench.engine.passes import engine_passes
from fef.engine.engine import Engine
from fef.measure.timing import Clock, free_memory
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.transformer import Transformer

__all__ = ["extras_of", "round_rows"]


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
            [row] = engine_passes(engine, 1, ids, order, engine.shapes, clock, bandwidth)
        del engine
        free_memory(network.device)
        label = f"{kind}, {'head' if on else 'no head'}"
        one_token = one_token or row.seconds
        yield RoundRow(label, row.tokens, row.seconds, row.bytes_read, row.share, row.seconds / one_token)


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
