"""`make test-arithmetic`: what it runs, and that one failure neither stops the rest nor is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
VARIABLES = ("OMP_NUM_THREADS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command with a stand-in for Python; the calls that it saw, the lines of the summary and the exit status."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # a setting of the caller belongs to no environment
    log, python = tmp_path / "log", tmp_path / "python"

    def run(fails: str) -> tuple[list[str], list[str], int]:
        seen = " ".join(f"{name}=${name}" for name in VARIABLES)
        python.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "{seen} $*" >> {log}\n{fails}\n')
        python.chmod(0o755)
        settings = {k: v for k, v in os.environ.items() if k not in ("ONLY", "CHECKS")}
        settings |= {"PY": str(python), "WORKERS": "3"}
        done = subprocess.run([ROOT / "tests" / "arithmetic.sh"], env=settings, capture_output=True, text=True)
        summary = done.stdout.partition("All of them:\n")[2].splitlines()
        return log.read_text().splitlines(), summary, done.returncode

    return run


def test_all_checks_run_in_six_environments(run):
    calls, summary, status = run("exit 0")
    assert status == 0
    assert len(calls) == len(summary) == 6 * 4
    assert all(" passed " in line for line in summary)
    environments = {call.partition(" -m ")[0] for call in calls}
    assert environments == {
        f"OMP_NUM_THREADS={omp} ATEN_CPU_CAPABILITY={aten} ONEDNN_MAX_CPU_ISA={isa}"
        for omp, aten, isa in [
            *(("", "", ""), ("1", "", ""), ("2", "", "")),
            *(("", "default", ""), ("", "avx2", ""), ("", "", "AVX2")),
        ]
    }
    checks = {call.partition(" -m ")[2] for call in calls}
    assert checks == {"fef verify", "fef verify --engine", "fef verify --self-test", "pytest -n 3"}


@pytest.mark.parametrize(
    ("fails", "failed"),
    [
        ('[ "$ATEN_CPU_CAPABILITY" != avx2 ]', 4),
        ('[ "$*" != "-m fef verify --self-test" ]', 6),
        ('[ "$OMP_NUM_THREADS $*" != "2 -m fef verify" ]', 1),
    ],
)
def test_a_failure_is_in_the_summary_and_the_status(run, fails, failed):
    calls, summary, status = run(fails)
    assert status == 1
    assert len(calls) == len(summary) == 6 * 4
    assert sum(" FAILED " in line for line in summary) == failed


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_another_python_makes_no_environment():
    def planned(*arguments: str) -> str:
        command = ["make", "-n", "--no-print-directory", "test-arithmetic", *arguments, "VENV=no-such-folder"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert planned("PY=python3", "WORKERS=5") == "PY=python3 WORKERS=5 tests/arithmetic.sh\n"
    assert "-m venv no-such-folder" in planned()
