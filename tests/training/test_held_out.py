"""Held-out losses of `adapt`: fixed canvases, no effect on training, and the best weights in what is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fef.errors import InputError, OptionError
from fef.models.checkpoint import load_checkpoint
from fef.training.adapt import AdaptOptions, adapt
from fef.training.difference import trained_weights
from fef.training.trainer import TrainOptions
from tests.tiny_causal import write_causal, write_conversations

SMALL = AdaptOptions(batch_tokens=384, max_prompt=48)
KINDS = {
    "packed": ({}, {"context", "target", "draft", "tokens_per_pass"}),
    "blocks": ({"kind": "block-causal", "block_length": 4, "packed": False}, {"context"}),
    "control": ({"kind": "causal", "packed": False}, {"causal"}),
}
OPTIONS = TrainOptions(
    steps=4,
    canvas_length=8,
    packed_count=8,
    group_sizes=(2, 4),
    infill_share=0.0,
    optimizer="adamw",
    adam_lr=2e-2,
    factor_lr=5e-2,
    warmup=2,
    log_every=10,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_causal(tmp_path_factory.mktemp("causal") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_conversations(tmp_path_factory.mktemp("data") / "x.jsonl")


def looks(directory: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (directory / "losses.jsonl").read_text().splitlines()]
    return [row for row in rows if "held_out_loss" in row]


@pytest.mark.parametrize("kind", KINDS)
def test_looks_are_logged_by_loss_fall_with_what_is_learnt_and_change_no_step(
    base: Path, data: Path, tmp_path: Path, kind: str
) -> None:
    changes, names = KINDS[kind]
    plain, options = replace(SMALL, **changes), replace(OPTIONS, steps=16)  # type: ignore[arg-type]
    apart = replace(plain, held_out=data, eval_every=5)
    unlooked = adapt(str(base), data, tmp_path / "plain", plain, options)
    looked = adapt(str(base), data, tmp_path / "looked", apart, options)
    assert all(torch.equal(a, b) for a, b in zip(unlooked.parameters(), looked.parameters(), strict=True))
    rows = looks(tmp_path / "looked")
    assert [row["step"] for row in rows] == [5, 10, 15, 16]
    assert rows[-1]["held_out_loss"] < 0.9 * rows[0]["held_out_loss"]
    assert {name.removeprefix("held_out_") for name in rows[0] if name.startswith("held_out_")} == names | {"loss"}


def test_the_canvases_and_masks_are_the_same_at_every_look_and_for_every_seed(
    base: Path, data: Path, tmp_path: Path
) -> None:
    for seed in (0, 5):
        for rate in (0.0, 2e-2):
            options = replace(OPTIONS, adam_lr=rate, seed=seed)
            apart = replace(SMALL, held_out=data, eval_every=1)
            adapt(str(base), data, tmp_path / f"{seed}-{rate}", apart, options)
    still = [row["held_out_loss"] for seed in (0, 5) for row in looks(tmp_path / f"{seed}-0.0")]
    assert still == pytest.approx([still[0]] * 8, rel=1e-4)
    moving = [row["held_out_loss"] for row in looks(tmp_path / "0-0.02")]
    assert moving != pytest.approx([moving[0]] * 4, rel=1e-2)


def stop_after(steps: int) -> Callable[[], bool]:
    left = iter(range(steps))
    return lambda: next(left, None) is None


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_best_weights_are_written_and_survive_a_stop_and_the_last_go_on(
    base: Path, tmp_path: Path, keep_best: bool
) -> None:
    """The held-out answers contradict those trained on, so that an early look is the best."""
    data, against = tmp_path / "data.jsonl", tmp_path / "against.jsonl"
    for path, answer in ((data, "abcabc"), (against, "lllll")):
        path.write_text("".join(json.dumps({"prompt": f"say {x}", "response": answer}) + "\n" for x in "cdefgh"))
    adaptation = replace(SMALL, lora_rank=2, held_out=against, eval_every=2, keep_best=keep_best)
    options = replace(OPTIONS, steps=30, adam_lr=5e-2, factor_lr=1e-1)
    whole = adapt(str(base), data, tmp_path / "whole", adaptation, options)
    losses = {int(row["step"]): row["held_out_loss"] for row in looks(tmp_path / "whole")}
    best = min(losses, key=losses.__getitem__)
    assert best < 20
    adapt(str(base), data, tmp_path / "best", adaptation, options, stop=stop_after(best))
    adapt(str(base), data, tmp_path / "cut", adaptation, options, stop=stop_after(20))
    cut = adapt(str(base), data, tmp_path / "cut", adaptation, options)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), cut.parameters(), strict=True))
    for read in (stored, trained_weights):
        first, last = read(tmp_path / "best"), read(tmp_path / "cut")
        assert all(torch.equal(first[name], last[name]) for name in first) == keep_best
        assert all(torch.equal(last[name], value) for name, value in read(tmp_path / "whole").items())


def stored(directory: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(directory)[0].named_parameters())


def test_the_best_needs_held_out_examples_and_looks_come_after_steps(base: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="--keep-best needs"):
        replace(SMALL, keep_best=True)
    with pytest.raises(OptionError, match="--eval-every must be at least 1"):
        replace(SMALL, held_out=data, eval_every=0)
    with pytest.raises(InputError, match=r"none\.jsonl"):
        adapt(str(base), data, tmp_path / "m", replace(SMALL, held_out=tmp_path / "none.jsonl"), OPTIONS)
    assert not (tmp_path / "m").exists()
