"""The packed scorer: verification in one small pass over exact caches, for networks trained for the packed pattern.

Shapes: as in `score`; R rows that begin a pass, Q queries.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.decoding.score import Prediction, PredictionRequest, QueryStates, Targets, VerificationRequest, row_lengths
from fef.laws.accept import Accepted
from fef.laws.tree import given_chain
from fef.models.packed import PADDING, REVEALED
from fef.models.packed_forward import BlockLayer, Bounds, TorchForward
from fef.models.packed_pass import PassSlots, PassTokens, RoundShape, SlotTable, context_pass, moves, round_pass
from fef.models.slot_cache import SlotCache

__all__ = ["PackedScorer"]


class PackedScorer:
    """Verification in one packed pass. Committed tokens become cached references.

    The last committed token of a round (a correction or a bonus) was no reference of that round's pass; it waits, and leads
    the references of the next one. Where a rule commits several tokens of a look, those behind the first wait, too.
    """

    def __init__(self, network: Network, count: int, device: torch.device) -> None:
        assert network.packed is not None, "the plan refuses packed verification of other networks"
        self.model = network.packed
        self.layers = [BlockLayer(block) for block in self.model.blocks]
        self.slots = empty_slots(SlotTable(count, 0, 0, 0, 0), device)
        self.cache = SlotCache.empty(self.model.config, self.slots.table, device, self.model.embed.weight.dtype)
        self.waits_B = torch.zeros(count, dtype=torch.bool, device=device)
        self.behind_B = torch.zeros(
            count, dtype=torch.int64, device=device
        )  # committed tokens behind the one that waits
        self.referenced_B = torch.zeros_like(self.behind_B)  # drafts of this round that are cached
        self.passed: PassTokens | None = None  # tokens of this round

    def pass_began(
        self, requests: Requests, rows: Tensor, slots_RS: Tensor, within_BL: Tensor, time_B: Tensor
    ) -> Prediction | None:
        canvas, drafts = requests.canvas.select(rows), slots_RS.shape[1]
        self.reserve(canvas.ids_BL.shape[1], max(drafts, 1))
        began = slots_of(self.slots.table, canvas, within_BL[rows])
        for name in SLOT_TENSORS:
            getattr(self.slots, name)[rows] = getattr(began, name)
        self.waits_B[rows], self.behind_B[rows], self.referenced_B[rows] = False, 0, 0
        shape = RoundShape(0, 0, max(drafts, 1))
        tokens = context_pass(began, shape, canvas.ids_BL, self.model.mask_id)
        if not drafts:
            tokens = unasked(tokens, torch.ones_like(tokens.valid_BN[:, -shape.queries :]))
        hidden_RQD = self.forward(began, tokens, rows)[:, :drafts]
        zero_B = torch.zeros_like(self.referenced_B)
        requests.meter.pass_(zero_B.index_fill(0, rows, 1), zero_B.index_copy(0, rows, tokens.valid_BN.sum(1)))
        return Prediction(self.model.logits(hidden_RQD), hidden_BSE=hidden_RQD)

    def look(self, requests: Requests, look: PredictionRequest) -> Prediction:
        assert look.suspects_BC is None and not look.hidden, "no preset asks for this under the packed law"
        slots_BS, looks_B = look.slots_BS, (look.slots_BS >= 0).any(1)
        behind_B = torch.where(looks_B, self.behind_B, 0)
        tree = given_chain(behind_B, int(behind_B.max()))
        shape = RoundShape(tree.depths, 0, max(slots_BS.shape[1], 1))
        place_BW = self.slots.positions(self.slots.done_S[:, None] + tree.depth_BX[:, 1:] - 1)
        written_BS = torch.cat([torch.where(tree.there_BW, place_BW, -1), slots_BS], 1)
        tokens_BW = requests.canvas.ids_BL.gather(1, place_BW)
        zero_B = torch.zeros_like(behind_B)
        ask = VerificationRequest(written_BS, tokens_BW, tree, 1, zero_B, start_BG=behind_B[:, None])
        hidden_BQD = self.round(requests, shape, ask)
        self.waits_B, self.behind_B = self.waits_B & ~looks_B, self.behind_B - behind_B
        self.slots.done_S = self.slots.done_S + behind_B
        first_B1D = hidden_BQD[torch.arange(len(behind_B), device=behind_B.device), behind_B][:, None]
        hidden_BSD = torch.cat([first_B1D, hidden_BQD[:, shape.states :]], 1)[:, : slots_BS.shape[1]]
        return Prediction(self.model.logits(hidden_BSD))

    def targets(self, requests: Requests, ask: VerificationRequest) -> Targets:
        """References for the waiting token and the drafts, a target per state, and draft groups."""
        if ask.start_BG is None:
            ask = replace(ask, start_BG=torch.full_like(ask.targets_B[:, None], -1))
        assert ask.start_BG is not None, "none, if nothing else"
        shape = RoundShape(ask.draft_BW.shape[1], ask.start_BG.shape[1] - 1, ask.ahead + 1, ask.tree.branching)
        hidden_BQD = self.round(requests, shape, ask)
        self.referenced_B = torch.where((ask.slots_BS >= 0).any(1), ask.tree.nodes_B, 0)
        target_BXV = self.logits(hidden_BQD[:, : shape.states], ask.tree.there_BX & (ask.slots_BS >= 0).any(1)[:, None])
        if not ask.ahead:
            return Targets(target_BXV)
        return Targets(
            target_BXV, start_BG=ask.start_BG, states=QueryStates(hidden_BQD, shape.depth, self.model.logits)
        )

    def round(self, requests: Requests, shape: RoundShape, ask: VerificationRequest) -> Tensor:
        """One pass of the rows that have slots: final hidden states [B, Q, D], zero where nothing is asked."""
        assert ask.start_BG is not None, "where groups start"
        self.reserve(self.slots.table.context, shape.scratch)
        real_B = (ask.slots_BS >= 0).sum(1)
        slots = replace(self.slots, open_S=self.slots.done_S + real_B, live_S=real_B > 0)
        last_B1 = slots.positions(slots.done_S[:, None] - 1)
        ids_BX = torch.cat([requests.canvas.ids_BL.gather(1, last_B1), ask.draft_BW], 1)
        tokens = round_pass(slots, shape, ask.tree, ids_BX, self.waits_B, ask.start_BG, self.model.mask_id)
        # members of a group see its target
        state_X = torch.arange(shape.states, device=real_B.device)
        begins_BX = (ask.start_BG[..., None] == state_X).any(1)
        no_target_BX = ~(ask.asked_BX | begins_BX)
        tokens = unasked(tokens, torch.nn.functional.pad(no_target_BX, (0, shape.queries - shape.states)))
        hidden_BQD = self.forward(slots, tokens, torch.arange(len(real_B), device=real_B.device))
        asked_B = tokens.valid_BN[:, -shape.queries :].any(1)
        requests.meter.pass_(asked_B.long(), tokens.valid_BN.sum(1))
        self.passed = tokens
        return hidden_BQD

    def forward(self, slots: PassSlots, tokens: PassTokens, slot_B: Tensor) -> Tensor:
        """Final hidden states of the queries [B, Q, D], zero where nothing is asked."""
        queries = tokens.shape.queries
        forward = TorchForward(self.model, self.layers, self.cache, self.slots.table)
        bounds = Bounds(self.slots.table.context, int(tokens.limit_BN.max().clamp(min=0)))
        hidden_MD = forward(slots, tokens, slot_B, bounds)
        valid_BQ = tokens.valid_BN[:, -queries:]
        hidden_BQD = hidden_MD.new_zeros(*valid_BQ.shape, hidden_MD.shape[-1])
        hidden_BQD[valid_BQ] = hidden_MD
        return hidden_BQD

    def logits(self, hidden_BSD: Tensor, there_BS: Tensor) -> Tensor:
        """Logits [B, S, V], zero where nothing is."""
        logits_BSV = hidden_BSD.new_zeros(*there_BS.shape, self.model.config.vocab_size)
        logits_BSV[there_BS] = self.model.logits(hidden_BSD[there_BS])
        return logits_BSV

    def committed(self, commit_B: Tensor, accepted: Accepted | None = None) -> None:
        cached_B = torch.zeros_like(self.referenced_B)
        if accepted is not None and self.passed is not None:
            # committed tokens that were references of this round
            cached_B = torch.minimum(accepted.accepted_B, self.referenced_B)
            self.keep_path(self.passed, replace(accepted, accepted_B=cached_B))
        assert not bool(self.behind_B[commit_B > 0].any()), "what waits is read before more is drawn"
        self.waits_B = torch.where(commit_B > 0, commit_B > cached_B, self.waits_B)
        self.behind_B = torch.where(commit_B > 0, (commit_B - cached_B - 1).clamp(min=0), self.behind_B)
        self.slots.done_S = self.slots.done_S + commit_B - torch.where(commit_B > 0, self.behind_B, 0)
        self.referenced_B, self.passed = torch.zeros_like(self.referenced_B), None

    def keep_path(self, tokens: PassTokens, accepted: Accepted) -> None:
        """Put the keys of accepted drafts where those of committed tokens are."""
        if tokens.shape.off_stem:
            rows = torch.arange(len(accepted.accepted_B), device=accepted.accepted_B.device)
            forward = TorchForward(self.model, self.layers, self.cache, self.slots.table)
            forward.keep_path(rows, *moves(self.slots, tokens, accepted), Bounds(self.slots.table.context, 0))

    def reserve(self, context: int, scratch: int) -> None:
        """Make room for a canvas of `context` tokens, and for so much scratch of a pass."""
        table = self.slots.table
        scratch = max(scratch, table.scratch_places)
        wanted = replace(table, context=context, ranks=context, scratch_places=scratch)
        if wanted == table:
            return
        if table.context != context:
            self.slots = empty_slots(wanted, self.slots.done_S.device)
        self.slots.table = wanted
        self.cache = self.cache.widened(wanted.places)

    def grow(self, count: int) -> None:
        table = self.slots.table
        more = empty_slots(replace(table, slots=count), self.waits_B.device)
        joined = {name: torch.cat([getattr(self.slots, name), getattr(more, name)]) for name in SLOT_TENSORS}
        self.slots = PassSlots(replace(table, slots=table.slots + count), **joined)
        self.cache = self.cache.grown(count)
        self.waits_B = torch.nn.functional.pad(self.waits_B, (0, count))
        self.behind_B = torch.nn.functional.pad(self.behind_B, (0, count))
        self.referenced_B = torch.nn.functional.pad(self.referenced_B, (0, count))

    def select(self, rows: Tensor) -> None:
        kept = {name: getattr(self.slots, name)[rows] for name in SLOT_TENSORS}
        self.slots = PassSlots(replace(self.slots.table, slots=len(rows)), **kept)
        self.cache = self.cache.select(rows)
        self.waits_B, self.behind_B = self.waits_B[rows], self.behind_B[rows]
        self.referenced_B = self.referenced_B[rows]


SLOT_TENSORS = ("order_SR", "rank_SL", "length_S", "open_S", "done_S", "live_S")


def empty_slots(table: SlotTable, device: torch.device) -> PassSlots:
    """Slots of which none is in a pass."""
    zero_S = torch.zeros(table.slots, dtype=torch.int64, device=device)
    return PassSlots(
        table=table,
        order_SR=zero_S[:, None].repeat(1, table.ranks),
        rank_SL=torch.full((table.slots, table.context), PADDING, device=device),
        length_S=zero_S,
        open_S=zero_S.clone(),
        done_S=zero_S.clone(),
        live_S=zero_S.bool(),
    )


def slots_of(table: SlotTable, canvas: Canvas, within_BL: Tensor) -> PassSlots:
    """A canvas at the start of a denoising pass that draws its pending slots `within_BL`, by decoding order."""
    last = torch.iinfo(torch.int64).max
    drawn_BL = canvas.pending_BL & within_BL
    order_BL = torch.where(drawn_BL, canvas.rank_BL, last).argsort(dim=1, stable=True)
    index_L = torch.arange(order_BL.shape[1], device=order_BL.device)
    rank_BL = torch.empty_like(order_BL).scatter_(1, order_BL, index_L.expand_as(order_BL))
    length_B = row_lengths(canvas)
    open_B = drawn_BL.sum(1)
    return PassSlots(
        table=table,
        order_SR=order_BL,
        rank_SL=torch.where(drawn_BL, rank_BL, REVEALED).masked_fill(index_L >= length_B[:, None], PADDING),
        length_S=length_B,
        open_S=open_B,
        done_S=torch.zeros_like(open_B),
        live_S=torch.ones_like(open_B).bool(),
    )


def unasked(tokens: PassTokens, at_BQ: Tensor) -> PassTokens:
    """The pass without these queries."""
    valid_BN = tokens.valid_BN.clone()
    valid_BN[:, -at_BQ.shape[1] :] &= ~at_BQ
    return replace(tokens, valid_BN=valid_BN)
