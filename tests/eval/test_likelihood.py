"""Held-out answers under the exact law: against the network itself, and answers that do not fit."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

import fef
from fef.errors import InputError
from fef.eval.likelihood import likelihood_of, main
from fef.training.adapt import AdaptOptions, adapt
from fef.training.conversations import read_answers
from fef.training.trainer import TrainOptions
from tests.tiny_causal import write_causal, write_conversations


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("likelihood")
    base, data = write_causal(path / "base"), write_conversations(path / "x.jsonl")
    options = TrainOptions(steps=1, canvas_length=8, packed_count=8, infill_share=0.0, optimizer="adamw")
    for kind in ("bidirectional", "causal"):
        kept = AdaptOptions(kind, packed=kind == "bidirectional", batch_tokens=384, max_prompt=48)
        adapt(str(base), data, path / kind, kept, options)
    return path


def test_a_causal_control_has_the_likelihood_of_its_own_softmax(folder: Path) -> None:
    model = fef.load(folder / "causal", device="cpu", dtype=torch.float32)
    answers = read_answers(folder / "x.jsonl")[:6]
    found = likelihood_of(model, answers, 8)
    nats = []
    for answer in answers:
        ids, start, _ = model.canvas(answer.before, 8, "")
        text = [*model.response_ids(answer.response, 8), model.network.config.eos_id]
        logits_LV = model.network(torch.tensor([[*ids[:start], *text]]))[0].double()
        logits_LV[:, [model.network.mask_id, *model.special_ids()]] = -torch.inf
        law_LV = logits_LV.log_softmax(-1)
        nats += [-law_LV[start + i, token].item() for i, token in enumerate(text)]
    assert found.tokens == len(nats)
    assert found.nats_per_token == pytest.approx(sum(nats) / len(nats), abs=1e-4)


def test_each_law_has_a_likelihood_of_its_own(folder: Path) -> None:
    model = fef.load(folder / "bidirectional", device="cpu", dtype=torch.float32)
    answers = read_answers(folder / "x.jsonl")[:6]
    packed, rows = likelihood_of(model, answers, 8), likelihood_of(model, answers, 8, "rows")
    assert packed == likelihood_of(model, answers, 8, "packed")
    assert abs(packed.nats_per_token - rows.nats_per_token) > 1e-4
    assert (packed.answers, packed.left_out) == (6, 0)
    assert packed.error > 0


def test_answers_beyond_the_canvas_are_counted_and_not_scored(folder: Path, tmp_path: Path) -> None:
    model = fef.load(folder / "bidirectional", device="cpu")
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": "say a b", "response": "b a"}, {"prompt": "say a b", "response": "a b c d e f g h i j k"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = read_answers(path)
    found = likelihood_of(model, answers, 4)
    assert (found.answers, found.left_out) == (1, 1)
    with pytest.raises(InputError, match="None of 1 answers fits"):
        likelihood_of(model, answers[1:], 4)


def test_the_command_refuses_what_it_cannot_read(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    given = ["likelihood", "--model", "demo", "--data", str(tmp_path / "none.jsonl")]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("fef: error: Cannot read")
