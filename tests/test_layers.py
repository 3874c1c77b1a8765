"""Which way imports run: downwards, as docs/architecture.md says, and never in a circle."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Mapping, Set
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import fef

ROOT = Path(fef.__file__).parent

# From the bottom up; what stands on one line knows nothing of its neighbours.
LAYERS = [
    ["errors"],
    ["files"],
    ["readers", "tasks"],
    ["laws"],
    ["models"],
    ["grammar"],
    ["decoding"],
    ["decoders", "text", "training"],
    ["api", "engine", "profiling", "template"],
    ["generation"],
    ["measure"],
    ["eval", "serve", "verify"],
    ["bench"],
    ["cli"],
    ["corpus"],
]


def module_names() -> dict[str, Path]:
    files = {".".join(p.relative_to(ROOT.parent).with_suffix("").parts): p for p in sorted(ROOT.rglob("*.py"))}
    return {name.removesuffix(".__init__"): path for name, path in files.items()}


MODULES = module_names()


def imported(source: str, known: Set[str]) -> set[str]:
    """Those of the `known` modules that a source imports, wherever in it: in functions and for type checkers, too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in known else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in known}


def circle(graph: Mapping[str, Set[str]]) -> list[str] | None:
    """Modules that import each other in a ring, if there are any."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


@cache
def graph() -> dict[str, set[str]]:
    return {name: imported(path.read_text("utf-8"), MODULES.keys()) - {name} for name, path in MODULES.items()}


HEIGHT = {package: height for height, packages in enumerate(LAYERS) for package in packages}


def package(module: str) -> str:
    return f"{module}.".split(".")[1]


def upward(graph: Mapping[str, Set[str]]) -> list[str]:
    """Imports between packages that have a layer, and that do not run downwards."""
    return [
        f"{name} imports {target}"
        for name, targets in graph.items()
        for target in targets
        if {package(name), package(target)} <= HEIGHT.keys()
        and package(name) != package(target)
        and HEIGHT[package(name)] <= HEIGHT[package(target)]
    ]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circle(graph()) is None


def test_imports_run_downwards() -> None:
    assert upward(graph()) == []


def test_every_package_has_a_layer() -> None:
    """But for `fef` itself, which loads what it offers on first use, and `python -m fef`."""
    assert {name.split(".")[1] for name in MODULES if "." in name} == {*HEIGHT, "__main__"}


@pytest.mark.parametrize(
    "source",
    [
        "from fef.decoders.wino import WINO",
        "def f():\n    import fef.decoders.wino",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from fef.decoders import wino",
    ],
)
def test_an_import_is_seen_wherever_it_stands(source: str) -> None:
    assert imported(source, MODULES.keys()) == {"fef.decoders.wino"}


def test_a_circle_is_seen() -> None:
    found = circle(graph() | {"fef.laws.claim": {"fef.decoders.wino"}})
    assert found is not None
    assert {"fef.laws.claim", "fef.decoders.wino"} <= set(found)


def test_an_import_upwards_is_seen() -> None:
    upwards = {
        "fef.decoding.loop": {"fef.decoders.wino"},
        "fef.text": {"fef.engine.text"},
        "fef.api": {"fef.engine.job"},
    }
    assert len(upward(graph() | upwards)) == 3


def test_what_is_not_needed_yet_is_not_loaded() -> None:
    """The package loads neither torch nor the engine, which comes with `Model.engine`. A model, of stored weights or rounded
    ones, loads without torch's compiler: its symbolic shapes and sympy are 50 MB of memory."""
    code = """
import sys, fef
assert not {'torch', 'fef.api'} & set(sys.modules)
fef.load, fef.decode
assert not [m for m in sys.modules if m.startswith('fef.engine')]
for weights in (None, 'int8'):
    fef.load('demo', weights=weights, device='cpu')
    assert not {'sympy', 'torch._dynamo', 'torch.fx.experimental.symbolic_shapes'} & set(sys.modules)
assert not [m for m in sys.modules if m.startswith('fef.engine')]
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
