"""Scorers that keep keys and values between passes: out of date for a bidirectional network, exact for a block-causal one.

Shapes: as in `rows`; Q = R - 1 pairs of neighbouring sequences.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.plan import CacheRule, Guidance
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Look, Seen
from fef.models.stale import StaleCache
from fef.models.transformer import Transformer

__all__ = ["BlockCausalScorer", "StaleScorer"]


class StaleScorer(RowsScorer):
    """Plain looks that compute a part of the canvas against keys of earlier passes (Fast-dLLM "prefix" and "dual",
    dKV-Cache "delayed"). A full pass opens each block, answers every look at suspects, and comes every `refresh` looks."""

    def __init__(self, network: Network, meter: Meter, who_B: Tensor, rule: CacheRule, within_BL: Tensor) -> None:
        super().__init__(network, meter, who_B, Guidance())
        self.model, self.rule, self.within_BL = network.transformer("cache"), rule, within_BL
        self.cache: StaleCache | None = None
        self.looks = 0

    def look(self, canvas: Canvas, look: Look) -> Seen:
        assert look.masked and not look.hidden, "no preset asks for this with a cache"
        slots_BS, suspects_BC = look.slots_BS, look.suspects_BC
        if suspects_BC is not None and not self.network.casts_shadows:
            self.cache = None
            return self.look_without(canvas, slots_BS, suspects_BC)
        due = self.rule.refresh is not None and self.looks % self.rule.refresh == 0
        self.looks += 1
        if self.cache is None or suspects_BC is not None or due:
            suspects_BC = slots_BS[:, :0] if suspects_BC is None else suspects_BC
            busy_B = (slots_BS >= 0).any(1) | (suspects_BC >= 0).any(1)
            self.bill_canvas(canvas, busy_B, (suspects_BC >= 0).sum(1))
            seen = self.network.full_pass(canvas.ids_BL, slots_BS.clamp(min=0), suspects_BC, canvas.lengths_B)
            self.cache = StaleCache(self.model, seen.past, canvas.lengths_B)
            self.pending_BL = canvas.pending_BL.clone()
            return Seen(seen.logits_RSV, seen.shadow_RCV)
        fresh_BL = self.fresh(canvas)
        self.meter.pass_(self.who_B, (slots_BS >= 0).any(1).long(), fresh_BL.sum(1))
        every_B = torch.arange(len(slots_BS), device=slots_BS.device)
        logits_BSV = self.cache.step(canvas.ids_BL, fresh_BL, slots_BS.clamp(min=0), every_B)
        self.cache.store(fresh_BL, every_B)
        self.pending_BL = canvas.pending_BL.clone()
        return Seen(logits_BSV)

    def fresh(self, canvas: Canvas) -> Tensor:
        """Positions that a small pass computes anew."""
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

    def select(self, rows: Tensor) -> None:
        super().select(rows)
        self.within_BL, self.pending_BL = self.within_BL[rows], self.pending_BL[rows]
        if self.cache is not None:
            self.cache.select(rows)


class BlockCausalScorer(RowsScorer):
    """Rows of a block-causal network, which compute unfinished blocks only, and those once for all states that agree up to
    their end: the keys of finished blocks are final, so this gives the logits of `RowsScorer`."""

    def __init__(self, network: Network, meter: Meter, who_B: Tensor) -> None:
        super().__init__(network, meter, who_B, Guidance())
        self.model = network.transformer("cache")
        assert self.model.config.block_length is not None, "a block-causal config has one"
        self.block = self.model.config.block_length
        self.cache: StaleCache | None = None
        self.final_B = torch.zeros_like(who_B)

    def run(
        self, canvas: Canvas, states_RL: Tensor, at_RP: Tensor, owner_R: Tensor, keep_RL: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.cache is None:
            self.cache = StaleCache.empty(self.model, canvas.ids_BL, canvas.lengths_B)
        index_L = torch.arange(states_RL.shape[1], device=states_RL.device)
        end_R = (at_RP.amax(1) // self.block + 1) * self.block
        fresh_RL = (index_L >= self.final_B[owner_R, None]) & (index_L < end_R[:, None])
        if canvas.lengths_B is not None:
            fresh_RL = fresh_RL & (index_L < canvas.lengths_B[owner_R, None])
        fresh_RL = with_readers(self.model, fresh_RL)
        source_RL = shared_sources(states_RL, fresh_RL, owner_R, self.block)
        logits_RPV = self.cache.step(states_RL, fresh_RL, at_RP, owner_R, source_RL)
        self.finish_blocks(canvas, states_RL, fresh_RL, owner_R)
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
        open_B = torch.where(canvas.pending_BL, index_L, len(index_L)).amin(1)
        new_BL = (index_L >= self.final_B[:, None]) & (index_L < (open_B // self.block * self.block)[:, None])
        done_BL = fresh_RL[first_B] & busy_B[:, None] & new_BL
        assert self.cache is not None
        self.cache.store(done_BL, first_B)
        self.final_B = self.final_B + done_BL.sum(1)

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
