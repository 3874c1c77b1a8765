"""Requests from a file, in OpenAI's batch format: the routes of the server without a socket, so that answers are its own.

Answers stand in the order of the lines, one each, bad lines as errors. A file of answers that ends early is continued.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import Message

from fef.engine.text import TextEngine
from fef.errors import EngineError, InputError
from fef.generation import Model
from fef.readers import shown
from fef.serve.app import Served, ServeOptions, make_app
from fef.serve.hosts import ThreadHost

__all__ = ["Part", "answer_file", "check_requests", "merge_parts"]

ROUTES = ("/v1/completions", "/v1/chat/completions", "/v1/score")
_ID = "batch_req_"
_BEGUN = f'{{"id":"{_ID}'.encode()  # how a line of answers begins
_AHEAD = 4  # lines under way for each seat of the engine


@dataclass(frozen=True)
class Part:
    """The lines `rank`, `rank + world`, .. of a file, and where their answers go."""

    requests: Path
    answers: Path
    rank: int = 0
    world: int = 1

    @property
    def path(self) -> Path:
        """Of the answers to these lines: of its own where there are several parts."""
        if self.world == 1:
            return self.answers
        return self.answers.with_name(f"{self.answers.name}.{self.rank + 1}-of-{self.world}")

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """The lines and their numbers, from 0; empty ones are none."""
        number = -1
        with self.requests.open("rb") as file:
            for raw in file:
                raw = raw.removeprefix(BOM_UTF8)
                if not raw.strip():
                    continue
                number += 1
                if number % self.world == self.rank:
                    yield number, raw

    def continued(self) -> int:
        """How many lines are answered; what is left of an answer that broke off is cut. Raises InputError where the answers
        are those to other lines."""
        if not self.path.exists():
            return 0
        done, whole, lines = 0, 0, self.lines()
        with self.path.open("rb") as file:
            for raw in file:
                if not raw.endswith(b"\n") and _BEGUN.startswith(raw[: len(_BEGUN)]):
                    break
                answer = read_object(raw)
                _, line = next(lines, (None, b""))
                if not line or answer is None or answer.get("custom_id") != custom_id_of(read_object(line)):
                    raise InputError(
                        f"Answer {done + 1} in {self.path} is not that to its line of {self.requests}. Give another "
                        "--output, or remove the file."
                    )
                done, whole = done + 1, whole + len(raw)
        os.truncate(self.path, whole)
        return done

    @property
    def complete(self) -> bool:
        """Is every line answered?"""
        return self.path.exists() and self.continued() == sum(1 for _ in self.lines())


def check_requests(part: Part) -> None:
    """Raise InputError for a file without requests, and for two that have one custom_id, by which answers are told apart."""
    first: dict[str, int] = {}
    number = -1
    for number, raw in part.lines():
        name = custom_id_of(read_object(raw))
        if name is not None and first.setdefault(name, number) != number:
            raise InputError(
                f"Requests {first[name] + 1} and {number + 1} of {part.requests} have the same custom_id {shown(name)}; "
                "give each its own."
            )
    if number < 0:
        raise InputError(
            f"{part.requests} holds no request; give one JSON object per line, with custom_id, url and body."
        )


def answer_file(
    model: Model,
    engine: TextEngine,
    part: Part,
    options: ServeOptions,
    *,
    seed: int = 0,
    on_done: Callable[[int], None] = lambda _: None,
) -> None:
    """Answer the lines of a part that are not answered yet. seed: that of a line without one is `seed` and its number.
    on_done: told how many lines are answered.

    Raises InputError for files that are none, or not of each other, EngineError where the engine is lost.
    """
    asyncio.run(answered(model, engine, part, options, seed, on_done))


async def answered(
    model: Model,
    engine: TextEngine,
    part: Part,
    options: ServeOptions,
    seed: int,
    on_done: Callable[[int], None],
) -> None:
    done = part.continued()
    served = Served(ThreadHost(model, engine), options, lambda: None)
    app = make_app(served)
    served.backend.start()
    on_done(done)
    under_way: list[asyncio.Task[dict[str, Any]]] = []
    try:
        with part.path.open("ab") as file:

            async def write_first() -> None:
                nonlocal done
                answer = await under_way.pop(0)
                if served.backend.lost:
                    raise EngineError("The engine was lost. Start the command again, and it goes on where it was.")
                file.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                file.flush()
                done += 1
                on_done(done)

            for number, raw in islice(part.lines(), done, None):
                if len(under_way) >= _AHEAD * engine.engine.options.max_batch:
                    await write_first()
                under_way.append(asyncio.create_task(answer_line(app, raw, seed + number)))
            while under_way:
                await write_first()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.to_thread(served.backend.stop)


async def answer_line(app: FastAPI, raw: bytes, seed: int) -> dict[str, Any]:
    """The line of the answer to a line."""
    line = read_object(raw)
    told: dict[str, Any] = {"id": f"{_ID}{secrets.token_hex(12)}", "custom_id": custom_id_of(line)}
    wrong = complaint(line)
    if line is None or wrong is not None:
        return told | {"response": None, "error": {"code": "invalid_line", "message": wrong}}
    body = line["body"] if line["body"].get("seed") is not None else line["body"] | {"seed": seed}
    status, answer = await asked(app, line["url"], json.dumps(body).encode())
    request_id = f"req_{secrets.token_hex(12)}"
    return told | {"response": {"status_code": status, "request_id": request_id, "body": answer}, "error": None}


def complaint(line: Mapping[str, Any] | None) -> str | None:
    """What is wrong with a line; its body is for the route to judge."""
    if line is None:
        return "The line is no JSON object in UTF-8."
    if not isinstance(line.get("custom_id"), str):
        return "custom_id must be text."
    if line.get("method", "POST") != "POST":
        return f"method={shown(line['method'])} must be POST."
    if line.get("url") not in ROUTES:
        return f"url={shown(line.get('url'))} must be one of {', '.join(ROUTES)}."
    if not isinstance(line.get("body"), Mapping):
        return "body must be an object."
    if line["body"].get("stream"):
        return "A line is answered whole; leave stream out."
    return None


def custom_id_of(line: Mapping[str, Any] | None) -> str | None:
    found = None if line is None else line.get("custom_id")
    return found if isinstance(found, str) else None


def read_object(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


async def asked(app: FastAPI, path: str, body: bytes) -> tuple[int, Any]:
    """Status and body of the answer of a route."""
    sent: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status, parts = 500, list[bytes]()

    async def receive() -> Message:
        if sent:
            return sent.pop()
        return await asyncio.Future()  # nobody hangs up

    async def send(message: Message) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        else:
            parts.append(message.get("body", b""))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    try:
        await app(scope, receive, send)
    except Exception:  # its route has sent an error before it raised
        if not parts:
            raise
    return status, json.loads(b"".join(parts))


def merge_parts(parts: Sequence[Part]) -> None:
    """Put the answers of all parts into one file, in the order of the lines, and remove theirs."""
    first = parts[0]
    if first.world == 1:
        return
    whole = first.answers.with_name(f"{first.answers.name}.whole")
    with whole.open("wb") as file:
        open_parts = [part.path.open("rb") for part in parts]
        try:
            for number, _ in Part(first.requests, first.answers).lines():
                file.write(open_parts[number % first.world].readline())
        finally:
            for each in open_parts:
                each.close()
    whole.replace(first.answers)
    for part in parts:
        part.path.unlink()
