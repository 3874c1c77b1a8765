"""Times of the engine's own passes and of plain ones, by kind, with every row live and its window full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from fef.bench.engine.bandwidth import key_value_bytes, weight_bytes
from fef.bench.engine.plain import plain_pass_seconds
from fef.engine.engine import Engine
from fef.measure.timing import Clock
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer

__all__ = ["CONTEXT", "FULL", "FULL_ONE", "ROUND", "PassRow", "engine_passes", "plain_passes"]

CONTEXT = "context"
ROUND = "round"
FULL = "full, head at open slots"
FULL_ONE = "full, head at one slot"


@dataclass(frozen=True)
class PassRow:
    """A kind of pass at a batch size."""

    batch: int  # requests at once
    kind: str  # what the pass is for
    window: int | None  # drafts of a round, 0 for one token, None for other kinds
    rows: int  # in the pass
    tokens: int  # of each row
    seconds: float  # median
    bytes_read: int  # what must be read, once each
    share: float  # of the copy bandwidth, that reading them in this time takes
    how: str  # "engine", or for plain passes the faster of "torch" and "kernels"

    @property
    def name(self) -> str:
        if self.kind != ROUND:
            return self.kind
        return "one-token round" if self.window == 0 else f"round, window {self.window}"


def plain_passes(
    network: Transformer, batch: int, ids: list[int], heads: Mapping[str, int], clock: Clock, bandwidth: float
) -> list[PassRow]:
    """Plain passes over `batch` canvases `ids`. heads: by kind, at how many of the last places the head runs."""
    read = weight_bytes(network)
    rows = []
    for kind, slots in heads.items():
        seconds, how = min((s, way) for way, s in plain_pass_seconds(network, ids, batch, slots, clock).items())
        rows.append(PassRow(batch, kind, None, batch, len(ids), seconds, read, read / seconds / bandwidth, how))
    return rows


@torch.no_grad()
def engine_passes(
    engine: Engine,
    batch: int,
    ids: Sequence[int],
    order: Sequence[int],
    shapes: Iterable[RoundShape | None],
    clock: Clock,
    bandwidth: float,
) -> list[PassRow]:
    """A round of `batch` requests for each shape; for None, a context pass of as many of them as the engine computes at once.

    The requests are `ids` with the slots `order` to fill; the engine must be idle. Raises EngineError where memory does not
    suffice.
    """
    network = engine.packed_rounds().network
    found = []
    for shape in shapes:
        kind, window, cached = (CONTEXT, None, 0) if shape is None else (ROUND, shape.window, len(ids))
        with engine.held(batch, ids, order, shape) as held:
            seconds = clock.seconds(held.work, held.restore)
            read = weight_bytes(network) + held.rows * cached * key_value_bytes(network)
            share = read / seconds / bandwidth
            found.append(PassRow(batch, kind, window, held.rows, held.tokens, seconds, read, share, "engine"))
    return found
