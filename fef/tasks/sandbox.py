"""Run a short Python program in a child process with hard limits (Linux).

The limits stop runaway programs: endless loops, memory hogs, floods of output, fork bombs, early exits. They are not a
security boundary against code written to break out of a process.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

__all__ = ["OUTPUT_LIMIT", "RunResult", "run_python"]

OUTPUT_LIMIT = 64 * 1024
"""Bytes of output (standard output and error together) after which a run is stopped."""

# Limits come before the program is read, so that it never runs without them. RLIMIT_NPROC = 0 forbids every fork and
# thread but does not bind root, so root becomes `nobody` first. RLIMIT_FSIZE = 0 forbids writing to files; pipes are
# not files. `nobody` may not be able to read an interpreter installed under /root, so the modules that short programs
# use are imported while root still can. The token is written only when the program has run to its end.
_RUNNER = """
import os, resource, sys
cpu, memory = int(sys.argv[1]), int(sys.argv[2])
if os.geteuid() == 0:
    import collections, functools, itertools, math, re, string
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for kind, limit in (("CPU", cpu), ("AS", memory), ("FSIZE", 0), ("NPROC", 0), ("CORE", 0), ("NOFILE", 32)):
    resource.setrlimit(getattr(resource, "RLIMIT_" + kind), (limit, limit))
token, _, source = sys.stdin.buffer.read().decode().partition("\\n")
def finish(verdict, write=os.write, flush=sys.stdout.flush, leave=os._exit):
    flush()
    write(1, (token + verdict).encode("utf-8", "replace"))
    leave(0)
try:
    exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
except BaseException as problem:
    finish(f"{type(problem).__name__}: {problem}"[:500])
finish("")
"""


@dataclass(frozen=True)
class RunResult:
    """How a program ended: `ok` when it ran to its end, its output, and otherwise what stopped it."""

    ok: bool
    stdout: str
    error: str


def run_python(source: str, *, timeout: float = 5.0, memory_mib: int = 512) -> RunResult:
    """Run `source` in a fresh interpreter without site packages, environment, files to write or child processes.

    `timeout` is in seconds of wall time (CPU time is limited to the same, rounded up); `memory_mib` bounds the address
    space in MiB. Output is cut off at `OUTPUT_LIMIT` bytes. Nothing the program does raises here: every failure is a
    result with `ok` false. No process outlives the call.
    """
    deadline = time.monotonic() + timeout
    token = secrets.token_hex(16)
    limits = (str(math.ceil(timeout)), str(memory_mib * 1024 * 1024))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", "-c", _RUNNER, *limits],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(f"{token}\n{source}".encode("utf-8", "replace"))
        with process.stdout as stdout:
            output, stopped = _read_until(stdout.fileno(), deadline)
    finally:
        _kill_group(process)
    before, found, verdict = output.rpartition(token)
    if found:
        return RunResult(ok=not verdict and not stopped, stdout=before, error=verdict or stopped)
    return RunResult(ok=False, stdout=output, error=stopped or "The program ended its process before its last line.")


def _read_until(pipe: int, deadline: float) -> tuple[str, str]:
    """The pipe's text up to its end, the output limit or the deadline, and which limit stopped it ("" for none)."""
    collected = bytearray()
    stopped = ""
    poller = select.poll()
    poller.register(pipe, select.POLLIN | select.POLLHUP)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            stopped = "The program ran longer than its time limit."
            break
        chunk = os.read(pipe, OUTPUT_LIMIT)
        if not chunk:
            break
        collected += chunk
        if len(collected) > OUTPUT_LIMIT:
            del collected[OUTPUT_LIMIT:]
            stopped = f"The program wrote more than {OUTPUT_LIMIT} bytes."
            break
    return collected.decode("utf-8", "replace"), stopped


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # The child leads its own session, so it cannot leave its group, and it is not reaped yet, so its id is its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
