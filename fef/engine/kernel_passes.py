"""Passes made of the fused kernels, for CUDA: what `runner.TorchPasses` computes.

Shapes: B rows, N tokens of a pass, Q queries, M = B x Q, K slots behind the committed tokens, V vocabulary, S slots, X
states, T places of a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.draws import Vocabulary
from fef.engine.head_drafts import HeadDrafts
from fef.engine.host_copies import all_on_device, on_device
from fef.engine.kernel_forward import KernelForward, PlacedTokens
from fef.engine.kernel_head import KernelHead
from fef.engine.kernel_texts import KernelTexts
from fef.engine.kernels.advance import NextDrafts, advance
from fef.engine.kernels.attention import ScratchKeys, Sight
from fef.engine.kernels.collect import collect
from fef.engine.kernels.compose import compose
from fef.engine.kernels.draw import AllowedTokens, draw
from fef.engine.kernels.load import load
from fef.engine.kernels.move import move
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.packed_texts import PackedText
from fef.engine.runner import PassKind, PassPart
from fef.engine.slots import SlotState
from fef.laws.pipeline import EntrySettings, cutoffs, forbid_end
from fef.models.joined import LayerWeights
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

__all__ = ["KernelPasses"]


@dataclass
class Looked:
    """What the network says: hidden states of all queries, and logits of those at which is drawn; of all where these cost no
    more."""

    inputs: PassInputs
    hidden_BQD: Tensor
    logits_MV: Tensor
    logits_BQV: Tensor | None


@dataclass
class Settled:
    """What was drawn and committed. move_2BT: see `kernels.advance.advance`."""

    drawn: Drawn
    move_2BT: Tensor
    next_drafts: NextDrafts


class KernelPasses:
    """overlap: kernels start while the ones before them end (Hopper and later)."""

    def __init__(
        self,
        network: Transformer,
        layers: list[LayerWeights],
        state: SlotState,
        cache: SlotCache,
        vocabulary: Vocabulary,
        *,
        overlap: bool,
        drafts: HeadDrafts | None = None,
    ) -> None:
        self.network, self.state, self.cache = network, state, cache
        self.vocabulary, self.overlap, self.table = vocabulary, overlap, state.table
        self.forward = KernelForward(network, layers, overlap=overlap)
        self.head = None if drafts is None else KernelHead(drafts, self.forward, state)
        self.length_S = state.length_S.int()
        self.banned_V = vocabulary.banned_mask(network.config.vocab_size)
        self.texts: dict[int, PackedText] = {}
        self.under = KernelTexts(self.texts, state, vocabulary.eos_id, self.banned_V)

    def read_texts(self) -> None:
        self.under.read(len(self.under.letters))

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        slot_B, packed_BJ = all_on_device([torch.tensor(slots), packed_BJ], self.state.ids_SL.device)
        load(self.state, slot_B, packed_BJ, self.length_S)

    def collect(self, slots: list[int], ranks: int) -> Tensor:
        return collect(self.state, on_device(torch.tensor(slots), self.state.ids_SL.device), ranks)

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        looked = self.look(kind, slot_B)
        self.follow(kind, slot_B, looked, self.settle(kind, slot_B, looked))

    def parted(self, kind: PassKind, slot_B: Tensor) -> PassUnderGrammars:
        """Until its host seats rows, it works on no text: a capture runs the parts without what the host does before them."""
        self.under.seat([self.under.spare] * len(slot_B))
        return PassUnderGrammars(self, kind, slot_B)

    def look(self, kind: PassKind, slot_B: Tensor) -> Looked:
        inputs = compose(self.state, slot_B, kind.shape, self.network.mask_id, self.vocabulary.eos_id, kind.context)
        alone = kind.alone(self.network.config.dim)
        hidden_MD = self.hidden(inputs, slot_B, kind.shape.queries, nodes=kind.shape.off_stem, alone=alone)
        hidden_BQD = hidden_MD.view(len(slot_B), kind.shape.queries, -1)
        if kind.shape.head and len(slot_B) > 1:
            drawn_MD = hidden_BQD[:, : kind.shape.states].reshape(-1, hidden_MD.shape[1])
            return Looked(inputs, hidden_BQD, self.forward.logits(drawn_MD), None)
        # of one row the product takes as long as its weights take to read: so that they are read once, it is of all queries
        logits_NV = self.forward.logits(hidden_MD)
        drawn = kind.shape.states if kind.shape.head else len(logits_NV)
        return Looked(inputs, hidden_BQD, logits_NV[:drawn], logits_NV.view(len(slot_B), kind.shape.queries, -1))

    def settle(self, kind: PassKind, slot_B: Tensor, looked: Looked, allowed: AllowedTokens | None = None) -> Settled:
        cuts = self.cuts(looked.logits_MV, looked.inputs, slot_B, allowed) if kind.cut else None
        drawn = self.draw(looked.logits_MV, looked.inputs, cuts, allowed)
        move_2BT, drafts = advance(self.state, slot_B, looked.inputs, drawn, kind.shape, self.vocabulary.eos_id)
        return Settled(drawn, move_2BT, drafts)

    def follow(self, kind: PassKind, slot_B: Tensor, looked: Looked, settled: Settled) -> None:
        if kind.shape.off_stem:
            move(self.cache, slot_B, settled.move_2BT, self.table.nowhere)
        if kind.shape.head:
            assert self.head is not None, "shapes of a network with a head"
            drafts = settled.next_drafts
            logits_BKV = self.logits_ahead(looked, drafts.source_BK[:, : self.table.grown])
            self.head.grow(slot_B, looked.hidden_BQD, logits_BKV, drafts, kind.cut)

    def logits_ahead(self, looked: Looked, source_BK: Tensor) -> Tensor:
        """At these queries [B, K, V]: those where the drafts of the next slots stand."""
        row_B1 = torch.arange(len(source_BK), device=source_BK.device)[:, None]
        if looked.logits_BQV is not None:
            return looked.logits_BQV[row_B1, source_BK]
        return self.forward.logits(looked.hidden_BQD[row_B1, source_BK].flatten(0, 1)).view(*source_BK.shape, -1)

    def hidden(
        self, inputs: PassInputs, slot_B: Tensor, queries: int, *, nodes: int = 0, alone: bool = False
    ) -> Tensor:
        """Final hidden states [M, D] at the last `queries` tokens of each row. nodes: as in `Sight`. alone: as in
        `KernelForward`."""
        rank_BN, group_BN = inputs.rank_BN, inputs.group_BN
        sight = Sight(
            slot_B,
            rank_BN,
            inputs.limit_BN,
            group_BN,
            self.state.rank_SL,
            self.length_S,
            self.table.ranks,
            ScratchKeys(rank_BN[:, -queries:], group_BN[:, -queries:]),
            seen_BN=inputs.seen_BN if nodes else None,
            nodes=nodes,
        )
        placed = PlacedTokens(inputs.ids_BN, inputs.position_BN, inputs.slot_BN, inputs.place_BN)
        return self.forward.hidden(placed, self.cache, sight, queries, alone=alone)

    def draw(
        self,
        logits_MV: Tensor,
        inputs: PassInputs,
        cuts: tuple[Tensor, Tensor] | None,
        allowed: AllowedTokens | None = None,
    ) -> Drawn:
        cut_M, cut_id_M = cuts or (None, None)
        eos_id = self.vocabulary.eos_id
        return draw(
            logits_MV,
            seed_N=inputs.seed_M,
            position_N=inputs.query_position_M,
            step_N=inputs.step_M,
            temperature_N=inputs.temperature_M,
            forced_N=inputs.forced_M,
            forbidden_N=inputs.forbidden_M,
            banned_V=self.banned_V,
            eos_id=-1 if eos_id is None else eos_id,
            cut_N=cut_M,
            cut_id_N=cut_id_M,
            wanted_N=inputs.query_valid_M,
            allowed=allowed,
            branching=self.table.branching,
            overlap=self.overlap and cuts is None,
        )

    def cuts(
        self, logits_MV: Tensor, inputs: PassInputs, slot_B: Tensor, allowed: AllowedTokens | None
    ) -> tuple[Tensor, Tensor]:
        """Where top-k and top-p cut the law: `fef.laws.pipeline.cutoffs`."""
        row_M = slot_B.repeat_interleave(len(logits_MV) // len(slot_B))
        masked_MV = logits_MV.float().masked_fill(self.banned_V, -torch.inf)
        if allowed is not None:
            masked_BQV = masked_MV.view(len(slot_B), -1, masked_MV.shape[1])
            not_BXV = ~allowed.unpacked(masked_MV.shape[1]) & allowed.under_B[:, None, None]
            masked_BQV[:, : not_BXV.shape[1]].masked_fill_(not_BXV, -torch.inf)
        if self.vocabulary.eos_id is not None:
            forbid_end(masked_MV, self.vocabulary.eos_id, inputs.forbidden_M)
        state = self.state
        return cutoffs(masked_MV, EntrySettings(inputs.temperature_M, state.top_p_S[row_M], state.top_k_S[row_M]))


class PassUnderGrammars:
    """One pass, in the parts that `kernel_texts` tells of."""

    def __init__(self, passes: KernelPasses, kind: PassKind, slot_B: Tensor) -> None:
        self.passes, self.under, self.kind, self.slot_B = passes, passes.under, kind, slot_B
        self.host_drafts = kind.shape.branching > 1 or kind.shape.head
        self.looked: Looked | None = None
        self.settled: Settled | None = None
        table, shape = passes.table, kind.shape
        ahead = (min(table.grown, table.drafts) if shape.head else table.drafts) if self.host_drafts else 0
        self.letter = self.under.letter(len(slot_B), shape.states if shape.head else shape.queries, ahead)

    @property
    def parts(self) -> list[PassPart]:
        return [
            PassPart(self.draft, self.look),
            PassPart(self.under.mask, self.settle),
            PassPart(self.tell, self.follow if self.host_drafts else None),
        ]

    def draft(self, slots: Sequence[int]) -> None:
        if self.host_drafts:
            self.under.draft(slots, head=self.kind.shape.head, context=self.kind.context > 0)
        else:
            self.under.seat(slots)

    def look(self) -> None:
        if self.host_drafts:
            self.under.keep_drafts(len(self.slot_B), head=self.kind.shape.head)
        self.looked = self.passes.look(self.kind, self.slot_B)

    def settle(self) -> None:
        passes, looked, slot_B = self.passes, self.looked, self.slot_B
        assert looked is not None, "the part before"
        before_B, allowed = passes.state.done_S[slot_B], self.under.allowed(len(slot_B), self.kind.shape.states)
        if self.kind.cut:
            free = replace(looked.inputs, forbidden_M=torch.zeros_like(looked.inputs.forbidden_M))
            cut_M, cut_id_M = passes.cuts(looked.logits_MV, free, slot_B, None)
            allowed = replace(allowed, cut_N=cut_M, cut_id_N=cut_id_M)
        self.settled = settled = passes.settle(self.kind, slot_B, looked, allowed)
        candidates = None
        if self.host_drafts:
            drafts = passes.table.grown if self.kind.shape.head else passes.table.drafts
            logits_BKV = passes.logits_ahead(looked, settled.next_drafts.source_BK[:, :drafts])
            candidates = self.under.candidates(slot_B, settled.next_drafts, logits_BKV, allowed.under_B)
        self.under.write(self.letter, slot_B, before_B, settled.drawn, candidates)

    def tell(self, slots: Sequence[int]) -> None:
        self.under.tell(slots, self.letter)

    def follow(self) -> None:
        assert self.looked is not None and self.settled is not None, "the parts before"
        self.passes.follow(self.kind, self.slot_B, self.looked, self.settled)

    def forget(self) -> None:
        """Let go of what a graph has taken in, but for what is read behind it."""
        self.looked = self.settled = None
