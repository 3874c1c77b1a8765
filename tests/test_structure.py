"""How the code is built, in figures: `python -m pytest -s tests/test_structure.py` prints them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import fef

PACKAGE = Path(fef.__file__).parent
MODULES = {
    ".".join(["fef", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


# --- imports ---


def imports_of(source: str, module: str, *, package: bool) -> dict[str, list[str]]:
    """Modules of fef that a module names, by when it imports them: at once, for type checkers only, or in a call."""
    found: dict[str, list[str]] = {"at once": [], "types": [], "in a call": []}

    def visit(node: ast.AST, when: str) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for child in node.body:
                visit(child, "types")
            for child in node.orelse:
                visit(child, when)
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when == "at once":
            when = "in a call"
        if isinstance(node, ast.Import):
            found[when] += [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            above = module.split(".")[: None if package else -1]
            above = above[: len(above) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            inside = [f"{base}.{alias.name}" for alias in node.names]
            found[when] += [name if name in MODULES else base for name in inside]
        for child in ast.iter_child_nodes(node):
            visit(child, when)

    visit(ast.parse(source), "at once")
    return {when: sorted({name for name in names if name in MODULES}) for when, names in found.items()}


def circles(graph: dict[str, list[str]]) -> list[list[str]]:
    """Groups of modules that reach one another (Tarjan 1972), and modules that import themselves."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        number[module] = low[module] = len(number)
        stack.append(module)
        for other in graph.get(module, []):
            if other not in number:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], number[other])
        if low[module] == number[module]:
            group = [stack.pop()]
            while group[-1] != module:
                group.append(stack.pop())
            if len(group) > 1 or module in graph.get(module, []):
                found.append(sorted(group))

    for module in graph:
        if module not in number:
            visit(module)
    return found


def graph_of(*kinds: str) -> dict[str, list[str]]:
    graph = {}
    for name, path in MODULES.items():
        found = imports_of(path.read_text(), name, package=path.name == "__init__.py")
        graph[name] = [other for kind in kinds for other in found[kind]]
    return graph


def test_no_module_imports_one_that_imports_it():
    at_once = circles(graph_of("at once"))
    print(f"\nimport circles: {len(at_once)}")
    for kind in ("types", "in a call"):
        print(f"  with imports {'for type checkers' if kind == 'types' else 'inside functions'}:")
        for group in circles(graph_of("at once", kind)):
            print("   ", ", ".join(group))
    assert at_once == []


def test_a_circle_is_found():
    assert circles({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}) == [["a", "b", "c"]]
    assert circles({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}) == []
    source = "import fef.api\nif TYPE_CHECKING:\n    from fef import loading\ndef f():\n    from . import table, mlp\n"
    assert imports_of(source, "fef.models.stale", package=False) == {
        "at once": ["fef.api"],
        "types": ["fef"],
        "in a call": ["fef.models.mlp", "fef.models.table"],
    }


RANKS = ["laws", "models", "decoding", "decoders", "api", "engine", "generation", "cli"]
"""Each imports from those before it only; what is not named here stands around them (docs/architecture.md)."""


def test_imports_run_downwards():
    graph = graph_of("at once", "in a call", "types")
    graph["fef.api"] = graph["fef.generation"] = []  # what they import in calls, their users see
    upwards = [
        (module, other)
        for module, others in graph.items()
        for other in others
        if (below := rank(module)) is not None and (above := rank(other)) is not None and above > below
    ]
    print(f"\nimports upwards: {upwards}")
    assert [pair for pair in upwards if pair[1] != "fef.generation"] == []  # whose `Model` the text engine names


def rank(module: str) -> int | None:
    part = module.split(".")[1] if "." in module else ""
    return RANKS.index(part) if part in RANKS else None


# --- sizes ---


def lines_of(package: str) -> int:
    return sum(len(path.read_text().splitlines()) for path in (PACKAGE / package).rglob("*.py"))


def test_the_decoder_stays_small_beside_its_kernels():
    lines = {package: lines_of(package) for package in ("decoding", "engine", "decoders")}
    kernels = lines_of("engine/kernels")
    print(f"\nlines: {lines}, {sum(lines.values())} in all, {kernels} of them Triton kernels")
    assert sum(lines.values()) - kernels < 8_800


def test_a_method_is_known_to_its_own_file_and_to_the_table_only():
    for name, most in (("saber", 2), ("wino", 5), ("klass", 3)):
        naming = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if says(path, name)]
        print(f"\n{name}: {', '.join(naming)}")
        assert 2 <= len(naming) <= most


def says(path: Path, word: str) -> bool:
    return re.search(rf"\b{word}\b", path.read_text(), re.IGNORECASE) is not None


# --- one way through the code ---


def functions_of(run: Callable[[], Any]) -> set[tuple[str, str]]:
    """Functions of fef that are called, by file and qualified name."""
    found: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _arg: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(PACKAGE)):
            found.add((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
    return found


def test_the_loop_and_the_engine_are_one_way_through_the_code():
    model = fef.load("demo")
    for settings in ({"method": "fef"}, {"method": "fef", "steps": 2}, {"method": "threshold"}):
        asked: dict[str, Any] = {"max_new_tokens": 16, **settings}
        loop = functions_of(lambda asked=asked: model.generate("What is 2 + 3?", **asked))
        engine = functions_of(lambda asked=asked: model.engine(threads=1).submit("What is 2 + 3?", **asked).result())
        print(
            f"\n{settings}: {len(loop & engine)} functions shared, {len(loop)} in the loop, {len(engine)} in the engine"
        )
        assert len(loop & engine) > 100
