import csv
import json

import pytest


def test_bench_measures_compares_and_writes(fef_cli, tiny, tmp_path):
    report_path, csv_path = tmp_path / "bench.json", tmp_path / "bench.csv"
    arguments = ["bench", "--model", tiny, "--n", 4, "--tasks", "joint,word-problems", "--max-new-tokens", 16]
    arguments += ["--methods", "fef", "--methods", "four=low-confidence:tokens_per_step=4", "--save-texts"]
    arguments += ["--compare", "fef", "sequential:verify=packed", "--json", report_path, "--csv", csv_path]
    result = fef_cli(*arguments)
    assert result.exit_code == 0, result.output
    assert "joint: fef and sequential:verify=packed agree token for token on 4 of 4 problems" in result.stdout
    for words in ("accuracy %", "tokens/call", "token-forwards", "four", "greedy", "none"):
        assert words in result.stdout
    report = json.loads(report_path.read_text())
    assert report.keys() == {
        "command", "model", "settings", "environment", "rows", "certificates", "comparisons", "outputs",
    }  # fmt: skip
    assert report["command"].startswith("fef bench --model ")
    assert report["model"] == "tiny"
    assert len(report["rows"]) == 6
    assert len(report["outputs"]) == 24
    assert len(list(csv.DictReader(csv_path.read_text().splitlines()))) == 6


def test_time_each_gives_seconds_a_problem_and_ratios(fef_cli, tiny):
    result = fef_cli(
        *["bench", "--model", tiny, "--n", 2, "--tasks", "joint", "--max-new-tokens", 8, "--time-each"],
        *["--methods", "fef sequential"],
    )
    assert result.exit_code == 0, result.output
    assert "s/problem" in result.stdout
    assert "x first" in result.stdout


BAD = {
    "family": (["--tasks", "jont"], "Did you mean 'joint'"),
    "method": (["--methods", "feff"], "Did you mean 'fef'"),
    "option": (["--methods", "fef:windw=3"], "Did you mean 'window'"),
    "value": (["--methods", "fef:window=0"], "at least 1"),
    "form": (["--methods", "fef:window"], "name=value"),
    "label": (["--methods", "a=fef a=random"], "label"),
    "temperature": (["--temperature", "-1"], "temperature"),
    "texts": (["--save-texts"], "--json FILE"),
    "canvas": (["--max-new-tokens", "1020"], "Ask for at most"),
    "place": (["--json", "missing/out.json"], "Cannot write"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_fails_before_the_long_work(fef_cli, tiny, monkeypatch, arguments, words):
    def never(*_, **__):
        raise AssertionError("the work has started")

    monkeypatch.setattr("fef.generation.Model.generate", never)
    result = fef_cli("bench", "--model", tiny, "--n", 4, *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert fef_cli("bench", "--n", 0).exit_code == 2
