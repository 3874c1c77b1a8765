"""The choices of a request, as their tokens come from the engine."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fef.decoding.certificate import Certificate
from fef.errors import FefError, InputError
from fef.models.tokenizer import Tokenizer
from fef.serve.errors import ApiError, bad_request
from fef.serve.fields import Asked, Prompt, TokenIds
from fef.serve.metrics import Metrics
from fef.serve.pieces import FinishReason, Piece, TextPieces
from fef.serve.worker import Accepted, Event, HungUp, NewTokens, Over, Refused, Rounds, Ticket, Worker
from fef.text import TextNetwork

__all__ = ["Answer", "Choice", "begin", "canvas_of", "check_length", "ids_of_prompt"]


@dataclass
class Choice:
    """One completion of one prompt. Times are of `time.perf_counter`."""

    index: int
    seed: int
    prompt: str  # as text, for echo
    prompt_tokens: int
    pieces: TextPieces
    ticket: Ticket
    finish: FinishReason | None = None
    counters: dict[str, int] | None = None  # those of the engine; None where the text ended before its canvas
    log_mass: float | None = None  # under a grammar, likewise
    certificate: Certificate | None = None
    final: bool = False  # were tokens told as they were committed?
    last: float | None = None  # when there was a piece


class Answer:
    """All choices of a request."""

    def __init__(self, asked: Asked, choices: Sequence[Choice], worker: Worker, metrics: Metrics) -> None:
        self.asked, self.choices, self.worker, self.metrics = asked, choices, worker, metrics
        self.events: asyncio.Queue[tuple[Ticket | None, Event]] = choices[0].ticket.events
        self.by_ticket = {choice.ticket: choice for choice in choices}
        self.began = time.perf_counter()
        self.early: list[tuple[Ticket | None, Event]] = []  # came before all choices were accepted

    async def accepted(self) -> None:
        """Hand the choices to the engine. Raises ApiError where it does not take one."""
        for choice in self.choices:
            self.worker.submit(choice.ticket)
        missing = len(self.choices)
        try:
            while missing:
                ticket, event = await self.events.get()
                if isinstance(event, Refused):
                    raise bad_request(str(event.error))
                if isinstance(event, Over) and event.error is not None:
                    raise failed(event.error, self.worker.lost)
                if isinstance(event, Accepted):
                    assert ticket is not None
                    choice = self.by_ticket[ticket]
                    choice.certificate, choice.final = event.certificate, event.final
                    missing -= 1
                else:
                    self.early.append((ticket, event))
                    if isinstance(event, HungUp):
                        return
        except BaseException:
            self.cancel()
            raise

    async def news(self) -> AsyncIterator[tuple[Choice, Piece | Rounds]]:
        """New text, and rounds where they are watched, until every choice has ended or nobody waits for it. Raises ApiError
        where the engine fails."""
        left = len(self.choices)
        try:
            while left:
                ticket, event = self.early.pop(0) if self.early else await self.events.get()
                if isinstance(event, HungUp):
                    return
                assert ticket is not None
                choice = self.by_ticket[ticket]
                if isinstance(event, Rounds) and choice.finish is None:
                    yield choice, event
                piece = self.heard(choice, event)
                if piece is None:
                    continue
                if piece.finish is not None:
                    left -= 1
                yield choice, piece
        finally:
            self.cancel()

    def heard(self, choice: Choice, event: Event) -> Piece | None:
        """What an event adds to a choice."""
        if choice.finish is not None:
            return None
        committed: Sequence[tuple[int, tuple[int, float]]] = ()
        if isinstance(event, NewTokens):
            committed = event.committed
        elif isinstance(event, Over):
            if event.error is not None or event.result is None:
                raise failed(event.error, self.worker.lost)
            choice.counters, choice.log_mass = event.result.counters, event.result.log_mass
            told = zip(event.result.tokens, event.result.logprobs, strict=True)
            committed = list(zip(choice.pieces.places, told, strict=True))
        piece = choice.pieces.add(committed)
        if piece is None:
            return None
        now = time.perf_counter()
        self.metrics.piece(now - self.began if choice.last is None else None, choice.last and now - choice.last)
        choice.last = now
        if piece.finish is not None:
            choice.finish = piece.finish
            self.worker.cancel(choice.ticket)
            self.metrics.finished(piece.finish, choice.prompt_tokens, choice.pieces.counted, now - self.began)
        return piece

    def cancel(self) -> None:
        """Give up what is not over."""
        for choice in self.choices:
            self.worker.cancel(choice.ticket)

    def hang_up(self) -> None:
        """Nobody waits for the answer any more."""
        self.cancel()
        self.events.put_nowait((None, HungUp()))

    def usage(self) -> dict[str, Any]:
        """Tokens of the prompts, each once, and tokens drawn for the texts, end tokens among them."""
        prompts = sum(choice.prompt_tokens for choice in self.choices[:: self.asked.n])
        drawn = sum(choice.pieces.counted for choice in self.choices)
        return {"prompt_tokens": prompts, "completion_tokens": drawn, "total_tokens": prompts + drawn}

    def about(self) -> dict[str, Any]:
        """What only this server tells: law, seed and costs."""
        first = self.choices[0]
        assert first.certificate is not None, "it was accepted"
        passes = [about_choice(choice)["passes"] for choice in self.choices]
        return {
            "certificate": first.certificate.to_dict(),
            "method": self.asked.method["method"],
            "canvas": self.asked.canvas,
            "seed": self.asked.seed,
            "passes": None if None in passes else sum(passes),
            "streamed": "as committed" if first.final else "at the end",
            "choices": [about_choice(choice) for choice in self.choices],
        }


def about_choice(choice: Choice) -> dict[str, Any]:
    """Costs of a choice; null where its text ended before its canvas was filled. log_mass is null, too, without a grammar,
    and where the law without it never draws this text."""
    counters = choice.counters or {}
    log_mass = None if choice.log_mass is None or math.isinf(choice.log_mass) else choice.log_mass
    return {
        "index": choice.index,
        "seed": choice.seed,
        "passes": counters.get("calls"),
        "rounds": counters.get("rounds"),
        "drafted": counters.get("drafted"),
        "accepted": counters.get("accepted"),
        "logprob": sum(choice.pieces.logprobs),
        "log_mass": log_mass,
    }


def failed(error: FefError | None, lost: bool) -> ApiError:
    """The error of a request that the engine had taken."""
    return ApiError(503 if lost else 500, "The request failed." if error is None else str(error))


def begin(asked: Asked, model: TextNetwork, worker: Worker, metrics: Metrics) -> Answer:
    """The choices of a request, in the order of its prompts. Raises InputError for prompts that do not fit."""
    config = model.network.config
    ends = {*config.stop_ids, *asked.stop_ids} | ({config.eos_id} if config.eos_id is not None else set())
    events: asyncio.Queue[tuple[Ticket | None, Event]] = asyncio.Queue()
    grammar = None if asked.grammar is None else model.grammar(asked.grammar)
    choices: list[Choice] = []
    for prompt in asked.prompts:
        before = ids_of_prompt(model, prompt)
        ids, start, stop = canvas_of(model, prompt, before, asked.canvas, asked.suffix)
        for _ in range(asked.n):
            seed = asked.seed + len(choices)
            pieces = TextPieces(
                model.tokenizer.decode,
                range(start, stop),
                ends,
                asked.stops,
                most=asked.most,
                keep_stop=asked.keep_stop,
                tokens=asked.logprobs or asked.token_ids,
            )
            options = {**asked.sampling, **asked.method, "seed": seed, "grammar": grammar}
            # a text that may end before its canvas is followed, so that it can be given up there
            follow = asked.stream or bool(asked.stops or asked.stop_ids) or asked.most < asked.canvas
            ticket = Ticket(ids, range(start, stop), options, follow, asked.watch, events)
            text = (prompt if isinstance(prompt, str) else model.tokenizer.decode(before)) if asked.echo else ""
            choices.append(Choice(len(choices), seed, text, len(before), pieces, ticket))
    return Answer(asked, choices, worker, metrics)


def ids_of_prompt(model: TextNetwork, prompt: Prompt) -> list[int]:
    """Raises InputError for what is no prompt of the model, and at once for a text that is longer than it can ever hold."""
    if isinstance(prompt, TokenIds):
        return model.without_masks("prompt", prompt.ids)
    check_length(model, prompt if isinstance(prompt, str) else "".join(message["content"] for message in prompt))
    return model.prompt_ids(prompt)


def canvas_of(
    model: TextNetwork, prompt: Prompt, before: list[int], size: int, suffix: str
) -> tuple[list[int], int, int]:
    """The canvas of a prompt whose ids are `before`, and its open places; ids of one's own may go on into the answer."""
    marked = isinstance(prompt, TokenIds) and any(mark in prompt.ids for mark in model.answer_mark)
    return model.canvas_behind(before, size, suffix, marked)


def check_length(model: TextNetwork, text: str) -> None:
    """Raise InputError for a text that no tokenization makes short enough, before time is spent on it."""
    most = model.network.config.max_length * longest_of(model.tokenizer)
    if len(text) > most:
        raise InputError(
            f"The prompt has {len(text)} characters, more than {model.network.config.max_length} tokens can hold. Shorten it."
        )


@lru_cache(maxsize=4)
def longest_of(tokenizer: Tokenizer) -> int:
    """Characters of the longest token."""
    return max((len(token) for token in tokenizer.raw.get_vocab(with_added_tokens=True)), default=1)
