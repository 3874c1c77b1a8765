import json
from dataclasses import replace

import pytest
import torch

from fef.bench.engine.rows import ENGINE_KIND, PassRow, Served
from fef.engine.engine import Engine
from fef.errors import InputError
from fef.measure.record import read_record, record_json

QUICK = ["bench", "--engine", "--repeats", 1]


@pytest.fixture(autouse=True)
def small_copies(monkeypatch):
    monkeypatch.setattr("fef.bench.engine.bandwidth._COPIED", {"cpu": 1 << 16})


def test_problems_are_answered_in_the_engine_and_in_the_loop(fef_cli, tiny, tmp_path):
    path = tmp_path / "engine.json"
    result = fef_cli(
        *[*QUICK, "--model", tiny, "--n", 1, "--max-new-tokens", 12, "--batches", "3", "--windows", "4"],
        *["--methods", "sequential four=low-confidence:tokens_per_step=4", "--json", path],
    )
    assert result.exit_code == 0, result.output
    for words in ("one token", "chains of 4", "of the first", "idealised"):
        assert words in result.stdout
    record = read_record(path, ENGINE_KIND)
    assert record.finished and not record.failures
    assert [(row.batch, row.method, row.where) for row in record.of(Served)] == [
        (3, method, where)
        for method, where in (("fef", "engine"), ("sequential", "engine"), ("sequential", "loop"), ("four", "loop"))
    ]
    ours, packed, rows, four = record.of(Served)[:4]
    assert ours.tokens == packed.tokens and ours.passes < packed.passes
    assert four.passes < rows.passes
    assert ours.ideal_seconds is None and rows.ideal_seconds is not None
    assert ours.first_token is not None and ours.memory is not None
    kinds = [(row.kind, row.rows) for row in record.of(PassRow) if row.batch == 3]
    assert kinds == [
        *[("full, head at open slots", 3), ("full, head at one slot", 3)],
        *[("context", 3), ("one token", 3), ("chains of 4", 3)],
    ]
    page, notes = tmp_path / "engine.md", tmp_path / "notes.md"
    notes.write_text("What I make of it.\n")
    assert fef_cli("report", path, "--out", page, "--notes", notes).exit_code == 0
    text = page.read_text()
    assert "## engine\n" in text and "fef bench --engine" in text and "## Remarks\n\nWhat I make of it.\n" in text


@pytest.mark.parametrize("weights", [[], ["--weights", "int8"]])
def test_a_shape_is_timed_without_problems(fef_cli, tmp_path, weights):
    path = tmp_path / "shape.json"
    result = fef_cli(
        *[*QUICK, "--shape", "tiny", "--cached", 24, "--windows", "3", "--batches", "2", "--json", path, *weights],
    )
    assert result.exit_code == 0, result.output
    assert "one token" in result.stdout
    record = read_record(path, ENGINE_KIND)
    assert record.of(Served) == [] and record.setup["model"] == "tiny"
    assert [(row.kind, row.tokens) for row in record.of(PassRow) if row.batch == 2] == [
        *[("full, head at open slots", 24), ("context", 24 + 4)],
        *[("one token", 2), ("chains of 3", 11)],
    ]
    full, context, one, widest = [row for row in record.of(PassRow) if row.batch == 2]
    assert full.bytes_read == context.bytes_read == record.setup["weight_bytes"]
    # two layers of two heads of 16 numbers in bfloat16, keys and values of 24 tokens of two rows
    assert one.bytes_read - full.bytes_read == widest.bytes_read - full.bytes_read == 2 * 24 * 2 * 2 * 32 * 2


def test_an_interrupted_run_goes_on_where_it_was(fef_cli, tmp_path, monkeypatch):
    path = tmp_path / "shape.json"
    command = [*QUICK, "--shape", "tiny", "--cached", 16, "--windows", "1", "--batches", "1,2", "--json", path]
    assert fef_cli(*command).exit_code == 0
    whole = read_record(path, ENGINE_KIND)
    assert len(whole.done) == 4
    cut = replace(whole, done=whole.done[:3], finished=False)
    cut.rows[PassRow] = [row for row in whole.of(PassRow) if row.batch == 1 or row.kind.startswith("full")]
    path.write_text(record_json(cut))
    asked = []
    held = Engine.held
    monkeypatch.setattr(Engine, "held", lambda self, batch, *given: asked.append(batch) or held(self, batch, *given))
    assert fef_cli(*command, "--resume").exit_code == 0
    again = read_record(path, ENGINE_KIND)
    assert set(asked) == {2} and again.finished and again.done == whole.done
    assert again.of(PassRow)[:-3] == cut.of(PassRow)
    assert [row.kind for row in again.of(PassRow)] == [row.kind for row in whole.of(PassRow)]
    refused = fef_cli(*command, "--resume", "--repeats", 2)
    assert refused.exit_code == 2 and "have repeats" in refused.stderr
    assert "give --json FILE too" in fef_cli(*QUICK, "--resume").stderr


def test_what_does_not_fit_is_said_and_the_others_go_on(fef_cli, tmp_path, monkeypatch):
    from fef.bench.engine import run

    def short(network, batch, *arguments):
        if batch == 2:
            raise torch.OutOfMemoryError("no room")
        return plain_passes(network, batch, *arguments)

    plain_passes = run.plain_passes
    monkeypatch.setattr(run, "plain_passes", short)
    path = tmp_path / "shape.json"
    result = fef_cli(*QUICK, "--shape", "tiny", "--cached", 16, "--windows", "1", "--batches", "2,1", "--json", path)
    assert result.exit_code == 0, result.output
    assert "Not measured" in result.stdout and "Out of memory." in result.stdout
    record = read_record(path, ENGINE_KIND)
    assert [(f.task, f.reason) for f in record.failures] == [(("batch 2", "plain passes"), "Out of memory.")]
    assert {row.batch for row in record.of(PassRow) if row.kind == "context"} == {1, 2}
    assert {row.batch for row in record.of(PassRow) if row.kind.startswith("full")} == {1}


def test_an_engine_without_memory_for_the_batch_is_said(fef_cli, tmp_path, monkeypatch):
    monkeypatch.setattr("fef.engine.build.CPU_MEMORY_GB", 4e-5)
    path = tmp_path / "shape.json"
    result = fef_cli(*QUICK, "--shape", "tiny", "--cached", 16, "--windows", "1", "--batches", "1,64", "--json", path)
    assert result.exit_code == 0, result.output
    [failure] = read_record(path, ENGINE_KIND).failures
    assert failure.task[0] == "batch 64" and "requests at once" in failure.reason


BAD = {
    "shape and model": (["--shape", "tiny", "--model", "demo"], "cannot go with --model"),
    "shape and problems": (["--shape", "tiny", "--tasks", "joint", "--n", "3"], "cannot go with --tasks, --n"),
    "cached": (["--cached", "64"], "give --shape too"),
    "shape": (["--shape", "8bb"], "Did you mean '8b'"),
    "long": (["--shape", "tiny", "--cached", "9999"], "at most"),
    "weights": (["--shape", "tiny", "--weights", "int9"], "Did you mean 'int8'"),
    "dtype": (["--shape", "tiny", "--dtype", "bfloat15"], "Did you mean 'bfloat16'"),
    "device": (["--shape", "tiny", "--device", "cuda:77"], "cannot be used here"),
    "no device": (["--device", "gpu"], "cannot be used here"),
    "batches": (["--batches", "1,two"], "whole numbers of at least 1"),
    "no batch": (["--batches", "0"], "whole numbers of at least 1"),
    "windows": (["--windows", "-4"], "whole numbers of at least 0"),
    "family": (["--tasks", "jont"], "Did you mean 'joint'"),
    "method": (["--methods", "dul"], "Did you mean 'dual'"),
    "place": (["--json", "missing/out.json"], "Cannot write"),
    "other command": (["--time-each"], "--time-each"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_fails_before_the_long_work(fef_cli, monkeypatch, arguments, words):
    def never(*_, **__):
        raise AssertionError("the work has started")

    monkeypatch.setattr("fef.bench.engine.run.copy_bandwidth", never)
    result = fef_cli("bench", "--engine", *arguments)
    assert result.exit_code == 2, result.output
    assert words in result.output


def test_the_help_is_its_own(fef_cli):
    result = fef_cli("bench", "--engine", "--help")
    assert result.exit_code == 0
    assert "--cached" in result.stdout and "Example: fef bench --engine" in result.stdout
    assert "--cached" not in fef_cli("bench", "--help").stdout


def test_other_files_are_no_record(tmp_path):
    path = tmp_path / "other.json"
    for text in ("", "{}", "[]", json.dumps({"kind": "engine", "format": 99})):
        path.write_text(text)
        with pytest.raises(InputError):
            read_record(path, ENGINE_KIND)
