"""The page, of a record made by hand."""

from dataclasses import replace

import pytest

from fef.bench.engine.page import engine_page
from fef.bench.engine.rows import CONTEXT, ENGINE_KIND, FULL, PassRow, Served
from fef.bench.engine.serving import problems_at
from fef.bench.run import METHODS_KIND
from fef.errors import InputError
from fef.measure.record import Failure, Record, read_record, record_json
from tests.made_records import ENVIRONMENT

SETUP = {
    "model": "demo",
    "parameters": 9_000_000,
    "weight_bytes": 33_000_000,
    "weight_format": None,
    "dtype": "float32",
    "batches": [1, 8],
    "canvas": 128,
    "opened": 64,
    "windows": [4, 8],
    "repeats": 20,
    "environment": ENVIRONMENT,
    "weights": "00ff",
    "families": ["joint"],
    "settings": {"seed": 0, "temperature": 0.0, "top_p": 1.0, "max_new_tokens": 64},
}


def served(batch: int, method: str, where: str, right: int, seconds: float, ideal: float | None = None) -> Served:
    more = {"first_token": 0.0123, "memory": 2_000_000_000, "ideal_seconds": ideal}
    return Served(batch, method, where, 10, seconds, 300, 60, 7680, right, **more)


@pytest.fixture
def record() -> Record:
    passes = [
        PassRow(1, FULL, 1, 128, 0.004, 33_000_000, 0.01, "kernels"),
        PassRow(1, CONTEXT, 1, 145, 0.003, 33_000_000, 0.02),
        PassRow(1, "one token", 1, 2, 0.0005, 34_000_000, 0.5),
        PassRow(1, "chains of 8", 1, 44, 0.001, 34_000_000, 0.25),
    ]
    answers = [
        served(1, "fef", "engine", 10, 1.0),
        served(1, "sequential", "engine", 10, 3.0),
        served(1, "sequential", "loop", 10, 30.0, 6.0),
        served(1, "dual", "loop", 9, 20.0, 0.5),
        served(1, "a|b", "loop", 10, 40.0, 2.0),
    ]
    failures = [Failure(("batch 8", "plain passes"), "Out of memory.")]
    facts = {"bandwidth": 2.5e12}
    rows = {PassRow: passes, Served: answers}
    return Record(ENGINE_KIND, "fef bench --engine", SETUP, facts, rows, failures=failures, finished=True)


def page_of(record: Record, remarks: str = "") -> str:
    page, picture = engine_page("engine", {"1-demo": record}, remarks)
    assert picture is None
    return page


def test_the_page_holds_each_row_against_the_first_of_its_batch(record):
    page = page_of(record)
    assert page.startswith("# Engine\n") and "\n## demo\n" in page
    assert "```\nfef bench --engine\n```" in page
    assert "cuda (A card)" in page and "Copies: 2,500 GB/s" in page
    assert "parameters 9,000,000; weight bytes 33,000,000; dtype float32; batches 1, 8; canvas 128" in page
    assert "weight format" not in page, "it is None"
    assert "| 1 | chains of 8 | 1 | 44 | 1.00 | 0.25 | 0.034 | 25 % | engine |" in page
    assert "TFLOP |" not in page and "network |" not in page, "columns in which nothing stands"
    assert "| 1 | fef | engine | 10 | 100.0 | 300 | 1.00 | 300 | 1 |  |  | 6.0 |" in page
    assert "| 1 | sequential | engine | 10 | 100.0 | 300 | 3.00 | 100 | 0.333 |  |  | 6.0 |" in page
    # dual is faster when idealised, but ten points less accurate
    assert "| 1 | dual | loop | 10 | 90.0 | 300 | 20.0 | 15 | 0.05 | 600 | 2 | 6.0 |" in page
    assert "| 1 | a\\|b | loop | 10 | 100.0 | 300 | 40.0 | 8 | 0.025 | 150 | 0.5 | 6.0 |" in page
    assert "| batch 8, plain passes | Out of memory. |" in page
    assert "Unfinished" not in page and "## Remarks" not in page
    assert "## Remarks\n\nMine.\n" in page_of(record, "Mine.\n")
    assert "**Unfinished**" in page_of(replace(record, finished=False))


def test_of_a_record_before_a_change_only_the_change_is_shown(record):
    def quicker(row, times, **more):
        return replace(row, seconds=row.seconds / times, **more)

    rows = {PassRow: [quicker(row, 0.5) for row in record.of(PassRow)], Served: [served(1, "fef", "engine", 10, 4.0)]}
    rows[PassRow][1] = replace(rows[PassRow][1], rows=2)  # another pass: of two requests
    page, _ = engine_page("engine", {"1-demo": record, "2-demo-at-00ff": replace(record, rows=rows)})
    shown = page.split("## demo: before and after\n\n")[1].split("\n\n")[0].splitlines()
    assert shown == [
        "| batch | what | at 00ff | here | change |",
        "| --- | --- | --- | --- | --- |",
        "| 1 | full, head at open slots, ms | 8.000 | 4.000 | -50.0 % |",
        "| 1 | one token, ms | 1.000 | 0.5000 | -50.0 % |",
        "| 1 | chains of 8, ms | 2.000 | 1.000 | -50.0 % |",
        "| 1 | fef, engine, tokens/s | 75.00 | 300.0 | +300.0 % |",
    ]
    alone, _ = engine_page("engine", {"2-demo-at-00ff": replace(record, rows=rows)})
    assert "before and after" not in alone and "\n## demo at 00ff\n" in alone


def test_rows_of_several_temperatures_are_held_against_their_own(record):
    def at(*seconds):
        rows = [
            replace(served(1, "fef", "engine", 10, s), temperature=t) for s, t in zip(seconds, (0.0, 0.7), strict=True)
        ]
        return replace(record, rows={PassRow: [], Served: rows})

    page, _ = engine_page("engine", {"1-demo": at(1.0, 2.0), "2-demo-at-00ff": at(4.0, 3.0)})
    shown = page.split("## demo: before and after\n\n")[1].split("\n\n")[0].splitlines()
    assert shown == [
        "| batch | T | what | at 00ff | here | change |",
        "| --- | --- | --- | --- | --- | --- |",
        "| 1 | 0 | fef, engine, tokens/s | 75.00 | 300.0 | +300.0 % |",
        "| 1 | 0.7 | fef, engine, tokens/s | 100.0 | 150.0 | +50.0 % |",
    ]


def test_every_table_has_as_many_cells_in_each_line(record):
    tables = [part.partition("\n\n")[2] or part for part in page_of(record).split("\n### ")[1:]]
    assert len(tables) == 3
    for table in tables:
        lines = [line for line in table.splitlines() if line.startswith("| ")]
        assert len(lines) > 2 and len({line.replace("\\|", "").count("|") for line in lines}) == 1


def test_a_shape_has_no_answers(record):
    page = page_of(replace(record, rows=record.rows | {Served: []}))
    assert "### Passes: demo" in page and "### Answers" not in page


def test_a_record_is_read_as_it_was_written(record, tmp_path):
    path = tmp_path / "engine.json"
    path.write_text(record_json(record))
    assert read_record(path, METHODS_KIND, ENGINE_KIND) == record


def test_a_record_of_the_format_before_says_why_it_is_not_read(record, tmp_path):
    path = tmp_path / "engine.json"
    path.write_text(record_json(record).replace('"format": 2', '"format": 1'))
    with pytest.raises(InputError, match=r"has format 1; this version of fef reads 2\. Run it again"):
        read_record(path, ENGINE_KIND)


def test_small_batches_answer_fewer_problems():
    problems = list(range(200))
    assert [len(problems_at(batch, problems)) for batch in (1, 8, 16, 64)] == [32, 32, 64, 200]


def test_records_of_several_networks_have_a_column_of_them(record):
    passes = [replace(row, network=name, operations=5e12) for row in record.of(PassRow)[:1] for name in ("one", "two")]
    page = page_of(replace(record, rows={PassRow: passes, Served: []}))
    assert "| two | 1 | full, head at open slots | 1 | 128 | 4.00 | 1.00 | 0.033 | 1 % | 5 | 126% | kernels |" in page


@pytest.mark.parametrize("cut", [0, 1])
def test_any_record_that_was_cut_short_is_told_and_every_command(record, cut):
    records = [replace(record, command=f"python {n}", finished=n != cut) for n in range(2)]
    page, _ = engine_page("engine", {"1": records[0], "2": records[1]})
    assert "run was interrupted, so rows are missing" in page
    assert "```\npython 0\n```\n\n```\npython 1\n```" in page and "the results of these commands" in page
