"""How the code is built, in figures: `python -m pytest -s tests/test_structure.py` prints them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

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
