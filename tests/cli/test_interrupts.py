"""Ctrl-C while modules are loaded, and behind that."""

import signal
import sys
import threading
import time

import pytest

from fef.cli import interrupts
from fef.cli.interrupts import StopSoon, spare_imports

SWALLOWS = """
import signal
try:
    signal.raise_signal(signal.{name})
except BaseException:
    swallowed = True
else:
    swallowed = False
"""


def load_under_a_signal(folder, monkeypatch, *names):
    """Load a module that signals reach, and which goes on whatever happens."""
    (folder / "goes_on.py").write_text("".join(SWALLOWS.format(name=name) for name in names))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "goes_on", raising=False)
    import goes_on

    assert not goes_on.swallowed


def work_behind_a_signal(folder, monkeypatch, *names):
    """In short steps, as the second coming of a signal cuts no sleep short."""
    load_under_a_signal(folder, monkeypatch, *names)
    for _ in range(500):
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_an_import_comes_when_it_is_done(tmp_path, monkeypatch):
    spare_imports()
    with pytest.raises(KeyboardInterrupt):
        work_behind_a_signal(tmp_path, monkeypatch, "SIGINT")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_so_it_does_where_long_work_is_about_to_begin(tmp_path, monkeypatch, name):
    with pytest.raises(KeyboardInterrupt), StopSoon("", print):
        work_behind_a_signal(tmp_path, monkeypatch, name)


@pytest.fixture
def comes_again_never(monkeypatch):
    """Not by itself: the work is over before."""
    monkeypatch.setattr(interrupts, "AGAIN", 3600)


@pytest.mark.usefixtures("comes_again_never")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_in_the_last_import_of_long_work_is_known_behind_it(tmp_path, monkeypatch, name):
    said = []
    with StopSoon("stopping", said.append) as stop:
        assert not stop()
        load_under_a_signal(tmp_path, monkeypatch, name)
        assert stop.signal is None
    assert stop.signal == signal.Signals[name] and said == ["stopping"]
    assert not interrupts.WAITING


@pytest.mark.usefixtures("comes_again_never")
@pytest.mark.parametrize(("begun", "names"), [(False, ["SIGTERM"]), (True, ["SIGTERM", "SIGINT"])])
def test_it_ends_at_once_before_the_first_step_and_the_second_time(tmp_path, monkeypatch, begun, names):
    before = signal.getsignal(signal.SIGTERM)
    stop = StopSoon("", lambda _: None)
    stop.working = begun
    with pytest.raises(KeyboardInterrupt), stop:
        load_under_a_signal(tmp_path, monkeypatch, *names)
    assert stop.signal == signal.Signals[names[-1]]
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("comes_again_never")
def test_work_on_another_thread_takes_no_signal_away(tmp_path, monkeypatch):
    def work():
        with StopSoon("", print):
            pass

    with StopSoon("", lambda _: None) as stop:
        assert not stop()
        load_under_a_signal(tmp_path, monkeypatch, "SIGTERM")
        other = threading.Thread(target=work)
        other.start()
        other.join()
        assert stop.signal is None
    assert stop.signal == signal.SIGTERM


def test_what_has_been_taken_comes_no_second_time(tmp_path, monkeypatch):
    with StopSoon("", lambda _: None) as stop:
        assert not stop()
        load_under_a_signal(tmp_path, monkeypatch, "SIGTERM")
        [again] = interrupts.WAITING
        assert interrupts.take_waiting() == [signal.SIGTERM]
        interrupts.bring(again)
        again.join()
    assert stop.signal is None


def test_elsewhere_it_comes_at_once():
    spare_imports()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_ignores_ctrl_c_still_does():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare_imports()
    signal.raise_signal(signal.SIGINT)
