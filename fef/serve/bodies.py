"""Answers in OpenAI's shapes: whole, and as server-sent events."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from fef.serve.answer import Answer, Choice
from fef.serve.errors import ApiError
from fef.serve.pieces import LEAST_LOGPROB, Piece, Token
from fef.serve.rounds import round_body
from fef.serve.worker import Rounds

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


def event(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n"


def choice_body(answer: Answer, choice: Choice, piece: Piece, first: bool, chunk: bool = False) -> dict[str, Any]:
    """A choice, or what is new of it. first: is nothing of it told yet?"""
    asked = answer.asked
    body: dict[str, Any] = {"index": choice.index, "finish_reason": piece.finish, "logprobs": None}
    if asked.token_ids:
        body["token_ids"] = [token.id for token in piece.tokens]
    if asked.chat:
        message = {"content": piece.text} if chunk else {"role": "assistant", "content": piece.text}
        body["delta" if chunk else "message"] = message
        if asked.logprobs:
            body["logprobs"] = {"content": [chat_logprob(token) for token in piece.tokens]}
        return body
    echoed = choice.prompt if first else ""
    body["text"] = echoed + piece.text
    if asked.logprobs:
        body["logprobs"] = completion_logprobs(piece.tokens)
    return body


def chat_logprob(token: Token) -> dict[str, Any]:
    raw = list(token.text.encode("utf-8"))
    return {"token": token.text, "logprob": shown_logprob(token), "bytes": raw, "top_logprobs": []}


def completion_logprobs(tokens: Sequence[Token]) -> dict[str, Any]:
    """Of the committed tokens themselves, the only ones that the engine tells."""
    logprobs = [shown_logprob(token) for token in tokens]
    return {
        "tokens": [token.text for token in tokens],
        "token_logprobs": logprobs,
        "top_logprobs": [{token.text: value} for token, value in zip(tokens, logprobs, strict=True)],
        "text_offset": [token.start for token in tokens],
    }


def shown_logprob(token: Token) -> float:
    return max(token.logprob, LEAST_LOGPROB)
