"""Wrong answers are sorted by what went wrong, and bad input is one sentence."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fef.corpus.mistakes import app, mistake
from fef.measure.answers import Answer

QUESTION = "Nora has 14 bags of 23 shells and gives 5 shells away. How many are left?"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("I do not know.", "no number"),
        ("14 * 23 = 312\n312 - 5 = 307\n#### 307", "wrong sum"),
        ("24 * 23 = 552\n552 - 5 = 547\n#### 547", "number from nowhere"),
        ("14 + 23 = 37\n37 - 5 = 32\n#### 32", "other way"),
        ("23 * 10 = 230\n23 * 4 = 92\n230 + 92 = 322\n#### 322", "other way"),
        ("#### 12", "other way"),
        ("5 - 23 = -18\n#### -18", "other way"),
        ("14 - 774 = 3\n#### 3", "wrong sum"),
    ],
)
def test_a_wrong_answer_has_one_kind(answer: str, kind: str) -> None:
    assert mistake(QUESTION, answer) == kind


def test_numbers_of_any_size_are_no_fault_of_the_command() -> None:
    question = "Of 1,374 seats in 7 halls, 674 are taken, and 0.125 of them are broken. How many are free?"
    assert mistake(question, "674 * 7 = 4718\n#### 4718") == "other way"
    assert mistake(question, "675 * 7 = 4725\n#### 4725") == "number from nowhere"


def write(folder: Path, texts: list[str]) -> tuple[Path, Path]:
    file, results = folder / "problems.jsonl", folder / "run"
    file.write_text((json.dumps({"question": QUESTION, "answer": "#### 317"}) + "\n") * 2)
    results.mkdir()
    records = [Answer(text.endswith("317"), 9, text=text, index=at) for at, text in enumerate(texts)]
    (results / "part-0.jsonl").write_text("".join(json.dumps(asdict(record)) + "\n" for record in records))
    return file, results


def test_the_command_counts_the_kinds(tmp_path: Path) -> None:
    file, results = write(tmp_path, ["14 * 23 = 312\n#### 312", "#### 317"])
    result = CliRunner().invoke(app, ["--file", str(file), "--results", str(results)])
    assert result.exit_code == 0
    assert "wrong sum: 1 of 2, 50.0 %" in result.output
    assert "right: 1 of 2, 50.0 %" in result.output
    assert "14 * 23 = 312; #### 312" in result.output


def test_results_of_another_file_are_refused(tmp_path: Path) -> None:
    file, results = write(tmp_path, ["#### 1"] * 3)
    result = CliRunner().invoke(app, ["--file", str(file), "--results", str(results)])
    assert result.exit_code == 2
    assert "does not answer the 2 problems" in " ".join(result.output.split())
