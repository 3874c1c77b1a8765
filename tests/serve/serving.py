"""A server in a thread, and a small client without dependencies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

from fef.generation import Model
from fef.serve.app import ServeOptions
from fef.serve.hosts import Host, ThreadHost
from fef.serve.run import Server, bound

__all__ = ["QUESTION", "Client", "Reply", "running", "serving"]

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def events(self) -> list[Any]:
        """Server-sent events, which end with [DONE]."""
        lines = [line for line in self.raw.decode().split("\n") if line]
        assert all(line.startswith("data: ") for line in lines), "clients cut 6 bytes off every line"
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line[6:]) for line in lines[:-1]]

    @property
    def texts(self) -> list[str]:
        return [choice["text"] for choice in self.body["choices"]]


@dataclass
class Client:
    port: int
    server: Server

    @property
    def host(self) -> ThreadHost:
        """Where the engine works, if that is here."""
        host = self.server.served.host
        assert isinstance(host, ThreadHost)
        return host

    def connect(self, timeout: float = 30.0) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def ask(self, method: str, path: str, raw: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
        connection = self.connect()
        try:
            connection.request(method, path, raw, headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: Any, **headers: str) -> Reply:
        return self.ask("POST", path, json.dumps(body).encode(), {"content-type": "application/json"} | headers)

    def complete(self, prompt: Any = QUESTION, **fields: Any) -> Reply:
        return self.post("/v1/completions", {"prompt": prompt, "max_tokens": 24, "seed": 1} | fields)

    def chat(self, content: Any = QUESTION, **fields: Any) -> Reply:
        messages = [{"role": "user", "content": content}]
        return self.post("/v1/chat/completions", {"messages": messages, "max_tokens": 24, "seed": 1} | fields)

    def gauges(self) -> tuple[float, float]:
        """Requests that run and wait."""
        lines = dict(line.rsplit(" ", 1) for line in self.get("/metrics").raw.decode().splitlines() if line[0] != "#")
        running, waiting = (
            float(lines[f'fef:num_requests_{name}{{model_name="demo"}}']) for name in ("running", "waiting")
        )
        return running, waiting

    def wait_until(self, reached: Callable[[tuple[float, float]], bool], seconds: float = 60.0) -> None:
        """Wait for gauges of which this is true; the limit is only there to end."""
        end = time.monotonic() + seconds
        while not reached(self.gauges()):
            assert time.monotonic() < end, f"the gauges stand at {self.gauges()}"
            time.sleep(0.02)

    def wait_until_idle(self) -> None:
        self.wait_until(lambda gauges: gauges == (0, 0))


@contextmanager
def serving(host: Host, **options: Any) -> Iterator[Client]:
    """A server before an engine."""
    listener = bound("127.0.0.1", 0)
    server = Server(host, ServeOptions(**options), drain_seconds=5, say=lambda _: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield Client(listener.getsockname()[1], server)
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


@contextmanager
def running(model: Model, engine_options: dict[str, Any] | None = None, **options: Any) -> Iterator[Client]:
    """A server of one's own."""
    engine = model.engine(**{"max_batch": 16} | (engine_options or {}))
    with serving(ThreadHost(model, engine), **options) as client:
        yield client
