"""The loop is made of parts; methods are made of the loop's parts. So imports run from methods to parts, never back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import fef

ROOT = Path(fef.__file__).parent


def imported(source: str) -> set[str]:
    """Names of the modules that a source imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("package", ["laws", "models", "decoding"])
def test_parts_know_no_method(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    assert not [f.name for f in files if any(m.startswith("fef.decoders") for m in imported(f.read_text()))]


@pytest.mark.parametrize(
    "source", ["from fef.decoders.wino import WINO", "def f():\n    import fef.decoders", "from fef import decoders"]
)
def test_an_import_of_a_method_is_seen(source: str) -> None:
    assert "fef.decoders" in {".".join(m.split(".")[:2]) for m in imported(source)}
