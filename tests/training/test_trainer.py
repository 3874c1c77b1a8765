"""Training on a toy: losses fall, a resumed run equals an uninterrupted one, a failed save keeps the old checkpoint."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fef
from fef.errors import CheckpointError, InputError, OptionError
from fef.laws.noise import Schedule
from fef.models import export
from fef.models.checkpoint import load_checkpoint
from fef.models.packed import packed_target_logits
from fef.models.tokenizer import Tokenizer
from fef.training import trainer
from fef.training.data import encode_pairs, read_pairs, task_examples, task_texts
from fef.training.held_out import HeldOut
from fef.training.objectives import causal_loss, diffusion_loss, packed_loss
from fef.training.patterns import mask_canvases
from fef.training.run import DataOptions, NetworkOptions, run
from fef.training.sharding import compile_options
from fef.training.trainer import TrainOptions, train, training_step_data

PAIRS = [(f"say {a} {b}", f"{b} {a}") for a in "abcdef" for b in "ghijkl"]
SMALL = NetworkOptions(vocab_size=290, dim=32, layers=2, heads=2, mlp_dim=64, max_length=64)
OPTIONS = TrainOptions(
    steps=6, batch_size=8, canvas_length=8, packed_count=6, warmup=2, log_every=1, save_every=100, group_sizes=(2, 4)
)


@pytest.fixture
def data(tmp_path: Path) -> DataOptions:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps({"prompt": p, "response": r}) + "\n" for p, r in PAIRS))
    return DataOptions(jsonl=path)


class InThisProcess:
    """Does the work of processes, which take seconds to start."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> InThisProcess:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fef.training.data.ProcessPoolExecutor", InThisProcess)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    ("shares", "count"),
    [({"joint": 1.0, "python": 0.0}, 40), ({"joint": 0.9, "python": 0.1}, 40), ({"joint": 1.0}, 70)],
)
def test_generated_examples_have_the_count_and_the_shares(
    shares: dict[str, float], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fef.training.data.CHUNK", 32, raising=False)
    pairs = task_texts(dict.fromkeys(shares, 1.0), 60, 0)
    tokenizer = Tokenizer.train([text for pair in pairs for text in pair], 297)
    made = task_examples(shares, count, 0, tokenizer, 400, 400)
    wanted = [prompt for prompt, _ in task_texts({"python": 1.0}, round(shares.get("python", 0.0) * count), 1)]
    prompts = [tokenizer.decode(row[:n].tolist()) for row, n in zip(made.prompt_NP, made.prompt_length_N, strict=True)]
    assert len(prompts) == count
    assert prompts[count - len(wanted) :] == wanted


@pytest.mark.usefixtures("in_this_process")
def test_families_of_which_no_example_fits_are_left_out_unless_none_is_left() -> None:
    few, many = task_texts({"joint": 1.0}, 8, 1), task_texts({"python": 1.0}, 8, 1)
    tokenizer = Tokenizer.train([text for pair in [*few, *many] for text in pair], 297)
    longest = max(len(tokenizer.encode(response)) for _, response in few)
    assert min(len(tokenizer.encode(response)) for _, response in many) > longest
    made = task_examples({"joint": 0.5, "python": 0.5}, 16, 0, tokenizer, 400, longest + 1)
    assert len(made) == 8
    with pytest.raises(InputError, match="None of 8 examples"):
        task_examples({"python": 1.0}, 8, 0, tokenizer, 400, longest + 1)


def test_losses_fall_and_the_checkpoint_loads(tmp_path: Path, data: DataOptions) -> None:
    rows: list[dict[str, float]] = []
    run(tmp_path / "m", data, SMALL, replace(OPTIONS, steps=40), progress=lambda _, row: rows.append(row))
    for name in ("context", "target", "draft"):
        assert rows[-1][name] < 0.7 * rows[0][name]
    out = fef.load(str(tmp_path / "m")).generate("say a g", max_new_tokens=8)
    assert out.certificate.kind == "greedy"


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, data: DataOptions) -> None:
    whole = run(tmp_path / "whole", data, SMALL, OPTIONS)
    run(
        tmp_path / "parts", data, SMALL, replace(OPTIONS, seconds=-1.0)
    )  # time is up before the first step: saved at step 0
    half = run(tmp_path / "half", data, SMALL, replace(OPTIONS, save_every=3, steps=6))
    for other in (run(tmp_path / "parts", data, SMALL, OPTIONS), half):
        for a, b in zip(whole.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)


def test_the_seconds_of_a_log_go_on_with_the_run(tmp_path: Path, data: DataOptions) -> None:
    asked = iter([False, False, True])

    def slow() -> bool:
        time.sleep(0.2)
        return next(asked)

    run(tmp_path / "m", data, SMALL, OPTIONS, stop=slow)
    run(tmp_path / "m", data, SMALL, replace(OPTIONS, steps=4))
    seconds = [json.loads(line)["seconds"] for line in (tmp_path / "m" / "losses.jsonl").read_text().splitlines()]
    assert len(seconds) == 4 and seconds == sorted(seconds)


def test_looks_and_saves_take_nothing_from_the_speed_of_steps(
    tmp_path: Path, data: DataOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps take a second of this clock, a save ten and a look a hundred."""
    now = [0.0]

    def passes(seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def slower(*given: Any, **named: Any) -> Any:
            now[0] += seconds
            return function(*given, **named)

        return slower

    def look(_model: object, _number: int) -> tuple[torch.Tensor, dict[str, Any]]:
        return torch.zeros(()), {"loss": 0.0}

    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    monkeypatch.setattr(trainer, "take_step", passes(1, trainer.take_step))
    monkeypatch.setattr(trainer, "save_state", passes(10, trainer.save_state))
    monkeypatch.setattr(trainer, "step_parts", lambda *_: {"loss": 1.0, "tokens": 7.0})
    rows: list[dict[str, float]] = []
    fit(tmp_path, data, HeldOut(passes(100, look), 1, 3, False), progress=lambda _, row: rows.append(row), save_every=2)
    assert [row.get("tokens_per_second") for row in rows] == [None, 7, 7, 7, 7, 7]


def fit(tmp_path: Path, data: DataOptions, held_out: HeldOut, save_every: int = 100, **told: Any) -> None:
    """Six steps with looks."""
    run(tmp_path / "first", data, SMALL, replace(OPTIONS, steps=1))
    model, tokenizer = load_checkpoint(tmp_path / "first")
    examples, options = encode_pairs(PAIRS, tokenizer, 40, 8), replace(OPTIONS, save_every=save_every)
    objective = trainer.padded_objective(examples, options)
    train(model.requires_grad_(True), tokenizer, objective, tmp_path / "m", options, held_out=held_out, **told)


def test_a_look_that_is_no_number_is_never_the_best(tmp_path: Path, data: DataOptions) -> None:
    found, said = iter([math.nan, 2.0, 3.0]), []
    held_out = HeldOut(lambda *_: (torch.zeros(()), {"loss": next(found)}), 1, 2, True)
    fit(tmp_path, data, held_out, say=said.append)
    assert said == ["The best of the held-out losses, 2.0000 at step 4, is the model."]


def test_an_interrupted_run_goes_on_from_its_last_save(
    tmp_path: Path, data: DataOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(tmp_path / "whole", data, SMALL, OPTIONS)
    made = trainer.training_step_data

    def stop_at_five(examples, model, options, step):  # type: ignore[no-untyped-def]
        if step == 5:
            raise KeyboardInterrupt
        return made(examples, model, options, step)

    monkeypatch.setattr(trainer, "training_step_data", stop_at_five)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", data, SMALL, replace(OPTIONS, save_every=3))
    monkeypatch.undo()
    resumed = run(tmp_path / "cut", data, SMALL, OPTIONS)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "losses.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_run_goes_on_only_as_it_began(tmp_path: Path, data: DataOptions) -> None:
    """All that its steps depend on is compared, and what differs is named; how far it goes and when it saves is free."""
    out = tmp_path / "m"
    run(out, data, SMALL, replace(OPTIONS, steps=1))
    others = {
        "warmup": (3, 2),
        "adam_lr": (1e-3, 3e-3),
        "schedule": ("cosine", "linear"),
        "group_sizes": ((2, 8), [2, 4]),
        "causal_weight": (0.5, 0.0),
    }
    for name, (here, there) in others.items():
        shown = list(here) if isinstance(here, tuple) else here
        with pytest.raises(CheckpointError) as found:
            run(out, data, SMALL, replace(OPTIONS, **{name: here}))
        assert f"another run: its {name} is {there}, and here it is {shown}. Repeat its command" in str(found.value)
    with pytest.raises(CheckpointError, match=r"its seed is 0, and here it is 4; its warmup is 2, and here it is 7\."):
        run(out, data, SMALL, replace(OPTIONS, seed=4, warmup=7))
    run(tmp_path / "other", data, SMALL, replace(OPTIONS, steps=1))
    with pytest.raises(CheckpointError, match="its init is None, and here it is"):
        run(out, data, SMALL, OPTIONS, init=tmp_path / "other")
    with pytest.raises(CheckpointError, match="its certain is False, and here it is True"):
        run(out, data, SMALL, OPTIONS, certain=True)
    fewer = tmp_path / "fewer.jsonl"
    assert data.jsonl is not None
    fewer.write_text("".join(f"{line}\n" for line in data.jsonl.read_text().splitlines()[:-1]))
    with pytest.raises(CheckpointError, match="its examples is"):
        run(out, replace(data, jsonl=fewer), SMALL, OPTIONS)
    free = {"steps": 2, "save_every": 1, "save_seconds": 9.0, "log_every": 2, "recompute": True, "shard": False}
    run(out, data, SMALL, replace(OPTIONS, **free))
    assert json.loads((out / "resume" / "run.json").read_text())["step"] == 2


def test_a_fact_that_only_the_stopped_run_has_is_compared_too(tmp_path: Path, data: DataOptions) -> None:
    out = tmp_path / "m"
    run(out, data, SMALL, replace(OPTIONS, steps=1))
    path = out / "resume" / "run.json"
    stored = json.loads(path.read_text())
    stored["run"]["curriculum"] = "short first"
    path.write_text(json.dumps(stored))
    with pytest.raises(CheckpointError, match="its curriculum is short first, and here it is None"):
        run(out, data, SMALL, OPTIONS)


def test_weights_that_are_no_numbers_are_not_saved_over_good_ones(
    tmp_path: Path, data: DataOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save by the clock, between two rows of the log."""
    made, out = trainer.step_losses, tmp_path / "m"
    steps = 0

    def broken_at_four(*given):  # type: ignore[no-untyped-def]
        nonlocal steps
        steps += 1
        loss, parts = made(*given)
        return (loss * torch.nan if steps == 4 else loss), parts

    monkeypatch.setattr(trainer, "step_losses", broken_at_four)
    with pytest.raises(OptionError, match="by step 4; lower the learning rate"):
        run(out, data, SMALL, replace(OPTIONS, log_every=100, save_every=2))
    assert all(p.isfinite().all() for p in fef.load(str(out), device="cpu").network.parameters())


def test_a_full_disk_keeps_the_old_checkpoint(
    tmp_path: Path, data: DataOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"
    run(out, data, SMALL, replace(OPTIONS, steps=2))
    before = (out / "model.safetensors").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "save_file", full)
    with pytest.raises(CheckpointError, match="No space left"):
        run(out, data, SMALL, replace(OPTIONS, steps=4))
    assert (out / "model.safetensors").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "pairs.jsonl"]
    monkeypatch.undo()
    load_checkpoint(out)


def test_fine_tuning_starts_from_a_checkpoint(tmp_path: Path, data: DataOptions) -> None:
    run(tmp_path / "base", data, SMALL, replace(OPTIONS, steps=30))
    rows: list[dict[str, float]] = []
    run(tmp_path / "tuned", data, SMALL, OPTIONS, init=tmp_path / "base", progress=lambda _, row: rows.append(row))
    fresh: list[dict[str, float]] = []
    run(tmp_path / "fresh", data, SMALL, OPTIONS, progress=lambda _, row: fresh.append(row))
    assert rows[0]["target"] < 0.8 * fresh[0]["target"]


def test_packed_targets_of_the_loss_are_those_of_decoding(tmp_path: Path, data: DataOptions) -> None:
    """The packed loss is the cross-entropy of `packed_target_logits`, the pattern that verification uses."""
    model = run(tmp_path / "m", data, SMALL, OPTIONS).double()
    examples = encode_pairs(PAIRS, load_checkpoint(tmp_path / "m")[1], 40, 8)
    canvases, masked, slots = training_step_data(examples, model, OPTIONS, 3)
    losses = packed_loss(model, canvases, masked, slots, {"context": 1.0, "target": 1.0, "draft": 0.5})
    ids = canvases.ids_BL.masked_fill(masked, model.mask_id)
    logits = packed_target_logits(model, ids, canvases.ids_BL, slots.rank_BL, canvases.lengths_B)
    nll = -logits.log_softmax(-1).gather(-1, canvases.ids_BL[..., None])[..., 0]
    expected = torch.stack([nll[b][slots.index_BM[b][slots.index_BM[b] >= 0]].mean() for b in range(len(ids))]).mean()
    assert losses.named["target"].item() == pytest.approx(expected.item(), rel=1e-5)
    first_of_group = slots.group_start_BM == torch.arange(slots.index_BM.shape[1])
    assert first_of_group.any()


def test_strict_form_trains_the_first_mask_only(tmp_path: Path, data: DataOptions) -> None:
    model = run(tmp_path / "m", data, SMALL, OPTIONS)
    examples = encode_pairs(PAIRS, load_checkpoint(tmp_path / "m")[1], 40, 8)
    canvases, _, _ = training_step_data(examples, model, OPTIONS, 3)
    assert model.config.eos_id is not None
    generator = torch.Generator().manual_seed(0)
    masked = mask_canvases(canvases, model.config.eos_id, Schedule("linear"), (0.0, 1.0, 0.0), generator)
    logits = model(canvases.ids_BL.masked_fill(masked, model.mask_id), canvases.lengths_B)
    nll = -logits.log_softmax(-1).gather(-1, canvases.ids_BL[..., None])[..., 0]
    expected = nll[torch.arange(len(nll)), masked.long().argmax(1)].mean()
    assert diffusion_loss(model, canvases, masked, "strict").item() == pytest.approx(expected.item(), rel=1e-5)
    assert diffusion_loss(model, canvases, masked, "cheap").item() != pytest.approx(expected.item(), rel=1e-3)


def test_causal_mode_sees_no_later_token(tmp_path: Path, data: DataOptions) -> None:
    model = run(tmp_path / "m", data, SMALL, OPTIONS)
    examples = encode_pairs(PAIRS, load_checkpoint(tmp_path / "m")[1], 40, 8)
    canvases, _, _ = training_step_data(examples, model, OPTIONS, 3)
    assert model.config.eos_id is not None
    one = causal_loss(model, canvases, 1, model.config.eos_id)
    changed = canvases.ids_BL.clone()
    after_first = torch.arange(changed.shape[1]) > canvases.start_B[:, None]
    changed[after_first & (changed != model.config.eos_id)] = 7
    assert torch.equal(one, causal_loss(model, replace(canvases, ids_BL=changed), 1, model.config.eos_id))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no examples"),
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a"}\n', "line 2"),
        ('{"prompt": 1, "response": "b"}\n', "line 1"),
        ("not json\n", "line 1"),
    ],
)
def test_a_broken_file_names_the_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_pairs(path)


@pytest.mark.parametrize("options", [{"steps": 0}, {"batch_size": 0}, {"pattern_shares": (0.5, 0.5, 0.5)}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        TrainOptions(**options)  # type: ignore[arg-type]


def test_blocks_are_compiled_with_options_that_the_compiler_knows() -> None:
    torch.compile(torch.sin, options=compile_options())
    with pytest.raises(RuntimeError, match="option"):
        torch.compile(torch.sin, options={"max_pointwise_dogs": 0})
