"""Ctrl-C and SIGTERM: never in an import, and as a wish to stop soon, so that long work can save itself first."""

from __future__ import annotations

import _thread
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSoon", "spare_imports"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
AGAIN = 0.05  # seconds from a signal that comes in an import to the next look
WAITING: dict[threading.Timer, signal.Signals] = {}  # signals that came in an import, by what brings them again
BRINGS = threading.Lock()  # held while a timer does, so that nobody takes its signal away in between


def spare_imports() -> None:
    """Let Ctrl-C wait until an import is done: packages that are cut short clear the exception, so that the command goes on
    as if nothing had been typed, or fail with an error of their own."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background jobs ignore it
        signal.signal(signal.SIGINT, interrupt)


def interrupt(number: int, frame: FrameType | None) -> None:
    if not postponed(number, frame):
        raise KeyboardInterrupt


def postponed(number: int, frame: FrameType | None) -> bool:
    """Does the signal come in an import? Then it comes again."""
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    if frame is None:
        return False
    again = threading.Timer(AGAIN, lambda: bring(again))
    again.daemon = True
    WAITING[again] = signal.Signals(number)
    again.start()
    return True


def bring(again: threading.Timer) -> None:
    with BRINGS:
        if again in WAITING:
            _thread.interrupt_main(WAITING.pop(again))


def take_waiting() -> list[signal.Signals]:
    """The signals that wait for an import to end, and come no more by themselves."""
    with BRINGS:
        found = dict(WAITING)
        WAITING.clear()
    for again in found:
        again.cancel()
    return list(found.values())


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

    def handle(self, number: int, frame: FrameType | None) -> None:
        if postponed(number, frame):
            return
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
        if not self.before:
            return
        waiting = take_waiting()  # a timer would bring them to whoever handles signals from here on, or to nobody
        for which, handler in self.before.items():
            signal.signal(which, handler)
        for number in waiting:
            self.handle(number, None)
