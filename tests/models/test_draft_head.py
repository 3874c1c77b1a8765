"""The draft head: steps along trees against whole sequences, candidates against the whole output matrix, and its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path as FilePath

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_network import tiny_network
from torch import Tensor

from fef.errors import CheckpointError
from fef.models.checkpoint import demo_path, load_checkpoint
from fef.models.config import TransformerConfig
from fef.models.draft_head import DraftHead, DraftWindow, HeadSizes, Path, top_candidates
from fef.models.draft_head_file import DRAFT_HEAD, load_draft_head, save_draft_head
from fef.models.rounded_file import same_network, sample_of
from fef.models.transformer import Transformer

B, K, V = 3, 4, 12
MASK = V - 1


@pytest.fixture(params=[1024, 8], ids=["wide", "narrow"])
def widest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """A head's block of the network's width, and a narrower one."""
    monkeypatch.setattr("fef.models.draft_head.WIDEST", request.param)
    return int(request.param)


@pytest.fixture
def network() -> Transformer:
    return tiny_network(vocab_size=V, mask_id=MASK, heads=4, kv_heads=2, max_length=64)


def random_head(network: Transformer, candidates: int = 5, seed: int = 0) -> DraftHead:
    """One whose every weight matters."""
    head = DraftHead(HeadSizes.of(network.config, depths=6, candidates=candidates)).double()
    head.reset(seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return head.requires_grad_(False)


def random_window(head: DraftHead, network: Transformer) -> DraftWindow:
    generator = torch.Generator().manual_seed(5)
    hidden = torch.randn(B, K, network.config.dim, generator=generator, dtype=torch.float64)
    lead = torch.randn(B, network.config.dim, generator=generator, dtype=torch.float64)
    return head.window(hidden, lead, *top_candidates(network.logits(hidden), head.sizes.candidates))


def random_tokens(count: int) -> Tensor:
    return torch.randint(0, MASK, (B, count), generator=torch.Generator().manual_seed(3))


def stepped(head: DraftHead, network: Transformer, window: DraftWindow, paths: Tensor, before: Tensor) -> list[Tensor]:
    """Logits [B, F, C] of each depth along F paths at once; paths [B, F, K], the last committed token first.

    At every depth the states stand in another order.
    """
    F = paths.shape[1]
    path, order, found = head.root(before), torch.zeros(F, dtype=torch.int64), []
    for depth in range(K):
        places = torch.randperm(F, generator=torch.Generator().manual_seed(depth))
        parent = order.argsort()[places] if depth else torch.zeros(F, dtype=torch.int64)
        logits, path = head.step(network, window, path, parent.expand(B, -1), paths[:, places, depth])
        found.append(logits[:, places.argsort()])
        order = places
    return found


@pytest.mark.usefixtures("widest")
def test_steps_along_a_tree_give_what_whole_sequences_give(network: Transformer) -> None:
    head = random_head(network)
    window, before, last = random_window(head, network), random_tokens(1)[:, 0], random_tokens(2)[:, 1:]
    branches = torch.randint(0, MASK, (B, 5, K - 1), generator=torch.Generator().manual_seed(7))
    paths = torch.cat([last[:, None].expand(-1, 5, -1), branches], 2)
    found = torch.stack(stepped(head, network, window, paths, before), 2)
    for f in range(5):
        whole = head.sequence(network, window, torch.cat([before[:, None], paths[:, f]], 1))
        torch.testing.assert_close(found[:, f], whole, rtol=1e-5, atol=1e-5)
    assert (found[:, 0] - found[:, 1]).abs().max() > 0.1  # the twin: another path has other laws


@pytest.mark.usefixtures("widest")
def test_a_slot_depends_on_the_tokens_before_it_and_on_no_other(network: Transformer) -> None:
    head = random_head(network)
    window, tokens = random_window(head, network), random_tokens(K + 1)
    plain = head.sequence(network, window, tokens)
    for changed in range(K + 1):
        other = tokens.clone()
        other[:, changed] = (other[:, changed] + 1) % MASK
        moved = (head.sequence(network, window, other) - plain).abs().amax((0, 2)) > 1e-6
        # the first two tokens precede the first slot
        assert moved.tolist() == [slot >= changed - 1 for slot in range(K)]


def test_the_lead_and_the_groups_states_count(network: Transformer) -> None:
    head, generator = random_head(network), torch.Generator().manual_seed(1)
    hidden, lead = torch.randn(B, K, 16, generator=generator).double(), torch.randn(B, 16, generator=generator).double()
    marginal = top_candidates(network.logits(hidden), 5)
    plain = head.sequence(network, head.window(hidden, lead, *marginal), random_tokens(K + 1))
    for other in (head.window(hidden.roll(1, 0), lead, *marginal), head.window(hidden, lead.roll(1, 0), *marginal)):
        assert (head.sequence(network, other, random_tokens(K + 1)) - plain).abs().max() > 0.1


@pytest.mark.parametrize("tied", [True, False])
def test_candidates_have_the_logits_of_the_whole_output_matrix(tied: bool) -> None:
    network = tiny_network(vocab_size=V, mask_id=MASK, tied_embeddings=tied)
    few, all_ = random_head(network), random_head(network, candidates=V)
    all_.load_state_dict(few.state_dict())
    window, whole = random_window(few, network), random_window(all_, network)
    tokens = random_tokens(K + 1)
    for depth in range(K):
        found = stepped(few, network, window, tokens[:, None, 1:], tokens[:, 0])[depth][:, 0]
        every = stepped(all_, network, whole, tokens[:, None, 1:], tokens[:, 0])[depth][:, 0]
        by_id = torch.zeros(B, V).scatter(1, whole.ids_BKC[:, depth], every)
        torch.testing.assert_close(found, by_id.gather(1, window.ids_BKC[:, depth]))


@pytest.mark.usefixtures("widest")
def test_a_new_head_leaves_the_marginals_as_they_are(network: Transformer) -> None:
    head = DraftHead(HeadSizes.of(network.config)).double()
    head.reset(0)
    window = random_window(head, network)
    logits = head.sequence(network, window, random_tokens(K + 1))
    torch.testing.assert_close(logits, window.logits_BKC.float())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_other_types_give_the_same_up_to_their_rounding(network: Transformer, dtype: torch.dtype) -> None:
    exact = random_head(network)
    window, tokens = random_window(exact, network), random_tokens(K + 1)
    wanted = exact.sequence(network, window, tokens)
    rough = DraftHead(exact.sizes).to(dtype)
    rough.load_state_dict(exact.state_dict())
    cast = DraftWindow(window.known_BKW.to(dtype), window.ids_BKC, window.logits_BKC.to(dtype))
    small = tiny_network(vocab_size=V, mask_id=MASK, heads=4, kv_heads=2, max_length=64).to(dtype)
    found = torch.stack(stepped(rough, small, cast, tokens[:, None, 1:], tokens[:, 0]), 2)[:, 0]
    assert found.dtype is torch.float32
    spread = float(wanted.std())
    assert (found - wanted).abs().max() < (0.2 if dtype is torch.bfloat16 else 1e-4) * spread


def test_ids_that_never_occur_are_the_last_candidates() -> None:
    logits = torch.randn(1, 2, V).index_fill(-1, torch.tensor([3, MASK]), -torch.inf)
    ids, values = top_candidates(logits, V)
    assert {*ids[0, 0, -2:].tolist()} == {3, MASK}
    assert (values[..., :-1] >= values[..., 1:]).all()


# --- the file ---


@pytest.mark.usefixtures("widest")
def test_a_head_comes_back_within_half_a_step_of_each_row(network: Transformer, tmp_path: FilePath) -> None:
    head = random_head(network)
    save_draft_head(tmp_path / DRAFT_HEAD, head, network)
    again = load_draft_head(tmp_path / DRAFT_HEAD, network)
    assert again.sizes == head.sizes and again.q.weight.dtype == torch.float64
    for name, weight in head.state_dict().items():
        bound = weight.abs().amax(-1, keepdim=True) / 254 if weight.ndim == 2 else 0.0
        assert ((again.state_dict()[name] - weight).abs() <= bound + 1e-6).all(), name
    assert [p.name for p in tmp_path.iterdir()] == [DRAFT_HEAD]


@pytest.mark.parametrize("dim", [32, 576, 2048, 4096])
def test_inside_a_head_rows_begin_at_multiples_of_sixteen_bytes(dim: int) -> None:
    config = TransformerConfig(vocab_size=64, dim=dim, layers=1, heads=dim // 16, mlp_dim=32, mask_id=63)
    sizes = HeadSizes.of(config)
    assert sizes.mlp_dim % 16 == 0
    assert 8 * sizes.width / 3 <= sizes.mlp_dim < 8 * sizes.width / 3 + 16


def test_wide_networks_have_narrower_blocks() -> None:
    config = TransformerConfig(vocab_size=64, dim=4096, layers=1, heads=32, kv_heads=8, mlp_dim=32, mask_id=63)
    sizes = HeadSizes.of(config)
    assert (sizes.width, sizes.heads, sizes.kv_heads, sizes.head_size) == (1024, 8, 8, 128)
    assert HeadSizes.of(replace(config, dim=1024)).block_dim is None
    with pytest.raises(ValueError, match="no sizes of a head"):
        replace(sizes, block_dim=4097)


def test_a_file_without_a_width_of_the_block_holds_one_of_the_network(
    network: Transformer, tmp_path: FilePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, head = tmp_path / DRAFT_HEAD, random_head(network)
    save_draft_head(path, head, network)
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    sizes = json.loads(metadata["sizes"])
    del sizes["block_dim"]
    save_file(tensors, path, metadata | {"sizes": json.dumps(sizes)})
    monkeypatch.setattr("fef.models.draft_head.WIDEST", 8)
    again = load_draft_head(path, network)
    assert again.sizes == head.sizes and again.widen is None and again.sizes.width == network.config.dim > 8


def test_a_stored_matrix_takes_a_byte_per_weight(network: Transformer, tmp_path: FilePath) -> None:
    save_draft_head(tmp_path / DRAFT_HEAD, random_head(network), network)
    with safe_open(tmp_path / DRAFT_HEAD, "pt") as file:
        assert all(
            file.get_tensor(name).dtype is torch.int8
            for name in file.keys()  # noqa: SIM118
            if name.endswith("weight") and "norm" not in name
        )


@pytest.mark.parametrize(("dim", "mib"), [(576, 5.0), (288, 1.5)])
def test_heads_of_the_shipped_networks_are_small(dim: int, mib: float) -> None:
    sizes = HeadSizes(dim, dim // 64, 3 if dim == 576 else dim // 64, 64, 2 * dim)
    with torch.device("meta"):
        numbers = sum(p.numel() for p in DraftHead(sizes).parameters())
    assert numbers < mib * 2**20 * 0.97  # the rest is for scales and the sample


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_a_network_is_known_in_every_type(network: Transformer, dtype: torch.dtype, tmp_path: FilePath) -> None:
    save_draft_head(tmp_path / DRAFT_HEAD, random_head(network), network)
    assert load_draft_head(tmp_path / DRAFT_HEAD, network.to(dtype)).q.weight.dtype is dtype


def test_a_head_of_another_network_is_refused(network: Transformer, tmp_path: FilePath) -> None:
    path = tmp_path / DRAFT_HEAD
    save_draft_head(path, random_head(network), network)
    trained = tiny_network(vocab_size=V, mask_id=MASK, heads=4, kv_heads=2, max_length=64)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    for other in (tiny_network(seed=1, vocab_size=V, mask_id=MASK, heads=4, kv_heads=2), tiny_network(dim=32), trained):
        with pytest.raises(CheckpointError, match=r"another network.*fef train --objective draft-head.*head='none'"):
            load_draft_head(path, other)


def test_last_bits_make_no_other_network(network: Transformer) -> None:
    sample = sample_of(network)
    assert same_network(sample, network)
    assert same_network(sample * (1 + 1e-3), network)
    assert not same_network(sample * (1 + 2e-2), network)


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "cut short",
        "empty",
        "not a head",
        "another format",
        "dim",
        "kv_heads",
        "candidates",
        "depths",
        "no sample",
        "a sample of whole numbers",
        "no scale",
        "whole numbers",
        "not a number",
    ],
)
def test_a_file_that_is_no_head_says_what_to_do(network: Transformer, kind: str, tmp_path: FilePath) -> None:
    path = tmp_path / DRAFT_HEAD
    head = random_head(network)
    save_draft_head(path, head, network)
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if kind == "missing":
        path.unlink()
    elif kind in ("cut short", "empty"):
        path.write_bytes(path.read_bytes()[: 0 if kind == "empty" else -100])
    elif kind == "not a head":
        save_file({"x": torch.zeros(2)}, path)
    elif kind == "another format":
        save_file(tensors, path, metadata | {"format": "fef-draft-head-9"})
    elif kind == "no scale":
        save_file({name: x for name, x in tensors.items() if name != "q.weight.scale"}, path, metadata)
    elif kind == "whole numbers":
        save_file(tensors | {"attn_norm.weight": tensors["attn_norm.weight"].int()}, path, metadata)
    elif kind == "a sample of whole numbers":
        save_file(tensors | {"network.sample": tensors["network.sample"].view(torch.uint32)}, path, metadata)
    elif kind == "not a number":
        save_file(tensors | {"attn_norm.weight": tensors["attn_norm.weight"] * torch.nan}, path, metadata)
    elif kind in (sizes := json.loads(metadata["sizes"])):
        wrong = {"dim": 8, "kv_heads": 0, "candidates": 10**12, "depths": None}[kind]
        save_file(tensors, path, metadata | {"sizes": json.dumps(sizes | {kind: wrong})})
    else:
        del tensors["network.sample"]
        save_file(tensors, path, metadata)
    with pytest.raises(CheckpointError, match="fef train --objective draft-head") as error:
        load_draft_head(path, network)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400 + len(str(path))


def test_writing_where_nobody_may_is_said(network: Transformer, tmp_path: FilePath) -> None:
    with pytest.raises(CheckpointError, match="Could not write"):
        save_draft_head(tmp_path / "no" / DRAFT_HEAD, random_head(network), network)


def test_a_path_keeps_what_its_states_hold() -> None:
    keys = torch.arange(24.0).view(1, 3, 2, 2, 2)
    path = Path(keys, -keys, torch.tensor([[5, 6, 7]]))
    chosen = path.at(torch.tensor([[2, 0, 2, 1]]))
    assert chosen.token_BF.tolist() == [[7, 5, 7, 6]]
    assert torch.equal(chosen.keys_BFTGE, keys[:, [2, 0, 2, 1]]) and torch.equal(
        chosen.values_BFTGE, -chosen.keys_BFTGE
    )


def test_the_shipped_head_belongs_to_the_shipped_network() -> None:
    path = demo_path() / DRAFT_HEAD
    if not path.is_file():
        pytest.skip("no head in this checkout")
    assert path.stat().st_size < 5 * 2**20
    network, _ = load_checkpoint(demo_path())
    head = load_draft_head(path, network)
    assert head.sizes.dim == network.config.dim and float(head.out_norm.weight.abs().max()) > 0
