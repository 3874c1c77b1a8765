"""Every way to run away is stopped, proves nothing, and leaves no process behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fef.tasks.sandbox import OUTPUT_LIMIT, run_python

# An odd memory limit stands in the child's command line, and the sleeper's seconds in its own: both mark our processes.
MEMORY_MIB = 100 + os.getpid() % 101
SLEEP = f"{1_000_000 + os.getpid()}"

ATTACKS = {
    "endless loop": ("while True: pass", "time limit"),
    "stubborn loop": ("while True:\n try:\n  while True: pass\n except BaseException: pass", "time limit"),
    "sleep": ("import time\ntime.sleep(60)", "time limit"),
    "one huge list": ("x = bytearray(10**10)", "MemoryError"),
    "growing list": ("x = []\nwhile True: x.append(bytearray(10**7))", "MemoryError"),
    "flood of output": ("while True: print('x' * 1000)", "bytes"),
    "flood of errors": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "bytes"),
    "fork bomb": ("import os\nwhile True: os.fork()", "BlockingIOError"),
    "patient fork bomb": ("import os\nwhile True:\n try: os.fork()\n except OSError: pass", "time limit"),
    "thread": ("import _thread\n_thread.start_new_thread(print, ())", "RuntimeError"),
    "new program": (f"import os\nos.execv('/bin/sleep', ['sleep', '{SLEEP}'])", "time limit"),
    "exit": ("import sys\nsys.exit(0)", "SystemExit"),
    "hard exit": ("import os\nprint('all tests passed')\nos._exit(0)", "before its last line"),
    "own death": ("import os\nos.kill(os.getpid(), 9)", "before its last line"),
    "closed output": ("import os\nos.close(1)\nos.close(2)", "before its last line"),
    "closed output and loop": ("import os\nos.close(1)\nos.close(2)\nwhile True: pass", "before its last line"),
    "raised limits": ("import resource\nresource.setrlimit(resource.RLIMIT_NPROC, (9, 9))", "ValueError"),
    "hostile error": ("class E(BaseException):\n def __str__(self): raise self\nraise E", "before its last line"),
    "syntax error": ("def f(:", "SyntaxError"),
    "deep recursion": ("def f(): f()\nf()", "RecursionError"),
    "reading input": ("input()", "EOFError"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_stopped_and_leaves_no_process(name: str) -> None:
    source, reason = ATTACKS[name]
    # Filling memory can be slow, so only the time limit's own attacks get a short one.
    timeout = 0.4 if reason == "time limit" else 5.0
    start = time.monotonic()
    result = run_python(source, timeout=timeout, memory_mib=MEMORY_MIB)
    assert time.monotonic() - start < timeout + 3
    assert not result.ok
    assert reason in result.error
    assert len(result.stdout) <= OUTPUT_LIMIT
    assert _our_processes() == []


def test_a_program_that_ends_is_ok_with_its_output() -> None:
    result = run_python("print('hello')\nprint('wörld')")
    assert (result.ok, result.stdout, result.error) == (True, "hello\nwörld\n", "")


def test_output_before_a_failure_is_kept() -> None:
    result = run_python("print('so far')\n1 / 0")
    assert (result.ok, result.stdout) == (False, "so far\n")
    assert result.error == "ZeroDivisionError: division by zero"


def test_usual_modules_are_there() -> None:
    assert run_python("import collections, functools, itertools, math, re, string").ok


def test_a_long_source_is_fine() -> None:
    assert run_python("x = 1\n" * 100_000).ok


def test_environment_and_rights_are_bare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEF_SECRET", "1")
    result = run_python("import os, sys\nprint(os.environ.get('FEF_SECRET'), os.geteuid() != 0, 'site' in sys.modules)")
    assert result.stdout == "None True False\n"


def test_files_cannot_be_written() -> None:
    path = Path(f"/tmp/fef-sandbox-test-{os.getpid()}")
    try:
        result = run_python(f"with open({str(path)!r}, 'w') as stream: stream.write('x')")
        assert not result.ok
        assert not path.exists() or path.stat().st_size == 0
    finally:
        path.unlink(missing_ok=True)


def test_a_run_is_quick() -> None:
    start = time.monotonic()
    for _ in range(5):
        assert run_python("pass").ok
    assert (time.monotonic() - start) / 5 < 0.5


def _our_processes() -> list[str]:
    marks = (str(MEMORY_MIB * 1024 * 1024), SLEEP)
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        found += [mark for mark in marks if mark in words]
    return found
