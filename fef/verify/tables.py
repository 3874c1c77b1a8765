"""Small denoisers whose every conditional is known: tables, the parity law, a tiny random network."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from fef.models.config import TransformerConfig
from fef.models.demask import DependencyHead
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.hidden_layer import HiddenLayer
from fef.models.joint_layer import JointLayer
from fef.models.order_block import OrderBlock
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.models.unmask_policy import UnmaskPolicy

__all__ = [
    "parity",
    "random_joint",
    "random_network",
    "tiny_causal",
    "tiny_joint_layer",
    "tiny_network",
    "tiny_order_block",
    "tiny_policy",
]

Layer = TypeVar("Layer", bound=HiddenLayer)
Module = TypeVar("Module", bound=nn.Module)


def random_joint(n_tokens: int = 3, length: int = 4, seed: int = 0, power: float = 3.0) -> Tensor:
    """A random joint law; the larger `power`, the fewer likely texts it has."""
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand((n_tokens,) * length, generator=generator, dtype=torch.float64) ** power
    return weight / weight.sum()


def parity() -> TableDenoiser:
    """Three bits, the last the parity of the others: each pair is independent, the three are not."""
    joint = torch.zeros(2, 2, 2, dtype=torch.float64)
    for a, b in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        joint[a, b, a ^ b] = 0.25
    return TableDenoiser(joint)


def tiny_network(seed: int = 0, scale: float = 0.5, **config: Any) -> Transformer:
    """A random transformer in float64 whose every weight matters; `config` as in `TransformerConfig`."""
    values = {"vocab_size": 8, "dim": 16, "layers": 2, "heads": 2, "mlp_dim": 24, "mask_id": 7, "packed": True}
    model = Transformer(TransformerConfig(**(values | config))).double()
    model.reset(seed)
    return shaken(model, seed + 1, scale)


def random_network(kind: Literal["network", "block-causal"], seed: int, n_tokens: int) -> Transformer:
    """A network deep enough for stale keys to matter, with a random dependency head, some profile, a causal model, layers on
    its hidden states, a draft head and a policy."""
    size = {"vocab_size": n_tokens + 1, "mask_id": n_tokens, "layers": 4}
    if kind == "block-causal":
        return tiny_network(seed, 0.4, attention="block-causal", block_length=2, packed=False, **size)
    network = tiny_network(seed, 0.4, **size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = DependencyHead(network.config.dim, rank=4).eval().requires_grad_(False)
    causal = tiny_causal(seed, vocab_size=n_tokens + 1, mask_id=n_tokens)
    layer, drafter = tiny_order_block(network, seed), tiny_draft_head(network, seed=seed)
    joint = tiny_joint_layer(network, seed)
    network.extras = Extras(head, (1.0, 0.6, 0.3, 0.1), layer, causal, drafter, tiny_policy(seed), joint)
    return network


def tiny_causal(seed: int = 0, scale: float = 0.4, **config: Any) -> Transformer:
    """A random causal model: its logits at a position are those of the next token."""
    network = tiny_network(seed + 100, scale, attention="causal", packed=False, **config)
    network.name = "Causal"
    return network


def tiny_layer(kind: type[Layer], first: int, network: Transformer, seed: int = 0, scale: float = 0.4) -> Layer:
    """A random layer on the hidden states of a network. first: the seed of such a layer for the seed 0."""
    layer = kind(network).to(network.embed.weight.dtype)
    layer.reset(first + seed)
    return shaken(layer, first + seed, scale)


tiny_order_block, tiny_joint_layer = partial(tiny_layer, OrderBlock, 200), partial(tiny_layer, JointLayer, 300)


def shaken(module: Module, seed: int, scale: float) -> Module:
    """The module with every weight moved at random: `reset` leaves residual branches at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return module.eval().requires_grad_(False)


def tiny_draft_head(network: Transformer, depths: int = 16, seed: int = 0) -> DraftHead:
    """A draft head that moves drafts at random."""
    head = DraftHead(HeadSizes.of(network.config, depths))
    head.reset(seed)
    torch.nn.init.normal_(head.out_norm.weight, generator=torch.Generator().manual_seed(seed))
    return head.to(network.device, network.embed.weight.dtype).requires_grad_(False)


def tiny_policy(seed: int = 0) -> UnmaskPolicy:
    """A random unmasking policy that commits about one slot in three."""
    policy = UnmaskPolicy(width=8).double()
    policy.reset(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        policy.out.weight.copy_(torch.randn(policy.out.weight.shape, generator=generator, dtype=torch.float64))
        policy.out.bias.fill_(3.0)
    return policy.eval().requires_grad_(False)
