"""A byte of the shipped weights that is not what it was is told, wherever it lies."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import fef
from fef.errors import CheckpointError
from fef.models import hub, shipped
from fef.models.checkpoint import DELTA, demo_path, smol_path
from fef.models.shipped import DEMO_CRC32, SMOL_CRC32, check_shipped, crc32_of
from fef.models.weights import WEIGHTS


def flip(file: Path, place: int) -> None:
    """Flip a bit of the byte at this place; once more puts it back."""
    with file.open("r+b") as stream:
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is the shipped demo here."""
    copy = Path(shutil.copytree(demo_path(), tmp_path / "demo"))
    for module in (hub, shipped):
        monkeypatch.setattr(module, "demo_path", lambda: copy)
    return copy


def test_an_altered_byte_of_demo_is_told_and_the_whole_file_loads(demo: Path) -> None:
    file = demo / WEIGHTS
    size = file.stat().st_size
    for place in (size // 3, size // 2 + 1, size - 1):
        flip(file, place)
        with pytest.raises(CheckpointError, match=f"{WEIGHTS} has the CRC-32 .*: it was damaged or changed"):
            fef.load("demo", device="cpu")
        flip(file, place)
    assert fef.load("demo", device="cpu").name == "demo"


def test_a_model_of_ones_own_is_not_compared_with_the_shipped_one(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(demo_path(), tmp_path / "demo"))
    flip(copy / WEIGHTS, (copy / WEIGHTS).stat().st_size - 1)
    assert fef.load(copy, device="cpu", head="none").name == "demo"


def test_an_altered_byte_of_the_delta_of_smol_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(smol_path() / DELTA, tmp_path / DELTA)
    monkeypatch.setattr(shipped, "smol_path", lambda: tmp_path)
    check_shipped(tmp_path)
    flip(tmp_path / DELTA, 5_000_000)
    with pytest.raises(CheckpointError, match="Install fef again"):
        check_shipped(tmp_path)


def test_the_checksums_are_those_of_the_files_here() -> None:
    assert crc32_of(demo_path() / WEIGHTS) == DEMO_CRC32
    assert crc32_of(smol_path() / DELTA) == SMOL_CRC32
