"""After a pass on the host, in rows under grammars: what was committed is read, and the next drafts are drawn.

Shapes: B rows of a pass, Q queries of a row, n queries or committed tokens of a row, R rows under grammars, K depths of
drafts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.engine.advance import Advanced, Drawn
from fef.engine.draws import Vocabulary
from fef.engine.packed_texts import Draft, PackedText
from fef.engine.slots import SlotState
from fef.grammar.text import Words, unpacked
from fef.laws.draws import Purpose, keyed_ranked
from fef.laws.growth import Drafted
from fef.laws.pipeline import EntrySettings, constrained, sampled_law
from fef.laws.tree import chain_tree, chances
from fef.laws.window import least_chance
from fef.models.packed_pass import SlotTable

__all__ = ["LogitsAt", "draft_limit", "keep_chains", "move_on"]


LogitsAt = Callable[[int, Tensor], Tensor]
"""Logits [n, V] at queries [n] of a row of the pass, before grammars."""


def move_on(
    texts: Mapping[int, PackedText],
    rows: SlotState,
    logits_at: LogitsAt,
    drawn: Drawn,
    advanced: Advanced,
    vocabulary: Vocabulary,
    *,
    head: bool,
) -> None:
    """After a pass: read what it committed, and draft the next slots, in the rows that are under grammars. rows: moved on by
    the pass. head: drafts wait where those of a draft head do. A row whose text cannot go on ends as one of bad logits."""
    for row, text in texts.items():
        count = int(advanced.accepted.commit_B[row])
        path_n = advanced.accepted.path_BT[row, :count]
        committed = Committed(
            logits_at(row, path_n).index_fill(-1, vocabulary.banned, -torch.inf),
            advanced.accepted.tokens_BT[row, :count],
            drawn.logp[row, path_n],
        )
        rows.log_mass_S[row] += committed.log_mass(settings_of(rows, row), vocabulary.eos_id)
        if not text.read(committed.token_n.tolist()):
            rows.bad_S[row], rows.live_S[row] = True, False
        if rows.live_S[row]:
            source_K = advanced.source_BK[row, : int(advanced.count_B[row])]
            slots = SlotLogits(rows, row, len(source_K), partial(logits_at, row, source_K), vocabulary.banned)
            limit = draft_limit(rows.table, text.left, head=head)
            holds = text.draft(slots, limit, least_chance(rows.table.branching))
            keep_chains(rows, torch.tensor([row]), *padded_drafts([text.drafts], [holds], rows.table, head), head=head)


@dataclass(frozen=True)
class Committed:
    """Tokens of a row with their log p (nats), and the logits that they were drawn from, before the grammar."""

    logits_nV: Tensor
    token_n: Tensor
    logp_n: Tensor

    def log_mass(self, settings: EntrySettings, eos_id: int | None) -> float:
        """Log of the mass (nats) that the law without a grammar puts on what was allowed, up to the first end token."""
        ended_n = self.token_n.eq(-1 if eos_id is None else eos_id)
        counted_n = ended_n.cumsum(0) - ended_n.long() == 0
        token_n = self.token_n[counted_n]
        own_n = law_of(self.logits_nV[counted_n], settings).gather(1, token_n[:, None])[:, 0]
        return float((own_n - self.logp_n[counted_n]).sum())


def settings_of(rows: SlotState, row: int) -> EntrySettings:
    return EntrySettings(rows.temperature_S[row : row + 1], rows.top_p_S[row : row + 1], rows.top_k_S[row : row + 1])


def law_of(logits_NV: Tensor, settings: EntrySettings) -> Tensor:
    """Log p (nats) of entries of one row, whose logits have no bans left."""
    if not settings.temperature_N > 0:
        return torch.full_like(logits_NV, -torch.inf, dtype=torch.float64).scatter(
            1, logits_NV.argmax(-1, keepdim=True), 0.0
        )
    return sampled_law(logits_NV, settings.at(torch.zeros(len(logits_NV), dtype=torch.int64)))


@dataclass(frozen=True)
class SlotLogits:
    """The next slots of a row by their logits: a `NextSlots` that knows whole laws, each when it is asked for. count: slots
    that have logits. logits: makes those [K, V]."""

    rows: SlotState
    row: int
    count: int
    logits: Callable[[], Tensor]
    banned: Tensor

    @cached_property
    def logits_KV(self) -> Tensor:
        return self.logits()

    def likely(self, place: int) -> Sequence[Draft]:
        """None: a law costs more than what is allowed."""
        return []

    def best(self, place: int, words_W: Words) -> Draft | None:
        if place >= self.count:
            return None
        rows, row = self.rows, self.row
        logits_1V = self.logits_KV[place][None]
        allowed_1V = torch.from_numpy(unpacked(words_W, logits_1V.shape[1]))[None]
        logits_1V = constrained(logits_1V, allowed_1V, self.banned)
        rank = int(rows.done_S[row]) + place
        position_1 = rows.order_SR[row, rank : rank + 1]
        key = (rows.seed_S[row : row + 1], position_1, rows.step_S[row : row + 1])
        return best_of(logits_1V, settings_of(rows, row), *key)


def best_of(logits_1V: Tensor, settings: EntrySettings, seed_1: Tensor, position_1: Tensor, step_1: Tensor) -> Draft:
    """What a target with these logits would draw, and the chance that it does."""
    top_1 = (logits_1V.amax(-1).double() - logits_1V.double().logsumexp(-1)).exp()
    sampled_1 = settings.temperature_N > 0
    if not sampled_1:
        token = int(logits_1V.argmax())
    else:
        law_1V = sampled_law(logits_1V, settings)
        _, token_11 = keyed_ranked(law_1V, seed_1, position_1, step_1, torch.zeros_like(step_1), Purpose.TOKEN, 1)
        token = int(token_11)
    return token, float(chances(torch.zeros(1, 1), top_1, sampled_1))


def draft_limit(table: SlotTable, left: int, *, head: bool) -> int:
    """How many drafts may wait where so many slots are left. head: as in `move_on`."""
    return min(left, table.nodes, table.grown) if head else min(left, table.drafts)


def padded_drafts(
    drafts: Sequence[Sequence[int]], holds: Sequence[Sequence[float]], table: SlotTable, head: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """How many drafts each row has [R], and they with their chances [R, K], as `keep_chains` takes them."""
    width = table.nodes if head else table.drafts
    count_R = torch.tensor([len(row) for row in drafts])
    token_RK = torch.tensor([[*row, *[0] * (width - len(row))] for row in drafts])
    holds_RK = torch.tensor([[*row, *[0.0] * (width - len(row))] for row in holds], dtype=torch.float64)
    return count_R, token_RK, holds_RK


def keep_chains(
    state: SlotState, slot_R: Tensor, count_R: Tensor, token_RK: Tensor, holds_RK: Tensor, *, head: bool
) -> None:
    """Keep drafts for the next round of these slots: the only candidates of their depths, or chains as a draft head would
    grow them. Waits for nothing. holds_RK: 0 where there is no draft."""
    if head:
        state.keep_tree(slot_R, Drafted(chain_tree(holds_RK, count_R), token_RK))
        return
    state.drafted_S.index_copy_(0, slot_R, count_R)
    state.draft_SKC[:, :, 0].index_copy_(0, slot_R, token_RK)
    state.holds_SKC.index_copy_(0, slot_R, pad(holds_RK[..., None], (0, state.table.branching - 1)))
