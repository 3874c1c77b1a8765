"""Passes made of the fused kernels, for CUDA: what `runner.TorchPasses` computes, in about eight launches a layer.

Shapes: B rows, N tokens of a pass, Q queries, T = B x N, M = B x Q, D width, X joined q, k and v, V vocabulary, S slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.draws import Vocabulary
from fef.engine.host_copies import on_device
from fef.engine.kernels.advance import advance
from fef.engine.kernels.attention import packed_attention
from fef.engine.kernels.collect import collect
from fef.engine.kernels.compose import PassInputs, compose
from fef.engine.kernels.draw import draw
from fef.engine.kernels.linear import gated_linear, linear, linear_parts, split_of
from fef.engine.kernels.load import load
from fef.engine.kernels.norm import add_rms_norm, rms_norm
from fef.engine.kernels.rotate import rotate_and_store
from fef.engine.runner import PassKind
from fef.engine.slots import SlotState
from fef.laws.pipeline import cutoffs, forbid_end
from fef.models.joined import LayerWeights, Matrix
from fef.models.slot_cache import SlotCache
from fef.models.transformer import RMSNorm, Transformer

__all__ = ["KernelPasses"]

# Bytes of a weight that L2 is asked for while the kernels before it end: what the memory bus moves in that time.
_BEHIND_ATTENTION = 32 << 20
_BEHIND_PRODUCT = 8 << 20


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
    ) -> None:
        self.network, self.layers, self.state, self.cache = network, layers, state, cache
        self.vocabulary, self.overlap = vocabulary, overlap
        self.config, self.table = network.config, state.table
        self.length_S = state.length_S.int()
        self.banned_V = vocabulary.banned_mask(self.config.vocab_size)
        self.head_VD = (network.embed if network.head is None else network.head).weight.detach()

    def load(self, slots: list[int], packed_BJ: Tensor) -> None:
        device = self.state.ids_SL.device
        load(self.state, on_device(torch.tensor(slots), device), on_device(packed_BJ, device), self.length_S)

    def collect(self, slots: list[int]) -> Tensor:
        return collect(self.state, on_device(torch.tensor(slots), self.state.ids_SL.device))

    def pass_(self, kind: PassKind, slot_B: Tensor) -> None:
        state, eos_id = self.state, self.vocabulary.eos_id
        inputs = compose(state, slot_B, kind.shape, self.network.mask_id, eos_id, kind.context)
        logits_MV = self.logits(inputs, slot_B, kind.shape.queries)
        drawn = self.draw(logits_MV, inputs, slot_B, kind)
        advance(state, slot_B, inputs, drawn, kind.shape, eos_id)

    def logits(self, inputs: PassInputs, slot_B: Tensor, queries: int) -> Tensor:
        """The network; the last layer runs where logits are read only."""
        config, overlap = self.config, self.overlap
        B, N = inputs.ids_BN.shape
        pattern = Pattern(slot_B, inputs.rank_BN, inputs.limit_BN, inputs.group_BN)
        hidden_TD = self.network.embed.weight.detach()[inputs.ids_BN.view(-1)]
        first = self.layers[0].attn_norm
        normed_TD = rms_norm(hidden_TD, first.weight.detach(), first.eps, overlap=overlap)
        for number, layer in enumerate(self.layers):
            qkv = layer.qkv
            qkv_TX = linear(
                normed_TD, qkv.weight, bias_M=qkv.bias, scale_M=qkv.scale, overlap=overlap, ahead=_BEHIND_PRODUCT
            )
            self.rotate_and_store(number, layer, qkv_TX, inputs)
            last = number == len(self.layers) - 1
            if last:
                # a reshape alone makes no copy of one query a row, and the kernels read rows that lie side by side
                qkv_TX = qkv_TX.view(B, N, -1)[:, -queries:].reshape(B * queries, -1).contiguous()
                hidden_TD = hidden_TD.view(B, N, -1)[:, -queries:].reshape(B * queries, -1).contiguous()
                pattern = pattern.last(queries)
            mixed_TX = packed_attention(
                qkv_TX,
                self.cache.keys_YSGCE[number],
                self.cache.values_YSGCE[number],
                self.state.rank_SL,
                self.length_S,
                pattern.slot_B,
                pattern.rank_BN,
                pattern.limit_BN,
                pattern.group_BN,
                heads=config.heads,
                kv_heads=config.kv_head_count,
                head_size=config.head_size,
                references=self.table.ranks,
                scratch=queries,
                overlap=overlap,
            )
            out, norm = layer.out, layer.mlp_norm
            hidden_TD, normed_TD = self.add_and_norm(mixed_TX, out, hidden_TD, norm, ahead=_BEHIND_ATTENTION)
            gated_TF = gated_linear(
                normed_TD, layer.gate_up.weight, scale_2F=layer.gate_up.scale, overlap=overlap, ahead=_BEHIND_PRODUCT
            )
            norm = self.network.norm if last else self.layers[number + 1].attn_norm
            hidden_TD, normed_TD = self.add_and_norm(gated_TF, layer.down, hidden_TD, norm, ahead=_BEHIND_PRODUCT)
        return linear(normed_TD, self.head_VD, overlap=overlap, ahead=_BEHIND_PRODUCT)

    def add_and_norm(
        self, x_TK: Tensor, matrix: Matrix, residual_TD: Tensor, norm: RMSNorm, *, ahead: int
    ) -> tuple[Tensor, Tensor]:
        """(residual + product, its norm). ahead: bytes of the matrix to ask for before."""
        weight, bias, scale = matrix.weight, matrix.bias, matrix.scale
        norm_D, overlap = norm.weight.detach(), self.overlap
        # The two ways have other bits, so the weight's shape decides; the shorter one, where no sum is cut into parts.
        if split_of(*weight.shape) == 1:
            hidden_TD = linear(
                x_TK, weight, bias_M=bias, scale_M=scale, residual_NM=residual_TD, overlap=overlap, ahead=ahead
            )
            return hidden_TD, rms_norm(hidden_TD, norm_D, norm.eps, overlap=overlap)
        parts_STD = linear_parts(x_TK, weight, overlap=overlap, ahead=ahead)
        return add_rms_norm(parts_STD, residual_TD, norm_D, norm.eps, scale_D=scale, bias_D=bias, overlap=overlap)

    def rotate_and_store(self, number: int, layer: LayerWeights, qkv_TX: Tensor, inputs: PassInputs) -> None:
        config = self.config
        q_norm = layer.q_norm if isinstance(layer.q_norm, RMSNorm) else None
        k_norm = layer.k_norm if isinstance(layer.k_norm, RMSNorm) else None
        rotate_and_store(
            qkv_TX,
            inputs.position_BN.view(-1),
            inputs.slot_BN.view(-1),
            inputs.place_BN.view(-1),
            self.cache.keys_YSGCE[number],
            self.cache.values_YSGCE[number],
            heads=config.heads,
            kv_heads=config.kv_head_count,
            head_size=config.head_size,
            rotary_size=config.rotary_size,
            theta=config.rope_theta,
            q_weight_E=None if q_norm is None else q_norm.weight.detach(),
            k_weight_E=None if k_norm is None else k_norm.weight.detach(),
            eps=config.norm_eps,
            overlap=self.overlap,
        )

    def draw(self, logits_MV: Tensor, inputs: PassInputs, slot_B: Tensor, kind: PassKind) -> Drawn:
        cut_M, cut_id_M = None, None
        if kind.cut:
            row_M = slot_B.repeat_interleave(kind.shape.queries)
            masked_MV = logits_MV.float().masked_fill(self.banned_V, -torch.inf)
            if self.vocabulary.eos_id is not None:
                forbid_end(masked_MV, self.vocabulary.eos_id, inputs.forbidden_M)
            state = self.state
            cut_M, cut_id_M = cutoffs(masked_MV, inputs.temperature_M, state.top_p_S[row_M], state.top_k_S[row_M])
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
            overlap=self.overlap and not kind.cut,
        )


@dataclass
class Pattern:
    """What tells which keys a token sees."""

    slot_B: Tensor
    rank_BN: Tensor
    limit_BN: Tensor
    group_BN: Tensor

    def last(self, count: int) -> Pattern:
        """That of the last tokens of each row."""
        return Pattern(
            self.slot_B,
            self.rank_BN[:, -count:].contiguous(),
            self.limit_BN[:, -count:].contiguous(),
            self.group_BN[:, -count:].contiguous(),
        )
