"""Answers in OpenAI's shapes: whole, and as server-sent events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fef.serve.answer import Answer, Choice, Echo
from fef.serve.errors import ApiError
from fef.serve.letters import Rounds
from fef.serve.pieces import LEAST_LOGPROB, Piece, Token
from fef.serve.rounds import round_body
from fef.serve.tools import call_delta, message_of_call

__all__ = ["Envelope", "events_of", "whole_body"]


@dataclass(frozen=True)
class Envelope:
    """What every chunk of an answer repeats."""

    model: str
    fingerprint: str
    chat: bool
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def around(self, choices: Sequence[dict[str, Any]], chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion.chunk" if chunk else "chat.completion") if self.chat else "text_completion"
        return {
            "id": f"{'chatcmpl' if self.chat else 'cmpl'}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": list(choices),
        }


async def whole_body(answer: Answer, envelope: Envelope) -> dict[str, Any] | None:
    """The answer in one piece; None where nobody waits for it any more. Raises ApiError."""
    text = {choice.index: "" for choice in answer.choices}
    tokens: dict[int, list[Token]] = {choice.index: [] for choice in answer.choices}
    async for choice, piece in answer.news():
        assert isinstance(piece, Piece), "only streams are watched"
        text[choice.index] += piece.text
        tokens[choice.index] += piece.tokens
    if any(choice.finish is None for choice in answer.choices):
        return None
    answer.keep_best()
    choices = [
        choice_body(answer, choice, Piece(text[choice.index], tokens[choice.index], choice.finish), first=True)
        for choice in answer.choices
    ]
    return envelope.around(choices, chunk=False) | {"usage": answer.usage(), "fef": answer.about()}


async def events_of(answer: Answer, envelope: Envelope) -> AsyncIterator[str]:
    """The answer as server-sent events. An error after the first one is an event, too."""
    asked, begun = answer.asked, set[int]()
    try:
        if asked.chat:
            for choice in answer.choices:
                delta = {"index": choice.index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
                yield event(chunk(answer, envelope, [delta | {"logprobs": None}]))
        left = len(answer.choices)
        async for choice, piece in answer.news():
            if isinstance(piece, Rounds):
                for round_ in piece.rounds:
                    yield event(chunk(answer, envelope, []) | {"fef": {"round": round_body(choice, round_)}})
                continue
            body = choice_body(answer, choice, piece, first=choice.index not in begun, chunk=True)
            begun.add(choice.index)
            left -= piece.finish is not None
            more = {} if left else {"fef": answer.about()}
            yield event(chunk(answer, envelope, [body]) | more)
        if asked.usage and not left:
            yield event(envelope.around([], chunk=True) | {"usage": answer.usage()})
    except ApiError as error:
        yield event(error.body)
    yield "data: [DONE]\n\n"


def chunk(answer: Answer, envelope: Envelope, choices: Sequence[dict[str, Any]]) -> dict[str, Any]:
    usage: dict[str, Any] = {}
    if answer.asked.usage_always:
        usage = {"usage": answer.usage()}
    elif answer.asked.usage:
        usage = {"usage": None}
    return envelope.around(choices, chunk=True) | usage


compact = json.JSONEncoder(separators=(",", ":")).encode  # made once: it is called for every text of a stream


def event(body: dict[str, Any]) -> str:
    return f"data: {compact(body)}\n\n"


def choice_body(answer: Answer, choice: Choice, piece: Piece, first: bool, chunk: bool = False) -> dict[str, Any]:
    """A choice, or what is new of it. first: is nothing of it told yet?"""
    asked = answer.asked
    body: dict[str, Any] = {"index": choice.index, "finish_reason": piece.finish, "logprobs": None}
    if asked.token_ids:
        body["token_ids"] = [token.id for token in piece.tokens]
    if asked.chat:
        if chunk:
            body["delta"] = (
                {"content": piece.text} if asked.tools is None else call_delta(asked.tools, piece.text, first)
            )
        elif asked.tools is None:
            body["message"] = {"role": "assistant", "content": piece.text}
        else:
            body["message"] = message_of_call(asked.tools, piece.text)
        if asked.top is not None:
            body["logprobs"] = {"content": [chat_logprob(token, asked.top) for token in piece.tokens]}
        return body
    body["text"] = (choice.echo.text if first else "") + piece.text
    if asked.top is not None:
        told = completion_logprobs(piece.tokens, asked.top, len(choice.echo.text))
        scored = echoed_logprobs(choice.echo, asked.top) if first else {}
        body["logprobs"] = {name: [*scored.get(name, []), *values] for name, values in told.items()}
    return body


def chat_logprob(token: Token, top: int) -> dict[str, Any]:
    beside = [logprob_entry(text, logprob) for _, text, logprob in token.likeliest[:top]]
    return logprob_entry(token.text, token.own_likelihood) | {"top_logprobs": beside}


def logprob_entry(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": finite(logprob), "bytes": list(text.encode("utf-8"))}


def completion_logprobs(tokens: Sequence[Token], top: int, offset: int) -> dict[str, list[Any]]:
    """offset: of the text in what is told, in characters."""
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": [finite(token.own_likelihood) for token in tokens],
        "top_logprobs": [by_text(token, top) for token in tokens],
        "text_offset": [offset + token.start for token in tokens],
    }


def echoed_logprobs(echo: Echo, top: int) -> dict[str, list[Any]]:
    """Of a prompt that is told: nothing of the tokens that were given."""
    told = completion_logprobs(echo.tokens, top, 0)
    for name in ("token_logprobs", "top_logprobs"):
        told[name][: echo.given] = [None] * min(echo.given, len(echo.tokens))
    return told


def by_text(token: Token, top: int) -> dict[str, float]:
    """The likeliest tokens, and this one. Of several with one text, which part of a character may have, the likeliest."""
    found: dict[str, float] = {}
    for _, text, logprob in token.likeliest[:top]:
        found.setdefault(text, finite(logprob))
    return {token.text: finite(token.own_likelihood)} | found


def finite(logprob: float) -> float:
    return max(logprob, LEAST_LOGPROB)
