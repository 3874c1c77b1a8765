"""Runs passes over slots: compose, forward, draw, advance, in one go.

Shapes: B rows of a pass, S slots, J numbers of one load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier
from typing import Any, Protocol

import torch
from torch import Tensor

from fef.engine.advance import CHANGED, Advanced, advance, end_rules
from fef.engine.draws import Vocabulary, draw
from fef.engine.head_drafts import HeadDrafts, draft_noise, draft_sites
from fef.engine.packed_drafts import LogitsAt, move_on
from fef.engine.packed_texts import PackedText
from fef.engine.rounds import compose_context, compose_round
from fef.engine.slots import SlotState
from fef.models.packed_forward import Bounds, TorchForward
from fef.models.packed_pass import RoundShape

__all__ = ["DevicePasses", "PartedPass", "PassKind", "PassPart", "Passes", "Runs", "TorchPasses", "rows_alone"]

_LONG_ROW, _WIDE = 256, 1024


def rows_alone(tokens: int, width: int) -> bool:
    """Does a GPU multiply each row of so many tokens alone, in a network of that width? Such a product is bound by
    arithmetic, and fastest in the vendor's library, which sums in an order that depends on the number of tokens. In a narrow
    network it would be over before the next one is launched."""
    return tokens >= _LONG_ROW and width >= _WIDE


@dataclass(frozen=True)
class PassKind:
    """What is fixed about a pass. context: places of the canvas that a context pass computes; 0: a round. bounds: see
    `Bounds`. cut: may a row have top-p or top-k on? grammars: may one be under a grammar?"""

    shape: RoundShape
    bounds: Bounds
    context: int = 0
    cut: bool = False
    grammars: bool = False

    def alone(self, width: int) -> bool:
        """Does each row have products of its own, in a network of that width? Then its bits depend on `context`."""
        return self.context > 0 and rows_alone(self.context + self.shape.queries, width)


@dataclass(frozen=True)
class PassPart:
    """A part of a pass in which rows are under grammars. host: what the host does for these slots before it, while the device
    may still work on the part before. work: that of the device, if there is any, which waits for nothing."""

    host: Callable[[Sequence[int]], object]
    work: Callable[[], Any] | None


class PartedPass(Protocol):
    """A pass in parts, one behind the other."""

    @property
    def parts(self) -> list[PassPart]: ...

    def forget(self) -> None:
        """Let go of tensors that one part leaves to the next."""
        ...


class Runs(Protocol):
    """Runs passes over the slots of one engine, on one device."""

    def run(self, kind: PassKind, slots: list[int]) -> None:
        """One pass of these slots."""
        ...


class Passes(Protocol):
    """Passes as functions of the state of the slots, which a graph can hold. texts: those under grammars, by slot; in a pass
    they come before the others."""

    state: SlotState
    texts: dict[int, PackedText]

    def read_texts(self) -> None:
        """Read what passes committed of texts under grammars, as far as that has arrived."""
        ...

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        """Put requests into slots."""
        ...

    def collect(self, slots: list[int], ranks: int) -> Tensor:
        """What passes left at the first ranks of these slots: `SlotState.collect`."""
        ...

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        """One pass, without waiting for the device."""
        ...


class DevicePasses(Passes, Protocol):
    """Passes that go on while the host does something else."""

    def parted(self, kind: PassKind, slot_B: Tensor) -> PartedPass:
        """One pass of a kind with grammars."""
        ...


class TorchPasses:
    """In plain torch: the reference of every faster way, and what a CPU runs.

    The rows of a pass are shared out among `threads` threads, each of which computes alone: many small steps one after the
    other are poor work for two threads at a time.
    """

    def __init__(
        self,
        state: SlotState,
        forward: TorchForward,
        vocabulary: Vocabulary,
        mask_id: int,
        threads: int,
        drafts: HeadDrafts | None = None,
    ) -> None:
        self.state, self.forward, self.vocabulary, self.mask_id = state, forward, vocabulary, mask_id
        self.drafts = drafts
        self.texts: dict[int, PackedText] = {}
        self.workers = one_thread_each(threads) if threads > 1 else None
        self.threads = threads

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        device = self.state.ids_SL.device
        self.state.load(torch.tensor(slots, device=device), packed_BJ.to(device))

    def collect(self, slots: list[int], ranks: int) -> Tensor:
        return self.state.collect(torch.tensor(slots), ranks)

    def read_texts(self) -> None:
        """They are read in the pass itself."""

    def run(self, kind: PassKind, slots: list[int]) -> None:
        parts = [torch.tensor(part) for part in shared_out(slots, self.threads)]
        if self.workers is None or len(parts) == 1:
            for part in parts:
                self.pass_(kind, part)
        else:
            list(self.workers.map(lambda part: self.pass_(kind, part), parts))

    @torch.no_grad()
    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        rows = self.state.take(slot_B)
        live = zip(slot_B.tolist(), rows.live_S.tolist(), strict=True)
        texts = {row: self.texts[slot] for row, (slot, lives) in enumerate(live) if lives and slot in self.texts}
        if kind.context:
            tokens = compose_context(rows, kind.shape, kind.context, self.mask_id)
        else:
            tokens = compose_round(rows, kind.shape, self.mask_id)
        hidden_MD = self.forward(rows, tokens, slot_B, kind.bounds)
        valid_BQ, eos_id = tokens.valid_BN[:, -kind.shape.queries :], self.vocabulary.eos_id
        drawn_MD = hidden_MD if not kind.shape.head else hidden_MD[valid_BQ.nonzero()[:, 1] < kind.shape.states]
        logits_MV = self.forward.logits(drawn_MD)
        drawn = draw(logits_MV, rows, tokens, end_rules(rows, tokens, eos_id), self.vocabulary, texts)
        advanced = advance(rows, tokens, drawn, eos_id)
        if kind.shape.off_stem:
            self.forward.keep_path(slot_B, *advanced.moved, kind.bounds)
        logits_at: LogitsAt = partial(logits_of_entries, logits_MV, entries(valid_BQ))
        if kind.shape.head:
            assert self.drafts is not None, "shapes of a network with a head"
            hidden_BQD = hidden_MD.new_zeros(*valid_BQ.shape, hidden_MD.shape[1])
            hidden_BQD[valid_BQ] = hidden_MD
            logits_at = partial(logits_of_hidden, self.forward, hidden_BQD)
            free_B = torch.tensor([row for row in range(len(hidden_BQD)) if row not in texts], dtype=torch.int64)
            if len(free_B):
                self.grow(self.drafts, rows, free_B, hidden_BQD, advanced, kind.cut)
        move_on(texts, rows, logits_at, drawn, advanced, self.vocabulary, head=kind.shape.head)
        self.state.put(slot_B, rows, CHANGED)

    def grow(
        self, drafts: HeadDrafts, rows: SlotState, row_B: Tensor, hidden_BQD: Tensor, advanced: Advanced, cut: bool
    ) -> None:
        """The trees of the next round of these rows, into the copies of the slots."""
        sites = draft_sites(rows, row_B, advanced.count_B[row_B])
        source_BK = advanced.source_BK[row_B, : sites.position_BK.shape[1]]
        hidden_BKD, lead_BD = hidden_BQD[row_B[:, None], source_BK], hidden_BQD[row_B, advanced.last_B[row_B]]
        logits_BKV = self.forward.logits(hidden_BKD)
        window = drafts.window(sites, hidden_BKD, lead_BD, logits_BKV)
        rows.keep_tree(row_B, drafts.tree(sites, window, draft_noise(sites, window.ids_BKC), cut=cut))


def entries(valid_BQ: Tensor) -> Tensor:
    """Where in a list of the valid queries each stands [B, Q]."""
    return (valid_BQ.flatten().cumsum(0) - 1).view_as(valid_BQ)


def logits_of_entries(logits_MV: Tensor, entry_BQ: Tensor, row: int, query_n: Tensor) -> Tensor:
    return logits_MV[entry_BQ[row, query_n]]


def logits_of_hidden(forward: TorchForward, hidden_BQD: Tensor, row: int, query_n: Tensor) -> Tensor:
    return forward.logits(hidden_BQD[row, query_n])


def shared_out(slots: list[int], count: int) -> list[list[int]]:
    """At most `count` parts of about equal size."""
    return [slots[i::count] for i in range(min(count, len(slots)))]


def one_thread_each(count: int) -> ThreadPoolExecutor:
    """Threads whose torch operations use no further thread."""
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, initializer=be_alone)
    together = Barrier(count)  # all start now: none can take two of these
    list(pool.map(lambda _: together.wait(), range(count)))
    torch.set_num_threads(before)  # the setting is also what threads made later begin with
    return pool


def be_alone() -> None:
    """Use no thread but this one in torch's operations."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # a thread takes the setting of the process when it first looks, so it looks now
