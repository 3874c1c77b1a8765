"""Every command that writes a record refuses, before it loads anything, a file that holds something else."""

from __future__ import annotations

import json
import shlex
from itertools import product
from pathlib import Path

import pytest
from released_networks import main as released
from typer.testing import CliRunner

from fef.bench.engine.drafts import main as drafts
from fef.cli.app import app
from fef.eval.likelihood import main as likelihood

RESULTS = Path(__file__).parents[2] / "results"
PROGRAMS = {"drafts": drafts, "likelihood": likelihood, "released": released}
COMMANDS = {
    "bench": "fef bench --n 4 --json",
    "bench and resume": "fef bench --n 4 --resume --json",
    "engine": "fef bench --engine --shape tiny --json",
    "eval": "fef eval gsm8k --file answers.jsonl --save",
    "drafts": "drafts --tasks joint --json",
    "likelihood": "likelihood --data answers.jsonl --save",
    "released": "released --json",
}
FILES = {
    "demo-one-at-a-time.json": "what another program wrote, `fef bench",
    "engine/3-shape-8b.json": "what another program wrote, `fef bench --engine",
    "every-method/dual-exact-default.json": "what another program wrote, `fef eval gsm8k",
    "drafts/4-demo.json": "what another program wrote, `python -m fef.bench.engine.drafts",
    "notes": "it is not JSON. Give another file.",
}
OWN = {
    ("bench", "demo-one-at-a-time.json"),
    ("bench and resume", "demo-one-at-a-time.json"),
    ("engine", "engine/3-shape-8b.json"),
    ("eval", "every-method/dual-exact-default.json"),
    ("drafts", "drafts/4-demo.json"),
}


@pytest.mark.parametrize(("name", "file"), [pair for pair in product(COMMANDS, FILES) if pair not in OWN])
def test_a_file_of_something_else_is_refused_before_anything_is_loaded(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the work has begun")

    for place in ("fef.load", "fef.cli.options.load_model", "fef.bench.engine.drafts.load", "released_networks.Clock"):
        monkeypatch.setattr(place, never, raising=False)
    monkeypatch.chdir(tmp_path)
    Path("answers.jsonl").write_text(json.dumps({"prompt": "a", "response": "b"}))
    text = "Mine.\n" if file == "notes" else (RESULTS / file).read_text("utf-8")
    Path("kept.json").write_text(text, "utf-8")
    program, *given = shlex.split(COMMANDS[name] + " kept.json")
    if program == "fef":
        found = CliRunner().invoke(app, given, prog_name="fef")
        code, said = found.exit_code, " ".join(found.stderr.split())
    else:
        with pytest.raises(SystemExit) as ended:
            PROGRAMS[program](given)
        code, said = ended.value.code, capsys.readouterr().err.strip()
    assert code == 2 and said.startswith("fef: error: kept.json holds") and FILES[file] in said, said
    assert said.count(". ") <= 1 and Path("kept.json").read_text("utf-8") == text
