"""Scorers that keep keys and values between passes: out of date for a bidirectional network, exact for a block-causal one.

Shapes: as in `rows`; Q = R - 1 pairs of neighbouring sequences.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.decoding.plan import CacheRule, Guidance
from fef.decoding.requests import Requests
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Prediction, PredictionRequest, row_lengths
from fef.models.prefixes import Block, PrefixStore, blocks_before
from fef.models.stale import KeptKeys
from fef.models.transformer import Transformer

__all__ = ["BlockCausalScorer", "StaleScorer"]


class StaleScorer(RowsScorer):
    """Plain looks that compute a part of the canvas against keys of earlier passes (Fast-dLLM "prefix" and "dual",
    dKV-Cache "delayed"). `opening` full passes of a row open each block; one answers every look at suspects and comes
    every `refresh` looks."""

    def __init__(self, network: Network, count: int, device: torch.device, rule: CacheRule) -> None:
        super().__init__(network, count, device, Guidance())
        self.model, self.rule = network.transformer("cache"), rule
        self.cache: KeptKeys | None = None
        self.looks_B = torch.zeros(count, dtype=torch.int64, device=device)
        self.kept_B = torch.zeros(count, dtype=torch.bool, device=device)  # rows whose keys may be used
        self.within_BL: Tensor | None = None

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        self.looks_B[rows], self.kept_B[rows] = 0, False
        self.within_BL = within_BL
        return super().pass_began(requests, rows, slots_RS, within_BL, time_B)

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        assert look.masked and not look.together and not look.hidden, "no preset asks for this with a cache"
        slots_BS, suspects_BC = look.slots_BS, look.suspects_BC
        if suspects_BC is not None and not self.network.casts_shadows:
            return self.check_apart(requests, look)
        busy_B = (slots_BS >= 0).any(1)
        renews_B = ~self.kept_B | (self.looks_B < self.rule.opening)
        if self.rule.refresh is not None:
            renews_B = renews_B | (self.looks_B % self.rule.refresh == 0)
        if suspects_BC is None:
            suspects_BC = slots_BS[:, :0]
        else:
            assert look.checks_B is not None, "who looks at suspects"
            renews_B, busy_B = renews_B | look.checks_B, busy_B | look.checks_B
        self.looks_B += busy_B.long()
        parts = [
            (rows, pass_(requests, rows, slots_BS[rows], suspects_BC[rows]))
            for pass_, rows in zip((self.full_look, self.small_look), rows_where(busy_B, renews_B), strict=True)
            if len(rows)
        ]
        return together(parts, len(slots_BS))

    def check_apart(self, requests: Requests, look: PredictionRequest) -> Prediction:
        """Where no mask can stand in the shadow of a suspect, rows that check run once per suspect; the others look as
        ever."""
        assert look.suspects_BC is not None and look.checks_B is not None, "who looks at suspects"
        checks_B1, slots_BS = look.checks_B[:, None], look.slots_BS
        self.kept_B &= ~look.checks_B
        seen = self.look_without(requests, slots_BS.masked_fill(~checks_B1, -1), look.suspects_BC)
        others_BS = slots_BS.masked_fill(checks_B1, -1)
        if not bool((others_BS >= 0).any()):
            return seen
        other_BSV = self.look(requests, PredictionRequest(others_BS)).logits_BSV
        return Prediction(torch.where(checks_B1[..., None], seen.logits_BSV, other_BSV), seen.suspect_BCV)

    def full_look(self, requests: Requests, rows: Tensor, slots_RS: Tensor, suspects_RC: Tensor) -> Prediction:
        """A plain pass of these rows, whose keys are kept."""
        canvas = requests.canvas
        asked_R = (slots_RS >= 0).any(1) | (suspects_RC >= 0).any(1)
        self.bill(requests, rows, asked_R, row_lengths(canvas)[rows] + (suspects_RC >= 0).sum(1))
        lengths_R = None if canvas.lengths_B is None else canvas.lengths_B[rows]
        if self.cache is None:
            self.cache = self.network.kept_keys(canvas.ids_BL)
            self.pending_BL = canvas.pending_BL.clone()
        seen = self.cache.renew(rows, canvas.ids_BL[rows], slots_RS.clamp(min=0), suspects_RC, lengths_R)
        self.kept_B[rows] = True
        self.pending_BL[rows] = canvas.pending_BL[rows]
        return Prediction(*seen)

    def small_look(self, requests: Requests, rows: Tensor, slots_RS: Tensor, suspects_RC: Tensor) -> Prediction:
        """A pass over the positions that the rule computes anew."""
        assert self.cache is not None, "a full pass comes first"
        canvas = requests.canvas
        fresh_BL = self.fresh(canvas)
        fresh_RL = fresh_BL[rows]
        self.bill(requests, rows, (slots_RS >= 0).any(1), fresh_RL.sum(1))
        logits_RSV = self.cache.step(canvas.ids_BL[rows], fresh_RL, slots_RS.clamp(min=0), rows, canvas.lengths_B)
        owner_B = torch.zeros_like(self.looks_B).index_copy(0, rows, torch.arange(len(rows), device=rows.device))
        stored_BL = torch.zeros_like(fresh_BL).index_copy(0, rows, fresh_RL)
        self.cache.store(stored_BL, owner_B)
        self.pending_BL[rows] = canvas.pending_BL[rows]
        return Prediction(logits_RSV)

    def bill(self, requests: Requests, rows: Tensor, busy_R: Tensor, tokens_R: Tensor) -> None:
        zero_B = torch.zeros_like(self.looks_B)
        requests.meter.pass_(zero_B.index_copy(0, rows, busy_R.long()), zero_B.index_copy(0, rows, tokens_R))

    def fresh(self, canvas: Canvas) -> Tensor:
        """Positions that a small pass computes anew."""
        assert self.within_BL is not None, "a pass begins before it is asked anything"
        if self.rule.kind == "prefix":
            fresh_BL = self.within_BL.long().cummax(1).values.bool()
            if canvas.lengths_B is not None:
                index_L = torch.arange(fresh_BL.shape[1], device=fresh_BL.device)
                fresh_BL = fresh_BL & (index_L < canvas.lengths_B[:, None])
        elif self.rule.kind == "dual":
            fresh_BL = self.within_BL
        else:  # delayed: masks, and what was one at the last pass
            fresh_BL = canvas.pending_BL | self.pending_BL
        return fresh_BL | with_readers(self.model, fresh_BL & canvas.pending_BL)

    def grow(self, count: int) -> None:
        super().grow(count)
        pad = torch.nn.functional.pad
        self.looks_B, self.kept_B = pad(self.looks_B, (0, count)), pad(self.kept_B, (0, count))
        if self.within_BL is not None:
            self.within_BL = pad(self.within_BL, (0, 0, 0, count))
        if self.cache is not None:
            self.cache.grow(count)
            self.pending_BL = pad(self.pending_BL, (0, 0, 0, count))

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.looks_B, self.kept_B = self.looks_B[rows], self.kept_B[rows]
        if self.within_BL is not None:
            self.within_BL = self.within_BL[rows]
        if self.cache is not None:
            self.cache.select(rows)
            self.pending_BL = self.pending_BL[rows]


def rows_where(busy_B: Tensor, which_B: Tensor) -> tuple[Tensor, Tensor]:
    """The busy rows of the mask, and the other busy ones. One read of the device tells both where they are alike."""
    first_B, second_B = busy_B & which_B, busy_B & ~which_B
    first, second = torch.stack([first_B.sum(), second_B.sum()]).tolist()
    every_B = torch.arange(len(busy_B), device=busy_B.device)

    def rows(mask_B: Tensor, count: int) -> Tensor:
        return every_B[:count] if count in (0, len(every_B)) else mask_B.nonzero()[:, 0]

    return rows(first_B, first), rows(second_B, second)


def together(parts: list[tuple[Tensor, Prediction]], count: int) -> Prediction:
    """What rows saw in passes of their own, as one batch."""
    rows, first = parts[0]
    if len(rows) == count:
        return first
    logits_BSV = first.logits_BSV.new_zeros(count, *first.logits_BSV.shape[1:])
    suspect_BCV: Tensor | None = None
    for rows, seen in parts:
        logits_BSV[rows] = seen.logits_BSV
        if seen.suspect_BCV is not None:
            suspect_BCV = seen.suspect_BCV.new_zeros(count, *seen.suspect_BCV.shape[1:])
            suspect_BCV[rows] = seen.suspect_BCV
    return Prediction(logits_BSV, suspect_BCV)


class BlockCausalScorer(RowsScorer):
    """Rows of a block-causal network, which compute unfinished blocks only, and those once for all states that agree up to
    their end: the keys of finished blocks are final, so this gives the logits of `RowsScorer`. prefixes: keys that other
    rows left behind of the blocks before the first open slot."""

    def __init__(self, network: Network, count: int, device: torch.device, prefixes: PrefixStore | None = None) -> None:
        super().__init__(network, count, device, Guidance())
        self.model, self.prefixes = network.transformer("cache"), prefixes
        assert self.model.config.block_length is not None, "a block-causal config has one"
        self.block = self.model.config.block_length
        self.cache: KeptKeys | None = None
        self.final_B = torch.zeros(count, dtype=torch.int64, device=device)
        self.prefixes_left = prefixes is not None  # may a row have blocks to compute before its first open slot?

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        # a slot that was opened again makes its block, and what comes behind it, unfinished
        self.final_B = self.final_B.minimum(self.first_block(requests.canvas.pending_BL))
        unfinished = self.unfinished_prefixes(requests.canvas)
        began = set(rows.tolist()) if unfinished else set()
        for row, blocks in unfinished:
            if row in began:
                self.begin_with_prefix(requests.canvas, row, blocks)
        return super().pass_began(requests, rows, slots_RS, within_BL, time_B)

    def first_block(self, slots_BL: Tensor) -> Tensor:
        """Where the block of the first of these slots begins, [B]."""
        index_L = torch.arange(slots_BL.shape[1], device=slots_BL.device)
        return torch.where(slots_BL, index_L, len(index_L)).amin(1) // self.block * self.block

    def unfinished_prefixes(self, canvas: Canvas) -> list[tuple[int, list[Block]]]:
        """Rows that have still to compute blocks before their first open slot, and all these blocks: rows of which nothing
        is drawn, since the first pass computes them."""
        if not self.prefixes_left:
            return []
        final_B, fixed_B = torch.stack([self.final_B, self.first_block(canvas.open_BL)]).tolist()
        found = [(row, fixed) for row, (final, fixed) in enumerate(zip(final_B, fixed_B, strict=True)) if final < fixed]
        self.prefixes_left = bool(found)  # no block before the first open slot is ever opened again
        return [(row, blocks_before(fixed, canvas.ids_BL[row].tolist(), self.block)) for row, fixed in found]

    def begin_with_prefix(self, canvas: Canvas, row: int, blocks: Sequence[Block]) -> None:
        """What other rows computed of these blocks need not be computed again."""
        assert self.prefixes is not None
        past = self.prefixes.find(blocks)
        if past is not None:
            self.open_cache(canvas).begin_with(row, past)
            self.final_B[row] = past.keys_YBGPE.shape[3]

    def open_cache(self, canvas: Canvas) -> KeptKeys:
        if self.cache is None:
            self.cache = self.network.kept_keys(canvas.ids_BL)
        return self.cache

    def run(
        self, canvas: Canvas, states_RL: Tensor, at_RP: Tensor, owner_R: Tensor, keep_RL: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        cache = self.open_cache(canvas)
        index_L = torch.arange(states_RL.shape[1], device=states_RL.device)
        end_R = (at_RP.amax(1) // self.block + 1) * self.block
        fresh_RL = (index_L >= self.final_B[owner_R, None]) & (index_L < end_R[:, None])
        if canvas.lengths_B is not None:
            fresh_RL = fresh_RL & (index_L < canvas.lengths_B[owner_R, None])
        fresh_RL = with_readers(self.model, fresh_RL)
        source_RL = shared_sources(states_RL, fresh_RL, owner_R, self.block)
        logits_RPV = cache.step(states_RL, fresh_RL, at_RP, owner_R, canvas.lengths_B, source_RL)
        prefixes = self.unfinished_prefixes(canvas)
        self.finish_blocks(canvas, states_RL, fresh_RL, owner_R)
        for row, blocks in prefixes:
            self.keep_prefix(row, blocks)
        own_RL = source_RL == torch.arange(len(owner_R), device=owner_R.device)[:, None]
        return logits_RPV, (fresh_RL & own_RL).sum(1)

    def finish_blocks(self, canvas: Canvas, states_RL: Tensor, fresh_RL: Tensor, owner_R: Tensor) -> None:
        """Keep the keys of blocks that hold no open slot and that this pass computed. Drafts come behind them, so the first
        sequence of each request will do."""
        rows_R = torch.arange(len(owner_R), device=owner_R.device)
        first_B = torch.full_like(self.final_B, len(owner_R)).scatter_reduce(0, owner_R, rows_R, "amin")
        busy_B = first_B < len(owner_R)
        first_B = first_B.clamp(max=len(owner_R) - 1)
        index_L = torch.arange(states_RL.shape[1], device=states_RL.device)
        new_BL = (index_L >= self.final_B[:, None]) & (index_L < self.first_block(canvas.pending_BL)[:, None])
        done_BL = fresh_RL[first_B] & busy_B[:, None] & new_BL
        assert self.cache is not None
        self.cache.store(done_BL, first_B)
        self.final_B = self.final_B + done_BL.sum(1)

    def keep_prefix(self, row: int, blocks: Sequence[Block]) -> None:
        """Leave the blocks that are finished to other rows."""
        assert self.prefixes is not None and self.cache is not None
        finished = blocks[: int(self.final_B[row]) // self.block]
        self.prefixes.keep(finished, self.cache.beginning(row, len(finished) * self.block))

    def grow(self, count: int) -> None:
        super().grow(count)
        self.final_B = torch.nn.functional.pad(self.final_B, (0, count))
        self.prefixes_left = self.prefixes is not None
        if self.cache is not None:
            self.cache.grow(count)

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.final_B = self.final_B[rows]
        if self.cache is not None:
            self.cache.select(rows)


def shared_sources(states_RL: Tensor, fresh_RL: Tensor, owner_R: Tensor, block: int) -> Tensor:
    """The row that computes each fresh position for row r: the first of the rows before r, one behind another and of one
    request, that hold the same tokens up to the end of its block. No later token changes its keys, so this is exact."""
    length = states_RL.shape[1]
    rows_R, index_L = torch.arange(len(owner_R), device=owner_R.device), torch.arange(length, device=owner_R.device)
    end_L = ((index_L // block + 1) * block).clamp(max=length)
    agree_QL = (states_RL[1:] == states_RL[:-1]).long().cummin(1).values.bool()[:, end_L - 1]
    same_QL = agree_QL & fresh_RL[1:] & fresh_RL[:-1] & (owner_R[1:] == owner_R[:-1])[:, None]
    anew_RL = torch.nn.functional.pad(~same_QL, (0, 0, 1, 0), value=True)
    return torch.where(anew_RL, rows_R[:, None], 0).cummax(0).values


def with_readers(model: Transformer, fresh_RL: Tensor) -> Tensor:
    """Also the position before each one, which a network with shifted logits reads it from."""
    return fresh_RL | torch.nn.functional.pad(fresh_RL[:, 1:], (0, 1)) if model.config.shift else fresh_RL
