"""Ctrl-C while modules are loaded, and behind that."""

import signal
import sys
import time

import pytest

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


def load_under_a_signal(folder, monkeypatch, name):
    """Load a module that a signal reaches, and which goes on whatever happens; then wait for an interrupt."""
    (folder / "goes_on.py").write_text(SWALLOWS.format(name=name))
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "goes_on", raising=False)
    import goes_on

    assert not goes_on.swallowed
    time.sleep(5)


@pytest.fixture(autouse=True)
def own_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_an_import_comes_when_it_is_done(tmp_path, monkeypatch):
    spare_imports()
    with pytest.raises(KeyboardInterrupt):
        load_under_a_signal(tmp_path, monkeypatch, "SIGINT")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_so_it_does_where_long_work_is_about_to_begin(tmp_path, monkeypatch, name):
    with pytest.raises(KeyboardInterrupt), StopSoon("", print):
        load_under_a_signal(tmp_path, monkeypatch, name)


def test_elsewhere_it_comes_at_once():
    spare_imports()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_ignores_ctrl_c_still_does():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spare_imports()
    signal.raise_signal(signal.SIGINT)
