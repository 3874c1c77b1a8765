"""The state of the engine's slots: one request each, everything on the device, in tensors of fixed shape.

Shapes: S slots, L context places, R ranks (slots of a canvas that one denoising pass fills), K depths whose drafts are kept
between rounds, C candidates of a depth, W nodes of a tree, B rows (slots taken for a pass), J numbers of one load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fef.laws.growth import Drafted
from fef.laws.tree import ABSENT, path_states, stem, tree_of
from fef.laws.window import TREE_BRANCHING
from fef.models.packed import PADDING, REVEALED
from fef.models.packed_pass import PassSlots, RoundShape, SlotTable

__all__ = ["COUNTERS", "HEAD", "NEVER", "RESULT_HEAD", "PassRequest", "Progress", "SlotState", "packed"]

NEVER = 2**31 - 1
COUNTERS = ("calls", "token_forwards", "rounds", "drafted", "accepted")
RESULT_HEAD = 2 + len(COUNTERS)  # numbers of a result before those of ranks: see `SlotState.collect`


@dataclass
class Progress:
    """What the host reads after every pass, as views of one storage of bytes: see `SlotState`."""

    done_S: Tensor
    counters_SC: Tensor
    live_S: Tensor
    bad_S: Tensor

    @classmethod
    def of(cls, progress_P: Tensor, slots: int) -> Progress:
        C = len(COUNTERS)
        done, counters, live, bad = torch.split(progress_P, [8 * slots, 8 * C * slots, slots, slots])
        whole = counters.view(torch.int64).view(slots, C)
        return cls(done.view(torch.int64), whole, live.view(torch.bool), bad.view(torch.bool))


@dataclass
class SlotState(PassSlots):
    """All of an engine's requests; what is not said here is in `PassSlots`."""

    ids_SL: Tensor  # canvas tokens; one more column takes writes of absent tokens, as in logprob and confidence
    bad_S: Tensor  # were logits invalid?
    draft_SKC: Tensor  # the drafts behind `done`: candidates of each depth, the likeliest first
    drafted_S: Tensor  # depths that have any
    holds_SKC: Tensor  # the chance of each to be drawn
    first_end_S: Tensor  # position of the first committed end token, or NEVER
    last_other_S: Tensor  # position of the last committed other token, or -1
    logprob_SR: Tensor  # log p under the sampled law, nats
    confidence_SR: Tensor  # log p at temperature 1
    log_mass_S: Tensor  # under a grammar, as in `fef.decoding.grammar`
    seed_S: Tensor  # of the request
    step_S: Tensor  # the denoising pass
    temperature_S: Tensor  # 0: greedy
    top_p_S: Tensor  # 1: off
    top_k_S: Tensor  # 0: off
    counters_SC: Tensor  # see COUNTERS
    node_parent_SW: Tensor  # the tree that a draft head grew behind `done`: see `Tree`
    node_candidate_SW: Tensor
    node_depth_SW: Tensor
    node_token_SW: Tensor  # what it holds
    node_chance_SW: Tensor  # ABSENT where there is no node
    progress_P: Tensor | None = None  # storage of done, counters, live and bad; a copy of some slots has none

    @classmethod
    def empty(cls, table: SlotTable, device: torch.device) -> SlotState:
        S, C = table.slots, len(COUNTERS)
        progress_P = torch.zeros(S * (8 + 8 * C + 2), dtype=torch.uint8, device=device)
        progress = Progress.of(progress_P, S)

        def whole(*shape: int) -> Tensor:
            return torch.zeros(table.slots, *shape, dtype=torch.int64, device=device)

        def real(*shape: int) -> Tensor:
            return torch.zeros(table.slots, *shape, dtype=torch.float64, device=device)

        return cls(
            table,
            ids_SL=whole(table.context + 1),
            order_SR=whole(table.ranks),
            rank_SL=torch.full((table.slots, table.context), PADDING, dtype=torch.int32, device=device),
            length_S=whole(),
            open_S=whole(),
            done_S=progress.done_S,
            live_S=progress.live_S,
            bad_S=progress.bad_S,
            draft_SKC=whole(table.drafts, table.branching),
            drafted_S=whole(),
            holds_SKC=real(table.drafts, table.branching),
            first_end_S=whole(),
            last_other_S=whole(),
            logprob_SR=real(table.ranks + 1),
            confidence_SR=real(table.ranks + 1),
            log_mass_S=real(),
            seed_S=whole(),
            step_S=whole(),
            temperature_S=real(),
            top_p_S=real(),
            top_k_S=whole(),
            counters_SC=progress.counters_SC,
            node_parent_SW=whole(table.nodes),
            node_candidate_SW=whole(table.nodes),
            node_depth_SW=whole(table.nodes),
            node_token_SW=whole(table.nodes),
            node_chance_SW=real(table.nodes),
            progress_P=progress_P,
        )

    def take(self, slot_B: Tensor) -> SlotState:
        """A copy of these slots."""
        return SlotState(self.table, **{name: getattr(self, name).index_select(0, slot_B) for name in TENSORS})

    def put(self, slot_B: Tensor, part: SlotState, names: tuple[str, ...]) -> None:
        """Write back the named tensors of slots that were taken. Twice the same slot: either may stay."""
        for name in names:
            getattr(self, name).index_copy_(0, slot_B, getattr(part, name))

    def ids_at(self, rank: Tensor) -> Tensor:
        return self.ids_SL.gather(1, self.positions(rank))

    def collect(self, slot_B: Tensor, ranks: int) -> Tensor:
        """int64 [B, J]: what these slots have done, their counters, the log of the mass that grammars left, and for so many
        ranks the tokens, log p and log p at temperature 1; floats as their bits."""
        columns = [
            self.done_S[slot_B, None],
            self.counters_SC[slot_B],
            self.log_mass_S[slot_B, None].view(torch.int64),
            self.ids_SL[slot_B].gather(1, self.order_SR[slot_B, :ranks]),
            self.logprob_SR[slot_B, :ranks].view(torch.int64),
            self.confidence_SR[slot_B, :ranks].view(torch.int64),
        ]
        return torch.cat(columns, 1)

    def drafts_kept(self, slot_B: Tensor) -> Tensor:
        """int64 [B, 1 + 2 K]: for how many slots behind the committed tokens there are drafts, the likeliest of each, and
        their numbers: nodes of the tree that a head grew, from 1, or depths."""
        kept_BK = self.draft_SKC[slot_B, :, 0]
        depth_BK = torch.arange(1, kept_BK.shape[1] + 1, device=kept_BK.device).expand_as(kept_BK)
        kept_BJ = torch.cat([self.drafted_S[slot_B, None], kept_BK, depth_BK], 1)
        if not self.table.nodes:
            return kept_BJ
        whole = RoundShape(self.table.nodes, depth=self.table.grown + 1, branching=TREE_BRANCHING, head=True)
        drafted = self.take(slot_B).tree_kept(whole)
        on_stem_BX = stem(drafted.tree)
        stem_BK = path_states(drafted.tree, on_stem_BX)[:, 1:]
        token_BX = torch.nn.functional.pad(drafted.token_BW, (1, 0))
        columns = [token_BX.gather(1, stem_BK), stem_BK]
        behind = kept_BK.shape[1] - stem_BK.shape[1]
        padded = [torch.nn.functional.pad(x_BK, (0, behind)) for x_BK in columns]
        grown_BJ = torch.cat([on_stem_BX.sum(1, keepdim=True) - 1, *padded], 1)
        return torch.where(grown_BJ[:, :1] > 0, grown_BJ, kept_BJ)

    def tree_kept(self, shape: RoundShape) -> Drafted:
        """The first nodes of the tree that a draft head grew, which are the likeliest; none in rows that are over."""
        chance_SW = torch.where(self.live_S[:, None], self.node_chance_SW, ABSENT)
        kept = (chance_SW, self.node_parent_SW, self.node_candidate_SW, self.node_depth_SW, self.node_token_SW)
        chance_SW, parent_SW, candidate_SW, depth_SW, token_SW = (x_SW[:, : shape.window] for x_SW in kept)
        tree = tree_of(chance_SW, parent_SW, candidate_SW, depth_SW, shape.deepest, shape.branching)
        return Drafted(tree, token_SW)

    def keep_tree(self, slot_B: Tensor, drafted: Drafted) -> None:
        """Keep what a draft head grew for these slots."""
        tree = drafted.tree
        self.node_parent_SW.index_copy_(0, slot_B, tree.parent_BW)
        self.node_candidate_SW.index_copy_(0, slot_B, tree.candidate_BW)
        self.node_depth_SW.index_copy_(0, slot_B, tree.depth_BX[:, 1:])
        self.node_token_SW.index_copy_(0, slot_B, drafted.token_BW)
        chance_BW = torch.where(tree.there_BW, tree.chance_BX[:, 1:], ABSENT)
        self.node_chance_SW.index_copy_(0, slot_B, chance_BW)

    def load(self, slot_B: Tensor, packed_BJ: Tensor) -> None:
        """Put requests, packed by `PassRequest.pack`, into slots."""
        L, R = self.table.context, self.table.ranks
        head_BH, ids_BL, order_BR = torch.split(packed_BJ, [HEAD, L, R], dim=1)
        length_B, open_B, step_B, seed_B, top_k_B, first_B, last_B = head_BH[:, :7].unbind(1)
        temperature_B, top_p_B = head_BH[:, 7:9].contiguous().view(torch.float64).unbind(1)
        index_L = torch.arange(L, device=packed_BJ.device)
        index_R = torch.arange(R, device=packed_BJ.device)
        revealed_BL = torch.where(index_L < length_B[:, None], REVEALED, PADDING)
        # ranks that the pass does not open go to one more column, which is dropped
        at_BR = torch.where(index_R < open_B[:, None], order_BR, L)
        rank_BL = torch.nn.functional.pad(revealed_BL, (0, 1)).scatter(1, at_BR, index_R.expand_as(at_BR))[:, :L]
        part = self.take(slot_B)
        zero_B = torch.zeros_like(length_B)
        part.ids_SL[:, :L] = ids_BL
        part.order_SR, part.rank_SL, part.length_S, part.open_S = order_BR, rank_BL.int(), length_B, open_B
        part.done_S, part.drafted_S, part.bad_S, part.live_S = zero_B, zero_B, zero_B.bool(), open_B > 0
        part.first_end_S, part.last_other_S = first_B, last_B
        part.seed_S, part.step_S, part.top_k_S = seed_B, step_B, top_k_B
        part.temperature_S, part.top_p_S = temperature_B, top_p_B
        part.counters_SC, part.log_mass_S = torch.zeros_like(part.counters_SC), torch.zeros_like(part.log_mass_S)
        part.node_chance_SW = torch.full_like(part.node_chance_SW, ABSENT)
        self.put(slot_B, part, TENSORS)


Numbers = npt.NDArray[np.int64]
TENSORS = tuple(f.name for f in fields(SlotState) if f.name not in ("table", "progress_P"))
HEAD = 9


@dataclass
class PassRequest:
    """One denoising pass of one request, as plain numbers."""

    ids: Sequence[int] | Numbers  # the canvas
    order: Sequence[int] | Numbers  # positions of its slots by rank
    step: int = 1  # the denoising pass
    seed: int = 0  # of the request
    temperature: float = 0.0  # 0: greedy
    top_p: float = 1.0  # 1: off
    top_k: int = 0  # 0: off
    first_end: int = NEVER  # see `SlotState`
    last_other: int = -1  # see `SlotState`

    def pack(self, table: SlotTable) -> Tensor:
        """int64 [J]: see `packed`."""
        return packed([self], table)[0]


def packed(asked: Sequence[PassRequest], table: SlotTable) -> Tensor:
    """int64 [B, J], in the layout that `SlotState.load` reads; floats travel as their bits."""
    packed_BJ = np.zeros((len(asked), HEAD + table.context + table.ranks), dtype=np.int64)
    packed_BJ[:, :7] = [
        (len(one.ids), len(one.order), one.step, one.seed, one.top_k, one.first_end, one.last_other) for one in asked
    ]
    packed_BJ[:, 7:9].view(np.float64)[:] = [(one.temperature, one.top_p) for one in asked]
    start = HEAD + table.context
    for packed_J, one in zip(packed_BJ, asked, strict=True):
        packed_J[HEAD : HEAD + len(one.ids)] = one.ids
        packed_J[start : start + len(one.order)] = one.order
    return torch.from_numpy(packed_BJ)
