"""What `fef --version` and `fef doctor` say, on this machine and on machines made up here."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import fef
from fef.cli import doctor
from fef.cli.doctor import Trial, rows, try_engine
from fef.cli.machine import Machine, extras_of, free_cores, free_memory, slow_parts
from fef.cli.version import git_state

FAST = Machine(
    cpu="a CPU",
    cores=8,
    threads=8,
    gpu="NVIDIA H100",
    capability=(9, 0),
    torch="2.11.0",
    nvidia_driver=True,
    product_ms={"float32": 1.0, "bfloat16": 0.5},
)


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, timeout=30)


def test_the_state_of_a_checkout_is_its_commit_and_whether_its_files_were_changed(tmp_path):
    assert git_state(tmp_path) is None
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit as yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    state = git_state(tmp_path)
    assert state is not None
    assert state.startswith("git ")
    assert "changes" not in state
    (tmp_path / "other").write_text("not tracked")
    assert git_state(tmp_path) == state
    (tmp_path / "file").write_text("two")
    assert git_state(tmp_path) == f"{state}, with changes"
    (tmp_path / "folder").mkdir()
    assert git_state(tmp_path / "folder") is None  # an installed package within somebody's checkout is none of it


def test_without_git_the_version_is_the_number_alone(fef_cli, monkeypatch):
    monkeypatch.setattr("fef.cli.version.git", lambda *_: None)
    assert fef_cli("--version").stdout == f"fef {fef.__version__}\n"


def test_nothing_is_slow_on_a_fast_machine():
    assert slow_parts(FAST) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gpu": None}, "cannot use it. Install a build of torch for CUDA"),
        ({"gpu": None, "nvidia_driver": False}, "plain torch"),
        ({"triton": False}, "install the package triton"),
        ({"capability": (8, 0)}, "compute capability 9.0"),
        ({"capability": (7, 5)}, "emulated"),
        ({"product_ms": {"float32": 1.0, "bfloat16": 4.0}}, "4.0 times as long"),
        ({"threads": 64}, "OMP_NUM_THREADS=8"),
        ({"environment": {"OMP_WAIT_POLICY": "active"}}, "OMP_WAIT_POLICY"),
        ({"environment": {"PYTHONDONTWRITEBYTECODE": "1"}}, "PYTHONDONTWRITEBYTECODE"),
    ],
)
def test_each_slow_part_is_named_with_its_reason(change, words):
    assert any(words in sentence for sentence in slow_parts(replace(FAST, **change)))


def test_the_cores_of_a_container_are_those_that_it_is_given(tmp_path):
    quota = tmp_path / "cpu.max"
    everything = free_cores(quota)
    quota.write_text("max 100000\n")
    assert free_cores(quota) == everything
    quota.write_text("100000 100000\n")
    assert free_cores(quota) == 1


def test_free_memory_is_read_where_the_system_tells_it(tmp_path):
    file = tmp_path / "meminfo"
    assert free_memory(file) == 0
    file.write_text("MemTotal:       100 kB\nMemAvailable:    50 kB\n")
    assert free_memory(file) == 51200


def test_an_extra_lists_the_packages_that_it_lacks():
    lines = ["torch>=2", "numpy>=1; extra == 'plot'", 'no-such-package>=1; extra == "serve"', "gone; extra == 'dev'"]
    assert extras_of(lines) == {"plot": [], "serve": ["no-such-package"]}
    assert extras_of(None) == {}


def test_a_model_that_cannot_be_asked_is_told_in_the_table():
    trial = try_engine("no-such-model")
    assert trial.error is not None
    assert rows(FAST, {}, trial)["trial"].startswith("failed: ")


@pytest.mark.usefixtures("shipped")
def test_doctor_answers_a_question_and_its_exit_code_says_whether_right(fef_cli, monkeypatch):
    monkeypatch.setattr(doctor, "look_around", lambda: FAST)
    result = fef_cli("doctor", "--json")
    facts = json.loads(result.stdout)
    assert result.exit_code == 0
    assert facts["trial"]["right"]
    assert facts["slow"] == []
    assert facts["packages"]["torch"]
    monkeypatch.setattr(doctor, "try_engine", lambda: Trial(False, 1.0, 0.1, []))
    wrong = fef_cli("doctor")
    assert wrong.exit_code == 1
    assert "demo answers wrong" in wrong.stdout
