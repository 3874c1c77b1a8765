"""Rows under grammars in passes of kernels: what goes to the device, and what comes back.

Such a pass has three parts, each of them a graph, between which the host works:

    look      compose and forward
    settle    law and draw at every state under what is allowed there, which the host finds out while `look` runs; advance. A
              letter tells the host what was drawn, and which drafts wait now
    follow    keys of the path, a draft head's trees

Masks, drafts of the host and letters lie in pinned memory, where kernels read and write them: no copy is asked for between
the graphs.

In rounds of chains the device drafts as it does without grammars, and never waits for the host, which reads the letter of
the pass before and makes masks while the network runs. In other rounds, whose states are no chain of these drafts, the host
drafts a chain before `look`, of the candidates that the letter has, and the device waits for it.

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
from fef.engine.host_copies import HostCopies, copy_numbers, pinned
from fef.engine.kernels import texts
from fef.engine.kernels.advance import NextDrafts
from fef.engine.kernels.draw import AllowedTokens, draw
from fef.engine.packed_drafts import draft_limit, keep_chains
from fef.engine.packed_texts import LETTER_HEAD, Candidates, Letter, PackedText
from fef.engine.slots import SlotState
from fef.grammar.text import Words, words_of
from fef.laws.window import least_chance

__all__ = ["CANDIDATES", "KernelTexts"]

CANDIDATES = 8  # of a slot: the network's best, of which the best that a grammar allows is a draft


class KernelTexts:
    """The host's side of passes under grammars over the slots of a state, and its tensors on the device, which are made when
    first asked for. texts: by slot."""

    def __init__(self, texts: dict[int, PackedText], state: SlotState, eos_id: int | None, banned_V: Tensor) -> None:
        self.state, self.eos_id, self.banned_V = state, eos_id, banned_V
        self.texts = texts
        self.device = state.ids_SL.device
        self.letters = HostCopies(self.device)
        table = state.table
        self.seated: list[int] = []
        self.masked = [0] * table.slots  # by row: states whose masks say anything
        self.states = max(table.drafts, table.grown) + 1
        self.width = max(table.drafts, table.nodes)
        self.spare = table.slots - 1

    @cached_property
    def words_SXW(self) -> Tensor:
        """By row: what is allowed at its states. The host's, where the kernels of a draw read what they need: no more than
        that travels, and nothing waits for a copy."""
        shape = (self.state.table.slots, self.states, words_of(len(self.banned_V)))
        return pinned(shape, torch.int32, self.device).fill_(-1)

    @cached_property
    def found_XW(self) -> Words:
        """Masks of one row on their way: memory that the device reads is slow to read and write."""
        return np.empty(self.words_SXW.shape[1:], dtype=np.int32)

    @cached_property
    def slot_S(self) -> Tensor:
        """By row: the slot, or the spare one where the row is under no grammar."""
        return torch.full((self.state.table.slots,), self.spare, device=self.device)

    @cached_property
    def drafts_SJ(self) -> Tensor:
        """By row: how many drafts of the host wait; they, and the chances of each. The host's, as masks are."""
        return pinned((self.state.table.slots, 1 + 2 * self.width), torch.int64, self.device)

    # --- the host ---

    def seat(self, slots: Sequence[int]) -> None:
        """Before a pass looks: which of its rows are under grammars."""
        rows = [slot if slot in self.texts else self.spare for slot in slots]
        if rows != self.seated:
            copy_numbers(rows, self.slot_S[: len(rows)])
            self.seated = rows

    def draft(self, slots: Sequence[int], *, head: bool, context: bool) -> None:
        """Before a pass looks: what the host drafts for it. Waits for what passes before have drawn."""
        self.seat(slots)
        self.read(0)
        rows = self.drafts_SJ[: len(slots)].numpy()
        rows[:] = 0
        table = self.state.table
        for row, text in enumerate(self.texts_of(slots)):
            limit = 0 if context else draft_limit(table, text.left, head=head)
            ahead = text.ahead or Candidates.of_drafts(text.drafts)
            holds = text.draft(ahead, limit, least_chance(table.branching))
            text.ahead, count = None, len(holds)
            rows[row, 0] = count
            rows[row, 1 : 1 + count] = text.drafts
            rows[row, 1 + self.width : 1 + self.width + count].view(np.float64)[:] = holds

    def mask(self, slots: Sequence[int]) -> None:
        """Before a pass settles, while it looks: what is allowed at its states. Waits for what passes before have drawn."""
        self.read(0)
        for row, text in enumerate(self.texts_of(slots)):
            count, words_XW = text.write_masks(self.found_XW), self.words_SXW[row].numpy()
            words_XW[:count] = self.found_XW[:count]
            words_XW[count : self.masked[row]] = -1  # behind a draft that does not hold, some token has to be drawn
            self.masked[row] = count

    def tell(self, slots: Sequence[int], letter: Letter) -> None:
        """Before a pass follows: expect its letter."""
        note = ([(text, text.passes) for text in self.texts_of(slots)], letter)
        self.letters.expect(note, letter.numbers_BJ)

    def read(self, keep: int) -> None:
        """Read letters, all but the last `keep` of them, and of those what has arrived."""
        for copy in self.letters.collect(keep):
            under, letter = copy.note
            rows = copy.tensor[: len(under)].numpy().copy()  # the next pass of its kind writes there
            for (text, passes), row in zip(under, rows, strict=True):
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
        slot_B, drafts_BJ, nodes = self.slot_S[:rows], self.drafts_SJ[:rows], self.state.table.nodes
        if not head:
            texts.keep_chains(self.state, slot_B, drafts_BJ, self.width)
            return
        drafts_BJ = drafts_BJ.to(self.device, non_blocking=True)
        token_BK, holds_BK = (drafts_BJ[:, start : start + nodes] for start in (1, 1 + self.width))
        chances_BK = holds_BK.contiguous().view(torch.float64)
        keep_chains(self.state, slot_B, drafts_BJ[:, 0], token_BK, chances_BK, head=True)

    def allowed(self, rows: int, states: int) -> AllowedTokens:
        """At the first states of rows."""
        return AllowedTokens(self.words_SXW[:rows], self.under(rows), min(states, self.states))

    def under(self, rows: int) -> Tensor:
        """Which of the first rows are under a grammar; bool [B]."""
        return self.slot_S[:rows] != self.spare

    def candidates(
        self, slot_B: Tensor, next_drafts: NextDrafts, logits_BKV: Tensor, under_B: Tensor
    ) -> texts.SlotCandidates:
        """Of the next slots. logits_BKV: at the queries where their drafts stand."""
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
        return texts.SlotCandidates(best.draft.view(B, -1), best.holds.view(B, -1), next_drafts.count_B)

    def write(
        self, letter: Letter, slot_B: Tensor, before_B: Tensor, drawn: Drawn, candidates: texts.SlotCandidates | None
    ) -> None:
        """Of a pass that has advanced. before_B: what was done before it."""
        texts.settle_row(self.state, slot_B, before_B, drawn, self.eos_id, candidates, letter.numbers_BJ)

    def letter(self, rows: int, queries: int, slots: int) -> Letter:
        """For passes of one kind, in memory of the host: each is read before the next one settles. queries: of a row, at
        which is drawn. slots: those that have candidates."""
        drafts = self.state.table.drafts
        states = min(queries, drafts + 1)
        numbers = LETTER_HEAD + states + drafts + 2 * slots * min(CANDIDATES, len(self.banned_V))
        return Letter(pinned((rows, numbers), torch.int64, self.device), states, drafts, slots)
