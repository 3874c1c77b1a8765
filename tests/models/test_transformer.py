"""The transformer: who sees whom, padding, grouped heads, rotary positions, shift."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from tiny_network import MASK, tiny_network
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from fef.models.config import TransformerConfig
from fef.models.rotation import rope_table, rotate
from fef.models.transformer import Transformer, blank

LENGTH = 12
PATTERNS = [
    {"attention": "bidirectional"},
    {"attention": "causal"},
    {"attention": "block-causal", "block_length": 4},
    {"attention": "block-causal", "block_length": 5},
]


def some_ids(rows: int = 2, length: int = LENGTH, seed: int = 0) -> Tensor:
    return torch.randint(0, MASK + 1, (rows, length), generator=torch.Generator().manual_seed(seed))


def sees(pattern: dict[str, object], query: int, key: int) -> bool:
    size = {"bidirectional": LENGTH, "causal": 1, "block-causal": pattern.get("block_length")}[pattern["attention"]]
    return key // size <= query // size


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("layers", [1, 3])
def test_an_invisible_token_changes_nothing_and_a_visible_one_does(pattern, layers):
    model = tiny_network(layers=layers, packed=False, **pattern)
    ids = some_ids()
    base = model(ids)
    for key in range(LENGTH):
        changed = ids.clone()
        changed[:, key] = (changed[:, key] + 1) % MASK
        moved = model(changed)
        for query in range(LENGTH):
            if sees(pattern, query, key):
                assert bool((moved[:, query] != base[:, query]).any(-1).all())
            else:
                assert torch.equal(moved[:, query], base[:, query])


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_padding_changes_nothing(pattern):
    model = tiny_network(layers=3, packed=False, **pattern)
    ids = some_ids(3)
    lengths = torch.tensor([12, 7, 1])
    padded = model(ids, lengths)
    for b, n in enumerate(lengths.tolist()):
        torch.testing.assert_close(padded[b, :n], model(ids[b : b + 1, :n])[0], rtol=0, atol=1e-12)
    other = torch.where(torch.arange(LENGTH) < lengths[:, None], ids, (ids + 3) % MASK)
    again = model(other, lengths)
    for b, n in enumerate(lengths.tolist()):
        assert torch.equal(again[b, :n], padded[b, :n])


def test_rows_do_not_see_each_other():
    model = tiny_network()
    ids = some_ids(4)
    torch.testing.assert_close(model(ids)[2:3], model(ids[2:3]), rtol=0, atol=1e-12)


def test_grouped_heads_equal_repeated_heads():
    grouped = tiny_network(heads=4, kv_heads=2, head_dim=6, qkv_bias=True, qk_norm=True)
    full = Transformer(TransformerConfig(**(grouped.config.to_dict() | {"kv_heads": None}))).double()
    state = grouped.state_dict()
    for name, tensor in state.items():
        if name.split(".")[-2] in ("k", "v"):
            heads = tensor.unflatten(0, (2, 6))
            state[name] = heads.repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(state)
    torch.testing.assert_close(full(some_ids()), grouped(some_ids()), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("switch", "parameters"),
    [
        ({"qkv_bias": True}, ["attn.q.bias", "attn.k.bias", "attn.v.bias"]),
        ({"qk_norm": True}, ["attn.q_norm.weight", "attn.k_norm.weight"]),
        ({"tied_embeddings": False}, ["head.weight"]),
    ],
)
def test_switches_add_parameters_that_matter(switch, parameters):
    plain, model = tiny_network(), tiny_network(**switch)
    added = model.state_dict().keys() - plain.state_dict().keys()
    assert all(any(name.endswith(p) for name in added) for p in parameters)
    base = model(some_ids())
    for name in added:
        if name.endswith("k.bias"):
            continue  # rotary positions apart, a shift of all keys cancels in the softmax
        parameter = model.get_parameter(name)
        kept = parameter.clone()
        with torch.no_grad():
            parameter.mul_(1.5).add_(0.1)
        assert float((model(some_ids()) - base).abs().max()) > 1e-6, name
        with torch.no_grad():
            parameter.copy_(kept)


def test_the_tied_head_is_the_embedding():
    tied = tiny_network(tied_embeddings=True)
    free = tiny_network(tied_embeddings=False)
    free.load_state_dict({**tied.state_dict(), "head.weight": tied.embed.weight})
    assert torch.equal(tied(some_ids()), free(some_ids()))


def test_logits_at_are_the_logits_of_those_positions():
    model = tiny_network(layers=3)
    ids, positions = some_ids(), torch.tensor([[3, 0, 11], [5, 5, 1]])
    whole = model(ids).gather(1, positions[..., None].expand(-1, -1, 8))
    torch.testing.assert_close(model.logits_at(ids, positions), whole, rtol=0, atol=1e-12)


def test_a_shifted_network_predicts_a_token_from_the_state_before_it():
    plain, shifted = tiny_network(packed=False), tiny_network(packed=False, shift=True)
    ids = some_ids()
    close = partial(
        torch.testing.assert_close, rtol=0, atol=1e-12
    )  # a row's last bits depend on its place in the batch
    close(shifted(ids)[:, 1:], plain(ids)[:, :-1])
    close(shifted(ids)[:, 0], plain(ids)[:, 0])  # nothing stands before the first
    positions = torch.tensor([[4], [9]])
    close(shifted.logits_at(ids, positions), plain.logits_at(ids, positions - 1))


@pytest.mark.parametrize("theta", [10_000.0, 500_000.0])
def test_rotary_positions_are_rotations_in_the_complex_plane(theta):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 5, 8, generator=generator, dtype=torch.float64)
    positions = torch.tensor([[0, 1, 2, 3, 100], [7, 5, 5, 0, 4000]])
    pairs = torch.complex(x[..., :4], x[..., 4:])
    frequency = torch.tensor([theta ** (-2 * i / 8) for i in range(4)], dtype=torch.float64)
    turn = torch.polar(torch.ones(2, 5, 4).double(), positions[..., None] * frequency)
    turned = pairs * turn[:, None]
    expected = torch.cat([turned.real, turned.imag], -1)
    found = rotate(x, rope_table(positions, 8, theta, torch.float64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_only_relative_positions_matter():
    model = tiny_network(layers=3)
    ids = some_ids()
    index = torch.arange(LENGTH).expand_as(ids)
    near, _ = model.trunk(ids, index, None)
    far, _ = model.trunk(ids, index + 1000, None)
    torch.testing.assert_close(near, far, rtol=0, atol=1e-8)


def test_fresh_weights_are_a_function_of_the_seed():
    config = tiny_network().config
    first, again, other = Transformer(config), Transformer(config), Transformer(config)
    for model, seed in [(first, 1), (again, 1), (other, 2)]:
        model.reset(seed)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embed.weight, other.embed.weight)
    assert torch.isfinite(first(some_ids())).all()


@pytest.mark.parametrize("changes", [{}, {"tied_embeddings": False, "qkv_bias": True, "qk_norm": True}])
def test_a_blank_network_has_all_names_and_shapes_and_no_numbers(changes):
    config = TransformerConfig(**(tiny_network().config.to_dict() | changes))
    shapes = {name: parameter.shape for name, parameter in Transformer(config).named_parameters()}
    network = blank(config)
    assert {name: parameter.shape for name, parameter in network.named_parameters()} == shapes
    assert all(parameter.is_meta for parameter in network.parameters())


class Operations(TorchDispatchMode):
    """Notes what torch is asked to compute."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_blank_network_draws_no_normal_numbers():
    config = tiny_network().config
    with Operations() as ordinary:
        Transformer(config)
    with Operations() as spared:
        blank(config)
    assert "normal_" in ordinary.names
    assert "normal_" not in spared.names
