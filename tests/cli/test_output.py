import io
import os
import time
from pathlib import Path

import pytest
from rich.console import Console

from fef.cli import output
from fef.cli.output import Bar
from fef.errors import InputError
from fef.files import check_writable, write_whole


def terminal():
    return Console(file=io.StringIO(), force_terminal=True, width=80)


def test_a_bar_appears_only_after_a_while(monkeypatch):
    console = terminal()
    with Bar("Working", 3, console) as bar:
        bar.advance(1)
    assert console.file.getvalue() == ""
    monkeypatch.setattr(output, "PATIENCE", 0.01)
    with Bar("Working", 3, console) as bar:
        bar.update(2, "Nearly")
        deadline = time.monotonic() + 10
        while "Nearly" not in console.file.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "2/3" in console.file.getvalue()
    assert console.file.getvalue().rindex("\x1b[?25h") > console.file.getvalue().rindex("\x1b[?25l")


def test_a_bar_is_off_without_a_terminal(monkeypatch):
    monkeypatch.setattr(output, "PATIENCE", 0.0)
    console = Console(file=io.StringIO(), force_terminal=False)
    with Bar("Working", 3, console):
        time.sleep(0.05)
    assert console.file.getvalue() == ""


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\ud800")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_who_may_read_a_file_is_as_of_any_new_one(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_whole(tmp_path / "out.json", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "out.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_unwritable_places_are_found_early(tmp_path):
    for path in (tmp_path, tmp_path / "missing" / "out.json"):
        with pytest.raises(InputError):
            check_writable(path)
    check_writable(tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_devices_and_pipes_are_not_replaced_by_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(InputError, match="is a device; give the name of a file"):
            check_writable(path)


def test_a_file_that_may_not_be_read_is_bad_input(fef_cli, monkeypatch, tmp_path):
    def refused(*_):
        raise PermissionError(13, "Permission denied", "locked/x.json")

    monkeypatch.setattr("fef.cli.report.page_of", refused)
    found = fef_cli("report", tmp_path / "a.json", "--out", tmp_path / "a.md")
    assert (found.exit_code, found.stderr) == (2, "fef: error: Permission denied: locked/x.json.\n")
