"""What is packaged, and what the files beside the code say of it."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
import zlib
from pathlib import Path

import pytest
import yaml
from page_blocks import ROOT

import fef

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LARGEST = 15_000_000  # bytes of a wheel
OTHERS = {"dev", "test-clients", "test-browser"}  # extras of those who work on fef


def packaged() -> set[Path]:
    """Files that are no Python and go into the wheel, by the patterns of pyproject.toml."""
    tool = PROJECT["tool"]["setuptools"]
    kept, left = (
        {p for g in tool[key]["fef"] for p in (ROOT / "fef").glob(g)}
        for key in ("package-data", "exclude-package-data")
    )
    return kept - left


def test_the_wheel_is_small_and_holds_no_logs() -> None:
    names = {str(path.relative_to(ROOT)) for path in packaged()}
    assert "fef/models/demo/model.safetensors" in names
    assert not any("losses" in name or "delta.safetensors" in name for name in names)
    files = [*packaged(), *(ROOT / "fef").rglob("*.py")]
    assert sum(len(zlib.compress(path.read_bytes(), 6)) for path in files) < LARGEST


@pytest.mark.parametrize("part", ["ssmd", "adjust", "policy", "demask"])
def test_what_methods_learned_of_the_checkpoints_is_small(part: str) -> None:
    assert all(path.stat().st_size < 1 << 20 for path in (ROOT / "fef" / "models").glob(f"*/{part}.safetensors"))


def test_the_citation_and_the_changes_are_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == PROJECT["project"]["version"] == fef.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    assert fef.__version__ in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_every_extra_is_explained() -> None:
    table = re.findall(r"^\| `([a-z-]+)` \|", (ROOT / "docs" / "quick-start.md").read_text("utf-8"), re.MULTILINE)
    assert {*table} == PROJECT["project"]["optional-dependencies"].keys() - OTHERS


def test_the_workflow_runs_what_the_maintainers_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
    assert any(step.get("run") == ".ci/run" for step in workflow["jobs"]["ci"]["steps"])
    versions = {
        f"Programming Language :: Python :: {v}" for v in workflow["jobs"]["ci"]["strategy"]["matrix"]["python"]
    }
    assert versions <= {*PROJECT["project"]["classifiers"]}


@pytest.mark.slow
def test_wheel_and_source_as_they_are_built(tmp_path: Path) -> None:
    files = (
        subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    )
    for name in filter(None, files):
        target = tmp_path / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    code = "from setuptools import build_meta as b; print(b.build_sdist('.')); print(b.build_wheel('.'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path / "tree", capture_output=True, check=True, timeout=300)
    [wheel], [source] = (tmp_path / "tree").glob("*.whl"), (tmp_path / "tree").glob("*.tar.gz")
    assert wheel.stat().st_size < LARGEST
    names = {*zipfile.ZipFile(wheel).namelist()}
    assert {"fef/py.typed", "fef/models/demo/model.safetensors", "fef/serve/static/index.html"} <= names
    assert not any(re.search(r"losses|delta\.safetensors|^tests/", name) for name in names)
    with tarfile.open(source) as archive:
        told = {name.partition("/")[2] for name in archive.getnames()}
    assert {"CHANGELOG.md", "mkdocs.yml", "docs/index.md", "examples/batch.py", "tests/conftest.py"} <= told
    assert not any(re.search(r"losses\.jsonl|delta\.safetensors|golden/data", name) for name in told)
