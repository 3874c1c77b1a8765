"""Rows under grammars in passes of kernels: what goes to the device, and what comes back.

Such a pass has three parts, each of them a graph, between which the host works:

    look      the drafts of rows under grammars, then compose and forward. Before it the host reads what the pass before
              committed, and drafts; for that it waits
    settle    law and draw at every state under what is allowed there, which the host finds out while `look` runs; advance;
              candidates of the next slots. A letter tells the host what was drawn
    follow    what can wait until the letter is on its way: keys of the path, a draft head's trees, the mass that was left

Shapes: S slots, B rows of a pass, R those under grammars, which come first, X states that have masks, W words of bits, K
slots behind the committed tokens, C candidates of a slot, M queries of all rows, J numbers of a letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.host_copies import HostCopies
from fef.engine.kernels import texts
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.draw import AllowedTokens, draw
from fef.engine.packed_drafts import draft_limit, keep_chains
from fef.engine.packed_texts import Letter, PackedText
from fef.engine.slots import SlotState
from fef.grammar.text import words_of
from fef.laws.window import least_chance

__all__ = ["CANDIDATES", "KernelTexts"]

CANDIDATES = 8  # of a slot: the network's best, of which the best that a grammar allows is a draft


class KernelTexts:
    """The host's side of passes under grammars over the slots of a state, and its tensors on the device, which are made when
    first asked for. texts: by slot."""

    def __init__(
        self, under_way: dict[int, PackedText], state: SlotState, eos_id: int | None, banned_V: Tensor
    ) -> None:
        self.state, self.eos_id, self.banned_V = state, eos_id, banned_V
        self.texts = under_way
        self.device = state.ids_SL.device
        self.letters = HostCopies(self.device)
        table = state.table
        self.states = max(table.drafts, table.grown) + 1
        self.width = max(table.drafts, table.nodes)
        self.spare = table.slots - 1

    @cached_property
    def words_SXW(self) -> Tensor:
        return torch.zeros(self.host_words.shape, dtype=torch.int32, device=self.device)

    @cached_property
    def host_words(self) -> Tensor:
        shape = (self.state.table.slots, self.states, words_of(len(self.banned_V)))
        return torch.zeros(shape, dtype=torch.int32, pin_memory=self.device.type == "cuda")

    @cached_property
    def drafts_SJ(self) -> Tensor:
        """By row: the slot, or the spare one where the row is under no grammar; how many drafts wait; they, and the chances
        of each."""
        return torch.full(self.host_drafts.shape, self.spare, device=self.device)

    @cached_property
    def host_drafts(self) -> Tensor:
        shape = (self.state.table.slots, 2 + 2 * self.width)
        return torch.zeros(shape, dtype=torch.int64, pin_memory=self.device.type == "cuda")

    # --- the host ---

    def draft(self, slots: Sequence[int], *, head: bool, context: bool) -> None:
        """Before a pass looks: what its rows will verify. Waits for what passes before have drawn."""
        self.read(0)
        rows = self.host_drafts[: len(slots)].numpy()
        rows[:] = 0
        rows[:, 0] = self.spare
        table = self.state.table
        for row, text in enumerate(self.texts_of(slots)):
            limit = 0 if context else draft_limit(table, text.left, head=head)
            holds = text.draft(text.ahead, limit, least_chance(table.branching)) if text.ahead is not None else []
            text.ahead, count = None, len(holds)
            rows[row, 0], rows[row, 1] = slots[row], count
            rows[row, 2 : 2 + count] = text.drafts
            rows[row, 2 + self.width : 2 + self.width + count].view(np.float64)[:] = holds
        self.drafts_SJ[: len(slots)].copy_(self.host_drafts[: len(slots)], non_blocking=True)

    def mask(self, slots: Sequence[int]) -> None:
        """Before a pass settles, while it looks: what is allowed at its states."""
        under, words = self.texts_of(slots), self.host_words.numpy()
        for row, text in enumerate(under):
            words_XW = text.masks()
            words[row, : len(words_XW)] = words_XW
        if under:
            self.words_SXW[: len(under)].copy_(self.host_words[: len(under)], non_blocking=True)

    def tell(self, slots: Sequence[int], letter: Letter) -> None:
        """Before a pass follows: have its letter sent. At least one row is, so that whoever reads it knows that the pass has
        come so far."""
        under = self.texts_of(slots)
        note = ([(text, text.passes) for text in under], letter)
        self.letters.send(note, letter.numbers_BJ[: max(1, len(under))])

    def read(self, keep: int) -> None:
        """Read letters, all but the last `keep` of them, and of those what has arrived."""
        for copy in self.letters.collect(keep):
            under, letter = copy.note
            for (text, passes), row in zip(under, copy.tensor.numpy(), strict=False):
                if text.passes == passes:
                    letter.read(text, row)

    def texts_of(self, slots: Sequence[int]) -> list[PackedText]:
        """The texts of the first of these slots, which are all that have one."""
        found = [self.texts[slot] for slot in slots if slot in self.texts]
        assert all(slot in self.texts for slot in slots[: len(found)]), "rows under grammars come first"
        return found

    # --- the device; none of it waits ---

    def keep_drafts(self, rows: int, *, head: bool) -> None:
        """Put what the host has drafted into the state."""
        drafts_BJ, nodes = self.drafts_SJ[:rows], self.state.table.nodes
        if not head:
            texts.keep_chains(self.state, drafts_BJ, self.width)
            return
        token_BK, holds_BK = (drafts_BJ[:, start : start + nodes] for start in (2, 2 + self.width))
        chances_BK = holds_BK.contiguous().view(torch.float64)
        keep_chains(self.state, drafts_BJ[:, 0], drafts_BJ[:, 1], token_BK, chances_BK, head=True)

    def allowed(self, rows: int, states: int) -> AllowedTokens:
        """At the first states of rows."""
        return AllowedTokens(self.words_SXW[:rows, : min(states, self.states)], self.under(rows))

    def under(self, rows: int) -> Tensor:
        """Which of the first rows are under a grammar; bool [B]."""
        return self.drafts_SJ[:rows, 0] != self.spare

    def letter(
        self,
        slot_B: Tensor,
        token_BQ: Tensor,
        states: int,
        next_drafts: NextDrafts,
        logits_BKV: Tensor,
        under_B: Tensor,
    ) -> Letter:
        """token_BQ: drawn, at the states first. logits_BKV: at the queries where the drafts of the next slots stand."""
        B, K, V = logits_BKV.shape
        sites = texts.next_sites(self.state, slot_B, under_B, next_drafts, K)
        best = draw(
            logits_BKV.view(B * K, V),
            seed_N=sites.seed_N,
            position_N=sites.position_N,
            step_N=sites.step_N,
            temperature_N=sites.temperature_N,
            forced_N=sites.none_N,
            forbidden_N=sites.none_N,
            banned_V=self.banned_V,
            eos_id=-1,
            wanted_N=sites.wanted_N,
            branching=min(CANDIDATES, V),
        )
        candidates = (best.draft.view(B, -1), best.holds.view(B, -1))
        letter_BJ = texts.write_letter(self.state, slot_B, token_BQ, states, next_drafts.count_B, *candidates)
        return Letter(letter_BJ, states, K)

    def weigh(
        self, slot_B: Tensor, before_B: Tensor, drawn: Drawn, free: Drawn, logits_MV: Tensor, kept_M: Tensor | None
    ) -> None:
        """Add to the state what the law without a grammar puts on what was allowed. before_B: what was done before the pass.
        drawn, free: with and without a grammar, at the same queries. kept_M: is the token in the law without a grammar, where
        that is cut?"""
        state, B = self.state, len(slot_B)
        at_M = torch.arange(len(logits_MV), device=self.device)
        temperature_M = state.temperature_S[slot_B].repeat_interleave(len(logits_MV) // B)
        behind_M = logits_MV[at_M, drawn.token].double() - logits_MV[at_M, free.token].double()
        warm_M = behind_M / torch.where(temperature_M > 0, temperature_M, 1.0) + free.logp
        cold_M = torch.where(drawn.token == free.token, 0.0, -torch.inf)
        own_M = torch.where(temperature_M > 0, warm_M, cold_M)
        if kept_M is not None:
            own_M = torch.where(kept_M | (temperature_M == 0), own_M, -torch.inf)
        own_BQ, logp_BQ, token_BQ = (x.view(B, -1) for x in (own_M, drawn.logp, drawn.token))
        ended_BQ = token_BQ == (-1 if self.eos_id is None else self.eos_id)
        committed_B = state.done_S[slot_B] - before_B
        counts_BQ = torch.arange(own_BQ.shape[1], device=self.device) < committed_B[:, None]
        counts_BQ &= ended_BQ.cumsum(1) - ended_BQ.long() == 0
        state.log_mass_S.index_add_(0, slot_B, torch.where(counts_BQ, own_BQ - logp_BQ, 0.0).sum(1))
