"""Saved runs, answers from elsewhere, and their comparison, from the outside."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef.cli.app import app
from fef.eval.outcome import label_of, read_outcome
from fef.eval.page import filled, short_labels
from fef.eval.tasks import TASKS, prompt_of
from fef.generation import load
from fef.measure.intervals import mcnemar
from fef.training.conversations import Encoder

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>"
QUESTIONS = 7


def fef(*arguments: object):
    return CliRunner().invoke(app, [str(a) for a in arguments], prog_name="fef")


def right_answers(data: Path, right: set[int], path: Path, leave_out: int = -1) -> Path:
    """Answers to the prompts that `fef eval --prompts` writes, last first."""
    prompts = path.with_suffix(".prompts")
    written = fef("eval", "gsm8k", "--data", data, "--prompts", prompts)
    assert written.exit_code == 0, written.stderr
    lines = []
    for i, line in enumerate(prompts.read_text().splitlines()):
        text = f"It is\n#### {2 * i if i in right else 99}"
        messages = [*json.loads(line)["messages"], {"role": "assistant", "content": text}]
        if i != leave_out:
            lines.append(json.dumps({"messages": messages, "tokens": 10 + i, "ended": i > 0}))
    path.write_text("".join(line + "\n" for line in reversed(lines)))
    return path


def scored(data: Path, tmp_path: Path, name: str, right: set[int], *more: object, leave_out: int = -1) -> Path:
    answers = right_answers(data, right, tmp_path / f"{name}.jsonl", leave_out)
    saved = tmp_path / f"{name}.json"
    result = fef("eval", "gsm8k", "--data", data, "--model", name, "--answers", answers, "--save", saved, *more)
    assert result.exit_code == 0, result.stderr
    return saved


def test_answers_from_elsewhere_are_scored_by_the_messages_before_them(data: Path, tmp_path: Path) -> None:
    outcome = read_outcome(scored(data, tmp_path, "causal", {0, 3, 5}, leave_out=5))
    assert outcome.rights == "1001000"  # problem 5 has no answer
    summary = outcome.summary
    assert (summary.problems, summary.right, summary.unfinished) == (QUESTIONS, 2, 2)
    assert summary.tokens == summary.calls == sum(range(10, 17)) - 15
    assert outcome.certificate is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            '{"messages": [{"role": "user", "content": "?"}], "tokens": 1, "ended": true}',
            "messages must be",
        ),
        ("{broken", "not JSON"),
        (
            '{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "4"}], "tokens": 1, '
            '"ended": true}',
            "answers none of the 7 problems",
        ),
    ],
)
def test_answers_that_cannot_be_scored_are_refused(data: Path, tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(line + "\n")
    result = fef("eval", "gsm8k", "--data", data, "--answers", path, "--save", tmp_path / "saved.json")
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())
    assert not (tmp_path / "saved.json").exists()


def test_a_saved_run_holds_settings_figures_and_right_or_wrong(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    arguments = ["--max-new-tokens", 8, "--long-prompts", "cut", "--engine", "--window", 4, "--save", saved, "--json"]
    result = fef("eval", "svamp", "--model", tiny_path, "--data", data, "--temperature", 0.5, *arguments)
    assert result.exit_code == 0, result.stderr
    outcome, printed = read_outcome(saved), json.loads(result.stdout)
    assert outcome.label == "fef:window=4,temperature=0.5"
    assert vars(outcome.summary) == printed["summary"]
    assert outcome.identity == printed["identity"]
    assert outcome.certificate == printed["certificate"]
    assert outcome.rights.count("1") == outcome.summary.right
    assert outcome.environment["dtype"] == "float32"


def test_pairs_are_tested_on_the_problems_that_both_runs_answered(data: Path, tmp_path: Path) -> None:
    all_right = scored(data, tmp_path, "all", set(range(QUESTIONS)))
    few = scored(data, tmp_path, "few", {1}, "--limit", 6)
    page = tmp_path / "two-runs.md"
    assert fef("report", all_right, few, "--out", page).exit_code == 0
    result = fef("compare", all_right, few, "--json")
    assert result.exit_code == 0, result.stderr
    (pair,) = json.loads(result.stdout)["pairs"]
    assert (pair["problems"], pair["only_first"], pair["only_second"]) == (6, 5, 0)
    assert (pair["first_right"], pair["second_right"]) == (6, 1)
    assert pair["p"] == mcnemar(5, 0)
    assert pair["same"] == 1  # problem 1, and no other
    text = page.read_text()
    assert text.startswith("# Two runs\n")
    assert "| 7 | 100.0 (64.6 to 100.0) |" in text
    assert "None is more accurate than another" in text  # 5 to 0 is no evidence at 1 %
    assert fef("compare", all_right, few).exit_code == 0


def test_a_difference_beyond_chance_is_stated_and_only_that(data: Path, tmp_path: Path) -> None:
    saved = json.loads(scored(data, tmp_path, "one", set(range(QUESTIONS))).read_text())
    names = []
    for label, rights in (("good", "1" * 12), ("bad", "0" * 11 + "1"), ("middle", "1" * 6 + "0" * 6)):
        names.append(tmp_path / f"{label}.saved.json")
        saved["summary"] |= {"problems": 12, "right": rights.count("1")}
        names[-1].write_text(json.dumps(saved | {"label": label, "rights": rights, "digests": rights * 8}))
    page = tmp_path / "page.md"
    assert fef("report", *names, "--out", page).exit_code == 0
    assert page.read_text().count("is more accurate than") == 1
    assert "`good` is more accurate than `bad`" in page.read_text()
    pairs = fef("compare", *names, "--against", "bad", "--json").stdout
    assert [(pair["first"], pair["second"]) for pair in json.loads(pairs)["pairs"]] == [
        ("good", "bad"),
        ("bad", "middle"),
    ]
    assert fef("compare", *names, "--against", "worse").exit_code == 2


def test_a_page_of_many_runs_of_one_task_has_their_picture_and_one_of_few_has_none(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    saved = json.loads(scored(data, tmp_path, "one", {1}).read_text())
    certificate = {"kind": "none", "law": "", "reasons": []}
    saved["summary"]["calls"] = 40
    for folder, tasks in (("many", ["gsm8k"] * 9), ("few", ["gsm8k"] * 2), ("mixed", ["gsm8k"] * 8 + ["svamp"])):
        (tmp_path / "results" / folder).mkdir(parents=True)
        for n, task in enumerate(tasks):
            file, run = (
                tmp_path / "results" / folder / f"run-{n}.json",
                {"label": f"a:tokens={n},window=4", "task": task},
            )
            file.write_text(json.dumps(saved | run | {"certificate": certificate}))
    (tmp_path / "pages").mkdir()
    assert fef("report", tmp_path / "results", "--out", tmp_path / "pages").exit_code == 0
    assert (tmp_path / "pages" / "many.png").read_bytes().startswith(b"\x89PNG")
    assert "![Accuracy against passes](many.png)" in (tmp_path / "pages" / "many.md").read_text()
    for name in ("few", "mixed"):
        assert "![" not in (tmp_path / "pages" / f"{name}.md").read_text()
        assert not (tmp_path / "pages" / f"{name}.png").exists()


def test_labels_in_a_picture_leave_out_what_all_runs_of_a_method_share() -> None:
    labels = ["a:window=4,tokens=1", "a:window=4,tokens=2", "b:window=4", "c", "c:window=4"]
    assert short_labels(labels) == ["a:tokens=1", "a:tokens=2", "b", "c", "c:window=4"]


def test_runs_over_different_files_are_not_compared(data: Path, tmp_path: Path) -> None:
    first = scored(data, tmp_path, "first", {1})
    path = data / "gsm8k_test.jsonl"
    path.write_text(path.read_text().replace("What is 0", "How much is 0"))
    second = scored(data, tmp_path, "second", {1})
    result = fef("compare", first, second)
    assert result.exit_code == 2
    assert "from files that differ" in " ".join(result.stderr.split())
    assert fef("compare", first, first).exit_code == 0


@pytest.mark.parametrize("change", [lambda text: text[:50], lambda _: "[]", lambda text: text.replace('"0', '"2')])
def test_a_damaged_file_is_no_result(data: Path, tmp_path: Path, change) -> None:
    saved = scored(data, tmp_path, "run", {1})
    saved.write_text(change(saved.read_text()))
    result = fef("compare", saved)
    assert result.exit_code == 2
    assert "holds no result of `fef eval --save`" in " ".join(result.stderr.split())


def test_a_model_of_conversations_is_asked_as_it_was_trained(tiny_path: Path, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "talks"
    shutil.copytree(tiny_path, path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    model = load(str(path), device="cpu")
    for name in ("gsm8k", "svamp"):
        example = TASKS[name].read(data / TASKS[name].file)[0]
        asked = f"Question: {example['question']}\nLet's think step by step.\nAnswer:"
        prompt = prompt_of(TASKS[name], example, [], 0, chat=True)
        ids, start, _ = model.canvas(prompt, 8, "")
        trained = Encoder(model.tokenizer, model.template, model.network.config).prompts(
            [({"role": "user", "content": asked},)]
        )
        mark = [] if model.network.config.answer_id is None else [model.network.config.answer_id]
        assert ids[:start] == trained[0] + mark
    arguments = ["eval", "gsm8k", "--data", data, "--max-new-tokens", 4, "--long-prompts", "cut", "--json"]
    for place, more, chat in ((path, [], True), (path, ["--no-chat"], False), (tiny_path, [], False)):
        result = fef(*arguments, "--model", place, *more)
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["identity"]["chat"] is chat


def test_remarks_quote_the_figures_of_runs_and_say_what_was_not_measured(data: Path, tmp_path: Path) -> None:
    first = scored(data, tmp_path, "first", {0, 1, 2})
    second = scored(data, tmp_path, "second", {0, 4})
    notes, page = tmp_path / "notes.md", tmp_path / "page.md"
    notes.write_text("A [[first]].\nB [[first vs second]].\nC [[first > second]].\nD [[other > first]] [[third]].\n")
    result = fef("report", first, second, "--notes", notes, "--out", page)
    assert result.exit_code == 0, result.output
    text = page.read_text()
    assert f"A 42.9 % (15.8 to 75.0, {QUESTIONS} problems) at 1.00 tokens per pass." in text
    assert "B +14.3 points on 7 problems (McNemar p = 1.000, 2 and 1 that only one has right), 1.00 times" in text
    assert "C not shown (McNemar p = 1.000" in text
    assert "D not measured not measured." in text
    assert "first: given answers" in text  # two runs of one method are told apart by their models
    notes.write_text("[[first beats second]]")
    refused = fef("report", first, second, "--notes", notes, "--out", page)
    assert refused.exit_code == 2
    assert "write [[run]], [[run vs other]] or [[run > other]]" in " ".join(refused.stderr.split())


def test_a_verdict_needs_a_difference_beyond_chance_and_tells_its_side(data: Path, tmp_path: Path) -> None:
    outcome = read_outcome(scored(data, tmp_path, "first", set()))
    summary = replace(outcome.summary, problems=20)
    better = replace(outcome, rights="1" * 20, digests="00000000" * 20, summary=summary)
    worse = replace(better, rights="0" * 20)
    runs = {"a": better, "b": worse}
    assert filled("[[a > b]]", runs).startswith("yes (McNemar p = 2e-06, 20 and 0")
    assert filled("[[b > a]]", runs).startswith("no, the other way round (McNemar p = 2e-06, 0 and 20")
    assert filled("[[a > a]]", runs).startswith("not shown (McNemar p = 1.000")


def test_a_label_names_models_of_a_hub_whole_and_files_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert label_of("deer", {"causal": "Qwen/Qwen3-0.6B"}) == "deer:causal=Qwen/Qwen3-0.6B"
    assert label_of("deer", {"causal": "./Qwen/Qwen3-0.6B"}) == "deer:causal=Qwen3-0.6B"
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "ssmd.safetensors").touch()
    assert label_of("ssmd", {"layer": "runs/ssmd.safetensors"}) == "ssmd:layer=ssmd.safetensors"


def test_a_label_names_files_without_their_directories():
    options = {"layer": "runs/parts/ssmd.safetensors", "window": 8, "order": "left-to-right"}
    assert label_of("ssmd", options, 0.7) == "ssmd:layer=ssmd.safetensors,window=8,order=left-to-right,temperature=0.7"
    assert label_of("fef", {}) == "fef"
