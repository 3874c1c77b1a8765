"""Rows under grammars: what each may go on with, and how much of the law without a grammar that leaves.

A grammar is a constraint that makes a law: at each step the chain's law renormalised over the tokens that the grammar allows
behind those before it. That is a chain law again, so whatever samples chains exactly samples it.

Shapes: B rows, L canvas length, S slots, W drafts, N committed tokens of all rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.errors import GrammarError, InputError, OptionError
from fef.grammar.compiled import TokenGrammar
from fef.grammar.text import CORNERED, GrammarText
from fef.laws.pipeline import Sampling, log_law
from fef.readers import shown

__all__ = ["GrammarRows", "grammar_rows", "read_grammars", "text_on"]


@dataclass
class GrammarRows:
    """texts: by row, None where there is no grammar. log_mass_B: log of the mass (nats) that the law without the grammar puts
    on what the grammar allowed, summed over the committed tokens: log p(text) - log q(text)."""

    texts: list[GrammarText | None]
    log_mass_B: Tensor

    def select(self, rows: Tensor) -> GrammarRows:
        return GrammarRows([self.texts[row] for row in rows.tolist()], self.log_mass_B[rows])

    def put(self, rows: Tensor, part: GrammarRows) -> None:
        self.log_mass_B[rows] = part.log_mass_B

    def join(self, other: GrammarRows) -> GrammarRows:
        return GrammarRows([*self.texts, *other.texts], torch.cat([self.log_mass_B, other.log_mass_B]))

    def allowed(
        self, canvas: Canvas, slots_BS: Tensor, draft_BW: Tensor | None, width_B: Tensor | None, size: int
    ) -> Tensor:
        """What is allowed at each slot, given what is committed and the drafts before it; bool [B, S, V]. width_B: how many
        drafts are real, by default all; behind them everything is allowed."""
        before = slots_BS.shape[1] - 1
        drafts = [[] for _ in slots_BS] if draft_BW is None else draft_BW[:, :before].tolist()
        assert before <= len(drafts[0]), "a slot has all drafts before it"
        if width_B is not None:
            drafts = [row[:width] for row, width in zip(drafts, width_B.tolist(), strict=True)]
        absent_BS = (slots_BS < 0).cpu().numpy()
        found = np.ones((*slots_BS.shape, size), dtype=np.bool_)
        for row, text in enumerate(self.followed(canvas)):
            if text is not None and not absent_BS[row].all():
                found[row, : len(drafts[row]) + 1] = text.allowed(drafts[row])
        found[absent_BS] = True
        return torch.from_numpy(found).to(slots_BS.device)

    def allowed_behind(self, slot_B: Tensor, draft_BW: Tensor, size: int) -> Tensor:
        """What is allowed at one slot of each row, behind all of these drafts and what was last `followed`; bool [B, V]."""
        found = np.ones((len(draft_BW), size), dtype=np.bool_)
        for row, (text, slot, drafts) in enumerate(zip(self.texts, slot_B.tolist(), draft_BW.tolist(), strict=True)):
            if text is not None and slot >= 0:
                found[row] = text.allowed_behind(drafts)
        return torch.from_numpy(found).to(draft_BW.device)

    def followed(self, canvas: Canvas) -> list[GrammarText | None]:
        """The texts, brought to what is committed, which is the first part of the open slots."""
        settled_BL = (canvas.open_BL & ~canvas.pending_BL).cpu()
        ids_BL = canvas.ids_BL.cpu()
        for row, text in enumerate(self.texts):
            if text is not None:
                text.follow(ids_BL[row, settled_BL[row]].tolist())
        return self.texts

    def weigh(
        self,
        canvas: Canvas,
        sampling: Sampling,
        logits_BSV: Tensor,
        tokens_BS: Tensor,
        logp_BS: Tensor,
        take_BS: Tensor,
    ) -> None:
        """Count the mass of tokens that have been committed. logits_BSV: without the grammar, bans applied. Raises
        GrammarError where a grammar left nothing that the network could draw."""
        for text in self.followed(canvas):
            if text is not None and not text.legal:
                raise GrammarError(CORNERED)
        free_BS = take_BS
        if sampling.eos_id is not None:  # what an end token decides, it decides without a grammar, too
            ended_BS = (take_BS & (tokens_BS == sampling.eos_id)).long().cumsum(1)
            free_BS = take_BS & (ended_BS - (tokens_BS == sampling.eos_id).long() <= 0)
        row_N, slot_N = free_BS.nonzero(as_tuple=True)
        logp_N1V = log_law(logits_BSV[row_N, slot_N][:, None], sampling.select(row_N))
        token_N = tokens_BS[row_N, slot_N]
        own_N = logp_N1V[:, 0].gather(1, token_N[:, None])[:, 0]
        self.log_mass_B.index_add_(0, row_N, own_N - logp_BS[row_N, slot_N])


def grammar_rows(
    grammars: Sequence[TokenGrammar | None],
    network: Network,
    ids_BL: Tensor,
    open_BL: Tensor,
    lengths_B: Tensor | None,
    eos_id: int | None,
    banned: Sequence[int],
) -> GrammarRows | None:
    """The texts of canvases, each before the tokens that stand behind its open slots; None where no row has a grammar.

    Raises InputError and OptionError for grammars that do not fit the network or the canvas.
    """
    if not any(grammar is not None for grammar in grammars):
        return None
    lengths = [ids_BL.shape[1]] * len(ids_BL) if lengths_B is None else lengths_B.tolist()
    texts: list[GrammarText | None] = []
    for row, grammar in enumerate(grammars):
        places = open_BL[row].nonzero()[:, 0].tolist()
        ids = ids_BL[row, : lengths[row]].tolist()
        if grammar is None or not places:
            texts.append(None)
        else:
            texts.append(text_on(grammar, network, ids, places, eos_id, banned))
    return GrammarRows(texts, torch.zeros(len(texts), dtype=torch.float64, device=ids_BL.device))


def text_on(
    grammar: TokenGrammar,
    network: Network,
    ids: Sequence[int],
    places: Sequence[int],
    eos_id: int | None,
    banned: Sequence[int],
) -> GrammarText:
    """The text that is to be drawn at these places of a canvas, in order, before the tokens behind them. Raises as
    `grammar_rows`."""
    check_fits(grammar, network, eos_id)
    if places[-1] - places[0] >= len(places):
        raise InputError("Under a grammar the open positions must stand side by side; these have others between them.")
    return grammar.without([*banned, network.mask_id]).text(len(places), ids[places[-1] + 1 :])


def check_fits(grammar: TokenGrammar, network: Network, eos_id: int | None) -> None:
    size = grammar.vocabulary.size
    if network.vocab_size is not None and size != network.vocab_size:
        raise InputError(f"The grammar was compiled for {size} ids; {network.name} has {network.vocab_size}.")
    if eos_id != grammar.vocabulary.eos_id:
        raise OptionError(
            f"The grammar ends texts with id {grammar.vocabulary.eos_id}, and eos_id is {eos_id}; both must be the same."
        )


def read_grammars(value: Any, rows: int) -> list[TokenGrammar | None]:
    """A grammar per row. Raises OptionError for anything else than a compiled one, a list of them, or None."""
    found = list(value) if isinstance(value, list | tuple) else [value] * rows
    if len(found) != rows:
        raise OptionError(f"grammar has {len(found)} values for {rows} rows; give one value, or one per row.")
    for each in found:
        if each is not None and not isinstance(each, TokenGrammar):
            raise OptionError(
                f"grammar={shown(each)} is not allowed: give what fef.compile_grammar or Model.grammar returns."
            )
    return found
