"""Every way to run away is stopped, proves nothing, and leaves no process and no file behind, at both levels."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fef.errors import SandboxError
from fef.tasks import sandbox
from fef.tasks.sandbox import OUTPUT_LIMIT, Isolation, check_isolation, run_python, strongest_isolation

needs_namespaces = pytest.mark.skipif(
    strongest_isolation() != "namespaces", reason=f"this system refuses namespaces: {sandbox._refusal()}"
)
LEVELS = [pytest.param("namespaces", marks=needs_namespaces), "limits"]

# An odd memory limit stands in the child's command line, and the sleeper's seconds in its own: both mark our processes.
MEMORY_MIB = 100 + os.getpid() % 101
SLEEP = f"{1_000_000 + os.getpid()}"

ATTACKS = {
    "endless loop": ("while True: pass", "time limit"),
    "stubborn loop": ("while True:\n try:\n  while True: pass\n except BaseException: pass", "time limit"),
    "sleep": ("import time\ntime.sleep(60)", "time limit"),
    "own session": ("import os\ntry: os.setsid()\nexcept OSError: pass\nwhile True: pass", "time limit"),
    "deaf loop": ("import signal\nsignal.signal(15, signal.SIG_IGN)\nwhile True: pass", "time limit"),
    "one huge list": ("x = bytearray(10**10)", "MemoryError"),
    "growing list": ("x = []\nwhile True: x.append(bytearray(10**7))", "MemoryError"),
    "flood of output": ("while True: print('x' * 1000)", "bytes"),
    "flood of errors": ("import sys\nwhile True: sys.stderr.write('x' * 1000)", "bytes"),
    "fork bomb": ("import os\nwhile True: os.fork()", "BlockingIOError"),
    "patient fork bomb": ("import os\nwhile True:\n try: os.fork()\n except OSError: pass", "time limit"),
    "thread": ("import _thread\n_thread.start_new_thread(print, ())", "RuntimeError"),
    "new program": (f"import os\nos.execv('/usr/bin/sleep', ['sleep', '{SLEEP}'])", "time limit"),
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


@pytest.mark.parametrize("isolation", LEVELS)
@pytest.mark.parametrize("name", ATTACKS)
def test_attack_is_stopped_and_leaves_no_process(name: str, isolation: Isolation) -> None:
    source, reason = ATTACKS[name]
    # Filling memory can be slow, so only the time limit's own attacks get a short one.
    timeout = 0.4 if reason == "time limit" else 5.0
    start = time.monotonic()
    result = run_python(source, timeout=timeout, memory_mib=MEMORY_MIB, isolation=isolation)
    assert time.monotonic() - start < timeout + 3
    assert not result.ok
    assert reason in result.error
    assert len(result.stdout) <= OUTPUT_LIMIT
    assert _our_processes() == []


@needs_namespaces
def test_the_kernel_kills_the_program_when_its_caller_is_killed() -> None:
    call = (
        f"from fef.tasks.sandbox import run_python; run_python('while True: pass', timeout=60, memory_mib={MEMORY_MIB})"
    )
    caller = subprocess.Popen([sys.executable, "-c", call])
    _wait_until(lambda: len(_our_processes()) >= 3)
    caller.kill()
    caller.wait()
    _wait_until(lambda: _our_processes() == [])


@pytest.mark.parametrize("isolation", LEVELS)
def test_a_program_that_ends_is_ok_with_its_output(isolation: Isolation) -> None:
    result = run_python("print('hello')\nprint('wörld')", isolation=isolation)
    assert (result.ok, result.stdout, result.error) == (True, "hello\nwörld\n", "")


@pytest.mark.parametrize("isolation", LEVELS)
def test_output_before_a_failure_is_kept(isolation: Isolation) -> None:
    result = run_python("print('so far')\n1 / 0", isolation=isolation)
    assert (result.ok, result.stdout) == (False, "so far\n")
    assert result.error == "ZeroDivisionError: division by zero"


@pytest.mark.parametrize("isolation", LEVELS)
def test_usual_modules_are_there(isolation: Isolation) -> None:
    source = "import collections, functools, itertools\nimport math, re, string\nimport heapq\nfrom typing import List"
    assert run_python(source, isolation=isolation).ok


def test_a_long_source_is_fine() -> None:
    assert run_python("x = 1\n" * 100_000).ok


@pytest.mark.parametrize("isolation", LEVELS)
def test_environment_and_rights_are_bare(monkeypatch: pytest.MonkeyPatch, isolation: Isolation) -> None:
    monkeypatch.setenv("FEF_SECRET", "1")
    look = "import os, sys\nprint(os.environ.get('FEF_SECRET'), os.geteuid() != 0, 'site' in sys.modules)"
    assert run_python(look, isolation=isolation).stdout == "None True False\n"


@needs_namespaces
def test_only_the_interpreter_and_an_empty_folder_can_be_seen() -> None:
    places = ["/proc", "/etc", str(Path(__file__).parent)]
    look = f"import os\nprint(os.listdir('.'), os.getpid(), [p for p in {places} if os.path.exists(p)])"
    assert run_python(look).stdout == "[] 2 []\n"


@needs_namespaces
def test_no_capability_is_left() -> None:
    mount = "import ctypes, sys\nlibc = ctypes.CDLL(None)\nprint(libc.mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None))"
    assert run_python(mount).stdout == "-1\n"


@needs_namespaces
@pytest.mark.parametrize("folder", [".", "/tmp", "/usr", "/"])
def test_no_file_is_left(folder: str) -> None:
    name = f"fef-sandbox-test-{os.getpid()}"
    run_python(f"with open({f'{folder}/{name}'!r}, 'w') as stream: stream.write('x')")
    assert not any(Path(place, name).exists() for place in (".", "/", "/tmp", "/usr"))


def test_without_namespaces_files_cannot_be_written() -> None:
    path = Path(f"/tmp/fef-sandbox-test-{os.getpid()}")
    try:
        source = f"with open({str(path)!r}, 'w') as stream: stream.write('x')"
        assert not run_python(source, isolation="limits").ok
        assert not path.exists() or path.stat().st_size == 0
    finally:
        path.unlink(missing_ok=True)


@needs_namespaces
def test_files_in_the_own_folder_are_small_and_few() -> None:
    assert run_python("open('a', 'w').write('x' * 1000)\nprint(open('a').read())").ok
    assert "File too large" in run_python("open('a', 'w').write('x' * 2_000_000)").error
    many = "for i in range(100):\n with open(str(i), 'w') as f: f.write('x' * 1_000_000)"
    assert "No space left" in run_python(many).error


@needs_namespaces
def test_a_server_on_this_machine_is_reached_from_outside_the_sandbox_alone() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 1)"
        assert subprocess.run([sys.executable, "-I", "-W", "ignore", "-c", call], check=False).returncode == 0
        assert "unreachable" in run_python(call).error


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv to become another user"
)
@pytest.mark.skipif(not os.access("/usr/bin/python3", os.X_OK), reason="needs a Python that every user can read")
@needs_namespaces
def test_a_user_without_rights_gets_the_same_isolation() -> None:
    child = Path("/tmp") / f"fef-sandbox-child-{os.getpid()}.py"
    shutil.copy(Path(sandbox.__file__).with_name("child.py"), child)
    look = "import os\nprint(os.getuid(), os.getpid(), os.listdir('/tmp'))\nos.fork()"
    try:
        child.chmod(0o644)
        ran = subprocess.run(
            [
                *("setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"),
                *("/usr/bin/python3", "-I", "-S", "-B", str(child), "namespaces", "5", str(2**29)),
            ],
            input=f"|\n{look}",
            capture_output=True,
            text=True,
            timeout=30,
        )
    finally:
        child.unlink()
    if "new namespaces" in ran.stderr:
        pytest.skip("this system gives namespaces to root alone")
    assert ran.stdout == "|65534 2 []\n|BlockingIOError: [Errno 11] Resource temporarily unavailable"


def test_a_system_without_namespaces_is_named_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_refusal", lambda: "new namespaces: Operation not permitted")
    with pytest.raises(SandboxError, match=r"no namespaces.*not permitted.*--allow-weak-sandbox"):
        check_isolation()
    strongest_isolation.cache_clear()
    try:
        assert check_isolation(allow_weak=True) == "limits"
    finally:
        strongest_isolation.cache_clear()


def test_a_sandbox_that_cannot_be_set_up_is_no_verdict_on_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_CHILD", Path("/nowhere/child.py"))
    with pytest.raises(SandboxError, match=r"could not be set up .*No such file.*not run"):
        run_python("pass", isolation="limits")


def test_a_run_is_quick() -> None:
    start = time.monotonic()
    for _ in range(5):
        assert run_python("pass").ok
    assert (time.monotonic() - start) / 5 < 0.5


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
