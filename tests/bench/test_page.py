from dataclasses import replace

import pytest

from fef.bench.acceptance import Acceptance
from fef.bench.evaluate import Result
from fef.bench.page import methods_page, rows_sheet
from fef.bench.run import METHODS_KIND
from fef.bench.spec import MethodSpec
from fef.bench.summary import summarize
from fef.decoding.certificate import Certificate
from fef.errors import InputError
from fef.measure.answers import Answer
from fef.measure.record import Failure, Record
from fef.measure.table import markdown

SETUP = {
    "model": "demo",
    "weights": "00ff",
    "weight_format": None,
    "problems": 20,
    "settings": {"batch_size": 4, "max_new_tokens": 128, "temperature": 0.0, "top_p": 1.0, "seed": 0},
    "time_each": False,
    "environment": {"fef": "0", "torch": "2", "python": "3", "device": "cpu", "cpu": "a chip", "threads": 2},
}


def result(label: str, right: int, calls: int, family: str = "joint", acceptance: Acceptance | None = None) -> Result:
    """Twenty answers of 14 tokens, of which the first are right; no texts are kept."""
    answers = tuple(
        Answer(i < right, 14, f"{label[0]}{i}", calls=calls, rounds=calls, seconds=0.1 * calls, index=i)
        for i in range(20)
    )
    spec, certificate = MethodSpec(label, label), Certificate("greedy", "law", ())
    return Result(family, spec, answers, certificate, acceptance or Acceptance())


@pytest.fixture
def record() -> Record:
    results = [
        result("sequential", 19, 14),
        result("fef", 19, 2, acceptance=Acceptance((20,) * 8, (20,) * 8)),
        result("dual", 4, 1),
        result("a|b", 19, 3),
    ]
    failures = [Failure(("joint", "demask"), "It has no head.")]
    return Record(METHODS_KIND, "fef bench --n 20", SETUP, rows={Result: results}, failures=failures, finished=True)


def with_results(record: Record, results: list[Result]) -> Record:
    return replace(record, rows={Result: results})


def page_of(record: Record, remarks: str = "") -> str:
    return methods_page("two-words", {"": record}, remarks)[0]


def test_the_page_shows_each_method_as_a_run_and_says_which_is_more_accurate(record: Record) -> None:
    page = page_of(record)
    assert page.startswith("# Two words\n")
    assert "```\nfef bench --n 20\n```" in page
    assert "| `fef` | demo | 20 | 95.0 (76.4 to 99.1) | 2.0 | 7.00 | 70 | 0 | greedy | a chip |" in page
    assert "- `fef` is more accurate than `dual`." in page
    assert "`a\\|b`" in page
    assert "- `demask`: It has no head." in page
    assert "cpu (a chip, 2 threads)" in page
    assert "Unfinished" not in page
    # of a method that is as accurate nothing of the kind is said
    equal = with_results(record, [result("fef", 19, 2), result("dual", 19, 1)])
    assert "None is more accurate than another" in page_of(equal)


def test_answers_are_the_same_by_their_tokens_where_no_texts_are_kept(record: Record) -> None:
    page = page_of(with_results(record, [result("fef", 19, 2), result("far", 19, 2), result("dual", 19, 2)]))
    same = {tuple(line.split(" | ")[:2]): line.split(" | ")[-1] for line in page.splitlines() if "| 1.000 |" in line}
    assert same == {("| `fef`", "far"): "20 |", ("| `fef`", "dual"): "0 |", ("| `far`", "dual"): "0 |"}


def test_remarks_quote_a_result_by_its_family_and_method(record: Record) -> None:
    page = page_of(record, "[[joint/fef vs joint/sequential]]")
    assert "+0.0 points on 20 problems (McNemar p = 1.000, 0 and 0 that only one has right), 7.00 times the" in page


def test_many_methods_have_a_picture_of_all_families_together_or_of_the_only_one(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    monkeypatch.setattr("fef.eval.page.MANY", 3)
    shown = "![Accuracy against passes](two-words.png)"
    page, picture = methods_page("two-words", {"": record})
    assert picture is not None and picture.startswith(b"\x89PNG") and shown in page
    names = ("sequential", "fef", "dual", "random")
    both = [result(name, 19, 2 + i, family) for family in ("joint", "python") for i, name in enumerate(names)]
    page, picture = methods_page("two-words", {"": with_results(record, both)})
    assert picture is not None and page.count(shown) == 1
    assert page.index("## all families") < page.index(shown)
    monkeypatch.setattr("fef.eval.page.MANY", 4)
    assert methods_page("two-words", {"": record})[1] is None


def test_every_table_has_as_many_cells_in_each_line(record: Record) -> None:
    tables = [part for part in page_of(record).split("\n\n") if part.startswith("| ")]
    assert len(tables) == 2
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1


def test_an_unfinished_run_is_said_and_several_files_are_refused(record: Record) -> None:
    assert "**Unfinished**" in page_of(replace(record, finished=False))
    with pytest.raises(InputError, match="a page of methods has one"):
        methods_page("page", {"a": record, "b": record})


def test_the_table_has_costs_beside_those_of_sequential_and_marks_what_falls_below_the_prediction(
    record: Record,
) -> None:
    sheet = rows_sheet(summarize(record.of(Result), 0), record.failures)
    lines = {line[1]: dict(zip(sheet.header, line, strict=True)) for line in sheet.lines}
    fef = lines["fef"]
    assert (fef["passes"], fef["seconds"], fef["tokens/pass"]) == ("2.0 (0.14x)", "0.200 (0.14x)", "7.00")
    assert fef["to sequential (95 %)"] == "+0.0 (+0.0 to +0.0)"
    assert (fef["speed-up in passes, predicted"], fef["speed-up in time"]) == ("7.00 <, 8.00", "7.00")
    assert lines["dual"]["speed-up in passes, predicted"] == "14.00"
    assert (lines["demask"]["right, % (95 %)"], lines["demask"]["law"]) == ("not run", "It has no head.")
    assert "falls below the predicted one" in sheet.caption
    alone = rows_sheet(summarize(record.of(Result)[2:3], 0), [])
    assert dict(zip(alone.header, alone.lines[0], strict=True))["passes"] == "1.0"
    assert "falls below" not in alone.caption
    assert markdown(sheet).count("\n") == 6
