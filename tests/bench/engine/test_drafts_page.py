"""The page of the bench of drafts, of records made by hand; and two of its rows from a run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

import fef
from fef.bench.engine.drafts import InTurn, Options, drafts_tasks, main, other_bits
from fef.bench.engine.page import engine_page
from fef.bench.engine.rows import ENGINE_KIND, PassRow, Served, ShapeRow
from fef.cli.app import app
from fef.measure.record import Failure, Record, record_json
from fef.models.packed_pass import RoundShape
from tests.made_records import ENVIRONMENT

SETUP = {"model": "smol", "dtype": "bfloat16", "max_new_tokens": 192, "environment": ENVIRONMENT}
CHAINS = ShapeRow("chains of 16", rounds=10, rows=40, predicted=90.0, tokens=100, seconds=0.0021)
NEVER = ShapeRow("one token", rounds=0, rows=0, predicted=0.0, tokens=0, seconds=0.001)


def row(passes: int, seconds: float, **more: Any) -> Served:
    return Served(
        64, where="engine", problems=192, seconds=seconds, tokens=9000, passes=passes, temperature=0.0, **more
    )


def served() -> Record:
    rows = [
        row(3000, 1.0, method="chains of 16", shapes=[CHAINS, NEVER], host=0.096, captured=0, differ=0),
        row(1800, 0.5, method="trees of 32, head", host=0.048, captured=2, differ=21, unlike=3),
    ]
    return Record(ENGINE_KIND, "python -m one", SETUP, {"bandwidth": None}, {Served: rows}, finished=True)


def single() -> Record:
    rows = [
        PassRow(1, "one token", 1, 2, 0.004, 10**9, 0.8),
        PassRow(1, "trees of 32 with the head", 1, 90, 0.0046, 10**9, 0.7),
    ]
    setup = SETUP | {"model": "8b", "cached": 512}
    return Record(ENGINE_KIND, "python -m other", setup, {"bandwidth": None}, {PassRow: rows}, finished=True)


def test_the_page_has_a_table_of_each_kind_and_ratios_to_the_first_row() -> None:
    page, _ = engine_page("drafts", {"1": served(), "2": single()}, "Said by hand.")
    assert "python -m one" in page and "python -m other" in page and "Said by hand." in page and "A card" in page
    assert "| 64 | 0 | chains of 16 | engine | 192 | 9,000 | 1.00 | 9,000 | 1 | 15.6 | 3.00 | 0.50 | 0 |  | 0 |" in page
    assert (
        "| 64 | 0 | trees of 32, head | engine | 192 | 9,000 | 0.500 | 18,000 | 2 | 9.4 | 5.00 | 0.25 | 21 | 3 | 2 |"
        in page
    )
    assert "| 64 | 0 | chains of 16 | chains of 16 | 10 | 4.0 | 2.25 | 2.50 | 2.10 |" in page
    assert "one token | 0 |" not in page, "a shape that no round had says nothing"
    assert "| 1 | trees of 32 with the head | 1 | 90 | 4.60 | 1.15 | 1 | 70 % | engine |" in page
    assert "Unfinished" not in page


def test_a_page_of_a_run_that_was_cut_short_says_so_and_what_failed() -> None:
    record = served()
    record.finished, record.failures = False, [Failure(("batch 64", "T=0"), "Out of memory.")]
    page, _ = engine_page("drafts", {"1": record})
    assert "**Unfinished**" in page and "| batch 64, T=0 | Out of memory. |" in page


def test_a_folder_of_such_records_becomes_one_page(tmp_path: Path) -> None:
    (tmp_path / "results" / "drafts").mkdir(parents=True)
    for name, record in (("1-text", served()), ("2-rounds", single())):
        (tmp_path / "results" / "drafts" / f"{name}.json").write_text(record_json(record), encoding="utf-8")
    (tmp_path / "out").mkdir()
    found = CliRunner().invoke(app, ["report", str(tmp_path / "results"), "--out", str(tmp_path / "out")])
    assert found.exit_code == 0, found.output
    page, _ = engine_page("drafts", {"1-text": served(), "2-rounds": single()})
    assert (tmp_path / "out" / "drafts.md").read_text("utf-8") == page and "## rounds" in page


def test_every_shape_has_two_rounds_in_turn() -> None:
    shapes = [RoundShape(0), RoundShape(4), RoundShape(8)]
    chooser = InTurn(SimpleNamespace(shapes=shapes), SimpleNamespace())  # type: ignore[arg-type]
    turns = [chooser.next_shape(1).window for _ in range(12)]
    assert all(turns.count(shape.window) == 4 for shape in shapes)
    assert sum(one == other for one, other in pairwise(turns)) >= 5


@pytest.fixture(scope="module")
def rows() -> list[Served]:
    asked: dict[str, Any] = {"batch": [1], "temperature": [0.7], "chains": [4], "tree": [8], "problems": 2, "least": 2}
    setting = Options(rows=["sequential", "chains", "mixed"], max_new_tokens=12, **asked)
    tasks = list(drafts_tasks(fef.load("demo"), ["Tom has 2 apples.", "Ann has 3 pens."], setting))
    return [row for task in tasks for row in task.measure()]


def test_texts_of_every_shape_in_turn_are_those_of_one_token_per_pass(rows: list[Served]) -> None:
    assert [row.method for row in rows] == ["sequential", "chains of 4", "every shape in turn, head"]
    assert [row.differ for row in rows] == [0, 0, 0] and len({row.tokens for row in rows}) == 1
    assert len([shape for shape in rows[2].shapes if shape.rounds]) > 2
    assert all(row.host is None and row.unlike is None for row in rows), "of one batch size, on a CPU"


def test_an_answer_with_one_other_bit_of_a_log_p_is_told() -> None:
    one, other = (SimpleNamespace(token_ids=[1, 2], logprobs=[-0.5, last]) for last in (-0.25, -0.25 - 2**-50))
    assert other_bits([one, one], [one, one, other]) == 0, "only those that both have"
    assert other_bits([one, other], [one, one]) == 1


DEMO = ["--model", "demo", "--device", "cpu", "--tasks", "word-problems", "--problems", "4", "--least", "4"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--problems", "0"], "--problems=0 must be a whole number of at least 1"),
        (["--batch", "1,0"], "--batch=0 must be"),
        (["--chains", "-4"], "--chains=-4 must be a whole number of at least 0"),
        (["--tree", "0"], "--tree=0 must be"),
        (["--shape", "tiny", "--cached", "-1"], "--cached=-1 must be"),
        (["--anchors", "-1"], "--anchors=-1 must be"),
        (["--max-new-tokens", "0"], "--max-new-tokens=0 must be"),
        (["--temperature", "-1"], "temperature=-1.0 is not allowed"),
        (["--rows", "causal"], "causal beside others only"),
        (["--data", "nothing.jsonl"], "give one of them"),
        (["--json", "nowhere/drafts.json"], "nowhere/"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_sentence(
    given: list[str], words: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(DEMO + given)
    said = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and words in said and said.startswith("fef: error:") and "\n" not in said, said
    assert not list(tmp_path.iterdir())


def test_prompts_of_an_empty_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(SystemExit):
        main(["--model", "demo", "--device", "cpu", "--data", str(tmp_path / "empty.jsonl")])
    assert "has no prompt" in capsys.readouterr().err
