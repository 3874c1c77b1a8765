"""Fine-tuning of released checkpoints, tiny ones of every kind: what is trained, what is written, and that both load."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import fef
import fef.models.adapter
import fef.models.checkpoint
from fef.errors import CheckpointError, InputError, OptionError
from fef.models import weights
from fef.models.adapter import base_digest
from fef.models.chat import ChatTemplate
from fef.models.checkpoint import describe, load_network
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.draft_head_file import DRAFT_HEAD, save_draft_head
from fef.models.homes import place
from fef.models.packed import packed_target_logits
from fef.models.transformer import Transformer
from fef.training.conversations import Encoder
from fef.training.lora import LowRankLinear, adapt_, draw_factors_, is_factor
from fef.training.objectives import diffusion_loss
from fef.training.patterns import Canvases
from fef.training.processes import ALONE, Processes, whole
from fef.training.sharding import held_rows, in_shards, mesh_of
from fef.training.trainer import TrainOptions
from fef.training.tune import TuneOptions, tune
from tests.several import run_on

DATA = Path(__file__).parents[1] / "golden" / "data"
FAMILIES = ["llada", "dream", "sdar", "llada2-moe"]
OPTIONS = TrainOptions(
    steps=3,
    canvas_length=24,
    packed_count=24,
    group_sizes=(2, 4),
    infill_share=0.0,
    optimizer="adamw",
    adam_lr=1e-3,
    factor_lr=1e-2,
    warmup=1,
    log_every=1,
)
TUNING = TuneOptions(batch_tokens=1024, row_tokens=512, max_prompt=200)


def checkpoint(family: str) -> Path:
    return DATA / family / "checkpoint"


def mask_of(family: str) -> int | None:
    path = DATA / family / "decode.json"
    return json.loads(path.read_text())["special_ids"]["mask"] if path.is_file() else None


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conversations of two turns."""
    path = tmp_path_factory.mktemp("data") / "chats.jsonl"
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{a} {b}"},
                {"role": "assistant", "content": f"{b}"},
                {"role": "user", "content": "again"},
                {"role": "assistant", "content": f"{b} {a}"},
            ]
        }
        for a in "abc"
        for b in "xyz"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def run(family: str, data: Path, out: Path, processes: Processes = ALONE, lora: int = 0, **changes: Any) -> Transformer:
    tuning = replace(TUNING, lora_rank=lora, mask_id=mask_of(family), packed=changes.pop("packed", None))
    return tune(str(checkpoint(family)), data, out, tuning, replace(OPTIONS, **changes), processes)


def losses(out: Path) -> torch.Tensor:
    rows = [json.loads(line)["loss"] for line in (out / "losses.jsonl").read_text().splitlines()]
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_released_checkpoint_is_tuned_and_written_in_its_own_layout(family: str, data: Path, tmp_path: Path) -> None:
    run(family, data, tmp_path / "m")
    before, after = (load_file(path / "model.safetensors") for path in (checkpoint(family), tmp_path / "m"))
    assert {k: (v.shape, v.dtype) for k, v in after.items()} == {k: (v.shape, v.dtype) for k, v in before.items()}
    assert sum(not torch.equal(after[key], before[key]) for key in before) > len(before) // 2
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config == json.loads((checkpoint(family) / "config.json").read_text())
    fef.load(tmp_path / "m", device="cpu", mask_id=mask_of(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_what_no_step_has_changed_is_written_as_it_was(family: str, data: Path, tmp_path: Path) -> None:
    """So its logits are those of the official code."""
    run(family, data, tmp_path / "m", seconds=-1.0)
    before, after = (load_file(path / "model.safetensors") for path in (checkpoint(family), tmp_path / "m"))
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize("lora", [0, 2])
def test_the_packed_law_is_trained_and_noted(data: Path, tmp_path: Path, lora: int) -> None:
    model = run("llada", data, tmp_path / "m", lora=lora, packed=True)
    rows = [json.loads(line) for line in (tmp_path / "m" / "losses.jsonl").read_text().splitlines()]
    assert all({"context", "target", "draft"} <= row.keys() for row in rows)
    base, adapter = (checkpoint("llada"), tmp_path / "m") if lora else (tmp_path / "m", None)
    loaded = fef.load(base, device="cpu", dtype=torch.float32, adapter=adapter).network
    assert loaded.config.packed and not describe(checkpoint("llada")).config.packed
    clean = torch.randint(0, 400, (1, 12), generator=torch.Generator().manual_seed(0))
    rank = torch.full((1, 12), -1)
    rank[0, 4:] = torch.arange(8)
    ids = clean.masked_fill(rank >= 0, model.mask_id)
    logits = packed_target_logits(loaded, ids, clean, rank)
    close = 1e-4 if lora else 0.5  # whole weights are written in bfloat16, as they were
    torch.testing.assert_close(logits, packed_target_logits(model, ids, clean, rank), rtol=0, atol=close)


@pytest.mark.parametrize("changes", [{"packed": False}, {"certain": True}])
def test_training_without_the_packed_law_ends_it(data: Path, tmp_path: Path, changes: dict[str, bool]) -> None:
    run("llada", data, tmp_path / "packed", packed=True)
    assert describe(tmp_path / "packed").config.packed
    options = replace(OPTIONS, steps=1, batch_size=2)
    tune(str(tmp_path / "packed"), data, tmp_path / "m", replace(TUNING, **changes), options)
    assert not describe(tmp_path / "m").config.packed


@pytest.mark.parametrize("family", ["dream", "sdar"])
def test_where_there_is_no_packed_law_it_is_refused(family: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="packed"):
        run(family, data, tmp_path / "m", packed=True)
    assert not (tmp_path / "m").exists()


# --- adapters ---


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_on_its_base_is_the_tuned_network(family: str, data: Path, tmp_path: Path) -> None:
    tuned = run(family, data, tmp_path / "m", lora=2)
    assert not (tmp_path / "m" / "model.safetensors").exists()
    options: dict[str, Any] = {"device": "cpu", "dtype": torch.float32, "mask_id": mask_of(family)}
    base, both = (fef.load(checkpoint(family), adapter=a, **options).network for a in (None, tmp_path / "m"))
    ids = torch.randint(0, 400, (2, 12), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(both(ids), tuned(ids), rtol=1e-4, atol=1e-4)
    assert (both(ids) - base(ids)).abs().max() > 1e-3
    with pytest.raises(OptionError, match="int8"):
        fef.load(checkpoint(family), adapter=tmp_path / "m", weights="int8", **options)


def test_trained_parts_of_an_adapted_network_lie_beside_its_adapter(data: Path, tmp_path: Path) -> None:
    """Parts learn from one network, so those beside the base would be refused as another network's."""
    base, tuned = tmp_path / "base", tmp_path / "m"
    shutil.copytree(checkpoint("llada"), base)
    run("llada", data, tuned, lora=2)
    networks = [fef.load(base, device="cpu", dtype=torch.float32, adapter=a).network for a in (None, tuned)]
    heads = [DraftHead(HeadSizes.of(network.config)) for network in networks]
    save_draft_head(base / DRAFT_HEAD, heads[0], networks[0])
    assert fef.load(base, device="cpu").network.extras.draft_head is not None
    assert fef.load(base, device="cpu", adapter=tuned).network.extras.draft_head is None
    save_draft_head(tuned / DRAFT_HEAD, heads[1], networks[1])
    assert fef.load(base, device="cpu", dtype=torch.float32, adapter=tuned).network.extras.draft_head is not None


def test_an_adapter_of_another_base_is_refused(data: Path, tmp_path: Path) -> None:
    run("llada", data, tmp_path / "m", lora=2)
    with pytest.raises(CheckpointError, match=r"is an adapter of .*llada.*other weights"):
        fef.load(checkpoint("dream"), device="cpu", adapter=tmp_path / "m")
    network = load_network(checkpoint("llada"))
    network.blocks[0].attn.q.weight.data += 0.1
    network.name = "another"
    with pytest.raises(CheckpointError, match="another has other weights"):
        fef.models.adapter.apply_adapter(network, describe(checkpoint("llada")).family, tmp_path / "m")
    (tmp_path / "m" / "fef_adapter.json").unlink()  # as PEFT writes adapters
    with pytest.raises(CheckpointError, match=r"a Dream network, has not"):
        fef.load(checkpoint("dream"), device="cpu", adapter=tmp_path / "m")
    with pytest.raises(CheckpointError, match="holds no adapter"):
        fef.load(checkpoint("llada"), device="cpu", adapter=tmp_path)


class Released(nn.Module):
    """Modules with the names and the matrices of a released checkpoint, as far as PEFT looks at them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        for key, tensor in load_file(path / "model.safetensors").items():
            if key.endswith(".weight") and tensor.ndim == 2:
                *parents, name, _ = key.split(".")
                home: nn.Module = self
                for parent in parents:
                    if not hasattr(home, parent):
                        home.add_module(parent, nn.Module())
                    home = home.get_submodule(parent)
                linear = nn.Linear(*tensor.shape[::-1], bias=False)
                linear.weight.data = tensor.float()
                home.add_module(name, linear)


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FAMILIES)
def test_peft_reads_an_adapter_and_merges_it_to_the_same_weights(family: str, data: Path, tmp_path: Path) -> None:
    import peft

    run(family, data, tmp_path / "m", lora=2)
    model = Released(checkpoint(family))
    config = peft.LoraConfig.from_pretrained(tmp_path / "m")
    peft.inject_adapter_in_model(config, model)
    stored = load_file(tmp_path / "m" / "adapter_model.safetensors")
    tensors = {key.removeprefix("base_model.model."): tensor for key, tensor in stored.items()}
    found = peft.set_peft_model_state_dict(model, tensors)
    assert not found.unexpected_keys and not [k for k in found.missing_keys if "lora" in k]
    merged = {name: m for name, m in model.named_modules() if isinstance(m, peft.tuners.lora.Linear)}
    assert len(merged) * 2 == len(stored)
    ours = fef.load(
        checkpoint(family), device="cpu", dtype=torch.float32, adapter=tmp_path / "m", mask_id=mask_of(family)
    ).network
    directory = tmp_path / "merged"
    directory.mkdir()
    fef.models.checkpoint.write_released(directory, ours, checkpoint(family), describe(checkpoint(family), 5).family)
    written = load_file(directory / "model.safetensors")
    before = load_file(checkpoint(family) / "model.safetensors")
    for name, module in merged.items():
        module.merge()
        wanted = module.base_layer.weight.data
        assert (wanted - before[f"{name}.weight"]).abs().max() > 5e-3
        torch.testing.assert_close(written[f"{name}.weight"].float(), wanted, rtol=0.01, atol=1e-4)  # in bfloat16


@pytest.mark.parametrize("adds_up", [True, False])
def test_gradients_of_the_factors_are_those_of_the_dense_matrix(adds_up: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether tokens meet the sum or one factor after the other."""
    monkeypatch.setattr(LowRankLinear, "adds_up", adds_up)
    generator = torch.Generator().manual_seed(0)
    low = LowRankLinear(nn.Linear(5, 7).double(), 2, generator)
    low.factor_out.data.normal_(generator=generator)
    x = torch.randn(11, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    dense = low.matrix().detach().requires_grad_(True)
    slope, slope_x = torch.autograd.grad((x @ dense.T + low.bias).sin().sum(), [dense, x])
    found = torch.autograd.grad(low(x).sin().sum(), [low.factor_out, low.factor_in, x])
    torch.testing.assert_close(found[0], slope @ low.factor_in.T)
    torch.testing.assert_close(found[1], low.factor_out.T @ slope)
    torch.testing.assert_close(found[2], slope_x)


def test_a_half_precision_matrix_keeps_small_changes() -> None:
    """The twin: in bfloat16 the sum is the matrix itself."""
    linear = nn.Linear(8, 8, bias=False)
    linear.weight.data.fill_(1.0)
    low = LowRankLinear(linear.bfloat16(), 1, torch.Generator().manual_seed(0))
    low.factor_out.data.fill_(1e-4)
    x = torch.zeros(1, 8, dtype=torch.bfloat16)
    x[0, 0], x[0, 1] = 1.0, -1.0
    assert low.factor_out.dtype == torch.float32
    assert low(x).abs().max() > 0
    assert torch.nn.functional.linear(x, low.matrix().bfloat16()).abs().max() == 0


# --- several processes ---


SLOW = [("llada", 0), ("llada2-moe", 0), ("llada2-moe", 2), ("llada", 2), ("sdar", 2)]
TWO = [("dream", 2), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)]


@pytest.mark.parametrize(("family", "lora"), TWO)
def test_two_processes_tune_as_one(family: str, lora: int, data: Path, tmp_path: Path) -> None:
    run(family, data, tmp_path / "one", lora=lora)
    results = run_on(2, lambda processes: run(family, data, tmp_path / "two", processes, lora) and None)
    assert results == [None, None]
    torch.testing.assert_close(losses(tmp_path / "two"), losses(tmp_path / "one"), rtol=1e-5, atol=0)
    name = "adapter_model.safetensors" if lora else "model.safetensors"
    one, two = (load_file(tmp_path / which / name) for which in ("one", "two"))
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=0.02, atol=1e-3)  # written in bfloat16


def test_recomputed_blocks_have_the_same_losses(data: Path, tmp_path: Path) -> None:
    run("llada", data, tmp_path / "kept")
    run("llada", data, tmp_path / "anew", recompute=True)
    torch.testing.assert_close(losses(tmp_path / "anew"), losses(tmp_path / "kept"), rtol=1e-6, atol=0)
    run_on(2, lambda processes: run("llada", data, tmp_path / "two", processes, recompute=True) and None)
    torch.testing.assert_close(losses(tmp_path / "two"), losses(tmp_path / "kept"), rtol=1e-5, atol=0)


@pytest.mark.parametrize("lora", [0, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_process_reads_its_own_rows_of_a_checkpoint_and_no_others(family: str, lora: int) -> None:
    """Together they hold the network that one process loads, with the factors that it draws; rank 3 shares unequally."""
    path = checkpoint(family)
    described = describe(path, mask_of(family))
    alone = load_network(path, described)
    if lora:
        adapt_(alone, lora, ("q", "out"), 5)

    def loaded(processes: Processes) -> tuple[list[str], str, int]:
        read = 0

        def counted(*arguments: Any) -> None:
            nonlocal read
            read += arguments[0].numel()
            place(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(weights, "place", counted)
            placement = in_shards(
                lambda network: adapt_(network, lora, ("q", "out"), 0) if lora else network, mesh_of(processes)
            )
            model = load_network(path, described, placement=placement)
        draw_factors_(model, 5, held_rows)
        base = [(name, p) for name, p in model.named_parameters() if not is_factor(name)]
        digest = base_digest(base, held_rows, processes.summed)
        found = {name: whole(p.detach()) for name, p in model.named_parameters()}
        return [name for name, p in alone.named_parameters() if not torch.equal(found[name], p)], digest, read

    numbers = sum(p.numel() for name, p in alone.named_parameters() if not is_factor(name))
    both = run_on(2, loaded)
    for different, digest, read in both:
        assert different == []
        assert read < 0.55 * numbers
        assert digest == base_digest((name, p) for name, p in alone.named_parameters() if not is_factor(name))
    assert sum(read for _, _, read in both) == numbers


def test_what_processes_cannot_share_is_refused_by_all(data: Path, tmp_path: Path) -> None:
    found = run_on(3, lambda processes: run("llada", data, tmp_path / "m", processes) and None)
    assert [type(error) for error in found] == [OptionError] * 3
    assert "3 processes cannot share a step of 2 equal pieces" in str(found[0])


# --- data ---


def test_a_shifted_network_learns_each_token_where_it_predicts_it() -> None:
    model = load_network(checkpoint("dream"))
    ids = torch.randint(0, 400, (2, 10), generator=torch.Generator().manual_seed(0))
    start, stop = torch.tensor([3, 4]), torch.tensor([9, 10])
    canvases = Canvases(ids, start, stop, torch.tensor([9, 10]))
    masked = canvases.region_BL() & (torch.arange(10) % 2 == 0)
    logits = model(ids.masked_fill(masked, model.mask_id), canvases.lengths_B)
    nll = -logits.log_softmax(-1).gather(-1, ids[..., None])[..., 0]
    expected = torch.stack([nll[b][masked[b]].mean() for b in range(2)]).mean()
    assert diffusion_loss(model, canvases, masked).item() == pytest.approx(expected.item(), rel=1e-5)
    model.config = replace(model.config, shift=False)
    assert diffusion_loss(model, canvases, masked).item() != pytest.approx(expected.item(), rel=1e-3)


@pytest.mark.parametrize(("family", "end"), [("llada", "<|eot_id|>"), ("dream", "<|im_end|>"), ("sdar", "<|im_end|>")])
def test_an_answer_ends_as_the_template_ends_it(family: str, end: str) -> None:
    loaded = fef.load(checkpoint(family), device="cpu")
    config = loaded.network.config
    found = Encoder(loaded.tokenizer, loaded.template, config).answer_end()
    token = loaded.tokenizer.raw.token_to_id(end)
    assert found == ([] if token == config.eos_id else [token])
    assert token in (config.eos_id, *config.stop_ids)


def test_a_template_without_an_answer_mark_is_refused() -> None:
    loaded = fef.load(checkpoint("llada"), device="cpu")
    for source in (
        "{% for m in messages %}<|{{m['role']}}|>{{m['content']}}{% endfor %}",
        "{% for m in messages %}{{m['role']}}: {{m['content']}}{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
    ):
        encoder = Encoder(loaded.tokenizer, ChatTemplate(source, {}), loaded.network.config)
        with pytest.raises(InputError, match="does not mark where an answer begins"):
            encoder.answer_end()


def test_held_out_losses_are_looked_at_and_change_nothing(data: Path, tmp_path: Path) -> None:
    """On one process and on two."""

    def looked(processes: Processes, out: Path) -> None:
        tuning = replace(TUNING, held_out=data, eval_every=2)
        tune(str(checkpoint("llada")), data, out, tuning, OPTIONS, processes)

    def held_out(out: Path) -> torch.Tensor:
        rows = [json.loads(line) for line in (out / "losses.jsonl").read_text().splitlines()]
        return torch.tensor([row["held_out_loss"] for row in rows if "held_out_loss" in row])

    run("llada", data, tmp_path / "plain")
    looked(ALONE, tmp_path / "one")
    run_on(2, looked, tmp_path / "two")
    assert len(held_out(tmp_path / "one")) == 2
    torch.testing.assert_close(held_out(tmp_path / "two"), held_out(tmp_path / "one"), rtol=1e-5, atol=0)
    for name in ("one", "two"):
        torch.testing.assert_close(losses(tmp_path / name), losses(tmp_path / "plain"), rtol=1e-5, atol=0)
