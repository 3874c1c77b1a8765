"""`adapt` on a tiny causal model: what is trained, what it costs to stop and go on, and which law the result has."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fef
from fef.errors import CheckpointError, InputError, OptionError
from fef.models.causal import load_causal
from fef.models.checkpoint import load_checkpoint
from fef.models.packed import packed_target_logits
from fef.training.adapt import AdaptOptions, adapt
from fef.training.lora import LowRankLinear, adapt_, is_factor, train_norms, train_rows
from fef.training.processes import Processes
from fef.training.trainer import TrainOptions
from tests.several import run_on
from tests.tiny_causal import write_causal, write_conversations

KINDS = {
    "packed": AdaptOptions(),
    "plain": AdaptOptions(packed=False),
    "blocks": AdaptOptions(kind="block-causal", block_length=4, packed=False),
    "control": AdaptOptions(kind="causal", packed=False),
}
OPTIONS = TrainOptions(
    steps=4,
    canvas_length=8,
    packed_count=8,
    group_sizes=(2, 4),
    infill_share=0.0,
    optimizer="adamw",
    adam_lr=1e-2,
    factor_lr=2e-2,
    warmup=2,
    log_every=1,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_causal(tmp_path_factory.mktemp("causal") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_conversations(tmp_path_factory.mktemp("data") / "x.jsonl")


def run(base: Path, data: Path, out: Path, kind: str = "packed", lora: int = 0, **changes: object):  # type: ignore[no-untyped-def]
    adaptation = replace(KINDS[kind], batch_tokens=384, max_prompt=48, lora_rank=lora)
    return adapt(str(base), data, out, adaptation, replace(OPTIONS, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_learns_and_answers_in_its_chat_template(base: Path, data: Path, tmp_path: Path, kind: str) -> None:
    run(base, data, tmp_path / "m", kind, steps=40, adam_lr=2e-2)
    losses = [json.loads(line)["loss"] for line in (tmp_path / "m" / "losses.jsonl").read_text().splitlines()]
    assert losses[-1] < 0.6 * losses[0]
    model = fef.load(str(tmp_path / "m"))
    out = model.generate([{"role": "user", "content": "say b k"}], method="sequential", max_new_tokens=8)
    assert out.finish_reason == "stop"
    assert set(out.text) <= set("abcdefghijkl ")
    assert json.loads((tmp_path / "m" / "adaptation.json").read_text())["attention"] == model.network.config.attention


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lora", [0, 3])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(
    base: Path, data: Path, tmp_path: Path, kind: str, lora: int
) -> None:
    whole = run(base, data, tmp_path / "whole", kind, lora)
    asked: list[int] = []

    def third() -> bool:
        asked.append(1)
        return len(asked) == 3

    adaptation = replace(KINDS[kind], batch_tokens=384, max_prompt=48, lora_rank=lora)
    adapt(str(base), data, tmp_path / "cut", adaptation, OPTIONS, stop=third)
    assert len((tmp_path / "cut" / "losses.jsonl").read_text().splitlines()) == 2
    cut = run(base, data, tmp_path / "cut", kind, lora)
    for (name, a), b in zip(whole.named_parameters(), cut.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_a_run_does_not_go_on_with_another_rank(base: Path, data: Path, tmp_path: Path) -> None:
    run(base, data, tmp_path / "m", lora=2)
    with pytest.raises(CheckpointError, match="its lora_rank is 2, and here it is 3"):
        run(base, data, tmp_path / "m", lora=3, steps=5)


def test_processes_that_adapt_other_weights_are_refused(base: Path, data: Path, tmp_path: Path) -> None:
    other = write_causal(tmp_path / "other", seed=1)
    adaptation = replace(KINDS["packed"], batch_tokens=768, row_tokens=384, max_prompt=48)

    def work(processes: Processes) -> None:
        adapt(str(base if processes.leads else other), data, tmp_path / "m", adaptation, OPTIONS, processes)

    found = run_on(2, work)
    assert all(isinstance(e, InputError) and "Process 1 of 2 has other base weights" in str(e) for e in found)
    assert not (tmp_path / "m").exists()


def test_low_rank_training_leaves_the_base_and_stores_the_sum(base: Path, data: Path, tmp_path: Path) -> None:
    trained = run(base, data, tmp_path / "m", lora=2)
    start, _ = load_causal(base, dtype=torch.float32)
    stored, _ = load_checkpoint(tmp_path / "m")
    assert [name for name, _ in stored.named_parameters()] == [name for name, _ in start.named_parameters()]
    changed = 0
    for name, module in trained.named_modules():
        if isinstance(module, LowRankLinear):
            weight = start.get_submodule(name).weight
            assert torch.equal(module.weight, weight)
            difference = stored.get_submodule(name).weight - weight
            torch.testing.assert_close(difference, module.factor_out @ module.factor_in, rtol=0, atol=2e-2)
            changed += bool(module.factor_out.any())
    assert changed == 14
    rows = (trained.embed.weight != start.embed.weight).any(1).nonzero()[:, 0].tolist()
    assert rows == [trained.mask_id]


def test_gradients_of_the_factors_are_those_of_the_dense_matrix() -> None:
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(5, 7).double()
    low = LowRankLinear(linear, 2, generator)
    low.factor_out.data.normal_(generator=generator)
    x = torch.randn(11, 5, generator=generator, dtype=torch.float64)
    target = torch.randn(11, 7, generator=generator, dtype=torch.float64)
    dense = low.matrix().detach().requires_grad_(True)
    (slope,) = torch.autograd.grad(((x @ dense.T + linear.bias - target) ** 2).sum(), dense)
    loss = ((low(x) - target) ** 2).sum()
    found = torch.autograd.grad(loss, [low.factor_out, low.factor_in])
    torch.testing.assert_close(found[0], slope @ low.factor_in.T)
    torch.testing.assert_close(found[1], low.factor_out.T @ slope)


def test_only_factors_norms_and_the_chosen_rows_are_trained(base: Path) -> None:
    model, _ = load_causal(base, dtype=torch.float32)
    adapt_(model, 2, ("q", "down"), 0)
    train_norms(model)
    train_rows(model.embed.weight, [4])
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    factors = {name for name in trained if is_factor(name)}
    assert {name.split(".")[3] for name in factors} == {"q", "down"}
    assert trained - factors == {"embed.weight", *(n for n, p in model.named_parameters() if p.ndim == 1)}
    model(torch.arange(8)[None]).square().sum().backward()
    assert model.embed.weight.grad is not None
    assert model.embed.weight.grad.any(1).nonzero()[:, 0].tolist() == [4]
    with pytest.raises(OptionError, match="Did you mean 'down'"):
        adapt_(model, 2, ("dwn",), 0)


def test_the_packed_law_of_an_adapted_network_sees_no_later_token(base: Path, data: Path, tmp_path: Path) -> None:
    model = run(base, data, tmp_path / "m", lora=2)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randint(10, 200, (1, 12), generator=generator)
    rank = torch.full((1, 12), -1)
    rank[0, 4:] = torch.arange(8)
    ids = clean.masked_fill(rank >= 0, model.mask_id)
    logits = packed_target_logits(model, ids, clean, rank)
    other = clean.clone()
    other[0, 8:] = 7
    changed = packed_target_logits(model, ids, other, rank)
    torch.testing.assert_close(changed[:, 4:9], logits[:, 4:9])
    assert (changed[:, 9:] - logits[:, 9:]).abs().max() > 1e-4


def test_a_profile_says_the_time_of_every_part_and_changes_nothing(base: Path, data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    options = replace(OPTIONS, steps=14)
    adaptation = replace(AdaptOptions(), batch_tokens=384, max_prompt=48)
    plain = adapt(str(base), data, tmp_path / "a", adaptation, options)
    profiled = adapt(str(base), data, tmp_path / "b", adaptation, replace(options, profile=2), say=said.append)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), profiled.parameters(), strict=True))
    parts, kernels = said[1:]
    rows = {line[:12].strip(): float(line.split()[-1]) for line in parts.splitlines()[2:]}
    assert list(rows) == ["draw", "flatten", "pattern", "trunk", "losses", "backward", "optimizer", "whole step"]
    assert 0.5 * rows["whole step"] < sum(rows.values()) - rows["whole step"] <= rows["whole step"]
    assert "aten::mm" in kernels


def test_a_profile_needs_steps_to_measure() -> None:
    replace(OPTIONS, steps=14, profile=2)
    with pytest.raises(OptionError, match="14 steps"):
        replace(OPTIONS, steps=14, profile=3)


BAD = [
    {"kind": "block-causal"},
    {"kind": "causal", "block_length": 4, "packed": False},
    {"kind": "block-causal", "block_length": 4},
    {"batch_tokens": 100},
    {"lora_rank": -1},
]


@pytest.mark.parametrize("options", BAD)
def test_options_that_do_not_fit_each_other(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        AdaptOptions(**options)  # type: ignore[arg-type]
