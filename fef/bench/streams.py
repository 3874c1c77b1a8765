"""Clients of a server that stream answers: many at once, on one thread, so that they work little and wait for nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from fef.errors import EngineError
from fef.measure.timing import Stopwatch

__all__ = ["Parts", "Streamed", "read_stream", "received", "streamed"]

Parts = list[tuple[float, bytes]]
"""The chunks of an answer, and when since it was asked for each came (seconds)."""

_PATIENCE = 300.0  # seconds for an answer
_OK, _LINE = b"HTTP/1.1 200", b"\r\n"


@dataclass(frozen=True)
class Streamed:
    """A streamed answer: seconds to its first text, between texts, its tokens, and its text."""

    first: float
    gaps: list[float]
    tokens: int
    text: str


def streamed(port: int, bodies: Sequence[dict[str, Any]], streams: int = 1) -> list[Parts]:
    """The answers to these requests, so many at once; each connection asks the next request behind its answer. What they say
    is for `read_stream`, when nobody is timed. Raises EngineError for a refusal, and where no more comes."""
    answers: list[Parts] = [[] for _ in bodies]
    left = iter(enumerate(bodies))

    async def all_of_them() -> None:
        await asyncio.gather(*(client(port, left, answers) for _ in range(min(streams, len(bodies)))))

    asyncio.run(all_of_them())
    return answers


async def client(port: int, left: Iterator[tuple[int, dict[str, Any]]], answers: list[Parts]) -> None:
    """Ask what is left, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number, body in left:
        told = json.dumps(body | {"stream": True, "stream_options": {"include_usage": True}}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nhost: fef\r\ncontent-type: application/json\r\ncontent-length: {len(told)}"
        writer.write(head.encode() + _LINE + _LINE + told)
        answers[number] = await received(reader)
    writer.close()


async def received(reader: asyncio.StreamReader) -> Parts:
    """An answer in chunks, from now on. Raises as `streamed`."""
    watch, parts = Stopwatch(), Parts()
    try:
        async with asyncio.timeout(_PATIENCE):
            head = await reader.readuntil(_LINE + _LINE)
            if not head.startswith(_OK):
                raise EngineError(f"The server refused a stream: {head + await reader.read(300)!r}.")
            while size := int(await reader.readuntil(_LINE), 16):
                chunk = await reader.readexactly(size + len(_LINE))
                parts.append((watch.seconds, chunk[:size]))
            await reader.readuntil(_LINE)
    except (TimeoutError, asyncio.IncompleteReadError) as error:
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
