"""`python -m fef.corpus`: the same bytes for a seed, a report beside them, and one sentence for bad input."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef.corpus.__main__ import app
from fef.corpus.build import Recipe, build
from fef.corpus.example import CorpusExample
from fef.corpus.overlap import TestItems
from fef.corpus.shares import DIALOGUE, SHARES

COUNT = 150


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("answers") / "answers.jsonl"
    rows = [
        [{"role": "user", "content": "Hi!"}, {"role": "assistant", "content": text}] for text in ("Hello.", "Hello and")
    ]
    path.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in rows))
    return path


def test_the_number_of_processes_changes_nothing_and_the_seed_does(data: Path, answers: Path) -> None:
    recipe = Recipe(data, COUNT, 3, answers, held_out=1)
    made = build(recipe, workers=1)
    assert build(recipe, workers=2) == made
    assert build(replace(recipe, seed=4), workers=1).text != made.text
    assert made.report.examples[DIALOGUE] == round(COUNT * SHARES[DIALOGUE])
    assert made.report.left_out[DIALOGUE] == {"no end": 1}


@pytest.mark.parametrize("held_out", [0, 1])
def test_nothing_like_a_held_out_problem_is_trained_on(data: Path, held_out: int) -> None:
    apart = build(Recipe(data, COUNT, 3, held_out=1), workers=1)
    rows = [json.loads(line) for line in apart.held_out.splitlines()]
    assert len(rows) == 2
    assert all(row["question"] in row["messages"][0]["content"] and "####" in row["answer"] for row in rows)
    items = TestItems.of(row["question"] for row in rows)
    made = build(Recipe(data, COUNT, 3, held_out=held_out), workers=1)
    lines = [json.loads(line) for line in made.text.splitlines()]
    near = [row for row in lines if items.overlap(CorpusExample(row["source"], row["messages"]))]
    assert bool(near) == (held_out == 0)


def test_templates_are_counted_without_numbers_names_and_things(data: Path) -> None:
    report = build(Recipe(data, COUNT, 3), workers=1).report
    assert report.templates["story-steps"] > 0.9 * report.examples["story-steps"]
    assert report.templates["gsm8k-variation"] < report.distinct["gsm8k-variation"]
    assert report.rare["story-steps"] == report.examples["story-steps"]
    assert all(0 < report.most[name] <= count for name, count in report.examples.items() if count)


def test_the_answers_that_it_reads_are_not_written_over(data: Path, answers: Path) -> None:
    before = answers.read_bytes()
    result = CliRunner().invoke(app, ["--data", str(data), "--self-text", str(answers), "--out", str(answers)])
    assert result.exit_code == 2 and "would be written over" in " ".join(result.output.split())
    assert answers.read_bytes() == before


def test_the_command_writes_the_corpus_and_its_report(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "corpus.jsonl"
    result = CliRunner().invoke(
        app, ["--data", str(data), "--out", str(out), "--count", "90", "--workers", "1", "--held-out", "1"]
    )
    assert result.exit_code == 0
    assert "without dialogue" in " ".join(result.output.split())
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    report = json.loads((tmp_path / "corpus.report.json").read_text())
    assert report["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert len((tmp_path / "corpus.held-out.jsonl").read_text().splitlines()) == 2
    assert len(rows) == sum(report["examples"].values()) == 90
    assert {row["source"] for row in rows} == {*SHARES} - {DIALOGUE}
    for row in rows:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert "<<" not in row["messages"][1]["content"]


def test_the_prompts_are_written_as_messages(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    assert CliRunner().invoke(app, ["--prompts", str(path)]).exit_code == 0
    assert all(json.loads(line)["messages"][-1]["role"] == "user" for line in path.read_text().splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "x.jsonl", "--prompts", "y.jsonl"], "Give either --out FILE"),
        ([], "Give either --out FILE"),
        (["--out", "{tmp}/no/x.jsonl"], "Cannot write"),
        (["--out", "{tmp}/x.jsonl", "--count", "0"], "--count=0 must be"),
        (["--out", "{tmp}/x.jsonl", "--workers", "0"], "--workers=0 must be"),
        (["--out", "{tmp}/x.jsonl", "--workers", "1", "--held-out", "-1"], "--held-out=-1 must be"),
        (["--out", "{tmp}/x.jsonl", "--workers", "1", "--held-out", "3"], "gsm8k has 3 problems"),
        (["--out", "{tmp}/x.jsonl", "--workers", "1", "--self-text", "{tmp}/none.jsonl"], "There is no"),
        (["--out", "{tmp}/x.jsonl", "--workers", "1", "--self-text", "{tmp}/bad.jsonl"], "bad.jsonl:1"),
        (["--out", "{tmp}/x.jsonl", "--workers", "1", "--tokenizer", "{tmp}/none.json"], "has no none.json"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    data: Path, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"messages": [{"role": "user", "content": "Hi!"}]}\n')
    result = CliRunner().invoke(app, ["--data", str(data), *(part.format(tmp=tmp_path) for part in arguments)])
    assert result.exit_code == 2
    assert sentence in result.output
    assert not (tmp_path / "x.jsonl").exists()


def test_a_missing_test_file_stops_the_build(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "svamp.jsonl").unlink()
    arguments = ["--data", str(folder), "--out", str(tmp_path / "x.jsonl"), "--workers", "1"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert "svamp.jsonl" in result.output
