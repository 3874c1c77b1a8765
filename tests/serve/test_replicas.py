"""Several servers behind one address: they start, die and end together as they should, and no request is lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest
import stub_router

from fef.errors import EngineError, OptionError
from fef.serve.replicas import Replicas, devices_for, free_ports, is_healthy, router_command

# A server that is healthy at once, and dies when it is asked to.
TINY = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            os._exit(9)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class TinyReplicas(Replicas):
    """Replicas that are not fef, so that a test need not wait for a model."""

    code = TINY

    def start(self, port: int, device: str | None) -> subprocess.Popen[bytes]:
        return self.spawn([sys.executable, "-c", self.code, str(port)], {})


@pytest.fixture
def with_stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub_router.install(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def asked(port: int, path: str = "/") -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def until(true: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def while_running(replicas: Replicas, act: Callable[[], None], ends_itself: bool = False) -> list[str]:
    """Run in this thread, act in another once all answer, then end by a signal. Returns what was said."""
    said: list[str] = []
    replicas.say = said.append
    failed: list[BaseException] = []

    def beside() -> None:
        try:
            until(lambda: any("replicas at" in words for words in said))
            act()
        except BaseException as error:
            failed.append(error)
        finally:
            if not ends_itself:
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        replicas.run()
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return said


def test_each_replica_has_a_gpu_of_its_own_where_there_are_several() -> None:
    assert devices_for(2, None, 0) == [None, None]
    assert devices_for(2, None, 1) == [None, None]
    assert devices_for(3, None, 4) == ["0", "1", "2"]
    assert devices_for(3, "4,6", 2) == ["4", "6", "4"]
    assert devices_for(2, "GPU-a, GPU-b", 2) == ["GPU-a", "GPU-b"]
    assert devices_for(2, "3", 1) == [None, None]


def test_without_the_router_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OptionError, match=r"pip install 'fef\[router\]'"):
        router_command("127.0.0.1", 1, [2, 3])


@pytest.mark.usefixtures("with_stub")
def test_one_that_dies_is_started_again_and_a_signal_ends_all() -> None:
    [port] = free_ports(1)
    replicas = TinyReplicas([], [None, None], "127.0.0.1", port)

    def act() -> None:
        first = [replica.process.pid for replica in replicas.replicas]
        assert {int(asked(port)) for _ in range(4)} == set(first)
        os.kill(first[0], signal.SIGKILL)
        assert int(asked(port)) in (first[1], *[replica.process.pid for replica in replicas.replicas])
        until(lambda: replicas.replicas[0].process.pid != first[0] and is_healthy(replicas.replicas[0].port))

    said = while_running(replicas, act)
    assert any("starting it again" in words for words in said)
    assert any("finishing what is under way" in words for words in said)
    processes = [replica.process for replica in replicas.replicas] + [replicas.router]
    assert all(process is not None and process.poll() is not None for process in processes)


@pytest.mark.usefixtures("with_stub")
def test_one_that_never_works_ends_the_others() -> None:
    [port] = free_ports(1)
    replicas = TinyReplicas([], [None, None], "127.0.0.1", port)
    replicas.code = "raise SystemExit(3)"  # type: ignore[misc]
    with pytest.raises(EngineError, match="ended with 3"):
        replicas.run()
    assert all(replica.process.poll() is not None for replica in replicas.replicas)


@pytest.mark.usefixtures("with_stub")
def test_one_that_never_works_again_ends_the_others() -> None:
    [port] = free_ports(1)
    replicas = TinyReplicas([], [None, None], "127.0.0.1", port)

    def act() -> None:
        replicas.code = "raise SystemExit(3)"  # type: ignore[misc]
        replicas.replicas[0].process.kill()
        until(lambda: all(replica.process.poll() is not None for replica in replicas.replicas))

    with pytest.raises(EngineError, match="ended with 3 before it answered"):
        while_running(replicas, act, ends_itself=True)


@pytest.mark.usefixtures("with_stub")
def test_without_its_router_it_ends() -> None:
    [port] = free_ports(1)
    replicas = TinyReplicas([], [None, None], "127.0.0.1", port)

    def act() -> None:
        assert replicas.router is not None
        replicas.router.kill()
        replicas.router.wait()
        until(lambda: all(replica.process.poll() is not None for replica in replicas.replicas))

    with pytest.raises(EngineError, match="vllm-router ended"):
        while_running(replicas, act, ends_itself=True)


class SignalledReplicas(TinyReplicas):
    """A signal comes as soon as a process was started: the last one of these."""

    starts = 2

    def start(self, port: int, device: str | None) -> subprocess.Popen[bytes]:
        process = super().start(port, device)
        self.starts -= 1
        if self.starts == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return process


@pytest.mark.usefixtures("with_stub")
@pytest.mark.parametrize("again", [False, True], ids=["at the start", "when one is started again"])
def test_a_signal_also_ends_those_that_are_being_started(again: bool) -> None:
    [port] = free_ports(1)
    replicas = SignalledReplicas([], [None, None], "127.0.0.1", port)
    replicas.starts = 3 if again else 2
    impatient = threading.Timer(20, os.kill, (os.getpid(), signal.SIGTERM))
    impatient.start()
    try:
        if again:
            while_running(replicas, lambda: replicas.replicas[0].process.kill(), ends_itself=True)
        else:
            replicas.run()
    finally:
        impatient.cancel()
    assert replicas.ending == 1
    assert all(replica.process.poll() is not None for replica in replicas.replicas)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`fef serve --replicas 2`, behind the router where it is installed, else behind the stand-in."""
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    if shutil.which("vllm-router") is None:
        stub_router.install(tmp_path)
        environment["PATH"] = f"{tmp_path}{os.pathsep}{environment['PATH']}"
    [port] = free_ports(1)
    command = [sys.executable, "-m", "fef", "serve", "--replicas", "2", "--port", str(port), "--max-batch", "4"]
    process = subprocess.Popen(command, env=environment, process_group=0)
    try:
        until(lambda: process.poll() is not None or is_healthy(port), 250)
        assert process.poll() is None
        yield process, port
    finally:
        process.terminate()
        process.wait(60)


def completed(port: int, number: int) -> str:
    body = {"prompt": f"Ann has {number} pens.", "max_tokens": 48, "seed": number, "temperature": 0.7}
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        raw = answer.read()
        assert answer.status == 200, raw
        return str(json.loads(raw)["choices"][0]["text"])
    finally:
        connection.close()


def children(process: subprocess.Popen[bytes], words: str) -> list[int]:
    """Ids of the processes that it started, of those whose command has these words."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (path / "stat").read_text(), (path / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
        if stat.rsplit(")", 1)[1].split()[1] == str(process.pid) and words in command:
            found.append(int(path.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_no_request_is_lost_when_a_replica_is_killed(served: tuple[subprocess.Popen[bytes], int]) -> None:
    process, port = served
    before = [completed(port, number) for number in range(12)]
    workers = children(process, "-m fef serve")
    assert len(workers) == 2
    with ThreadPoolExecutor(12) as pool:
        answers = [pool.submit(completed, port, number) for number in range(12)]
        time.sleep(0.3)
        os.kill(workers[0], signal.SIGKILL)
        assert [answer.result() for answer in answers] == before
    assert [completed(port, number) for number in range(12)] == before
