"""The feed-forward part of a layer: SwiGLU, or a mixture of SwiGLU experts with a router.

Shapes: T tokens, D width, F expert width, X experts, C chosen experts per token, A = T x C assignments.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.products import joined_product
from fef.models.slopes import gated_units

__all__ = ["Experts", "Mixture", "Router", "SwiGLU", "feed_forward"]


def feed_forward(config: TransformerConfig, layer: int) -> nn.Module:
    """The feed-forward part of one layer, [..., D] -> [..., D]."""
    mixture = config.mixture
    if mixture is None or layer in mixture.dense_layers:
        return SwiGLU(config.dim, config.mlp_dim)
    return Mixture(config.dim, mixture)


class SwiGLU(nn.Module):
    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.gate = nn.Linear(dim, mlp_dim, bias=False)
        self.up = nn.Linear(dim, mlp_dim, bias=False)
        self.down = nn.Linear(mlp_dim, dim, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        joined = joined_product(hidden, [self.gate, self.up])
        if joined is None:
            return self.down(F.silu(self.gate(hidden)) * self.up(hidden))  # type: ignore[no-any-return]
        return self.down(gated_units(joined))  # type: ignore[no-any-return]


class Mixture(nn.Module):
    """The weighted sum of a token's chosen experts, and the shared expert if there is one."""

    def __init__(self, dim: int, config: MixtureConfig) -> None:
        super().__init__()
        self.router = Router(dim, config)
        self.experts = Experts(dim, config)
        self.shared = SwiGLU(dim, config.shared_dim) if config.shared_dim else None

    def forward(self, hidden: Tensor) -> Tensor:
        hidden_TD = hidden.reshape(-1, hidden.shape[-1])
        expert_TC, weight_TC = self.router(hidden_TD)
        mixed_TD = (self.experts(hidden_TD, expert_TC) * weight_TC[..., None]).sum(1)
        mixed = mixed_TD.to(hidden.dtype).view_as(hidden)
        return mixed if self.shared is None else torch.add(mixed, self.shared(hidden))


class Router(nn.Module):
    """Which experts each token runs through, and their weights. In float32: a rounded score chooses another expert."""

    def __init__(self, dim: int, config: MixtureConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.experts, dim))
        self.selection_bias = nn.Parameter(torch.zeros(config.experts)) if config.selection_bias else None

    def forward(self, hidden_TD: Tensor) -> tuple[Tensor, Tensor]:
        """Ids [T, C] and float32 weights [T, C] of the chosen experts."""
        return self.choose(self.logits(hidden_TD))

    def choose(self, logits_TX: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        scores_TX = logits_TX.softmax(-1) if config.scores == "softmax" else logits_TX.sigmoid()
        choice_TX = scores_TX if self.selection_bias is None else scores_TX + self.selection_bias.float()
        if config.top_groups < config.groups:
            choice_TX = best_groups(choice_TX, config.groups, config.top_groups)
        expert_TC = choice_TX.topk(config.per_token, dim=-1).indices
        weight_TC = scores_TX.gather(1, expert_TC)
        if config.normalize:
            weight_TC = weight_TC / weight_TC.sum(-1, keepdim=True).clamp(min=1e-20)
        return expert_TC, weight_TC * config.scale

    def logits(self, hidden_TD: Tensor) -> Tensor:
        with torch.autocast(hidden_TD.device.type, enabled=False):
            return F.linear(hidden_TD.float(), self.weight.float())


class Experts(nn.Module):
    """The weights of all experts, stacked."""

    def __init__(self, dim: int, config: MixtureConfig) -> None:
        super().__init__()
        self.per_token = config.per_token
        self.gate = nn.Parameter(torch.empty(config.experts, config.expert_dim, dim))
        self.up = nn.Parameter(torch.empty(config.experts, config.expert_dim, dim))
        self.down = nn.Parameter(torch.empty(config.experts, dim, config.expert_dim))

    def forward(self, hidden_TD: Tensor, expert_TC: Tensor) -> Tensor:
        """Output [T, C, D] of each token's chosen experts. Assignments are sorted by expert, so each runs once."""
        expert_A, order_A = expert_TC.flatten().sort(stable=True)
        counts = expert_A.bincount(minlength=len(self.gate)).tolist()
        parts = torch.split(hidden_TD[order_A // expert_TC.shape[1]], counts)
        output_AD = torch.cat([self.run(expert, part) for expert, part in enumerate(parts) if len(part)])
        return torch.empty_like(output_AD).index_copy_(0, order_A, output_AD).view(*expert_TC.shape, -1)

    def run(self, expert: int, hidden: Tensor) -> Tensor:
        gated = F.silu(F.linear(hidden, self.gate[expert])) * F.linear(hidden, self.up[expert])
        return F.linear(gated, self.down[expert])


def best_groups(choice_TX: Tensor, groups: int, top_groups: int) -> Tensor:
    """-inf outside the best groups; a group is as good as the sum of its two best experts (DeepSeek-V3, 2412.19437)."""
    grouped_TGE = choice_TX.view(len(choice_TX), groups, -1)
    value_TG = grouped_TGE.topk(min(2, grouped_TGE.shape[-1]), dim=-1).values.sum(-1)
    kept_TG = torch.zeros_like(value_TG, dtype=torch.bool).scatter_(1, value_TG.topk(top_groups, dim=-1).indices, True)
    return grouped_TGE.masked_fill(~kept_TG[..., None], -torch.inf).flatten(1)
