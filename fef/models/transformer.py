"""One transformer for every absorbing-noise checkpoint: RMSNorm, RoPE, grouped heads, any attention pattern.

Shapes: B rows, N new tokens, P cached tokens, K = P + N keys, L canvas length, S slots, D width, H heads, G key-value
heads, E head size, Y layers, V vocabulary. `visible[b, n, k]` is True where token n may attend to key k.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.overrides import TorchFunctionMode

from fef.models.config import TransformerConfig
from fef.models.mlp import feed_forward
from fef.models.products import joined_product
from fef.models.rotation import rope_table, rotate
from fef.models.slopes import turned_heads, whole_heads

Module = TypeVar("Module", bound=nn.Module)

__all__ = [
    "FLEX_OPTIONS",
    "KeyValues",
    "RMSNorm",
    "Transformer",
    "allocate",
    "blank",
    "flex_options",
    "pattern_block",
    "plain_visible",
]

FLEX_OPTIONS: dict[int, dict[str, Any]] = {
    64: {"fwd_BLOCK_M": 64, "fwd_BLOCK_N": 64, "fwd_num_warps": 4}
    | {"bwd_BLOCK_M1": 64, "bwd_BLOCK_N1": 64, "bwd_BLOCK_M2": 64, "bwd_BLOCK_N2": 64}
    | {"bwd_num_warps": 4, "bwd_num_stages": 2}
}
"""Options of the kernels of `flex_attention` by head size, where torch's own are slower (`benchmarks/attention_tiles.py`)."""
PATTERN_BLOCK = 128  # a multiple of all tiles that torch chooses by itself


@dataclass
class KeyValues:
    """Keys (rotated) and values of every layer: two tensors of shape [Y, B, G, P, E]."""

    keys_YBGPE: Tensor
    values_YBGPE: Tensor

    def select(self, rows: Tensor | slice) -> KeyValues:
        """These rows; a view if they are a slice."""
        return KeyValues(self.keys_YBGPE[:, rows], self.values_YBGPE[:, rows])

    def cut(self, start: int, stop: int) -> KeyValues:
        """Of the positions from `start` up to `stop`; a view."""
        return KeyValues(self.keys_YBGPE[..., start:stop, :], self.values_YBGPE[..., start:stop, :])

    def copy(self) -> KeyValues:
        return KeyValues(self.keys_YBGPE.clone(), self.values_YBGPE.clone())

    def grown(self, count: int) -> KeyValues:
        """With `count` more rows, of zeros."""
        pads = (0, 0, 0, 0, 0, 0, 0, count)
        return KeyValues(F.pad(self.keys_YBGPE, pads), F.pad(self.values_YBGPE, pads))

    def put(self, rows: Tensor | slice, part: KeyValues) -> None:
        """Overwrite these rows with those of `part`, in its order."""
        self.keys_YBGPE[:, rows] = part.keys_YBGPE
        self.values_YBGPE[:, rows] = part.values_YBGPE


class Transformer(nn.Module):
    """A masked-diffusion denoiser. `model(ids)` gives logits; `trunk` runs any attention pattern over any cache."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.name = "Transformer"
        self.extras: Any = None  # `fef.models.extras.Extras` of a checkpoint that has some
        self.weight_format: str | None = None  # set by `fef.models.quantize`
        self.embed = nn.Embedding(config.vocab_size, config.dim)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.head = None if config.tied_embeddings else nn.Linear(config.dim, config.vocab_size, bias=False)

    def reset(self, seed: int) -> None:
        """Fresh weights for training: residual branches start at zero, so that depth does not change the scale."""
        generator = torch.Generator(self.device).manual_seed(seed)
        for name, parameter in self.named_parameters():
            if name.endswith(("attn.out.weight", "down.weight", "experts.down", "bias")):
                nn.init.zeros_(parameter)
            elif name.startswith("embed"):
                nn.init.normal_(parameter, std=0.02, generator=generator)
            elif parameter.ndim >= 2:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
            else:
                nn.init.ones_(parameter)

    @property
    def mask_id(self) -> int:
        return self.config.mask_id

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end a text or a turn, the one that fills what follows first."""
        eos_id = self.config.eos_id
        return () if eos_id is None else (eos_id, *self.config.stop_ids)

    @property
    def head_weight(self) -> Tensor:
        """The matrix [V, D] of the language-model head, which may be that of the embeddings."""
        return self.embed.weight if self.head is None else self.head.weight

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    def forward(self, ids_BL: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Logits [B, L, V] of every position. Row b holds `lengths_B[b]` tokens followed by padding."""
        positions_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
        return self.logits_at(ids_BL, positions_BL, lengths_B)

    def logits_at(self, ids_BL: Tensor, positions_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Logits [B, S, V] that predict the tokens at `positions_BS`; the head runs there only."""
        return self.logits(self.hidden_at(ids_BL, positions_BS, lengths_B))

    def hidden_at(self, ids_BL: Tensor, positions_BS: Tensor, lengths_B: Tensor | None = None) -> Tensor:
        """Final hidden states [B, S, D] that predict the tokens at `positions_BS`."""
        index_BL = torch.arange(ids_BL.shape[1], device=ids_BL.device).expand_as(ids_BL)
        hidden_BLD, _ = self.trunk(
            ids_BL, index_BL, plain_visible(self.config, ids_BL.shape[1], lengths_B, ids_BL.device)
        )
        return hidden_BLD.gather(1, self.reads(positions_BS)[..., None].expand(-1, -1, hidden_BLD.shape[-1]))

    def reads(self, positions: Tensor) -> Tensor:
        """The positions whose hidden states predict the tokens at `positions`: their own, or one before (`shift`)."""
        return (positions - 1).clamp(min=0) if self.config.shift else positions

    def logits(self, hidden: Tensor) -> Tensor:
        """The language-model head on final hidden states [..., D] -> [..., V]."""
        return F.linear(hidden, self.head_weight)

    def trunk(
        self, tokens_BN: Tensor, positions_BN: Tensor, visible: Tensor | BlockMask | None, past: KeyValues | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Final hidden states [B, N, D] and, per layer, the new tokens' keys and values [B, G, N, E].

        visible: bool, broadcastable to [B, N, P + N]: cached keys first, then the new tokens; None: all of them. A
        `BlockMask` skips blocks that nobody sees, and is fast where it is compiled: on a GPU.
        """
        hidden_BND = self.embed(tokens_BN)
        if torch.is_autocast_enabled(hidden_BND.device.type):
            hidden_BND = hidden_BND.to(torch.get_autocast_dtype(hidden_BND.device.type))
        rotation = rope_table(positions_BN, self.config.rotary_size, self.config.rope_theta, hidden_BND.dtype)
        pattern = additive_mask(visible, hidden_BND.dtype) if isinstance(visible, Tensor) else visible
        new = []
        for layer, block in enumerate(self.blocks):
            cached = None if past is None else (past.keys_YBGPE[layer], past.values_YBGPE[layer])
            hidden_BND, key_values = block(hidden_BND, rotation, pattern, cached)
            new.append(key_values)
        return self.norm(hidden_BND), new


def blank(config: TransformerConfig) -> Transformer:
    """The network on the meta device: names and shapes, no numbers."""
    with torch.device("meta"), WithoutNormals():
        return Transformer(config)


def allocate(network: Module, device: torch.device | str) -> Module:
    """Memory without numbers for the parameters and buffers of a blank network, in place; no parameter asks for a gradient.

    `to_empty` does the same with `empty_like`, which on the meta device loads torch's symbolic shapes: 50 MB.
    """
    for module in network.modules():
        for name, old in list(module.named_parameters(recurse=False)):
            new = nn.Parameter(torch.empty(old.shape, dtype=old.dtype, device=device), requires_grad=False)
            setattr(module, name, new)
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))
    return network


class WithoutNormals(TorchFunctionMode):
    """Leaves parameters as they are where normal numbers would fill them: on the meta device, which has none, this alone
    would load torch's compiler, 150 MB in more than a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **(kwargs or {}))


class Block(nn.Module):
    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.attn_norm = RMSNorm(config.dim, config.norm_eps)
        self.attn = SelfAttention(config)
        self.mlp_norm = RMSNorm(config.dim, config.norm_eps)
        self.mlp = feed_forward(config, layer)

    def forward(
        self,
        hidden_BND: Tensor,
        rotation: tuple[Tensor, Tensor],
        pattern: Tensor | BlockMask | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        mixed_BND, key_values = self.attn(self.attn_norm(hidden_BND), rotation, pattern, past)
        hidden_BND = hidden_BND + mixed_BND
        return hidden_BND + self.mlp(self.mlp_norm(hidden_BND)), key_values


class SelfAttention(nn.Module):
    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.head_size = config.head_size
        self.grouped = config.kv_head_count != config.heads
        self.groups, self.normed = config.kv_head_count, config.qk_norm
        scale = self.head_size**-0.5
        self.scale = scale if math.frexp(scale)[0] == 0.5 else None  # a power of two
        q_dim, kv_dim = config.heads * config.head_size, config.kv_head_count * config.head_size
        self.widths = [q_dim, kv_dim, kv_dim]
        self.q = nn.Linear(config.dim, q_dim, bias=config.qkv_bias)
        self.k = nn.Linear(config.dim, kv_dim, bias=config.qkv_bias)
        self.v = nn.Linear(config.dim, kv_dim, bias=config.qkv_bias)
        self.out = nn.Linear(q_dim, config.dim, bias=config.out_bias)
        self.q_norm = RMSNorm(config.head_size, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(config.head_size, config.norm_eps) if config.qk_norm else nn.Identity()

    def forward(
        self,
        hidden_BND: Tensor,
        rotation: tuple[Tensor, Tensor],
        pattern: Tensor | BlockMask | None,
        past: tuple[Tensor, Tensor] | None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        (q_BHNE, k_BGNE, v_BGNE), scale = self.heads(hidden_BND, rotation)
        k_BGKE = k_BGNE if past is None else torch.cat([past[0], k_BGNE], dim=2)
        v_BGKE = v_BGNE if past is None else torch.cat([past[1], v_BGNE], dim=2)
        mixed_BHNE = attend(q_BHNE, k_BGKE, v_BGKE, pattern, self.grouped, scale)
        # for caches, through which no gradient flows: a compiled backward pass would add their zeros
        kept = k_BGNE.detach(), v_BGNE.detach()
        return self.out(mixed_BHNE.transpose(1, 2).flatten(2)), kept

    def heads(
        self, hidden_BND: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor, Tensor], float | None]:
        """Rotated queries [B, H, N, E] and keys [B, G, N, E], and values; what scores are still to be multiplied by, if it is
        not the usual root. To divide queries by a power of two rounds nothing, and spares kernels that of the scores."""
        layers = [self.q, self.k, self.v]
        joined = joined_product(hidden_BND, layers)
        if joined is not None and not self.normed and whole_heads(rotation, self.head_size):
            return turned_heads(joined, rotation, self.groups, self.scale or 1.0), self.scale and 1.0
        q_BNX, k_BNX, v_BNX = (
            [layer(hidden_BND) for layer in layers] if joined is None else torch.split(joined, self.widths, -1)
        )
        q_BHNE = rotate(self.q_norm(self.split(q_BNX)), rotation)
        return (q_BHNE, rotate(self.k_norm(self.split(k_BNX)), rotation), self.split(v_BNX)), None

    def split(self, x_BNX: Tensor) -> Tensor:
        return x_BNX.view(*x_BNX.shape[:-1], -1, self.head_size).transpose(1, 2)


def attend(
    q_BHNE: Tensor,
    k_BGKE: Tensor,
    v_BGKE: Tensor,
    pattern: Tensor | BlockMask | None,
    grouped: bool,
    scale: float | None = None,
) -> Tensor:
    if isinstance(pattern, BlockMask):
        options: Any = flex_options(FLEX_OPTIONS.get(q_BHNE.shape[-1]), pattern, q_BHNE.shape[2], k_BGKE.shape[2])
        mixed = flex_attention(q_BHNE, k_BGKE, v_BGKE, None, pattern, scale, grouped, kernel_options=options)
        assert isinstance(mixed, Tensor)  # nothing else was asked for
        return mixed
    return F.scaled_dot_product_attention(q_BHNE, k_BGKE, v_BGKE, attn_mask=pattern, scale=scale, enable_gqa=grouped)


def pattern_block(head_size: int) -> int:
    """Places of a block of queries and of keys in a `BlockMask` for heads of this size: the largest tile. What is skipped are
    whole blocks, so that smaller ones leave less to be computed for nothing."""
    tiles = FLEX_OPTIONS.get(head_size, {})
    return max((size for name, size in tiles.items() if "BLOCK" in name), default=PATTERN_BLOCK)


def flex_options(tiles: dict[str, Any] | None, pattern: BlockMask, queries: int, keys: int) -> dict[str, Any] | None:
    """These tiles, and the size of blocks of which the pattern's lists are. It may say that they are larger: for its backward
    pass torch refuses blocks that its own tiles do not divide, also where it has others."""
    if tiles is None:
        return None
    rows, columns = pattern.kv_indices.shape[-2:]
    return tiles | {"SPARSE_Q_BLOCK_SIZE": queries // rows, "SPARSE_KV_BLOCK_SIZE": keys // columns}


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        return F.rms_norm(hidden, self.weight.shape, self.weight.to(hidden.dtype), self.eps)


def plain_visible(
    config: TransformerConfig, length: int, lengths_B: Tensor | None, device: torch.device
) -> Tensor | None:
    """The attention pattern of a plain pass, [B or 1, L, L]; None when every token sees every token."""
    index_L = torch.arange(length, device=device)
    visible: Tensor | None = None
    if config.attention == "causal":
        visible = (index_L[None, :] <= index_L[:, None])[None]
    elif config.attention == "block-causal":
        assert config.block_length is not None
        block_L = index_L // config.block_length
        visible = (block_L[None, :] <= block_L[:, None])[None]
    if lengths_B is None:
        return visible
    real_B1L = index_L[None, None, :] < lengths_B[:, None, None]
    return real_B1L if visible is None else visible & real_B1L


def additive_mask(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A bool pattern [B, N, K] as an additive bias [B, 1, N, K]: about twice as fast in SDPA on a CPU."""
    return torch.zeros_like(visible, dtype=dtype).masked_fill_(~visible, torch.finfo(dtype).min)[:, None]
