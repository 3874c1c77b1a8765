"""Times of the engine's own passes, by kind, with every row live and its window full."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any

import torch

from fef.bench.engine.bandwidth import key_value_bytes, weight_bytes
from fef.bench.engine.rows import CONTEXT, PassRow
from fef.engine.engine import Engine
from fef.measure.timing import Clock, free_memory
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

__all__ = ["engine_passes", "extras_of", "single_rounds"]


@torch.no_grad()
def engine_passes(
    engine: Engine,
    batch: int,
    ids: Sequence[int],
    opened: int,
    shapes: Iterable[RoundShape | None],
    clock: Clock,
    bandwidth: float,
) -> list[PassRow]:
    """A round of `batch` requests for each shape; for None, a context pass of as many of them as the engine computes at once.

    The requests are `ids`, of which the last `opened` are to be filled; the engine must be idle. Raises EngineError where
    memory does not suffice.
    """
    network, order = engine.packed_rounds().network, range(len(ids) - opened, len(ids))
    found = []
    for shape in shapes:
        kind, cached = (CONTEXT, 0) if shape is None else (shape.words, len(ids))
        with engine.held(batch, ids, order, shape) as held:
            seconds = clock.seconds(held.work, held.restore)
            read = weight_bytes(network) + held.rows * cached * key_value_bytes(network)
            found.append(PassRow(batch, kind, held.rows, held.tokens, seconds, read, read / seconds / bandwidth))
    return found


@torch.no_grad()
def single_rounds(
    network: Transformer, cached: int, trees: Sequence[int], anchors: int, clock: Clock, bandwidth: float
) -> Iterator[PassRow]:
    """Rounds of one request behind `cached` tokens, with their drafts: of one token, of chains of 16, and of trees without a
    head and with one of random weights."""
    opened, head = 128, random_head(network)
    ids = [0] * (cached + opened)
    rounds: list[tuple[dict[str, Any], bool]] = [({"windows": (window,)}, False) for window in (0, 16)]
    rounds += [({"tree": (tree,), "windows": (), "anchors": anchors}, on) for on, tree in product((False, True), trees)]
    for options, on in rounds:
        with extras_of(network, Extras(draft_head=head if on else None)):
            engine = Engine(network, max_batch=1, max_length=len(ids), max_new_tokens=opened, **options)
            yield from engine_passes(engine, 1, ids, opened, engine.shapes, clock, bandwidth)
        del engine
        free_memory(network.device)


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
