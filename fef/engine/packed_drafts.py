"""After a pass, in rows under grammars: what was committed is read, and the next drafts are drawn.

One draft behind the other, each under what the grammar allows behind those before it, from the logits that the pass left.

Shapes: B rows of a pass, Q queries of a row, n queries or committed tokens of a row, K depths of drafts, W nodes of a tree, N
entries of one row, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fef.engine.advance import Advanced, Drawn
from fef.engine.draws import Vocabulary
from fef.engine.packed_texts import PackedText
from fef.engine.slots import SlotState
from fef.laws.draws import Purpose, keyed_ranked
from fef.laws.growth import Drafted
from fef.laws.pipeline import EntrySettings, constrained, sampled_law
from fef.laws.tree import chain_tree, chances
from fef.laws.window import least_chance

__all__ = ["LogitsAt", "move_on"]


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
        log_mass = committed.log_mass(settings_of(rows, row), vocabulary.eos_id)
        if not text.read(committed.token_n.tolist(), log_mass):
            rows.bad_S[row], rows.live_S[row] = True, False
        if rows.live_S[row]:
            source_K = advanced.source_BK[row, : int(advanced.count_B[row])]
            table, left = rows.table, int(rows.open_S[row] - rows.done_S[row])
            limit = min(left, table.nodes, table.grown) if head else min(left, table.drafts)
            logits = partial(logits_at, row, source_K)
            drafts, holds = drafted(text, rows, row, logits, len(source_K), vocabulary, limit)
            wait(rows, row, drafts, holds, head=head)


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


def drafted(
    text: PackedText,
    rows: SlotState,
    row: int,
    logits: Callable[[], Tensor],
    count: int,
    vocabulary: Vocabulary,
    limit: int,
) -> tuple[list[int], list[float]]:
    """Drafts for the next slots of a row, and the chance of each to hold. logits: makes those [K, V] of `count` slots. limit:
    drafts at most.

    One behind the other, as long as it is likely enough that a round comes so far. Where a grammar leaves one token only,
    that one is a draft whatever the network says, and needs no logits.
    """
    table, settings = rows.table, settings_of(rows, row)
    logits_KV: Tensor | None = None
    drafts, holds = list[int](), list[float]()
    reached, least = 1.0, least_chance(table.branching)
    text.allowed = []
    while True:
        allowed_V = text.behind(drafts)
        text.allowed.append(allowed_V)
        place = len(drafts)
        ended = bool(drafts) and drafts[-1] in text.text.vocabulary.end_ids
        if place == limit or ended or reached < least:
            return drafts, holds
        only = text.only(allowed_V)
        if only is not None:
            token, hold = only, 1.0
        elif place < count:
            logits_KV = logits() if logits_KV is None else logits_KV
            allowed_1V = torch.from_numpy(allowed_V)[None]
            logits_1V = constrained(logits_KV[place][None], allowed_1V, vocabulary.banned)
            rank = int(rows.done_S[row]) + place
            position_1 = rows.order_SR[row, rank : rank + 1]
            token, hold = draft(logits_1V, settings, rows.seed_S[row : row + 1], position_1, rows.step_S[row : row + 1])
        if only is None and (place >= count or not allowed_V[token]):
            return drafts, holds
        drafts.append(token)
        holds.append(hold)
        reached *= hold


def draft(
    logits_1V: Tensor, settings: EntrySettings, seed_1: Tensor, position_1: Tensor, step_1: Tensor
) -> tuple[int, float]:
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


def wait(rows: SlotState, row: int, drafts: Sequence[int], holds: Sequence[float], *, head: bool) -> None:
    """Keep drafts for the next round: the only candidates of their depths, or a chain as a draft head would grow it."""
    count, token_K, holds_K = len(drafts), torch.tensor(drafts, dtype=torch.int64), torch.tensor(holds).double()
    if not head:
        rows.drafted_S[row] = count
        rows.draft_SKC[row, :count, 0] = token_K
        rows.holds_SKC[row] = 0.0
        rows.holds_SKC[row, :count, 0] = holds_K
        return
    width = rows.table.nodes - count
    token_1W, holds_1W = (
        torch.nn.functional.pad(token_K, (0, width))[None],
        torch.nn.functional.pad(holds_K, (0, width))[None],
    )
    rows.keep_tree(torch.tensor([row]), Drafted(chain_tree(holds_1W, torch.tensor([count])), token_1W))
