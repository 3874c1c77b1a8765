import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from fef.cli import demo
from fef.cli.methods import methods_table
from fef.decoders import METHODS
from fef.decoders import methods as table_of_methods
from fef.tasks import demo_problems

RESULTS = Path(__file__).parents[2] / "results"


def test_methods_as_a_table_and_as_json(fef_cli):
    table = fef_cli("methods")
    assert table.exit_code == 0
    rows = json.loads(fef_cli("methods", "--json").stdout)
    assert [row["name"] for row in rows] == list(METHODS)
    for row in rows:
        assert row.keys() == {"name", "summary", "paper", "exactness", "needs", "options"}
        assert row["name"] in table.stdout
        assert row["paper"] in table.stdout
    assert "window=16" in table.stdout


def test_the_table_of_methods_breaks_no_word_on_a_terminal_of_80_columns():
    console = Console(width=80, file=io.StringIO())
    found = list(table_of_methods().values())
    console.print(methods_table(found))
    shown = console.file.getvalue().replace("│", " ").split()
    for info in found:
        words = f"{info.name} {info.summary} {info.exactness} {info.paper} {info.needs}".split()
        assert set(words) <= set(shown)
        assert {f"{name}={value}" for name, value in info.options.items()} <= {word.strip(",") for word in shown}


def test_certify_says_kind_law_and_reasons(fef_cli, tiny):
    result = fef_cli("certify", "low-confidence", "--model", tiny, "--set", "tokens_per_step=4", "--json")
    certificate = json.loads(result.stdout)
    assert certificate.keys() == {"method", "options", "kind", "law", "reasons"}
    assert certificate["kind"] == "none"
    plain = fef_cli("certify", "fef", "--model", tiny, "--temperature", 0.7, "--verify", "rows").stdout
    assert plain.startswith("chain: An exact sample of the left-to-right chain law of tiny under its own plain forward")
    assert "\n  - order:" in plain


def test_certify_refuses_what_generate_refuses(fef_cli, tiny):
    result = fef_cli("certify", "fef", "--model", tiny, "--top-p", 0)
    assert result.exit_code == 2
    assert "top_p" in result.stderr
    assert "Did you mean 'fef'" in fef_cli("certify", "fe", "--model", tiny).stderr


def test_info_describes_the_directory(fef_cli, tiny):
    facts = json.loads(fef_cli("info", tiny, "--json").stdout)
    assert facts["bytes_in_memory"] == {"float32": 4 * facts["parameters"], "bfloat16": 2 * facts["parameters"]}
    assert facts["special_ids"] == {"mask": 397, "end": 398, "answer": 399}
    assert facts["packed"] is True
    assert [law["verify"] for law in facts["laws"]] == ["rows", "packed"]
    assert facts["last_losses"] is None
    table = fef_cli("info", tiny).stdout
    for words in ("33,504", "1,024 tokens", "mask 397", "no loss log", "packed attention pattern"):
        assert words in table


def test_info_of_quantized_weights(fef_cli, tiny):
    """Of 2 layers of width 32: 4 x 32 x 32 + 3 x 32 x 64 dense weights and 4 x 32 + 2 x 64 + 32 rows each."""
    plain = json.loads(fef_cli("info", tiny, "--json").stdout)
    facts = json.loads(fef_cli("info", tiny, "--weights", "int8", "--json").stdout)
    dense, rows = 2 * (4 * 32 * 32 + 3 * 32 * 64), 2 * (4 * 32 + 2 * 64 + 32)
    assert (plain["weight_format"], facts["weight_format"]) == (None, "int8")
    assert facts["parameters"] == plain["parameters"]
    for dtype, size in (("float32", 4), ("bfloat16", 2)):
        assert facts["bytes_in_memory"][dtype] == plain["bytes_in_memory"][dtype] - (size - 1) * dense + 4 * rows
    assert all("tiny with int8 weights" in law["law"] for law in facts["laws"])
    assert "dense matrices in int8, one scale per output row" in fef_cli("info", tiny, "--weights", "int8").stdout


def test_demo_compares_decoders_on_three_problems(fef_cli, tiny, monkeypatch):
    assert [method for _, method, _ in demo.DECODERS] == ["sequential", "low-confidence", "low-confidence", "fef"]
    monkeypatch.setattr(demo, "DECODERS", demo.DECODERS[2:])
    rows = json.loads(fef_cli("demo", "--model", tiny, "--json").stdout)
    assert len(rows) == 6
    assert {row["family"] for row in rows} == {p.family for p in demo_problems()}


def test_demo_on_the_shipped_checkpoint(fef_cli, shipped, monkeypatch):
    monkeypatch.setattr(demo, "DECODERS", demo.DECODERS[3:])
    result = fef_cli("demo", "--model", shipped)
    assert result.exit_code == 0
    assert "right" in result.stdout
    assert "tokens per pass" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("Law that fef sampled (greedy): The greedy text")
    for problem in demo_problems():
        assert f"> {problem.prompt}\n" in result.stdout


def test_a_failure_at_run_time_exits_1(fef_cli, tiny, monkeypatch):
    from fef.errors import DenoiserError

    def fail(*_, **__):
        raise DenoiserError("The denoiser returned nan.")

    monkeypatch.setattr("fef.generation.decode", fail)
    result = fef_cli("generate", "x", "--model", tiny, "--max-new-tokens", 8)
    assert result.exit_code == 1
    assert result.stderr == "fef: error: The denoiser returned nan.\n"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device", "out.json"), KeyboardInterrupt()])
def test_a_full_disk_and_ctrl_c_leave_no_traceback(fef_cli, tiny, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("fef.generation.decode", fail)
    result = fef_cli("generate", "x", "--model", tiny, "--max-new-tokens", 8)
    assert result.exit_code == (130 if isinstance(error, KeyboardInterrupt) else 1)
    assert "Traceback" not in result.output


def test_reports_say_which_file_is_no_result_and_why(fef_cli, tmp_path):
    missing, other, folder = tmp_path / "missing.json", tmp_path / "other.json", tmp_path / "empty"
    other.write_text('{"kind": "recipe"}')
    folder.mkdir()
    for given, words in (
        (missing, f"Cannot read {missing}: No such file or directory"),
        (other, f"{other} holds no result of `fef bench --json` or"),
        (folder, f"{folder} holds no result"),
    ):
        result = fef_cli("report", given, "--out", tmp_path if given is folder else tmp_path / "page.md")
        assert result.exit_code == 2
        assert words in result.stderr


def test_a_folder_of_pages_is_made_where_it_is_not_there(fef_cli, tmp_path):
    results, out = tmp_path / "results", tmp_path / "a" / "b"
    results.mkdir()
    (results / "other.json").write_text('{"kind": "recipe"}')
    assert fef_cli("report", results, "--out", out).exit_code == 2
    assert not out.exists(), "nothing to write, nothing made"
    shutil.copy(RESULTS / "demo-one-at-a-time.json", results / "other.json")
    done = fef_cli("report", results, "--out", out)
    assert done.exit_code == 0, done.output
    assert (out / "other.md").is_file()
    below_a_file = fef_cli("report", results, "--out", results / "other.json" / "pages")
    assert (below_a_file.exit_code, "Not a directory" in below_a_file.stderr) == (2, True)
    page = fef_cli("report", results / "other.json", "--out", tmp_path / "none" / "page.md")
    assert f"Make the directory {tmp_path / 'none'}, or give a place where you can write." in page.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["report", "FILE", "--out", "FILE"],
        ["report", "other.json", "--notes", "FILE", "--out", "FILE"],
        ["eval", "gsm8k", "--file", "FILE", "--save", "FILE"],
        ["eval", "gsm8k", "--file", "FILE", "--prompts", "FILE"],
        ["eval", "gsm8k", "--file", "other.jsonl", "--answers", "FILE", "--save", "FILE"],
        ["profile", "--data", "FILE", "--out", "FILE"],
        ["train-demask", "--data", "FILE", "--out", "FILE"],
        ["demask-report", "--head", "FILE", "--json", "FILE"],
        ["delta", "--base", "demo", "--model", "demo", "--data", "FILE", "--out", "FILE"],
    ],
    ids=" ".join,
)
def test_what_is_read_is_not_written_over(fef_cli, tmp_path, command):
    read = tmp_path / "read.jsonl"
    read.write_text("{}\n")
    result = fef_cli(*(str(read) if word == "FILE" else word for word in command))
    assert result.exit_code == 2
    assert "would be written over" in result.stderr
    assert read.read_text() == "{}\n"


def test_the_help_of_reports_shows_how_remarks_name_runs(fef_cli):
    shown = " ".join(fef_cli("report", "--help").stdout.replace("│", "").split())
    assert "[[fef]], [[fef vs low2]], [[fef > low2]]" in shown


@pytest.mark.parametrize("host", ["999.1.1.1", "", "a" * 70, "203.0.113.1"])
def test_a_host_that_is_none_of_this_machine_is_refused_by_its_option(fef_cli, host):
    result = fef_cli("serve", "--host", host, "--port", 0)
    assert result.exit_code == 2
    assert f"Cannot listen at {host!r}" in result.stderr
    assert "Give another --host." in result.stderr


@pytest.mark.parametrize("origin", ["localhost:3000", "http://localhost:3000/", "https://Example.com", "not a url", ""])
def test_what_no_browser_sends_as_an_origin_is_refused(fef_cli, origin):
    result = fef_cli("serve", "--cors", origin, "--host", "")
    assert result.exit_code == 2
    assert f"--cors {origin!r} is no origin" in result.stderr


@pytest.mark.parametrize(
    "origin", ["*", "null", "http://localhost:3000", "https://[::1]:8443", "chrome-extension://abc"]
)
def test_origins_of_browsers_are_taken(fef_cli, origin):
    assert "Give another --host." in fef_cli("serve", "--cors", origin, "--host", "").stderr
