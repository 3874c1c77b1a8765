"""Deltas: what they hold is what training changed, within int8; and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fef
from fef.errors import CheckpointError, OptionError
from fef.models import delta as delta_module
from fef.models.causal import describe_causal, load_causal
from fef.models.checkpoint import DELTA
from fef.models.delta import Delta, Factors, delta_bytes, low_rank, merge, read_delta, write_delta
from fef.models.sources import describe_source
from fef.training.adapt import AdaptOptions, adapt
from fef.training.difference import difference
from fef.training.resume import saved_weights
from fef.training.trainer import TrainOptions
from tests.tiny_causal import write_causal, write_conversations

OPTIONS = TrainOptions(
    steps=12,
    canvas_length=8,
    packed_count=8,
    group_sizes=(2, 4),
    infill_share=0.0,
    optimizer="adamw",
    adam_lr=1e-2,
    factor_lr=3e-2,
    warmup=2,
)
LARGE = 1 << 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and what it became by low-rank and by full training."""
    path = tmp_path_factory.mktemp("delta")
    base, data = write_causal(path / "base"), write_conversations(path / "x.jsonl")
    for name, rank in (("low", 3), ("full", 0)):
        adaptation = AdaptOptions(batch_tokens=384, max_prompt=48, lora_rank=rank)
        adapt(str(base), data, path / name, adaptation, OPTIONS)
    return path


def trained(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return saved_weights(folder / name)


def merged(folder: Path, made: Delta):  # type: ignore[no-untyped-def]
    base = folder / "base"
    return merge(base, describe_causal(base), made, dtype=torch.float32)


@pytest.mark.parametrize("name", ["low", "full"])
def test_a_delta_gives_the_trained_weights_back_within_int8(folder: Path, tmp_path: Path, name: str) -> None:
    write_delta(tmp_path / "x.safetensors", difference(str(folder / "base"), folder / name, LARGE))
    made = read_delta(tmp_path / "x.safetensors")
    network = merged(folder, made)
    base, _ = load_causal(folder / "base", dtype=torch.float32)
    state = trained(folder, name)
    assert made.facts["kept"] > 0.999
    for key, parameter in network.named_parameters():
        start = base.get_parameter(key)
        stem = key.removesuffix("weight")
        if stem + "factor_in" in state:
            change = state[stem + "factor_out"] @ state[stem + "factor_in"]
        else:
            change = state[key] - start if key in state else torch.zeros_like(start)
        error = (parameter - start - change).norm()
        assert error <= 0.02 * change.norm() + 1e-6, key
        assert change.norm() > 0 or "embed" in key
    mask = network.mask_id
    torch.testing.assert_close(network.embed.weight[mask], state["embed.weight"][mask])
    assert network.config == made.config
    assert network.config.packed


def test_the_rank_is_the_largest_within_the_budget(folder: Path, tmp_path: Path) -> None:
    sizes, ranks, kept = [], [], []
    for budget in (19_500, 24_000, LARGE):
        made = difference(str(folder / "base"), folder / "full", budget)
        path = tmp_path / f"{budget}.safetensors"
        write_delta(path, made)
        sizes.append(path.stat().st_size)
        ranks.append(made.facts["rank"])
        kept.append(made.facts["kept"])
        assert sizes[-1] <= budget
    assert ranks == sorted(set(ranks))
    assert kept == sorted(set(kept))
    with pytest.raises(OptionError, match="the least that does has"):
        difference(str(folder / "base"), folder / "full", 10_000)


def test_the_size_of_the_checkpoint_smol() -> None:
    """Rank 40 on all linear layers of SmolLM2-135M, its norms and one row fit 12 MiB; rank 41 does not."""
    layer = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)]
    numbers = 61 * 576 + 578
    assert delta_bytes(layer * 30, 40, numbers) <= 12 * 2**20 < delta_bytes(layer * 30, 41, numbers)


def test_low_rank_is_the_best_approximation() -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(9, 6, generator=generator, dtype=torch.float64)
    inner = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    a, b = low_rank(out, inner, 2)
    singular = torch.linalg.svdvals(out @ inner)
    assert (out @ inner - a @ b).square().sum().item() == pytest.approx(singular[2:].square().sum().item(), rel=1e-9)
    torch.testing.assert_close(a.norm(dim=0), b.norm(dim=1))


def test_a_directory_with_a_delta_loads(folder: Path, tmp_path: Path) -> None:
    write_delta(tmp_path / DELTA, difference(str(folder / "base"), folder / "low", LARGE))
    model = fef.load(str(tmp_path))
    assert model.network.embed.weight.dtype == torch.bfloat16
    out = model.generate([{"role": "user", "content": "say b k"}], max_new_tokens=8, verify="packed")
    assert out.certificate.kind == "greedy"


def test_a_delta_for_another_base_is_refused(folder: Path, tmp_path: Path) -> None:
    made = difference(str(folder / "base"), folder / "low", LARGE)
    other = write_causal(tmp_path / "other", seed=1)
    with pytest.raises(CheckpointError, match="changes a base with sha256"):
        merge(other, describe_causal(other), made)


def with_factors(made: Delta, change: Callable[[Factors], Factors]) -> Delta:
    return replace(made, factors={name: change(factors) for name, factors in made.factors.items()})


DAMAGED: dict[str, Callable[[Delta], Delta]] = {
    "other shapes": lambda made: replace(made, whole={"norm.weight": torch.ones(7)}),
    "rows before the first": lambda made: replace(made, row_ids=made.row_ids - 2**60),
    "rows that are no numbers": lambda made: replace(made, row_ids=made.row_ids.double()),
    "two ranks": lambda made: with_factors(
        made, lambda of: replace(of, in_RI=of.in_RI[:1], in_scale_R=of.in_scale_R[:1])
    ),
    "a scale for all": lambda made: with_factors(made, lambda of: replace(of, in_scale_R=of.in_scale_R[:1])),
    "other numbers": lambda made: with_factors(made, lambda of: replace(of, in_RI=of.in_RI.view(torch.uint8))),
    "an adaptation that is a number": lambda made: replace(made, facts={"adaptation": 3}),
    "vectors": lambda made: with_factors(made, lambda of: replace(of, in_RI=of.in_RI[:, 0])),
}


@pytest.mark.parametrize("kind", [*DAMAGED, "missing", "truncated", "another file", "no metadata", "norms"])
def test_damaged_deltas_are_refused_in_words(folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.safetensors"
    made = difference(str(folder / "base"), folder / "low", LARGE)
    write_delta(path, DAMAGED.get(kind, replace)(made))
    if kind == "missing":
        path.unlink()
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "norms":
        with safe_open(path, "pt") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        whole = {name: tensor.view(torch.int32) for name, tensor in tensors.items() if "norm" in name}
        assert whole
        save_file(tensors | whole, path, metadata)
    elif kind == "another file":
        save_file({"a": torch.zeros(2)}, path)
    elif kind == "no metadata":
        save_file({"a": torch.zeros(2)}, path, metadata={"format": delta_module.FORMAT})
    with pytest.raises(CheckpointError, match=r"damaged|no delta"):
        merged(folder, read_delta(path))


@pytest.mark.parametrize("named", [None, 3, "nowhere", "~no such person/base", "a\0", "x" * 5000])
def test_a_base_that_is_not_here_is_named(folder: Path, tmp_path: Path, named: object) -> None:
    made = difference(str(folder / "base"), folder / "low", LARGE)
    write_delta(tmp_path / DELTA, replace(made, base="0" * 64, facts={"adaptation": {"source": named}}))
    with pytest.raises(CheckpointError, match="is not on this machine") as caught:
        describe_source(tmp_path)
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_a_full_disk_leaves_what_was_there(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"before")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left"):
        write_delta(path, difference(str(folder / "base"), folder / "low", LARGE))
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]
    assert path.read_bytes() == b"before"
