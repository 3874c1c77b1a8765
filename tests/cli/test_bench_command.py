import json

import pytest

from fef.generation import Model


def test_bench_measures_compares_and_writes(fef_cli, tiny, tmp_path):
    report_path = tmp_path / "bench.json"
    arguments = ["bench", "--model", tiny, "--n", 4, "--tasks", "joint,word-problems", "--max-new-tokens", 16]
    arguments += ["--methods", "fef", "--methods", "four=low-confidence:tokens_per_step=4"]
    arguments += ["--compare", "fef", "sequential:verify=packed", "--json", report_path]
    result = fef_cli(*arguments)
    assert result.exit_code == 0, result.output
    assert "joint: fef and sequential:verify=packed agree token for token on 4 of 4 problems" in result.stdout
    for words in ("right, %", "tokens/pass", "token-forwards", "four", "greedy", "none", "all families"):
        assert words in result.stdout
    report = json.loads(report_path.read_text())
    assert report["command"].startswith("fef bench --model ")
    assert report["setup"]["model"] == "tiny"
    assert report["finished"]
    assert [len(found["answers"]["right"]) for found in report["results"]] == [4] * 6


def test_results_of_quantized_weights_say_so_and_stand_in_no_table_with_others(fef_cli, tiny, tmp_path):
    path, page = tmp_path / "bench.json", tmp_path / "page.md"
    base = ["bench", "--model", tiny, "--n", 2, "--tasks", "joint", "--max-new-tokens", 8, "--methods", "fef"]
    assert fef_cli(*base, "--json", path, "--weights", "int8").exit_code == 0
    report = json.loads(path.read_text())
    assert report["setup"]["weight_format"] == "int8"
    assert "tiny with int8 weights" in report["results"][0]["certificate"]["law"]
    assert fef_cli("report", path, "--out", page).exit_code == 0
    assert f"weights {report['setup']['weights']}; weight format int8;" in page.read_text()
    for other in ([], ["--weights", "fp8"]):
        result = fef_cli(*base, "--json", path, "--resume", *other)
        assert result.exit_code != 0
        assert f"The results in {path} have weight_format 'int8'" in result.stderr


def test_time_each_answers_one_problem_at_a_time_after_a_warm_up(fef_cli, tiny, monkeypatch):
    sizes = []
    generate = Model.generate

    def counting(self, prompts, **options):
        sizes.append(len(prompts))
        return generate(self, prompts, **options)

    monkeypatch.setattr(Model, "generate", counting)
    result = fef_cli(
        *["bench", "--model", tiny, "--n", 2, "--tasks", "joint", "--max-new-tokens", 8, "--time-each"],
        *["--methods", "fef sequential"],
    )
    assert result.exit_code == 0, result.output
    assert sizes == [1] * 6
    assert "(1.00x)" in result.stdout


def test_resume_runs_only_what_is_missing_and_the_report_shows_all(fef_cli, tiny, tmp_path, monkeypatch):
    path, page = tmp_path / "bench.json", tmp_path / "docs.md"
    base = ["bench", "--model", tiny, "--n", 2, "--tasks", "joint", "--max-new-tokens", 8, "--json", path, "--resume"]
    assert fef_cli(*base, "--methods", "sequential").exit_code == 0  # nothing to resume yet
    asked = []
    generate = Model.generate

    def counting(self, prompts, *, method, **options):
        asked.append(method)
        return generate(self, prompts, method=method, **options)

    monkeypatch.setattr(Model, "generate", counting)
    result = fef_cli(*base, "--methods", "sequential fef")
    assert result.exit_code == 0, result.output
    assert asked == ["fef"]
    refused = fef_cli(*base[:4], 3, *base[5:], "--methods", "sequential fef")
    assert refused.exit_code == 2 and "have problems 2" in refused.stderr
    result = fef_cli("report", path, "--out", page)
    assert result.exit_code == 0, result.output
    assert "| `fef` |" in page.read_text() and "![" not in page.read_text()
    monkeypatch.setattr("fef.eval.page.MANY", 1)
    assert fef_cli("report", path, "--out", page).exit_code == 0
    assert "(docs.png)" in page.read_text() and (tmp_path / "docs.png").exists()
    path.write_text("{}")
    assert fef_cli("report", path, "--out", page).exit_code == 2


def test_a_refused_method_is_a_line_of_the_table(fef_cli, tiny):
    arguments = ["bench", "--model", tiny, "--n", 1, "--tasks", "joint", "--max-new-tokens", 4]
    result = fef_cli(*arguments, "--methods", "fef sequential:order=blocks")
    assert result.exit_code == 0, result.output
    assert "not run" in result.stdout and "block_length" in result.stdout


def test_grammars_are_measured_per_round(fef_cli, tiny, monkeypatch):
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    few = {"a list of choices": {"choice": ["yes", "no"]}, "rules": {"grammar": 'start: "(" start ")" | "x"'}}
    monkeypatch.setattr("fef.bench.grammar.GRAMMARS", few)
    result = fef_cli("bench", "--grammar", "--model", tiny, "--n", 1, "--max-new-tokens", 16, "--temperature", 1)
    assert result.exit_code == 0, result.output
    for words in ("a list of choices", "token automaton", "rules", "llguidance", "share"):
        assert words in result.stdout
    shares = [float(line.partition(" %")[0].split()[-1]) for line in result.stdout.splitlines() if " %" in line]
    assert len(shares) == 2
    assert all(0 < share < 100 for share in shares)


BAD = {
    "no method": (["--methods", ""], "empty"),
    "resume": (["--resume"], "--json FILE"),
    "grammars": (["--grammar", "--json", "a.json"], "cannot go with --json"),
    "family": (["--tasks", "jont"], "Did you mean 'joint'"),
    "method": (["--methods", "feff"], "Did you mean 'fef'"),
    "option": (["--methods", "fef:windw=3"], "Did you mean 'window'"),
    "value": (["--methods", "fef:window=0"], "at least 1"),
    "form": (["--methods", "fef:window"], "name=value"),
    "label": (["--methods", "a=fef a=random"], "label"),
    "temperature": (["--temperature", "-1"], "temperature"),
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
