"""Clients of a server that stream answers: many at once, which do no more than keep what comes and when."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import pairwise
from typing import Any

from fef.errors import EngineError
from fef.measure.timing import Stopwatch

__all__ = ["Parts", "Streamed", "read_stream", "received", "streamed"]

Parts = list[tuple[float, bytes]]
"""The chunks of an answer, and when since it was asked for each came (seconds)."""

_PATIENCE = 300.0  # seconds for a part


@dataclass(frozen=True)
class Streamed:
    """A streamed answer: seconds to its first text, between texts, its tokens, and its text."""

    first: float
    gaps: list[float]
    tokens: int
    text: str


def streamed(port: int, bodies: Sequence[dict[str, Any]], streams: int = 1) -> list[Parts]:
    """The answers to these requests, so many at once; each connection asks the next request behind its answer. What they say
    is for `read_stream`, when nobody is timed. Raises as `received`."""
    answers: list[Parts] = [[] for _ in bodies]
    left = iter(enumerate(bodies))

    def client(_: int) -> None:
        with closing(HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)) as connection:
            for number, body in left:
                answers[number] = received(connection, body)

    with ThreadPoolExecutor(streams) as pool:
        list(pool.map(client, range(min(streams, len(bodies)))))
    return answers


def received(connection: HTTPConnection, body: dict[str, Any]) -> Parts:
    """The answer to a request. Raises EngineError for a refusal, and where no more comes."""
    watch, parts = Stopwatch(), Parts()
    told = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}})
    try:
        connection.request("POST", "/v1/completions", told, {"content-type": "application/json"})
        answer = connection.getresponse()
        if answer.status != 200:
            raise EngineError(f"The server refused a stream: {answer.status}, {answer.read(300)!r}.")
        while part := answer.read1():
            parts.append((watch.seconds, part))
    except (OSError, HTTPException) as error:
        raise EngineError(f"A stream broke off after {len(parts)} parts ({type(error).__name__}).") from error
    return parts


def read_stream(parts: Parts) -> Streamed:
    """What a stream told, and when. Raises EngineError for one that did not come to its end."""
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
