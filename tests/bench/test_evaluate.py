from dataclasses import replace

import pytest

from fef import tasks
from fef.bench.evaluate import Settings, evaluate
from fef.bench.spec import DEFAULT_SPECS, MethodSpec, parse_spec, parse_specs
from fef.bench.summary import summarize
from fef.decoders import METHODS
from fef.errors import OptionError
from fef.measure.environment import environment

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


def test_lists_of_specs():
    assert [s.label for s in parse_specs(None, METHODS)] == list(DEFAULT_SPECS)
    assert [s.label for s in parse_specs(["fef  sequential", "random"], METHODS)] == ["fef", "sequential", "random"]
    assert [s.label for s in parse_specs(["fef"], METHODS, ("fef", "random"))] == ["fef", "random"]
    every = parse_specs(["all", "x=fef"], [*METHODS, "new"])
    assert [s.label for s in every] == [*METHODS, "new", "x"]
    for empty in ([""], [" ", ""], []):
        with pytest.raises(OptionError, match="empty"):
            parse_specs(empty, METHODS)
    with pytest.raises(OptionError, match="label"):
        parse_specs(["a=fef a=random"], METHODS)


def test_answers_are_in_the_order_of_the_problems_for_any_batch(tiny_model, problems):
    spec = parse_spec("fef:window=4")
    done = []
    by_three = evaluate(tiny_model, problems, spec, SETTINGS, on_done=done.append)
    alone = evaluate(tiny_model, problems, spec, replace(SETTINGS, batch_size=1), warm_up=True)
    assert sum(done) == len(problems)
    assert [a.digest for a in by_three.answers] == [a.digest for a in alone.answers]
    for i, problem in enumerate(problems):
        single = tiny_model.generate(problem.prompt, max_new_tokens=16, temperature=1.0, seed=5 + i, window=4)
        assert by_three.answers[i].text == single.text
        assert by_three.answers[i].calls == single.stats["calls"]


def test_rows_add_up(tiny_model, problems, monkeypatch):
    monkeypatch.setattr("fef.bench.evaluate.score", lambda problem, _: problem is problems[0])
    results = [evaluate(tiny_model, problems, parse_spec(s), SETTINGS) for s in ("fef", "sequential")]
    rows = summarize(results, seed=0)
    assert [row.found.accuracy for row in rows] == [25.0, 25.0]
    assert rows[0].found.low <= 25 <= rows[0].found.high
    assert rows[0].ratio("seconds") == pytest.approx(rows[0].found.seconds / rows[1].found.seconds)
    assert rows[1].found.tokens_per_call == 1
    visible = sum(a.tokens for a in results[0].answers)
    assert rows[0].found.tokens_per_call == rows[0].pass_speedup == pytest.approx(visible / rows[0].found.calls)
    assert "/" not in str(environment("cpu"))


def test_several_passes_count_a_token_once(tiny_model, problems):
    result = evaluate(tiny_model, problems, parse_spec("fef:steps=3"), SETTINGS)
    assert result.acceptance.passes == 3
    assert all(answer.tokens <= 16 for answer in result.answers)
