"""Passes made of the fused kernels, for CUDA: what `runner.TorchPasses` computes.

Shapes: B rows, N tokens of a pass, Q queries, M = B x Q, V vocabulary, S slots.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.draws import Vocabulary
from fef.engine.head_drafts import HeadDrafts
from fef.engine.host_copies import on_device
from fef.engine.kernel_forward import KernelForward, PlacedTokens
from fef.engine.kernel_head import KernelHead
from fef.engine.kernels.advance import advance
from fef.engine.kernels.attention import ScratchKeys, Sight
from fef.engine.kernels.collect import collect
from fef.engine.kernels.compose import compose
from fef.engine.kernels.draw import draw
from fef.engine.kernels.load import load
from fef.engine.kernels.move import move
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.runner import PassKind
from fef.engine.slots import SlotState
from fef.laws.pipeline import EntrySettings, cutoffs, forbid_end
from fef.models.joined import LayerWeights
from fef.models.slot_cache import SlotCache
from fef.models.transformer import Transformer

__all__ = ["KernelPasses"]


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

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        device = self.state.ids_SL.device
        load(self.state, on_device(torch.tensor(slots), device), on_device(packed_BJ, device), self.length_S)

    def collect(self, slots: list[int]) -> Tensor:
        return collect(self.state, on_device(torch.tensor(slots), self.state.ids_SL.device))

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        state, eos_id = self.state, self.vocabulary.eos_id
        inputs = compose(state, slot_B, kind.shape, self.network.mask_id, eos_id, kind.context)
        hidden_MD = self.hidden(inputs, slot_B, kind.shape.queries, nodes=kind.shape.off_stem, alone=kind.alone)
        hidden_BQD = hidden_MD.view(len(slot_B), kind.shape.queries, -1)
        drawn_MD = hidden_MD
        if kind.shape.head:
            drawn_MD = hidden_BQD[:, : kind.shape.states].reshape(-1, hidden_MD.shape[1])
        drawn = self.draw(self.forward.logits(drawn_MD), inputs, slot_B, kind)
        move_2BT, next_drafts = advance(state, slot_B, inputs, drawn, kind.shape, eos_id)
        if kind.shape.off_stem:
            move(self.cache, slot_B, move_2BT, self.table.nowhere)
        if kind.shape.head:
            assert self.head is not None, "shapes of a network with a head"
            self.head.grow(slot_B, hidden_BQD, next_drafts, kind.cut)

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

    def draw(self, logits_MV: Tensor, inputs: PassInputs, slot_B: Tensor, kind: PassKind) -> Drawn:
        cut_M, cut_id_M = None, None
        if kind.cut:
            row_M = slot_B.repeat_interleave(len(logits_MV) // len(slot_B))
            masked_MV = logits_MV.float().masked_fill(self.banned_V, -torch.inf)
            if self.vocabulary.eos_id is not None:
                forbid_end(masked_MV, self.vocabulary.eos_id, inputs.forbidden_M)
            state = self.state
            settings = EntrySettings(inputs.temperature_M, state.top_p_S[row_M], state.top_k_S[row_M])
            cut_M, cut_id_M = cutoffs(masked_MV, settings)
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
            branching=self.table.branching,
            overlap=self.overlap and not kind.cut,
        )
