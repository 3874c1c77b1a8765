"""The canvas: what is written, what is still open, in which order slots are filled.

Shapes: B rows (requests), L canvas length, S slots attempted at once, V vocabulary, K likeliest tokens. A slot
index of -1 is absent.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.records import RowRecord
from fef.laws.eos import at_position, bounds, bounds_before, bounds_on_paths
from fef.laws.tree import Tree

__all__ = ["Canvas", "EosRule", "put_at", "written"]


@dataclass
class Canvas(RowRecord):
    """One denoising state per row."""

    ids_BL: Tensor  # tokens; at pending slots the mask id, or under uniform noise a noisy token
    open_BL: Tensor  # slots that the request fills
    pending_BL: Tensor  # slots still to be filled in this pass
    rank_BL: Tensor  # decoding order, smallest first
    lengths_B: Tensor | None  # real length of each row, or None when all are L
    logprob_BL: Tensor  # log p of committed tokens under the sampled law, nats; nan elsewhere
    confidence_BL: Tensor  # probability of committed tokens at temperature 1, for re-masking by scores
    noisy_BL: Tensor  # x_t of the current pass under visible noise
    end_from_B: Tensor  # no end token stands before this position
    likely_BLK: Tensor  # the likeliest tokens at committed slots, under the law at their commit
    likely_logp_BLK: Tensor  # their log p, nats; -inf where the law has fewer

    @classmethod
    def start(cls, ids_BL: Tensor, open_BL: Tensor, rank_BL: Tensor, lengths_B: Tensor | None, top: int = 0) -> Canvas:
        """top: how many likeliest tokens are noted."""
        likely = (*ids_BL.shape, top)
        nan_BL = torch.full(ids_BL.shape, torch.nan, dtype=torch.float64, device=ids_BL.device)
        return cls(
            ids_BL=ids_BL.clone(),
            open_BL=open_BL,
            pending_BL=open_BL.clone(),
            rank_BL=rank_BL,
            lengths_B=lengths_B,
            logprob_BL=nan_BL,
            confidence_BL=nan_BL.clone(),
            noisy_BL=ids_BL.clone(),
            end_from_B=ids_BL.new_full((len(ids_BL),), -1),
            likely_BLK=ids_BL.new_zeros(likely),
            likely_logp_BLK=nan_BL.new_full(likely, -torch.inf),
        )

    def next_slots(self, count: int, within_BL: Tensor | None = None) -> Tensor:
        """The `count` pending slots of lowest rank, in order: positions [B, count], -1 where there are fewer."""
        pending_BL = self.pending_BL if within_BL is None else self.pending_BL & within_BL
        last = torch.iinfo(torch.int64).max
        order_BL = torch.where(pending_BL, self.rank_BL, last)
        rank_BS, index_BS = order_BL.topk(min(count, order_BL.shape[1]), dim=1, largest=False)
        index_BS = torch.where(rank_BS < last, index_BS, -1)
        return torch.nn.functional.pad(index_BS, (0, count - index_BS.shape[1]), value=-1)

    def write(
        self, index_BS: Tensor, tokens_BS: Tensor, logp_BS: Tensor, confidence_BS: Tensor, take_BS: Tensor
    ) -> None:
        """Commit tokens at the slots marked in `take_BS`."""
        place_BS = index_BS.masked_fill(~take_BS, -1)
        for whole_BL, new_BS in (
            (self.ids_BL, tokens_BS),
            (self.logprob_BL, logp_BS),
            (self.confidence_BL, confidence_BS),
            (self.pending_BL, torch.zeros_like(take_BS)),
        ):
            whole_BL.copy_(written(whole_BL, place_BS, new_BS))

    @property
    def top(self) -> int:
        """Likeliest tokens that are noted."""
        return self.likely_BLK.shape[2]

    def write_likeliest(self, index_BS: Tensor, logp_BSV: Tensor, take_BS: Tensor) -> None:
        """Note the likeliest tokens of the laws at the slots marked in `take_BS`."""
        row_N, slot_N = take_BS.nonzero(as_tuple=True)
        found = logp_BSV[row_N, slot_N].topk(self.top)
        place_N = index_BS[row_N, slot_N]
        self.likely_BLK[row_N, place_N], self.likely_logp_BLK[row_N, place_N] = found.indices, found.values.double()

    def likeliest(self, row: int, place_N: Tensor) -> list[list[tuple[int, float]]]:
        """At each of these positions of a row the likeliest tokens and their log p."""
        tokens, logp = self.likely_BLK[row, place_N].tolist(), self.likely_logp_BLK[row, place_N].tolist()
        return [list(zip(*at, strict=True)) for at in zip(tokens, logp, strict=True)]

    def erase(self, drop_BL: Tensor, mask_id: int) -> None:
        """Open committed slots again."""
        self.ids_BL[drop_BL] = mask_id
        self.logprob_BL[drop_BL] = torch.nan
        self.confidence_BL[drop_BL] = torch.nan
        self.pending_BL |= drop_BL

    def copy(self) -> Canvas:
        return self.select(torch.arange(len(self.ids_BL), device=self.ids_BL.device))

    def put(self, rows: Tensor, part: Canvas) -> None:
        """Write back rows that were taken out by `select`."""
        for name in ("ids_BL", "pending_BL", "logprob_BL", "confidence_BL", "likely_BLK", "likely_logp_BLK"):
            getattr(self, name)[rows] = getattr(part, name)


def put_at(whole_BL: Tensor, slots_BS: Tensor, take_BS: Tensor, new_BS: Tensor) -> None:
    """Write values at the slots marked in `take_BS`, in place; both may have a last dimension more."""
    row_N, column_N = take_BS.nonzero(as_tuple=True)
    whole_BL[row_N, slots_BS[row_N, column_N]] = new_BS[row_N, column_N]


def written(whole: Tensor, place: Tensor, new: Tensor) -> Tensor:
    """A copy with new values at these places of the last dimension; -1 is nowhere. The device counts nothing, so the host
    need not wait for it."""
    behind = whole.shape[-1]
    return torch.nn.functional.pad(whole, (0, 1)).scatter_(-1, place % (behind + 1), new)[..., :behind]


@dataclass(frozen=True)
class EosRule:
    """ "After EOS comes EOS" (`fef.laws.eos`) among the open slots of a canvas.

    The rule depends on committed (or, inside a window, earlier drafted) tokens only.
    """

    eos_id: int

    def bounds(self, canvas: Canvas) -> tuple[Tensor, Tensor]:
        """Position of the first committed EOS (L when none), and of the last committed other token (-1) or where a text may
        end first, if that is later: before it stands no EOS. [B] each."""
        settled_BL = canvas.open_BL & ~canvas.pending_BL
        B, L = canvas.ids_BL.shape
        index_BL = torch.arange(L, device=canvas.ids_BL.device).expand(B, -1)
        none_B = index_BL.new_full((B,), L), canvas.end_from_B
        return bounds(*none_B, index_BL, canvas.ids_BL, settled_BL, self.eos_id)

    def up_to_end(self, canvas: Canvas) -> Tensor:
        """Positions up to the first committed EOS, that one included; bool [B, L]."""
        index_L = torch.arange(canvas.ids_BL.shape[1], device=canvas.ids_BL.device)
        return index_L <= self.bounds(canvas)[0][:, None]

    def decided_by(self, canvas: Canvas, within_BL: Tensor, drop_BL: Tensor) -> Tensor:
        """Positions that were filled because of an EOS that is now dropped; bool [B, L]."""
        index_L = torch.arange(canvas.ids_BL.shape[1], device=canvas.ids_BL.device)
        end_B1 = self.bounds(canvas)[0][:, None]
        dropped_B1 = (drop_BL & (index_L == end_B1)).any(1, keepdim=True)
        return dropped_B1 & (index_L > end_B1) & within_BL & ~canvas.pending_BL

    def at_slots(self, canvas: Canvas, index_BS: Tensor, draft_BW: Tensor | None) -> tuple[Tensor, Tensor]:
        """(forced, forbidden) bool [B, S]: EOS is certain, EOS is impossible, given the drafts before each slot."""
        first_BX, last_BX = (bound_B[:, None] for bound_B in self.bounds(canvas))
        if draft_BW is not None:
            at_BW = index_BS[:, : draft_BW.shape[1]]
            first_BX, last_BX = bounds_before(first_BX[:, 0], last_BX[:, 0], at_BW, draft_BW, at_BW >= 0, self.eos_id)
        seen_S = torch.arange(index_BS.shape[1], device=index_BS.device).clamp(max=first_BX.shape[1] - 1)
        return at_position(index_BS, first_BX[:, seen_S], last_BX[:, seen_S])

    def at_states(self, canvas: Canvas, index_BX: Tensor, draft_BW: Tensor, tree: Tree) -> tuple[Tensor, Tensor]:
        """The same at the slots behind the states of a tree of drafts (the last of a chain may be left out)."""
        at_BW = index_BX.gather(1, tree.parent_BW)
        first_BX, last_BX = bounds_on_paths(*self.bounds(canvas), at_BW, draft_BW, tree, self.eos_id)
        count = index_BX.shape[1]
        return at_position(index_BX, first_BX[:, :count], last_BX[:, :count])

    def without_certain_tail(self, canvas: Canvas, within_BL: Tensor, index_BS: Tensor, draft_BW: Tensor) -> Tensor:
        """The slots without those at the end that a drafted EOS makes certain: kept or not, they need no call.

        Only in rows where that EOS would settle everything that is left of the pass; another order may still have slots
        before it.
        """
        forced_BS, _ = self.at_slots(canvas, index_BS, draft_BW)
        tail_BS = (forced_BS | (index_BS < 0)).flip(1).long().cumprod(1).flip(1).bool()
        at_BW = index_BS[:, : draft_BW.shape[1]]
        far = canvas.ids_BL.shape[1]
        end_B, _ = bounds(*self.bounds(canvas), at_BW, draft_BW, at_BW >= 0, self.eos_id)
        kept_BS = torch.where(tail_BS, far, index_BS)
        kept_BL = torch.zeros_like(torch.nn.functional.pad(within_BL, (0, 1))).scatter(1, kept_BS, True)[:, :far]
        index_L = torch.arange(far, device=index_BS.device)
        left_BL = canvas.pending_BL & within_BL & ~kept_BL & (index_L <= end_B[:, None])
        return index_BS.masked_fill(tail_BS & ~left_BL.any(1, keepdim=True), -1)

    def settle(self, canvas: Canvas, within_BL: Tensor, *, finish_only: bool = False) -> None:
        """Fill every pending slot behind a committed EOS: the law leaves no choice there, and no call is needed.

        finish_only: only in rows where no other slot is left. Inside a pass, a slot that is filled before its turn
        would be seen by slots drawn after it, but not by slots verified in the round that drafted the EOS.
        """
        first_B, _ = self.bounds(canvas)
        index_L = torch.arange(canvas.ids_BL.shape[1], device=canvas.ids_BL.device)
        pending_BL = canvas.pending_BL & within_BL
        certain_BL = pending_BL & (index_L > first_B[:, None])
        if finish_only:
            certain_BL &= (certain_BL == pending_BL).all(1, keepdim=True)
        canvas.ids_BL[certain_BL] = self.eos_id
        canvas.logprob_BL[certain_BL] = 0.0
        canvas.confidence_BL[certain_BL] = 1.0
        canvas.pending_BL &= ~certain_BL
