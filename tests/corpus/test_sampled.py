"""A model's own solutions are kept where they are right, come from the question and are new."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef.corpus.example import exchange
from fef.corpus.sample import app, kept_solutions

ASKED = "Nora has 5 bags of 12 shells and 8 more shells. How many shells is that?"
KNOWN = "5 * 12 = 60\n60 + 8 = 68\n#### 68"


@pytest.mark.parametrize(
    ("asked", "answer", "reason"),
    [
        (ASKED, "12 * 5 = 60\n8 + 60 = 68\n#### 68", None),
        (ASKED, f"{KNOWN}\n", "known"),
        (ASKED, "5 * 12 = 60\n60 - 8 = 52\n#### 52", "wrong"),
        (ASKED, "I do not know.", "wrong"),
        (ASKED, "5 * 12 = 62\n62 + 8 = 68\n#### 68", "wrong sum"),
        (ASKED, "#### 68", "wrong sum"),
        (ASKED, "60 + 8 = 68\n#### 68", "number from nowhere"),
        ("How many?", "12 * 5 = 60\n8 + 60 = 68\n#### 68", "unknown prompt"),
    ],
)
def test_an_answer_is_kept_or_left_out_for_a_reason(asked: str, answer: str, reason: str | None) -> None:
    kept, dropped = kept_solutions([exchange("x", ASKED, KNOWN).messages], [exchange("y", asked, answer).messages])
    assert len(kept) == (reason is None)
    assert dropped == ({} if reason is None else {reason: 1})


def test_each_text_is_kept_once_and_the_command_writes_examples(tmp_path: Path) -> None:
    corpus, answers, out = tmp_path / "corpus.jsonl", tmp_path / "answers.jsonl", tmp_path / "kept.jsonl"
    corpus.write_text(exchange("x", ASKED, KNOWN).line())
    answers.write_text(exchange("y", ASKED, "12 * 5 = 60\n8 + 60 = 68\n#### 68").line() * 2)
    arguments = ["--corpus", str(corpus), "--answers", str(answers), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "Kept 1 of 2" in result.output
    assert [json.loads(line)["source"] for line in out.read_text().splitlines()] == ["sampled"]
    before = corpus.read_bytes()
    over = CliRunner().invoke(app, [*arguments[:-1], str(corpus)])
    assert over.exit_code == 2 and "would be written over" in " ".join(over.output.split())
    assert corpus.read_bytes() == before
    answers.write_text(exchange("y", ASKED, KNOWN).line())
    out.unlink()
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "None of 1 answers" in " ".join(refused.output.split())
    assert not out.exists()
