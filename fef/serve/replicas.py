"""Several servers behind one address: a process for each, with a GPU of its own where there are several, and vllm-router
before them. A process that dies is started again; the router asks another one meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from types import FrameType

from fef.errors import EngineError, OptionError

__all__ = ["Replicas", "devices_for", "free_ports", "router_command"]

ROUTER = "vllm-router"
_POLL = 0.1  # seconds between two looks at the processes


def devices_for(replicas: int, visible: str | None, count: int) -> list[str | None]:
    """What each replica may see of the GPUs: one, in turn. None where there is at most one, which they share.

    visible: CUDA_VISIBLE_DEVICES, if it is set. count: GPUs that torch sees.
    """
    names = [name.strip() for name in visible.split(",") if name.strip()] if visible else [str(i) for i in range(count)]
    return [names[i % len(names)] if min(len(names), count) > 1 else None for i in range(replicas)]


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody uses now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def router_command(host: str, port: int, workers: Sequence[int]) -> list[str]:
    """Raises OptionError where the router is not installed."""
    path = shutil.which(ROUTER)
    if path is None:
        raise OptionError(f"--replicas needs the command {ROUTER}: pip install 'fef[router]'.")
    urls = [f"http://127.0.0.1:{worker}" for worker in workers]
    [metrics] = free_ports(1)
    return [
        *(path, "--worker-urls", *urls, "--host", host, "--port", str(port)),
        *("--policy", "power_of_two", "--health-check-interval-secs", "5", "--worker-startup-check-interval", "1"),
        *("--prometheus-port", str(metrics), "--log-level", "warning"),
    ]


@dataclass
class Replica:
    """answered: since its process was started. told: signals that its process was sent."""

    port: int
    device: str | None
    process: subprocess.Popen[bytes]
    answered: bool = False
    told: int = 0


@dataclass
class Replicas:
    """arguments: of `fef serve` for one replica, but for its address. environment: more than this process has."""

    arguments: Sequence[str]
    devices: Sequence[str | None]
    host: str
    port: int
    environment: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = print

    def __post_init__(self) -> None:
        self.replicas: list[Replica] = []
        self.router: subprocess.Popen[bytes] | None = None
        self.ending = 0  # signals that came

    def run(self) -> None:
        """Serve until a signal: the first one lets replicas finish what they have, the second one stops them.

        Raises OptionError without the router, EngineError where a replica does not start or the router ends.
        """
        ports = free_ports(len(self.devices))
        command = router_command(self.host, self.port, ports)
        before = {which: signal.signal(which, self.handle) for which in (signal.SIGTERM, signal.SIGINT)}
        try:
            pairs = zip(ports, self.devices, strict=True)
            self.replicas = [Replica(port, device, self.start(port, device)) for port, device in pairs]
            self.wait_for(self.replicas)
            if not self.ending:
                self.router = self.spawn(command, {})
                self.wait_until_answering(self.port, self.router, ROUTER)
            if not self.ending:
                self.say(f"{len(ports)} replicas at http://{self.host}:{self.port}/v1 behind {ROUTER}")
            while not self.ending:
                self.look_after()
                time.sleep(_POLL)
            while any(replica.process.poll() is None for replica in self.replicas):
                self.pass_on()  # to one that was being started when the signal came
                time.sleep(_POLL)
        finally:
            self.end()
            for which, handler in before.items():
                signal.signal(which, handler)

    def start(self, port: int, device: str | None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fef", "serve", *self.arguments, "--host", "127.0.0.1", "--port", str(port)]
        return self.spawn(command, {} if device is None else {"CUDA_VISIBLE_DEVICES": device})

    def spawn(self, command: Sequence[str], more: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """A process in a group of its own, so that Ctrl-C in a terminal reaches it through this one only."""
        return subprocess.Popen(
            command, env={**os.environ, **self.environment, **more}, stdin=subprocess.DEVNULL, process_group=0
        )

    def wait_for(self, replicas: Sequence[Replica]) -> None:
        for replica in replicas:
            self.wait_until_answering(replica.port, replica.process, "A replica")
            replica.answered = True

    def wait_until_answering(self, port: int, process: subprocess.Popen[bytes], name: str) -> None:
        """Raises EngineError for a process that ends instead."""
        while not self.ending and not is_healthy(port):
            if process.poll() is not None:
                raise EngineError(f"{name} ended with {process.returncode} before it answered; see what it said above.")
            time.sleep(_POLL)

    def look_after(self) -> None:
        """Start replicas again that have died. Raises EngineError for one that never works, and without the router."""
        assert self.router is not None
        if self.router.poll() is not None:
            raise EngineError(f"{ROUTER} ended with {self.router.returncode}; start the command again.")
        for replica in self.replicas:
            code = replica.process.poll()
            if code is None:
                replica.answered = replica.answered or is_healthy(replica.port)
                continue
            if not replica.answered:
                raise EngineError(f"A replica ended with {code} before it answered; see what it said above.")
            self.say(f"The replica at port {replica.port} ended with {code}; starting it again")
            replica.process, replica.answered, replica.told = self.start(replica.port, replica.device), False, 0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        self.ending += 1
        if self.ending == 1:
            self.say(f"{signal.Signals(number).name}: finishing what is under way; once more stops at once")
        self.pass_on()

    def pass_on(self) -> None:
        """Send the replicas the signals that they were not sent yet."""
        for replica in self.replicas:
            while replica.told < self.ending:
                replica.told += 1
                if replica.process.poll() is None:
                    replica.process.send_signal(signal.SIGTERM)

    def end(self) -> None:
        """No process is left behind."""
        processes = [replica.process for replica in self.replicas] + ([] if self.router is None else [self.router])
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
