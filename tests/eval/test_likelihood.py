"""Held-out answers under the exact law: against the network itself, answers that do not fit, and the page of several laws."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fef
from fef.errors import InputError, OptionError
from fef.eval.likelihood import LIKELIHOOD_KIND, AnswerNats, likelihood_page, main, mean_nats, scored
from fef.generation import Model
from fef.measure.record import Record, read_record
from fef.models.causal import load_causal
from fef.models.extras import Extras
from fef.training.adapt import AdaptOptions, adapt
from fef.training.conversations import read_answers
from fef.training.trainer import TrainOptions
from tests.made_records import ENVIRONMENT
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
    found = scored(model, answers, 8)
    nats = []
    for answer in answers:
        ids, start, _ = model.canvas(answer.before, 8, "")
        text = [*model.response_ids(answer.response, 8), model.network.config.eos_id]
        logits_LV = model.network(torch.tensor([[*ids[:start], *text]]))[0].double()
        logits_LV[:, [model.network.mask_id, *model.special_ids()]] = -torch.inf
        law_LV = logits_LV.log_softmax(-1)
        nats += [-law_LV[start + i, token].item() for i, token in enumerate(text)]
    assert sum(one.tokens for one in found) == len(nats)
    assert mean_nats(found)[0] == pytest.approx(sum(nats) / len(nats), abs=1e-4)


def test_each_law_has_a_likelihood_of_its_own(folder: Path) -> None:
    model = fef.load(folder / "bidirectional", device="cpu", dtype=torch.float32)
    answers = read_answers(folder / "x.jsonl")[:6]
    packed, rows = scored(model, answers, 8), scored(model, answers, 8, "rows")
    assert packed == scored(model, answers, 8, "packed")
    assert abs(mean_nats(packed)[0] - mean_nats(rows)[0]) > 1e-4
    assert len(packed) == 6
    assert mean_nats(packed)[1] > 0


def test_the_base_has_the_likelihood_of_the_causal_model_that_the_checkpoint_came_with(folder: Path) -> None:
    control = fef.load(folder / "causal", device="cpu", dtype=torch.float32)
    base, tokenizer = load_causal(str(folder / "base"), "cpu", torch.float32)
    model = Model(control.network, tokenizer, "adapted", control.template)
    model.network.extras = Extras(causal_model=base)
    answers = read_answers(folder / "x.jsonl")[:6]
    found = scored(model, answers, 8, base=True)
    for one, answer in zip(found, answers, strict=True):
        begin, end = model.canvas(answer.before, 8, "")[0][:-8], model.network.config.eos_id
        text = [*model.response_ids(answer.response, 8), end]
        steps = [base(torch.tensor([begin + text[:n]]))[0, -1].log_softmax(-1)[text[n]] for n in range(len(text))]
        assert (one.line, one.tokens) == (answer.line, len(text))
        assert one.nats == pytest.approx(-float(sum(steps)), abs=1e-3)
    assert [one.nats for one in found] != pytest.approx([one.nats for one in scored(model, answers, 8)], abs=1e-2)


def test_a_checkpoint_without_a_base_says_so(folder: Path) -> None:
    model = fef.load(folder / "causal", device="cpu")
    with pytest.raises(OptionError, match="comes without a causal model"):
        scored(model, read_answers(folder / "x.jsonl")[:1], 8, base=True)


def test_answers_beyond_the_canvas_are_counted_and_not_scored(folder: Path, tmp_path: Path) -> None:
    model = fef.load(folder / "bidirectional", device="cpu")
    path = tmp_path / "x.jsonl"
    rows = [{"prompt": "say a b", "response": "b a"}, {"prompt": "say a b", "response": "a b c d e f g h i j k"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = read_answers(path)
    assert [one.line for one in scored(model, answers, 4)] == [1]
    with pytest.raises(InputError, match="None of 1 answers fits"):
        scored(model, answers[1:], 4)


def test_a_page_holds_the_differences_of_laws_answer_by_answer(folder: Path, tmp_path: Path) -> None:
    found = []
    for number, law in enumerate(("packed", "rows")):
        saved = tmp_path / f"{number}-{law}.json"
        data = ["--data", str(folder / "x.jsonl"), "--limit", "6"]
        given = ["--model", str(folder / "bidirectional"), "--max-new-tokens", "8", "--verify", law, "--device", "cpu"]
        main([*data, *given, "--save", str(saved)])
        found.append(read_record(saved, LIKELIHOOD_KIND))
    first, second = (record.of(AnswerNats) for record in found)
    page, _ = likelihood_page("dialogues", {"0": found[0], "1": found[1]})
    (row,) = [line for line in page.splitlines() if "| rows |" in line]
    more = sum(b.nats - a.nats for a, b in zip(first, second, strict=True)) / sum(one.tokens for one in first)
    assert row.split("|")[-2].split()[0] == f"{more:.2f}"
    other = replace(found[1], setup=found[1].setup | {"file": "another"})
    with pytest.raises(InputError, match="two files"):
        likelihood_page("dialogues", {"0": found[0], "1": other})
    with pytest.raises(InputError, match="several canvases or devices"):
        likelihood_page(
            "dialogues", {"0": found[0], "1": replace(found[1], setup=found[1].setup | {"max_new_tokens": 9})}
        )


REFUSED = {
    "no limit": (["--limit", "0"], "--limit=0 must be a whole number of at least 1."),
    "a negative limit": (["--limit", "-1"], "--limit=-1 must be"),
    "no canvas": (["--max-new-tokens", "0"], "--max-new-tokens=0 must be"),
    "a folder that is not there": (["--save", "none/x.json"], "Cannot write none/x.json: No such file or directory."),
    "its own data": (["--save", "x.jsonl"], "x.jsonl is to be read, and would be written over"),
    "a record of no file": (["--data", "owner/name", "--save", "y.json"], "Cannot read owner/name: No such file"),
    "a role of nobody": (["--data", "roles.jsonl"], "roles.jsonl, line 1: the role 'foo' is none of system"),
}


@pytest.mark.parametrize(("given", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_measured_or_kept_is_refused_before_a_model_is_loaded(
    given: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fef, "load", None)
    monkeypatch.chdir(tmp_path)
    Path("x.jsonl").write_text(json.dumps({"prompt": "a", "response": "b"}))
    roles = [{"role": role, "content": "a"} for role in ("foo", "user", "assistant")]
    Path("roles.jsonl").write_text(json.dumps({"messages": roles}))
    with pytest.raises(SystemExit) as ended:
        main(["--data", "x.jsonl", *given])
    said, errors = capsys.readouterr()
    assert ended.value.code == 2 and not said and words in errors and errors.count("\n") == 1
    assert not Path("none").exists()


def test_records_without_a_common_answer_make_no_page() -> None:
    setup = {"model": "a", "law": "rows", "data": "d", "file": "f", "max_new_tokens": 8}
    setup["environment"] = ENVIRONMENT | {"dtype": "float32"}
    one, other = (
        Record(LIKELIHOOD_KIND, "", setup, {"left_out": 1}, {AnswerNats: [AnswerNats(line, 2, 1.0)]}, finished=True)
        for line in (1, 2)
    )
    assert "± 0.00" in likelihood_page("d", {"0": one, "1": one})[0]
    with pytest.raises(InputError, match="give records of the same answers"):
        likelihood_page("d", {"0": one, "1": other})


def test_the_command_refuses_what_it_cannot_read(tmp_path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    given = ["likelihood", "--model", "demo", "--data", str(tmp_path / "none.jsonl")]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("fef: error: Cannot read")
