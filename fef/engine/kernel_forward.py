"""One pass through a network made of the fused kernels, in about eight launches per layer: over any cache, with any of the
patterns that `packed_attention` knows.

Shapes: B rows, N tokens of a row, Q queries, T = B x N, M = B x Q, D width, X joined q, k and v, F gated outputs, K inputs, V
vocabulary, S slots, L context places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fef.engine.kernels.attention import Sight, packed_attention
from fef.engine.kernels.experts import expert_outputs
from fef.engine.kernels.gate import gate
from fef.engine.kernels.linear import gated_linear, linear, linear_parts
from fef.engine.kernels.norm import add_rms_norm, rms_norm
from fef.engine.kernels.rotate import rotate_and_store
from fef.engine.kernels.route import assign, choose_experts
from fef.engine.kernels.tiles import split_of
from fef.models.joined import ExpertWeights, FeedForward, LayerWeights, Matrix
from fef.models.slot_cache import SlotCache
from fef.models.transformer import RMSNorm, Transformer

__all__ = ["BEHIND_PRODUCT", "KernelForward", "PlacedTokens"]

# Bytes of a weight that L2 is asked for while the kernels before it end: what the memory bus moves in that time.
_BEHIND_ATTENTION = 32 << 20
BEHIND_PRODUCT = 8 << 20


@dataclass(frozen=True)
class PlacedTokens:
    """slot_BN, place_BN: where the keys and values of each token go in the cache."""

    ids_BN: Tensor
    position_BN: Tensor
    slot_BN: Tensor
    place_BN: Tensor


class KernelForward:
    """overlap: kernels start while the ones before them end (Hopper and later)."""

    def __init__(self, network: Transformer, layers: list[LayerWeights], *, overlap: bool) -> None:
        self.network, self.layers, self.overlap = network, layers, overlap
        self.config = network.config
        self.head_VD = (network.embed if network.head is None else network.head).weight.detach()

    def __call__(
        self, tokens: PlacedTokens, cache: SlotCache, sight: Sight, reads: int | Tensor, *, alone: bool
    ) -> Tensor:
        """Logits [M, V]; arguments as in `hidden`."""
        return self.logits(self.hidden(tokens, cache, sight, reads, alone=alone))

    def logits(self, hidden_MD: Tensor) -> Tensor:
        return linear(hidden_MD, self.head_VD, overlap=self.overlap, ahead=BEHIND_PRODUCT)

    def hidden(
        self, tokens: PlacedTokens, cache: SlotCache, sight: Sight, reads: int | Tensor, *, alone: bool
    ) -> Tensor:
        """Final hidden states [M, D]; the last layer runs where they are read only.

        reads: how many of the last tokens of each row, or the numbers [M] of tokens, counted through all rows. alone: each
        row has products of its own, whose bits depend on its number of tokens.
        """
        rows = len(tokens.ids_BN)
        own = rows if alone else 0
        hidden_TD = self.network.embed.weight.detach()[tokens.ids_BN.view(-1)]
        first = self.layers[0].attn_norm
        normed_TD = rms_norm(hidden_TD, first.weight.detach(), first.eps, overlap=self.overlap)
        for number, layer in enumerate(self.layers):
            qkv_TX = self.product(normed_TD, layer.qkv, own)
            self.rotate_and_store(number, layer, qkv_TX, tokens, cache)
            last = number == len(self.layers) - 1
            if last:
                qkv_TX, hidden_TD = at_reads(qkv_TX, rows, reads), at_reads(hidden_TD, rows, reads)
                sight, own = sight_at(sight, rows, reads), 0
            mixed_TX = self.attend(number, qkv_TX, cache, sight)
            hidden_TD, normed_TD = self.add_and_norm(
                mixed_TX, layer.out, hidden_TD, layer.mlp_norm, own, ahead=_BEHIND_ATTENTION
            )
            norm = self.network.norm if last else self.layers[number + 1].attn_norm
            if isinstance(layer.feed_forward, FeedForward):
                gated_TF = self.gated(normed_TD, layer.feed_forward.gate_up, own)
                hidden_TD, normed_TD = self.add_and_norm(
                    gated_TF, layer.feed_forward.down, hidden_TD, norm, own, ahead=BEHIND_PRODUCT
                )
            else:
                hidden_TD, normed_TD = self.mixture(normed_TD, layer.feed_forward, hidden_TD, norm)
        return normed_TD

    def product(self, x_TK: Tensor, matrix: Matrix, own: int) -> Tensor:
        """own: rows that have products of their own; 0: none."""
        if own and matrix.scale is None:
            y_TM = products_by_row(x_TK, matrix.weight, own)
            return y_TM if matrix.bias is None else y_TM.add_(matrix.bias)
        weight, bias, scale = matrix.weight, matrix.bias, matrix.scale
        return linear(x_TK, weight, bias_M=bias, scale_M=scale, overlap=self.overlap, ahead=BEHIND_PRODUCT)

    def gated(self, x_TD: Tensor, matrix: Matrix, own: int) -> Tensor:
        if own and matrix.scale is None:
            return gate(products_by_row(x_TD, matrix.weight, own), overlap=self.overlap)
        return gated_linear(x_TD, matrix.weight, scale_2F=matrix.scale, overlap=self.overlap, ahead=BEHIND_PRODUCT)

    def add_and_norm(
        self, x_TK: Tensor, matrix: Matrix, residual_TD: Tensor, norm: RMSNorm, own: int, *, ahead: int
    ) -> tuple[Tensor, Tensor]:
        """(residual + product, its norm). ahead: bytes of the matrix to ask for before."""
        weight, bias, scale = matrix.weight, matrix.bias, matrix.scale
        norm_D, overlap = norm.weight.detach(), self.overlap
        if own and scale is None:
            parts_STD = products_by_row(x_TK, weight, own)[None]
        elif split_of(*weight.shape) > 1:
            parts_STD = linear_parts(x_TK, weight, overlap=overlap, ahead=ahead)
        else:
            # The two ways have other bits, so the weight's shape decides; the shorter one, where no sum is cut into parts.
            hidden_TD = linear(
                x_TK, weight, bias_M=bias, scale_M=scale, residual_NM=residual_TD, overlap=overlap, ahead=ahead
            )
            return hidden_TD, rms_norm(hidden_TD, norm_D, norm.eps, overlap=overlap)
        return add_rms_norm(parts_STD, residual_TD, norm_D, norm.eps, scale_D=scale, bias_D=bias, overlap=overlap)

    def mixture(
        self, x_TD: Tensor, weights: ExpertWeights, residual_TD: Tensor, norm: RMSNorm
    ) -> tuple[Tensor, Tensor]:
        """(residual + what the experts give, its norm)."""
        overlap = self.overlap
        # in float32, as the router of the network; by a product whose bits do not depend on the other tokens
        part_STX = linear_parts(x_TD.float(), weights.router_XD, overlap=overlap)
        router = weights.router
        expert_TC, weight_TC = choose_experts(part_STX, router.selection_bias, router.config, overlap=overlap)
        assigned = assign(expert_TC, weight_TC, len(weights.router_XD), overlap=overlap)
        part_CTD = expert_outputs(x_TD, assigned, weights.gate_XFD, weights.up_XFD, weights.down_XDF, overlap=overlap)
        if weights.shared is not None:
            gated_TF = self.gated(x_TD, weights.shared.gate_up, 0)
            residual_TD = linear(gated_TF, weights.shared.down.weight, residual_NM=residual_TD, overlap=overlap)
        return add_rms_norm(part_CTD, residual_TD, norm.weight.detach(), norm.eps, overlap=overlap)

    def attend(self, number: int, qkv_TX: Tensor, cache: SlotCache, sight: Sight) -> Tensor:
        config = self.config
        return packed_attention(
            qkv_TX,
            cache.keys_YSGCE[number],
            cache.values_YSGCE[number],
            sight,
            heads=config.heads,
            kv_heads=config.kv_head_count,
            head_size=config.head_size,
            overlap=self.overlap,
        )

    def rotate_and_store(
        self, number: int, layer: LayerWeights, qkv_TX: Tensor, tokens: PlacedTokens, cache: SlotCache
    ) -> None:
        config = self.config
        q_norm = layer.q_norm if isinstance(layer.q_norm, RMSNorm) else None
        k_norm = layer.k_norm if isinstance(layer.k_norm, RMSNorm) else None
        rotate_and_store(
            qkv_TX,
            tokens.position_BN.view(-1),
            tokens.slot_BN.view(-1),
            tokens.place_BN.view(-1),
            cache.keys_YSGCE[number],
            cache.values_YSGCE[number],
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


def at_reads(x_TX: Tensor, rows: int, reads: int | Tensor) -> Tensor:
    """The tokens whose logits are read, side by side."""
    if isinstance(reads, Tensor):
        return x_TX[reads]
    # a reshape alone makes no copy of one query a row, and the kernels read rows that lie side by side
    return x_TX.view(rows, -1, x_TX.shape[1])[:, -reads:].reshape(rows * reads, -1).contiguous()


def sight_at(sight: Sight, rows: int, reads: int | Tensor) -> Sight:
    """That of the tokens whose logits are read."""
    rank_BQ, limit_BQ, group_BQ = (
        at_reads(x_BN.view(-1, 1), rows, reads).view(rows, -1)
        for x_BN in (sight.rank_BN, sight.limit_BN, sight.group_BN)
    )
    seen_BQ = None if sight.seen_BN is None else at_reads(sight.seen_BN.view(-1, 1), rows, reads).view(rows, -1)
    return replace(sight, rank_BN=rank_BQ, limit_BN=limit_BQ, group_BN=group_BQ, seen_BN=seen_BQ)


def products_by_row(x_TK: Tensor, weight_MK: Tensor, rows: int) -> Tensor:
    """x W^T [T, M], one product for each of `rows` equal parts: of the same shape whatever else is in the pass."""
    y_TM = x_TK.new_empty(len(x_TK), len(weight_MK))
    for x_NK, y_NM in zip(x_TK.chunk(rows), y_TM.chunk(rows), strict=True):
        torch.mm(x_NK, weight_MK.t(), out=y_NM)
    return y_TM
