"""Ctrl-C and SIGTERM as a wish to stop soon, so that long work can save itself first."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSoon"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSoon:
    """Used in a `with` statement, and called between steps: has somebody asked to stop?

    A signal before the first call, or the second one, is a KeyboardInterrupt at once. `signal` is the one that came, if any.
    patient: more signals change nothing, as where torchrun repeats to its processes what the terminal has told them.
    """

    def __init__(self, words: str, say: Any, patient: bool = False) -> None:
        self.words, self.say, self.patient = words, say, patient
        self.signal: signal.Signals | None = None
        self.working = False
        self.before: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        self.working = True
        return self.signal is not None

    def handle(self, number: int, _frame: FrameType | None) -> None:
        again = self.signal is not None
        self.signal = signal.Signals(number)
        if not self.working or (again and not self.patient):
            raise KeyboardInterrupt
        if not again:
            self.say(self.words)

    def __enter__(self) -> StopSoon:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self.before = {which: signal.signal(which, self.handle) for which in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for which, handler in self.before.items():
            signal.signal(which, handler)
