"""The loop and the engine are two drivers of one round: most of what one runs for a request, the other runs, too.

python -m pytest -s tests/engine/test_shared_functions.py
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from asking import answered, asks, by_decode
from tiny_network import tiny_network

from fef.engine.engine import Engine

NETWORK = tiny_network(scale=0.3)
METHODS: list[dict[str, Any]] = [
    {"verify": "packed"},
    {"method": "sequential", "verify": "packed"},
    {"method": "fef", "verify": "rows"},
]


def functions_of(run: Callable[[], object]) -> set[str]:
    """Those of fef that a run calls, on any thread."""
    seen = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        module = frame.f_globals.get("__name__", "")
        if event == "call" and module.startswith("fef."):
            seen.add(f"{module}.{frame.f_code.co_qualname}")

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]
    return seen


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_loop_and_engine_share_more_than_a_hundred_functions(method: dict[str, Any]) -> None:
    asked = asks(2, seed=1)
    loop = functions_of(lambda: by_decode(NETWORK, asked, **method))
    engine = functions_of(
        lambda: answered(Engine(NETWORK, max_batch=2, max_length=16, windows=(4,), threads=1), asked, **method)
    )
    print(f"{method}: the loop runs {len(loop)} functions, the engine {len(engine)}, both {len(loop & engine)}")
    assert len(loop & engine) > 100
