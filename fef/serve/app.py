"""The routes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

import fef
from fef.decoders import methods as table_of_methods
from fef.errors import FefError
from fef.generation import Model, Score
from fef.serve.answer import (
    Answer,
    begin,
    canvas_of,
    check_length,
    ids_of_prompt,
    places_to_score,
    scored_echo,
)
from fef.serve.backend import Backend
from fef.serve.bodies import Envelope, events_of, whole_body
from fef.serve.errors import ApiError, bad_request
from fef.serve.event_stream import EventStream
from fef.serve.fields import Asked, Limits, ScoreAsked, read_chat, read_completion, read_score
from fef.serve.guards import BodyLimit, Faults, Key, RequestIds
from fef.serve.hosts import Host
from fef.serve.metrics import Metrics
from fef.serve.pieces import LEAST_LOGPROB
from fef.serve.playground import add_playground
from fef.serve.presence import Presence
from fef.serve.prompts import read_messages
from fef.serve.values import body_of, id_list
from fef.text import TextFormat

__all__ = ["ServeOptions", "Served", "make_app"]

T = TypeVar("T")
SMALL = 2**16  # bytes of a body that is read at once
SHORT = 2**12  # bytes of one whose prompts become tokens at once

Reader = Callable[[Mapping[str, Any], Limits, int], Asked]


@dataclass(frozen=True)
class ServeOptions:
    """api_key: None asks for none. cors: origins of browsers that may ask. max_queue: choices that may wait for a seat.
    default_max_tokens: the canvas of requests that name none. metrics_prefix: of the names at `/metrics`."""

    api_key: str | None = None
    cors: tuple[str, ...] = ()
    max_queue: int = 256
    default_max_tokens: int = 128
    metrics_prefix: str = "fef"
    limits: Limits = field(default_factory=Limits)


@dataclass
class Served:
    """What the routes share. host: where the engine works. on_lost: called once when it is gone."""

    host: Host
    options: ServeOptions
    on_lost: Callable[[], None]
    draining: bool = False  # takes nothing new, and finishes what it has

    def __post_init__(self) -> None:
        self.created = int(time.time())
        self.format = self.host.card.format
        self.backend = Backend(self.host, self.on_lost)
        self.metrics = Metrics(self.options.metrics_prefix, self.format.name)
        self.metrics.watch(self.backend)
        self.compiling = ThreadPoolExecutor(1, "fef-grammars")
        self.preparing = 0  # requests whose grammars are compiled, or wait for that

    async def prepared(self, work: Callable[[], T], has_grammar: object) -> T:
        """Done on another thread; where grammars have to be compiled, on one that all of them share, so that requests
        without any never wait for them. Raises ApiError where too many wait, for that or for a seat."""
        loop = asyncio.get_running_loop()
        if not has_grammar:
            return await loop.run_in_executor(None, work)
        self.check_open(1, self.preparing)
        self.preparing += 1
        try:
            return await loop.run_in_executor(self.compiling, work)
        finally:
            self.preparing -= 1

    def check_open(self, choices: int, preparing: int = 0) -> None:
        """Raise ApiError where nothing more is taken. preparing: choices on their way, of which the engine does not know."""
        if self.backend.lost or self.draining:
            raise ApiError(503, "The server is ending.", retry_after=1)
        seats = self.host.card.seats + self.options.max_queue
        if choices > seats:
            raise bad_request(f"{choices} answers are asked for at once; at most {seats} can be.", "n")
        if len(self.backend.tickets) + len(self.backend.calls) + preparing + choices > seats:
            raise ApiError(429, f"More than {self.options.max_queue} requests wait; ask again later.", retry_after=1)

    def check_model(self, name: Any) -> None:
        if name is not None and name != self.format.name:
            raise ApiError(404, f"There is no such model here; there is {self.format.name!r}.", "model")

    def card(self) -> dict[str, Any]:
        return {
            "id": self.format.name,
            "object": "model",
            "created": self.created,
            "owned_by": "fef",
            "max_model_len": self.format.config.max_length,
        }


def make_app(served: Served) -> FastAPI:
    """The application around an engine, which begins to work with it. Who runs it stops `served.backend` at the end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        served.backend.start()
        yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.add_exception_handler(ApiError, on_api_error)
    app.add_exception_handler(FefError, on_fef_error)
    app.add_exception_handler(HTTPException, on_http_error)
    limits = served.options.limits
    app.add_middleware(BodyLimit, most=limits.body_bytes, seconds=limits.body_seconds, together=limits.bodies_bytes)
    if served.options.api_key is not None:
        app.add_middleware(Key, key=served.options.api_key)
    app.add_middleware(Faults)
    app.add_middleware(RequestIds)
    if served.options.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=list(served.options.cors), allow_methods=["*"], allow_headers=["*"]
        )
    add_generation(app, served)
    add_score(app, served)
    add_tokens(app, served)
    add_state(app, served)
    add_playground(app)
    return app


def add_generation(app: FastAPI, served: Served) -> None:
    @app.post("/v1/completions", response_model=None)
    async def completions(request: Request) -> Response:
        return await generated(served, request, read_completion)

    @app.post("/v1/chat/completions", response_model=None)
    async def chat_completions(request: Request) -> Response:
        return await generated(served, request, read_chat)


async def generated(served: Served, request: Request, read: Reader) -> Response:
    raw, options = await raw_of(request), served.options

    def asked_for() -> Asked:
        body = body_of(raw)
        served.check_model(body.get("model"))
        return read(body, options.limits, options.default_max_tokens)

    presence = Presence(request)
    try:
        asked = asked_for() if len(raw) <= SMALL else await presence.unless_gone(asyncio.to_thread(asked_for))
        begun = partial(begin, asked, served.format, served.backend, served.metrics)
        if len(raw) <= SHORT and not asked.has_grammar:
            answer = begun()
        else:  # long prompts and grammars take time, so they do not hold up the streams of others
            answer = await presence.unless_gone(served.prepared(begun, asked.has_grammar))
        served.check_open(
            len(answer.choices)
        )  # nothing waits from here to where they are handed over: the limit is exact
        served.metrics.asked(asked.n, asked.most)
        presence.then(answer.hang_up)
        envelope = Envelope(served.format.name, served.host.card.fingerprint, asked.chat)
        try:
            await answer.accepted()
            if asked.echo and asked.top is not None:
                await presence.unless_gone(score_prompts(served, answer))
                presence.then(answer.hang_up)
            if asked.stream:
                return EventStream(watched_events(answer, envelope, presence))
            found = await whole_body(answer, envelope)
        except BaseException:
            answer.cancel()
            raise
    except BaseException:
        presence.end()
        raise
    presence.end()
    return Response(status_code=499) if found is None else JSONResponse(found)


async def score_prompts(served: Served, answer: Answer) -> None:
    """Put log p at temperature 1 to the prompts that are told. Raises FefError for a method without a chain law."""
    asked = answer.asked
    for choice in answer.choices[:: asked.best_of]:
        ids, places, scored = choice.prompt, places_to_score(asked, choice.prompt), None
        if places:
            top = max(asked.top or 0, 1)
            scored = await served.backend.run(score_of(ids, places, places, top=top, seed=asked.seed, **asked.method))
        echo = await asyncio.to_thread(scored_echo, served.format, ids, choice.echo.text, places, scored)
        for other in answer.choices[choice.index : choice.index + asked.best_of]:
            other.echo = echo


def score_of(*arguments: Any, **options: Any) -> Callable[[Model], Score]:
    """`Model.score_ids` with these arguments, of the model of the engine."""
    return methodcaller("score_ids", *arguments, **options)


async def watched_events(answer: Answer, envelope: Envelope, presence: Presence) -> AsyncGenerator[str, None]:
    try:
        async for each in events_of(answer, envelope):
            yield each
    finally:
        presence.end()
        answer.cancel()


def add_score(app: FastAPI, served: Served) -> None:
    @app.post("/v1/score", response_model=None)
    async def score(request: Request) -> Response:
        raw = await raw_of(request)

        def asked_for() -> ScoreAsked:
            body = body_of(raw)
            served.check_model(body.get("model"))
            return read_score(body, served.options.limits, served.options.default_max_tokens)

        presence = Presence(request)
        try:
            asked = await presence.unless_gone(aside(asked_for, raw))
            work = await presence.unless_gone(served.prepared(partial(scoring, served.format, asked), asked.grammar))
            served.check_open(1)
            found = await presence.unless_gone(served.backend.run(work))
        finally:
            presence.end()
        return JSONResponse(score_body(served, asked, found))


def scoring(model: TextFormat, asked: ScoreAsked) -> Callable[[Model], Score]:
    """What has to be done with the network for a score; all else is done before. Raises FefError."""
    if isinstance(asked.response, str):
        check_length(model, asked.response)
    before = ids_of_prompt(model, asked.prompt)
    ids, start, stop = canvas_of(model, asked.prompt, before, asked.canvas, asked.suffix)
    opened = range(start, stop)
    whole, counted = model.with_response(ids, opened, asked.response)
    grammar = None if asked.grammar is None else model.grammar(asked.grammar)
    options = {**asked.sampling, **asked.method, "seed": asked.seed, "top": asked.top, "grammar": grammar}
    return score_of(whole, counted, opened, **options)


def score_body(served: Served, asked: ScoreAsked, found: Score) -> dict[str, Any]:
    body = {
        "object": "score",
        "model": served.format.name,
        "token_ids": found.token_ids,
        "token_logprobs": [max(logprob, LEAST_LOGPROB) for logprob in found.logprobs],
        "logprob": max(found.total, LEAST_LOGPROB * len(found.token_ids)),
        "fef": {"certificate": found.certificate.to_dict(), "canvas": asked.canvas},
    }
    if asked.top:
        decode = served.format.tokenizer.decode
        body["top_logprobs"] = [
            [{"id": token, "token": decode([token]), "logprob": logprob} for token, logprob in each]
            for each in found.likeliest
        ]
    return body


def add_tokens(app: FastAPI, served: Served) -> None:
    @app.post("/tokenize", response_model=None)
    async def tokenize(request: Request) -> Response:
        body = await json_of(request)
        if body.get("messages") is not None:
            prompt: Any = read_messages(body, served.options.limits.messages)
        elif isinstance(body.get("prompt"), str):
            prompt = body["prompt"]
        else:
            raise bad_request("Give a prompt, which is text, or messages.", "prompt")
        ids = await asyncio.to_thread(ids_of_prompt, served.format, prompt)
        if body.get("add_special_tokens") is True:
            ids = ids + served.format.answer_mark
        return JSONResponse({"tokens": ids, "count": len(ids), "max_model_len": served.format.config.max_length})

    @app.post("/detokenize", response_model=None)
    async def detokenize(request: Request) -> Response:
        ids = id_list((await json_of(request)).get("tokens"), "tokens")
        return JSONResponse({"prompt": await asyncio.to_thread(served.format.tokenizer.decode, ids)})

    @app.get("/tokenizer_info", response_model=None)
    async def tokenizer_info() -> Response:
        config, raw = served.format.config, served.format.tokenizer.raw
        end = None if config.eos_id is None else raw.id_to_token(config.eos_id)
        template = None if served.format.template is None else served.format.template.source
        return JSONResponse({"eos_token": end, "bos_token": None, "pad_token": None, "chat_template": template})


def add_state(app: FastAPI, served: Served) -> None:
    @app.get("/v1/models", response_model=None)
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [served.card()]})

    @app.get("/v1/methods", response_model=None)
    async def methods() -> Response:
        return JSONResponse({"object": "list", "data": [info.to_dict() for info in table_of_methods().values()]})

    @app.get("/v1/models/{name:path}", response_model=None)
    async def model(name: str) -> Response:
        served.check_model(name)
        return JSONResponse(served.card())

    @app.get("/health", response_model=None)
    async def health() -> Response:
        if served.backend.lost or served.draining:
            raise ApiError(503, "The server is ending.")
        return Response(status_code=200)

    @app.get("/version", response_model=None)
    async def version() -> Response:
        return JSONResponse({"version": fef.__version__})

    @app.get("/load", response_model=None)
    async def load() -> Response:
        return JSONResponse({"server_load": len(served.backend.tickets)})

    @app.get("/metrics", response_model=None)
    async def metrics() -> Response:
        return Response(served.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def json_of(request: Request) -> dict[str, Any]:
    """The body of a request. Raises ApiError."""
    raw = await raw_of(request)
    return await aside(partial(body_of, raw), raw)


async def aside(read: Callable[[], T], raw: bytes) -> T:
    """Read a body; a large one on another thread, so that others are served meanwhile."""
    return read() if len(raw) <= SMALL else await asyncio.to_thread(read)


async def raw_of(request: Request) -> bytes:
    """Raises ApiError for a body of another type."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "The body must be application/json.")
    return await request.body()


# --- errors ---


async def on_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return JSONResponse(error.body, error.status, error.headers)


async def on_fef_error(request: Request, error: Exception) -> Response:
    return await on_api_error(request, bad_request(str(error)))


async def on_http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "There is no such path.", 405: "This path does not take this method."}
    found = ApiError(error.status_code, words.get(error.status_code, str(error.detail)))
    return JSONResponse(found.body, found.status, error.headers)  # which methods a path takes
