"""Run a short Python program in a child process that can do no harm (Linux).

Two levels of isolation. `namespaces` (Linux 5.12 on): the program is `nobody`, without capabilities and alone in network,
process, IPC and mount namespaces, made by root or in a user namespace; it sees the interpreter read-only and an empty folder
in memory: no network, no file of ours, no process of ours. `limits`: for systems that allow no namespaces; as `nobody` where
we are root, without files to write or child processes, but the network and the files of its user are within reach. Under
both: limits of CPU time, memory, output and file size, no inherited environment, no child process or thread, everything
killed on timeout.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fef.errors import SandboxError

__all__ = ["OUTPUT_LIMIT", "Isolation", "RunResult", "check_isolation", "run_python", "strongest_isolation"]

Isolation = Literal["namespaces", "limits"]

OUTPUT_LIMIT = 64 * 1024
"""Bytes of output (standard output and error together) after which a run is stopped."""

_CHILD = Path(__file__).with_name("child.py")
_GRACE = 2.0  # seconds in which the guard of the namespaces must have ended everything
_OVERTIME = "The program ran longer than its time limit."


@dataclass(frozen=True)
class RunResult:
    """How a program ended: `ok` when it ran to its end, its output, and otherwise what stopped it."""

    ok: bool
    stdout: str
    error: str


def run_python(
    source: str, *, timeout: float = 5.0, memory_mib: int = 512, isolation: Isolation | None = None
) -> RunResult:
    """Run `source` in a fresh interpreter without site packages, environment, network, child processes or our files.

    `timeout` is in seconds of wall time (CPU time is limited to the same, rounded up); `memory_mib` bounds the address
    space in MiB. Output is cut off at `OUTPUT_LIMIT` bytes. `isolation`: by default the strongest of this system. Nothing
    the program does raises here: every failure is a result with `ok` false. No process outlives the call.
    Raises `fef.errors.SandboxError` where the system refuses the isolation.
    """
    deadline = time.monotonic() + timeout
    isolation = isolation or strongest_isolation()
    token = secrets.token_hex(16)
    limits = (str(math.ceil(timeout)), str(memory_mib * 1024 * 1024))
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(_CHILD), isolation, *limits],
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
        _kill(process, isolation)
    setup, began, output = output.partition(token)
    if not began and not stopped:
        reason = setup.strip().rpartition("\n")[2]
        raise SandboxError(f"The sandbox could not be set up ({reason}); the program was not run.")
    before, found, verdict = output.rpartition(token)
    if found:
        return RunResult(ok=not verdict and not stopped, stdout=before, error=verdict or stopped)
    return RunResult(ok=False, stdout=output, error=stopped or "The program ended its process before its last line.")


@functools.cache
def strongest_isolation() -> Isolation:
    """What this system allows, found by trying."""
    return "limits" if _refusal() else "namespaces"


def check_isolation(allow_weak: bool = False) -> Isolation:
    """The isolation in which code of a model may run. Raises SandboxError for `limits`, unless `allow_weak`."""
    refusal = _refusal()
    if refusal and not allow_weak:
        raise SandboxError(
            f"This system allows no namespaces ({refusal}), so programs written by a model could read and delete files and "
            "use the network. Run where they are allowed, for example in a container with --privileged, or accept the risk "
            "with --allow-weak-sandbox."
        )
    return strongest_isolation()


@functools.cache
def _refusal() -> str:
    """Why there are no namespaces here, or "" where there are."""
    try:
        result = run_python("pass", timeout=30.0, isolation="namespaces")
    except SandboxError as error:
        return str(error)
    return result.error


def _read_until(pipe: int, deadline: float) -> tuple[str, str]:
    """The pipe's text up to its end, the output limit or the deadline, and which limit stopped it ("" for none)."""
    collected = bytearray()
    stopped = ""
    poller = select.poll()
    poller.register(pipe, select.POLLIN | select.POLLHUP)
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not poller.poll(left * 1000):
            stopped = _OVERTIME
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


def _kill(process: subprocess.Popen[bytes], isolation: Isolation) -> None:
    """End the child and all it started, and wait until they are gone."""
    if isolation == "namespaces":
        process.terminate()  # its guard kills everything in the namespaces, waits for that, and ends
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return
    # The child leads its own session, so it cannot leave its group, and it is not reaped yet, so its id is its own.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
