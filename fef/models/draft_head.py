"""The draft head: from the independent marginals of a draft group to the laws of its slots given the tokens before.

A draft group predicts each of its slots as if the others were unknown. The head adds what the tokens in between say: one
causal block over the slots behind a state, of the width of the network, or of `WIDEST` where that is less. It reads the
group's hidden states, the hidden state of the target query at the state, and the two tokens before each slot, and corrects
the hidden state that the network's own output matrix reads (ADJUST, 2509.22738; SSMD's causal layer, 2510.03929). It
changes how many drafts hold and never the law of the text (`docs/laws.md`, "Draft and verify").

A step looks at the states of one depth of a tree of drafts, the frontier, and gives the laws of their children. A slot's
candidates are the likeliest tokens of its marginal, so that a step reads a few rows of the output matrix and not all.

Shapes: B rows, K slots behind the state, C candidates of a slot, F frontier states, T steps of a path, N windows (B, or B
F of them), W width of the block, M inner width of its MLP; D, H, G, E, V as in `transformer`.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.models.config import TransformerConfig
from fef.models.transformer import RMSNorm, Transformer

__all__ = ["CANDIDATES", "WIDEST", "DraftHead", "DraftWindow", "HeadSizes", "Path", "even", "top_candidates"]

CANDIDATES = 256
DEPTHS = 8
WIDEST = 1024  # a step waits until the block's weights are read, and there are as many steps as a tree is deep


@dataclass(frozen=True)
class HeadSizes:
    """dim: width of the network. heads, kv_heads, head_size: of the attention. mlp_dim: inner width. depths: slots behind a
    state that it drafts, at most. candidates: tokens of a slot that it weighs. block_dim: width of the block, at most dim;
    None: dim."""

    dim: int
    heads: int
    kv_heads: int
    head_size: int
    mlp_dim: int
    depths: int = DEPTHS
    candidates: int = CANDIDATES
    block_dim: int | None = None

    def __post_init__(self) -> None:
        sizes = [size for size in astuple(self) if size is not None]
        positive = all(type(size) is int and size > 0 for size in sizes)
        if not positive or self.heads % self.kv_heads or self.width > self.dim:
            raise ValueError(f"{self} are no sizes of a head")

    @property
    def width(self) -> int:
        """Of the block."""
        return self.block_dim or self.dim

    @classmethod
    def of(
        cls, config: TransformerConfig, depths: int = DEPTHS, candidates: int = CANDIDATES, widest: int | None = None
    ) -> HeadSizes:
        """Those of a head for this network: a block of its width and attention, of which a network wider than `widest`, or
        `WIDEST`, gets that width and as many heads as fill it. Inside, 8/3 of the block's width, or somewhat more: rows of
        matrices that begin at multiples of 16 bytes are read faster."""
        width, size = min(config.dim, widest or WIDEST), config.head_size
        heads, kv_heads, block_dim = config.heads, config.kv_head_count, None
        if width < config.dim:
            heads = kv_heads = max(1, width // size)
            block_dim = width
        candidates, mlp_dim = min(candidates, config.vocab_size), 16 * math.ceil(width / 6)
        return cls(config.dim, heads, kv_heads, size, mlp_dim, depths, candidates, block_dim)


@dataclass(frozen=True)
class DraftWindow:
    """The slots behind a state, before any token of theirs is known.

    known_BKW: what the hidden states contribute. ids_BKC, logits_BKC: candidates of each slot and their marginal logits.
    """

    known_BKW: Tensor
    ids_BKC: Tensor
    logits_BKC: Tensor


@dataclass(frozen=True)
class Path:
    """What a step leaves to the steps behind its states: keys and values of the path to each, and the token of each."""

    keys_BFTGE: Tensor
    values_BFTGE: Tensor
    token_BF: Tensor

    def at(self, state_BX: Tensor) -> Path:
        """Of these states."""
        index_BX111 = state_BX[:, :, None, None, None]
        keys, values = (
            x.gather(1, index_BX111.expand(-1, -1, *x.shape[2:])) for x in (self.keys_BFTGE, self.values_BFTGE)
        )
        return Path(keys, values, self.token_BF.gather(1, state_BX))


class DraftHead(nn.Module):
    """See the module. Its functions take the network, whose embedding and output matrix they read."""

    def __init__(self, sizes: HeadSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width, wide, narrow = sizes.width, sizes.heads * sizes.head_size, sizes.kv_heads * sizes.head_size
        self.hidden, self.lead, self.last, self.second_last = (linear(sizes.dim, width) for _ in range(4))
        self.depth = nn.Parameter(torch.zeros(sizes.depths, width))
        self.attn_norm, self.mlp_norm, self.out_norm = (RMSNorm(width, 1e-6) for _ in range(3))
        self.q, self.k, self.v, self.out = (
            linear(width, wide),
            linear(width, narrow),
            linear(width, narrow),
            linear(wide, width),
        )
        self.gate_up, self.down = linear(width, 2 * sizes.mlp_dim), linear(sizes.mlp_dim, width)
        self.widen = None if width == sizes.dim else linear(width, sizes.dim)

    def reset(self, seed: int) -> None:
        """Fresh weights for training: the correction is zero at first, so drafts are those of the marginals."""
        generator = torch.Generator(self.depth.device).manual_seed(seed)
        for parameter in self.parameters():
            if parameter.ndim >= 2:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5, generator=generator)
            else:
                nn.init.ones_(parameter)
        nn.init.zeros_(self.out_norm.weight)
        nn.init.zeros_(self.depth)

    def window(self, hidden_BKD: Tensor, lead_BD: Tensor, ids_BKC: Tensor, logits_BKC: Tensor) -> DraftWindow:
        """hidden_BKD: final hidden states of a draft group at the slots. lead_BD: of the target query whose draw is the
        last committed token. ids_BKC, logits_BKC: see `DraftWindow`, and `top_candidates`."""
        slots = hidden_BKD.shape[1]
        assert slots <= self.sizes.depths, "the head drafts no deeper"
        known_BKW = self.hidden(even(hidden_BKD)) + self.lead(even(lead_BD))[:, None] + self.depth[:slots]
        return DraftWindow(known_BKW, ids_BKC, logits_BKC)

    def root(self, before_B: Tensor) -> Path:
        """The path of no steps. before_B: the token before the last committed one."""
        keys_BFTGE = self.k.weight.new_empty(len(before_B), 1, 0, self.sizes.kv_heads, self.sizes.head_size)
        return Path(keys_BFTGE, keys_BFTGE, before_B[:, None])

    def step(
        self, network: Transformer, window: DraftWindow, path: Path, parent_BF: Tensor, token_BF: Tensor
    ) -> tuple[Tensor, Path]:
        """Logits [B, F, C], float32, of what follows each frontier state, on its slot's candidates, and the states' paths.

        path: of the step before, at first the root. parent_BF: which of its states each state continues. token_BF: what
        the states hold; at first one state per row, and the last committed token.
        """
        before = path.at(parent_BF)
        slot, (rows, states) = path.keys_BFTGE.shape[2], token_BF.shape
        x_BFW = self.inputs(network, window.known_BKW[:, slot, None], token_BF, before.token_BF)
        past = before.keys_BFTGE.flatten(0, 1), before.values_BFTGE.flatten(0, 1)
        change_N1D, (keys_NTGE, values_NTGE) = self.block(x_BFW.flatten(0, 1)[:, None], past)
        output_BCD = network.head_weight[window.ids_BKC[:, slot]]
        correction_BFC = change_N1D.view(rows, states, -1) @ output_BCD.mT
        shape = (rows, states, slot + 1, *keys_NTGE.shape[2:])
        logits_BFC = window.logits_BKC[:, slot, None].float() + correction_BFC.float()
        return logits_BFC, Path(keys_NTGE.view(shape), values_NTGE.view(shape), token_BF)

    def sequence(self, network: Transformer, window: DraftWindow, token_BX: Tensor) -> Tensor:
        """Logits [B, K, C], float32, of every slot given the true tokens before it: what K steps along that path give.

        token_BX: the token before the last committed one, that one, and those of all slots but the last, [B, K + 1].
        """
        x_BKW = self.inputs(network, window.known_BKW, token_BX[:, 1:], token_BX[:, :-1])
        change_BKD, _ = self.block(x_BKW, None)
        correction_BKV = F.linear(change_BKD, network.head_weight)
        return window.logits_BKC.float() + correction_BKV.gather(2, window.ids_BKC).float()

    def inputs(self, network: Transformer, known: Tensor, last: Tensor, second_last: Tensor) -> Tensor:
        """What goes into the block [.., W]: known, and the two tokens before."""
        last, second_last = (even(network.embed(token)) for token in (last, second_last))
        inputs: Tensor = known + self.last(last) + self.second_last(second_last)
        return inputs

    def block(self, x_NKW: Tensor, past: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """The correction [N, K, D], and keys and values [N, T, G, E] of the path. past: of one further step, the keys and
        values before it; None: all slots at once, each of which sees itself and those before."""
        sizes, (N, K, _) = self.sizes, x_NKW.shape
        normed_NKW = self.attn_norm(x_NKW)
        q_NKHE = self.q(normed_NKW).view(N, K, sizes.heads, sizes.head_size)
        keys_NTGE, values_NTGE = (
            part(normed_NKW).view(N, K, sizes.kv_heads, sizes.head_size) for part in (self.k, self.v)
        )
        if past is not None:
            assert K == 1, "one step"
            keys_NTGE, values_NTGE = (torch.cat(pair, 1) for pair in zip(past, (keys_NTGE, values_NTGE), strict=True))
        mixed_NHKE = F.scaled_dot_product_attention(
            q_NKHE.transpose(1, 2),
            keys_NTGE.transpose(1, 2),
            values_NTGE.transpose(1, 2),
            is_causal=past is None,
            enable_gqa=sizes.heads != sizes.kv_heads,
        )
        x_NKW = x_NKW + self.out(mixed_NHKE.transpose(1, 2).flatten(2))
        gate_NKM, up_NKM = self.gate_up(self.mlp_norm(x_NKW)).chunk(2, dim=-1)
        x_NKW = x_NKW + self.down(F.silu(gate_NKM) * up_NKM)
        change = self.out_norm(x_NKW)
        return change if self.widen is None else self.widen(change), (keys_NTGE, values_NTGE)


def top_candidates(logits_BKV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Ids and logits [B, K, C] of the likeliest tokens of each marginal, the likeliest first. Ids that never occur have
    logits -inf and come last."""
    logits_BKC, ids_BKC = logits_BKV.topk(min(count, logits_BKV.shape[-1]), dim=-1)
    return ids_BKC, logits_BKC


def linear(inputs: int, outputs: int) -> nn.Linear:
    return nn.Linear(inputs, outputs, bias=False)


def even(x: Tensor) -> Tensor:
    """Of root mean square 1: hidden states and embeddings have very different sizes."""
    return F.rms_norm(x, x.shape[-1:], eps=1e-6)
