"""Every example runs, at toy size; those that ask a server do so in tests/serve/test_client_examples.py."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from page_blocks import ROOT
from typer.testing import CliRunner

from fef.cli.app import app
from fef.decoders import METHODS

FOLDER = ROOT / "examples"
CLIENTS = ("openai_client.py", "langchain_client.py")
# Arguments, a package that has to be there, and what is printed.
RUNS: dict[str, tuple[list[str], str | None, str]] = {
    "own_denoiser.py": (["--steps", "20"], None, r"fef: .* passes, chain"),
    "infill.py": ([], None, r"\d passes, greedy"),
    "structured_output.py": ([], "llguidance", r"read: \{'apples': "),
    "add_a_method.py": ([], None, r"the same in the engine: True"),
    "batch.py": (["--folder", "."], "fastapi", r"question-0 #### 30 greedy"),
    "fine_tune.py": (["--folder", ".", "--steps", "1", "--batch-size", "1"], None, r"wanted 'Tom: 21"),
}


def in_this_process(command: list[str], check: bool) -> None:
    """`python -m fef ...`, without the seconds that another Python takes to begin."""
    assert command[1:3] == ["-m", "fef"] and check
    result = CliRunner().invoke(app, command[3:], prog_name="fef")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", RUNS)
def test_an_example_runs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments, package, printed = RUNS[name]
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "run", in_this_process)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    for method in [*METHODS]:  # what an example adds goes again
        monkeypatch.setitem(METHODS, method, METHODS[method])
    added = {*METHODS}
    runpy.run_path(str(FOLDER / name), run_name="__main__")
    for method in {*METHODS} - added:
        del METHODS[method]
    assert re.search(printed, capsys.readouterr().out)


def test_the_notebook_runs_and_keeps_no_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    cells = json.loads((FOLDER / "canvas.ipynb").read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    space: dict[str, object] = {}
    for cell in code:
        exec("".join(cell["source"]), space)
    assert "1 text: " in capsys.readouterr().out


def test_every_example_is_run_somewhere_and_listed() -> None:
    """Those of Ray, in one row, are tested with the server."""
    files = {
        path.name for path in FOLDER.iterdir() if path.suffix in (".py", ".ipynb") and not path.name.startswith("ray_")
    }
    assert files == {*RUNS, *CLIENTS, "canvas.ipynb"}
    page = (FOLDER / "README.md").read_text("utf-8")
    assert [name for name in files if f"[{name}]({name})" not in page] == []
    assert all(f"python examples/{name}" in (FOLDER / name).read_text("utf-8") for name in {*RUNS, *CLIENTS})
