import json
from dataclasses import replace

import pytest

from fef.bench.acceptance import Acceptance
from fef.bench.evaluate import Result
from fef.bench.run import METHODS_KIND
from fef.bench.spec import parse_spec
from fef.bench.summary import summarize
from fef.decoding.certificate import Certificate
from fef.errors import InputError
from fef.measure.answers import Answer
from fef.measure.record import Failure, Record, read_record, record_json
from tests.made_records import ENVIRONMENT


def result(label: str, rights: list[bool], calls: int, family: str = "joint") -> Result:
    answers = tuple(
        Answer(right, 6, f"{i}", "", calls, 2 * calls, 50, calls - 1, 0.5) for i, right in enumerate(rights)
    )
    acceptance = Acceptance((9, 8), (8, 4)) if label == "fef" else Acceptance()
    return Result(family, parse_spec(label), answers, Certificate("chain", "law", ("why",)), acceptance)


@pytest.fixture
def record() -> Record:
    results = [result("sequential", [True, True, False, True], 6), result("fef", [True, False, True, True], 3)]
    return Record(
        METHODS_KIND,
        "fef bench",
        {"model": "tiny", "settings": {"seed": 0}, "environment": ENVIRONMENT},
        {},
        {Result: results},
        [one.key for one in results],
        [Failure(("joint", "x"), "no")],
        finished=True,
    )


def test_a_record_is_read_back_as_it_was(record, tmp_path):
    path = tmp_path / "r.json"
    path.write_text(record_json(record))
    assert read_record(path, METHODS_KIND) == record


@pytest.mark.parametrize("change", ["cut", "format", "before", "other", "list", "missing", "columns"])
def test_other_files_are_refused(record, tmp_path, change):
    path, text = tmp_path / "r.json", record_json(record)
    value = json.loads(text)
    value["results"][0]["answers"]["calls"].pop()
    texts = {
        "cut": text[:-100],
        "format": text.replace('"format": 2', '"format": 9'),
        "before": text.replace('"format": 2', '"format": 1'),
        "other": '{"format": 2}',
        "list": "[]",
    }
    texts["columns"] = json.dumps(value)
    if change != "missing":
        path.write_text(texts[change])
    with pytest.raises(InputError, match=r"fef bench --json|Run it again"):
        read_record(path, METHODS_KIND)


def test_rows_against_sequential(record):
    sequential, fef = summarize(record.of(Result), 0)
    assert (sequential.difference[0], sequential.ratio("calls"), sequential.pass_speedup) == (0, 1, 1)
    assert sequential.predicted is None and not sequential.below_prediction
    assert fef.difference[0] == 0 and fef.difference[1] < 0 < fef.difference[2]
    assert [fef.ratio(name) for name in ("calls", "rows", "token_forwards")] == [0.5, 0.5, 1]
    # 12 calls, 8 rounds: 1.5 calls per round; 1 + 8/9 tokens without a bonus; sequential takes 1 call per token
    assert fef.predicted == pytest.approx((1 + 8 / 9) / 1.5)
    assert fef.pass_speedup == 2 and not fef.below_prediction
    assert replace(fef, predicted=2.1).below_prediction


def test_all_right_has_an_interval_of_some_width_and_time_a_speedup_of_its_own():
    sequential = result("sequential", [True] * 20, 6)
    fef = result("fef", [True] * 20, 3)
    slow = replace(fef, answers=tuple(replace(a, seconds=1.0) for a in fef.answers))
    row = summarize([sequential, slow], 0)[1]
    assert (row.found.low, row.found.high) == (pytest.approx(83.887, abs=0.001), 100)
    assert (row.pass_speedup, row.time_speedup) == (2, 0.5)
    assert summarize([slow], 0)[0].time_speedup is None


def test_the_baseline_is_sequential_with_default_options():
    results = [
        result("sequential:verify=packed", [True], 7),
        result("a=sequential", [True], 6),
        result("fef", [False], 3),
    ]
    assert [row.ratio("calls") for row in summarize(results, 0)] == [7 / 6, 1, 0.5]
    assert summarize(results[:1] + results[2:], 0)[1].ratio("calls") == 3 / 7
    alone = summarize(results[2:], 0)[0]
    assert alone.difference is None and alone.ratio("calls") is None and alone.pass_speedup == 2


def test_several_families_are_pooled_for_methods_that_ran_on_all():
    results = [
        result("sequential", [True, False], 6),
        result("fef", [True, True], 3),
        result("fef", [False, True], 4, "python"),
    ]
    rows = summarize(results, 0)
    assert [row.result.key for row in rows[3:]] == [("all families", "fef")]
    found = rows[3].found
    assert (found.accuracy, found.calls, found.problems, found.seconds) == (75, 14, 4, 2.0)
