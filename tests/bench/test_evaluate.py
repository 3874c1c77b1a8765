import csv
import json
from dataclasses import replace

import pytest

from fef import tasks
from fef.bench.evaluate import Settings, evaluate, remembering_judge, same_ids
from fef.bench.report import bootstrap_interval, report_json, rows_csv, summarize
from fef.bench.spec import DEFAULT_SPECS, MethodSpec, parse_spec, parse_value
from fef.errors import OptionError

SETTINGS = Settings(batch_size=3, max_new_tokens=16, temperature=1.0, seed=5)


@pytest.fixture(scope="module")
def problems():
    return tasks.generate("joint", 4, seed=0, split="held-out")


def test_specs():
    assert parse_spec("fef") == MethodSpec("fef", "fef", {})
    assert parse_spec("fef:window=8,verify=rows").options == {"window": 8, "verify": "rows"}
    assert parse_spec("mine=fef:block-length=none").label == "mine"
    assert parse_spec("mine=fef:block-length=none").options == {"block_length": None}
    assert [parse_spec(text).label for text in DEFAULT_SPECS] == list(DEFAULT_SPECS)
    for bad in ("", "=fef", "fef:window", "fef:window=1,window=2", "fef:=3"):
        with pytest.raises(OptionError):
            parse_spec(bad)


@pytest.mark.parametrize(("text", "value"), [("8", 8), ("0.5", 0.5), ("True", True), ("none", None), ("rows", "rows")])
def test_values(text, value):
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


def test_answers_are_in_the_order_of_the_problems_for_any_batch(tiny_model, problems):
    spec = parse_spec("fef:window=4")
    done = []
    by_three = evaluate(tiny_model, problems, spec, SETTINGS, on_done=done.append)
    alone = evaluate(tiny_model, problems, spec, replace(SETTINGS, batch_size=1), warm_up=True)
    assert [a.problem for a in by_three.answers] == problems
    assert sum(done) == len(problems)
    assert same_ids(by_three, alone) == len(problems)
    for i, problem in enumerate(problems):
        single = tiny_model.generate(problem.prompt, max_new_tokens=16, temperature=1.0, seed=5 + i, window=4)
        assert list(by_three.answers[i].token_ids) == single.token_ids


def test_rows_add_up(tiny_model, problems):
    judged = remembering_judge(lambda problem, _: problem is problems[0])
    results = [evaluate(tiny_model, problems, parse_spec(s), SETTINGS, judge=judged) for s in ("fef", "sequential")]
    rows = summarize(results, seed=0)
    assert [row.accuracy for row in rows] == [25.0, 25.0]
    assert rows[0].low <= 25 <= rows[0].high
    assert rows[0].seconds_ratio == 1
    assert rows[1].tokens_per_call == 1
    visible = sum(a.visible_tokens for a in results[0].answers)
    assert visible == sum(a.stats["committed"] for a in results[0].answers)
    assert rows[0].tokens_per_call == pytest.approx(visible / rows[0].calls)
    assert [row["method"] for row in csv.DictReader(rows_csv(rows).splitlines())] == ["fef", "sequential"]
    report = report_json(results, rows, SETTINGS, model="tiny", device="cpu", command="fef bench", texts=True)
    assert json.loads(json.dumps(report))["outputs"][0]["problem"] == 0
    assert "/" not in json.dumps(report["environment"])


def test_several_passes_count_a_token_once(tiny_model, problems):
    result = evaluate(tiny_model, problems, parse_spec("fef:steps=3"), SETTINGS)
    for answer in result.answers:
        assert answer.visible_tokens <= 16
        assert answer.stats["committed"] >= answer.visible_tokens


def test_the_bootstrap_interval_is_seeded_and_covers_about_two_standard_errors():
    low, high = bootstrap_interval(80, 100, seed=1)
    assert (low, high) == bootstrap_interval(80, 100, seed=1)
    assert 0.70 <= low <= 0.74
    assert 0.86 <= high <= 0.89
    assert bootstrap_interval(4, 4, seed=0) == (1.0, 1.0)


def test_equal_answers_are_judged_once(problems):
    asked = []
    judge = remembering_judge(lambda _, text: asked.append(text) is None)
    assert judge(problems[0], "a")
    assert judge(problems[0], "a")
    assert judge(problems[1], "a")
    assert asked == ["a", "a"]
