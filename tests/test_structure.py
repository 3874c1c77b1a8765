"""How the code is built, in figures: `python -m pytest -s tests/test_structure.py` prints them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import fef

PACKAGE = Path(fef.__file__).parent


# --- methods are files ---


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


def test_no_two_test_modules_share_a_name() -> None:
    """Test folders are no packages, so modules of one name shadow each other where all are collected."""
    names = [path.name for path in Path(__file__).parent.rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(
    "package", ["decoding", "engine", "engine/kernels", "measure", "bench", "bench/engine", "eval", "verify"]
)
def test_the_reading_order_of_a_package_names_every_module(package: str) -> None:
    told = ast.get_docstring(ast.parse((PACKAGE / package / "__init__.py").read_text()))
    assert told is not None
    names = {path.stem for path in (PACKAGE / package).glob("*.py")} - {"__init__"}
    assert names - set(re.findall(r"\w+", told)) == set()


def test_what_measures_asks_the_engine_and_reaches_into_no_part_of_it() -> None:
    outside = {name: text for name, text in sources().items() if not name.startswith("fef/engine/")}
    assert [name for name, lines in outside.items() if any(".built." in line for line in lines)] == []
    assert any(".built." in line for name, lines in sources().items() if name not in outside for line in lines)


# --- sizes and repetitions ---

LONGEST, REPEATED = 400, 10  # lines


def sources() -> dict[str, list[str]]:
    """The lines of all Python files but tests."""
    root = PACKAGE.parent
    files = [path for folder in ("fef", "tools", "benchmarks", "examples") for path in (root / folder).rglob("*.py")]
    return {str(path.relative_to(root)): path.read_text("utf-8").splitlines() for path in files}


def repeated(files: dict[str, list[str]]) -> list[str]:
    """Places where so many lines stand a second time. Imports and signatures aside, blank lines and indentation too."""
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    found = []
    for name, lines in sorted(files.items()):
        aside = stated(ast.parse("\n".join(lines)))
        kept = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip() and n not in aside]
        for i in range(len(kept) - REPEATED + 1):
            window = tuple(line for _, line in kept[i : i + REPEATED])
            other, at = seen.setdefault(window, (name, i))
            if other != name or i - at >= REPEATED:
                found.append(f"{name}:{kept[i][0]} repeats {other}")
    return found


def stated(tree: ast.AST) -> set[int]:
    """The numbers of lines that import or that say what a function takes."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {*range(node.lineno, (node.end_lineno or node.lineno) + 1)}
        elif isinstance(node, ast.FunctionDef):
            found |= {*range(node.lineno, node.body[0].lineno)}
    return found


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    assert {name: len(lines) for name, lines in sources().items() if len(lines) > LONGEST} == {}


def test_nothing_is_written_twice() -> None:
    assert repeated(sources()) == []


def test_what_is_written_twice_is_found() -> None:
    body = [f"value_{i} = {i}" for i in range(REPEATED)]
    assert repeated({"a.py": body, "b.py": ["x = 1", *body[:3], "", *body[3:]]}) == ["b.py:2 repeats a.py"]
    assert repeated({"a.py": body, "b.py": body[1:]}) == []
    assert repeated({"a.py": [*body, *body]}) != []
