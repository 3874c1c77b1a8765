"""`fef adapt`, `fef delta` and what `fef info` says of their results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tiny_causal import write_causal, write_conversations

SMALL = ["--batch-tokens", 384, "--canvas-length", 8, "--max-prompt", 48, "--log-every", 1, "--device", "cpu"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("adapt")
    write_causal(path / "base")
    write_conversations(path / "x.jsonl")
    return path


def command(folder: Path, out: Path, *more: object) -> list[object]:
    return ["adapt", "--from", folder / "base", "--data", folder / "x.jsonl", "--out", out, *SMALL, *more]


def test_adapt_goes_on_and_delta_ships_the_change(fef_cli, folder, tmp_path):
    out = tmp_path / "m"
    first = fef_cli(*command(folder, out, "--lora", 3, "--lora-lr", 3e-2, "--steps", 2, "--json"))
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["step"] == 2
    assert "36 examples." in first.stderr
    second = fef_cli(*command(folder, out, "--lora", 3, "--lora-lr", 3e-2, "--steps", 4))
    assert "stopped run at step 2" in second.stderr
    assert f"Wrote {out}: step 4 of 4, loss" in second.stdout
    facts = json.loads(fef_cli("info", out, "--json").stdout)
    assert facts["made_from"]["lora_rank"] == 3
    assert facts["packed"]
    assert facts["last_losses"]["tokens_per_second"] > 0

    shipped = tmp_path / "shipped"
    shipped.mkdir()
    made = ["delta", "--base", folder / "base", "--model", out, "--device", "cpu"]
    result = fef_cli(*made, "--out", shipped / "delta.safetensors", "--data", folder / "x.jsonl", "--json")
    assert result.exit_code == 0, result.output
    losses = json.loads(result.stdout)
    assert losses["loss_with_delta"] == pytest.approx(losses["loss"], rel=0.02)
    facts = json.loads(fef_cli("info", shipped, "--json").stdout)
    assert (facts["made_from"]["delta_rank"], facts["made_from"]["examples"]) == (3, 36)
    assert "low-rank factors of rank 3 on 36 examples" in " ".join(fef_cli("info", shipped).stdout.split())
    answer = fef_cli("generate", "--chat", "say b k", "--model", shipped, "--max-new-tokens", 8)
    assert answer.exit_code == 0, answer.output


@pytest.mark.parametrize(
    ("more", "attention"),
    [
        (["--causal"], "causal"),
        (["--attention", "block-causal", "--block-length", 4], "block-causal"),
        (["--no-packed", "--form", "strict"], "bidirectional"),
    ],
)
def test_every_kind_is_written_as_what_it_is(fef_cli, folder, tmp_path, more, attention):
    result = fef_cli(*command(folder, tmp_path / "m", "--steps", 1, *more))
    assert result.exit_code == 0, result.output
    facts = json.loads(fef_cli("info", tmp_path / "m", "--json").stdout)
    assert (facts["attention"], facts["packed"], facts["shift"]) == (attention, False, attention == "causal")


BAD = {
    "no model": (["--from", "missing"], "neither a GGUF file nor a model directory"),
    "no data": (["--data", "missing.jsonl"], "Cannot read"),
    "blocks without a length": (["--attention", "block-causal"], "--block-length"),
    "a length without blocks": (["--block-length", 4], "--block-length"),
    "two kinds": (["--causal", "--attention", "block-causal"], "--causal keeps"),
    "a packed law in blocks": (
        ["--packed", "--attention", "block-causal", "--block-length", 4],
        "The packed law needs bidirectional attention, not block-causal; add --no-packed.",
    ),
    "a packed control": (["--packed", "--causal"], "needs bidirectional attention, not causal"),
    "factors that there are not": (["--lora-lr", 1e-3], "--lora-lr is nothing that fef adapt reads without --lora"),
    "drafts that there are not": (
        ["--no-packed", "--draft-weight", 2],
        "--draft-weight is nothing that fef adapt reads",
    ),
    "masks of a control": (
        ["--causal", "--patterns", "0,1,0"],
        "--patterns is nothing that fef adapt reads with --causal",
    ),
    "a target": (["--lora", 2, "--lora-targets", "q,values"], "Unknown LoRA target 'values'"),
    "patterns": (["--patterns", "1,0"], "three fractions that sum to 1"),
    "patterns that are words": (["--patterns", "a,b,c"], "three fractions that sum to 1"),
    "the best of nothing": (["--keep-best"], "--keep-best needs the loss of --held-out FILE"),
    "looks at no step": (["--eval-every", 0], "--eval-every must be at least 1 step"),
    "no held-out file": (["--held-out", "missing.jsonl"], "Cannot read missing.jsonl"),
    "patterns beyond 1": (["--patterns", "0.5,0.5,0.5"], "three fractions that sum to 1"),
    "a row": (["--batch-tokens", 100], "multiple of 128"),
    "a short row": (["--batch-tokens", 128, "--canvas-length", 48], "give --batch-tokens 256 or more."),
    "a short row of some": (
        ["--batch-tokens", 256, "--row-tokens", 128, "--canvas-length", 48],
        "give --row-tokens 256 or more, and a multiple of them as --batch-tokens.",
    ),
    "a canvas": (["--canvas-length", 256], "leaves no room"),
    "long examples": (["--max-prompt", 4], "line 1: the prompt has"),
    "steps": (["--steps", 0], "at least 1"),
}


@pytest.mark.parametrize(("more", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_exits_2_and_writes_nothing(fef_cli, folder, tmp_path, more, words):
    result = fef_cli(*command(folder, tmp_path / "m", *more))
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_delta_refuses_a_directory_that_adapt_did_not_write(fef_cli, folder, tmp_path, tiny):
    for model in (tiny, folder / "base"):
        out = tmp_path / "x.safetensors"
        result = fef_cli("delta", "--base", folder / "base", "--model", model, "--out", out, "--device", "cpu")
        assert result.exit_code == 2, result.output
        assert not out.exists()


def test_delta_reads_its_examples_before_it_writes(fef_cli, folder, tmp_path):
    assert fef_cli(*command(folder, tmp_path / "m", "--steps", 1)).exit_code == 0
    made = ["delta", "--base", folder / "base", "--model", tmp_path / "m", "--out", tmp_path / "x.safetensors"]
    result = fef_cli(*made, "--data", tmp_path / "missing.jsonl", "--device", "cpu")
    assert result.exit_code == 2 and "Cannot read" in result.stderr
    assert not (tmp_path / "x.safetensors").exists()


def test_a_causal_model_answers_prompts_into_a_file(folder, tmp_path):
    from typer.testing import CliRunner

    from fef.corpus.answer import app

    def run(*arguments: object) -> object:
        return CliRunner().invoke(app, [str(a) for a in arguments])

    out = tmp_path / "answers.jsonl"
    made = ["--from", folder / "base", "--data", folder / "x.jsonl", "--device", "cpu", "--max-new-tokens", 5]
    result = run(*made, "--out", out, "--keep-cut", "--batch-size", 10)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) > 30
    assert all([m["role"] for m in row["messages"]] == ["user", "assistant"] for row in rows)
    assert all(1 <= row["tokens"] <= 5 and (row["ended"] or row["tokens"] == 5) for row in rows)
    again = tmp_path / "again.jsonl"
    run(*made, "--out", again, "--keep-cut", "--batch-size", 10)
    assert again.read_text() == out.read_text()
    assert run(*made, "--out", tmp_path / "x", "--max-new-tokens", 0).exit_code == 2
    for option in (("--temperature", -1), ("--temperature", "nan"), ("--top-p", 0), ("--top-p", 7)):
        assert run(*made, "--out", tmp_path / "x", *option).exit_code == 2
    assert not (tmp_path / "x").exists()


def test_a_causal_model_asks_what_its_users_would(folder, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from fef.corpus import ask
    from fef.corpus.answer import Answer

    def run(*arguments: object) -> object:
        return CliRunner().invoke(ask.app, [str(a) for a in arguments])

    out = tmp_path / "questions.jsonl"
    made = ["--from", folder / "base", "--device", "cpu", "--count", 3, "--max-new-tokens", 4, "--out", out]
    result = run(*made)  # whose words are no sentences
    assert result.exit_code == 2
    assert "None of 3 turns is whole, plain and new" in " ".join(result.output.split())
    assert "temperature=-1.0 is not allowed" in run(*made, "--temperature", -1).output
    said = [Answer("Why is ice cold?", 5, True), Answer("Tell me more.", 4, False), Answer("Why is ice cold?", 5, True)]
    monkeypatch.setattr(ask, "texts_behind", lambda *_: enumerate(said))
    assert run(*made).exit_code == 0
    assert json.loads(out.read_text()) == {"messages": [{"role": "user", "content": "Why is ice cold?"}]}
    assert run(*made, "--count", 0).exit_code == 2


def test_a_block_causal_sibling_is_shipped_as_a_delta_and_drafts_inside_its_blocks(fef_cli, folder, tmp_path):
    model, shipped = tmp_path / "m", tmp_path / "shipped"
    shipped.mkdir()
    blocks = ["--attention", "block-causal", "--block-length", 4, "--lora", 2, "--steps", 2]
    assert fef_cli(*command(folder, model, *blocks)).exit_code == 0
    made = ["delta", "--base", folder / "base", "--model", model, "--out", shipped / "delta.safetensors"]
    assert fef_cli(*made, "--device", "cpu").exit_code == 0
    answers = []
    for method in (["sequential"], ["fef", "--set", "cache=prefix"], ["fef", "--window", 3]):
        asked = ["generate", "--chat", "say b k", "--model", shipped, "--max-new-tokens", 12, "--json", "--method"]
        result = fef_cli(*asked, *method)
        assert result.exit_code == 0, result.output
        answers.append(json.loads(result.stdout))
    assert len({answer["text"] for answer in answers}) == 1
    assert [answer["certificate"]["kind"] for answer in answers] == ["greedy"] * 3
