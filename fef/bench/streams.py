"""Clients of a server that stream answers: many at once, on one thread, so that they work little and wait for nothing."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from selectors import EVENT_READ, DefaultSelector
from typing import Any

from fef.errors import EngineError
from fef.measure.timing import Stopwatch

__all__ = ["Parts", "Streamed", "read_stream", "streamed", "unchunked"]

Parts = list[tuple[float, bytes]]
"""An answer as it came over the connection, and when since it was asked for (seconds)."""

_PATIENCE = 300.0  # seconds without a byte for anybody
_READ = 1 << 16  # bytes at once
_OK, _LINE = b"HTTP/1.1 200", b"\r\n"
_END = b"0\r\n\r\n"  # of an answer in chunks


@dataclass(frozen=True)
class Streamed:
    """A streamed answer: seconds to its first text, between texts, its tokens, and its text."""

    first: float
    gaps: list[float]
    tokens: int
    text: str


@dataclass
class Client:
    """A connection, and the answer that comes over it. number: of the request."""

    link: socket.socket
    number: int = -1
    parts: Parts = field(default_factory=list)
    watch: Stopwatch = field(default_factory=Stopwatch)

    def ask(self, number: int, body: dict[str, Any]) -> None:
        told = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: fef\r\ncontent-type: application/json\r\ncontent-length: {len(told)}"
        self.number, self.parts, self.watch = number, [], Stopwatch()
        self.link.sendall(head.encode() + b"\r\n\r\n" + told)

    def read(self) -> bool:
        """Take what has come; is it the end of the answer? Raises EngineError for a refusal, and where the server is gone."""
        part = self.link.recv(_READ)
        self.parts.append((self.watch.seconds, part))
        if not part or not self.parts[0][1].startswith(_OK):
            raise EngineError(f"A stream broke off after {len(self.parts)} parts: {self.parts[0][1][:300]!r}.")
        return b"".join(part for _, part in self.parts[-2:]).endswith(_END)


def streamed(port: int, bodies: Sequence[dict[str, Any]], streams: int = 1) -> list[Parts]:
    """The answers to these requests, so many at once; each connection asks the next request behind its answer. What they say
    is for `read_stream(unchunked(..))`, when nobody is timed. Raises EngineError for a refusal, and where no more comes."""
    answers: list[Parts] = [[] for _ in bodies]
    left = iter(enumerate(bodies))
    with DefaultSelector() as selector, ExitStack() as open_links:
        clients = [
            Client(open_links.enter_context(socket.create_connection(("127.0.0.1", port))))
            for _ in range(min(streams, len(bodies)))
        ]
        for client in clients:
            client.link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.ask(*next(left))
            selector.register(client.link, EVENT_READ, client)
        while selector.get_map():
            ready = selector.select(_PATIENCE)
            if not ready:
                raise EngineError(f"The server sent nothing in {_PATIENCE:g} seconds.")
            for key, _ in ready:
                client = key.data
                if not client.read():
                    continue
                answers[client.number] = client.parts
                following = next(left, None)
                if following is None:
                    selector.unregister(client.link)
                else:
                    client.ask(*following)
    return answers


def unchunked(parts: Parts) -> Parts:
    """The body of an answer in chunks, without its head."""
    found, rest, in_head = list[tuple[float, bytes]](), b"", True
    for seconds, part in parts:
        rest += part
        if in_head:
            _, gap, behind = rest.partition(_LINE + _LINE)
            if not gap:
                continue
            rest, in_head = behind, False
        while True:
            size, gap, behind = rest.partition(_LINE)
            if not gap or len(behind) < (count := int(size, 16)) + len(_LINE):
                break
            found.append((seconds, behind[:count]))
            rest = behind[count + len(_LINE) :]
    return found


def read_stream(parts: Parts) -> Streamed:
    """What a stream told, and when. parts: of its body. Raises EngineError for one that did not come to its end."""
    times, tokens, text, rest, ended = list[float](), 0, "", b"", False
    for seconds, part in parts:
        *events, rest = (rest + part).split(b"\n\n")
        for event in events:
            if event == b"data: [DONE]":
                ended = True
                continue
            told = json.loads(event.removeprefix(b"data: "))
            tokens = (told.get("usage") or {}).get("completion_tokens", tokens)
            if new := "".join(choice["text"] for choice in told.get("choices", ())):
                times.append(seconds)
                text += new
    if not ended:
        raise EngineError(f"A stream broke off after {len(parts)} parts.")
    times = times or [parts[-1][0]]  # a text that is empty ends at once
    return Streamed(times[0], [b - a for a, b in pairwise(times)], tokens, text)
