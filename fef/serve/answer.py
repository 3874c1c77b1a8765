"""The choices of a request, as their tokens come from the engine."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fef.decoding.certificate import Certificate
from fef.engine.requests import Likeliest
from fef.errors import FefError, GrammarError, InputError, OptionError
from fef.generation import Score
from fef.models.tokenizer import Tokenizer
from fef.serve.backend import Backend
from fef.serve.errors import ApiError, bad_request
from fef.serve.fields import Asked
from fef.serve.growing_text import GrowingText
from fef.serve.inbox import Heard, HungUp, Inbox, Ticket
from fef.serve.letters import Accepted, Event, NewTokens, NextSpan, Over, Refused, Rounds, Wanted
from fef.serve.metrics import Metrics
from fef.serve.pieces import FinishReason, Piece, TextPieces, Token
from fef.serve.prompts import Begun, Prompt, TokenIds
from fef.serve.template_pieces import TemplatePieces
from fef.template import SpanCanvas, certificate_of_spans, template_canvas
from fef.text import TextFormat

__all__ = [
    "Answer",
    "Choice",
    "Echo",
    "begin",
    "canvas_of",
    "check_length",
    "ids_of_prompt",
    "places_to_score",
    "scored_echo",
]


@dataclass
class Echo:
    """A prompt that is told again: its text, and where log p is asked for, its tokens, the first of which are given."""

    text: str = ""
    tokens: Sequence[Token] = ()
    given: int = 0
    certificate: Certificate | None = None


@dataclass
class Choice:
    """One completion of one prompt. Times are of `time.perf_counter`."""

    index: int
    seed: int
    prompt: Sequence[int]
    echo: Echo
    pieces: TextPieces | TemplatePieces
    ticket: Ticket
    finish: FinishReason | None = None
    counters: dict[str, int] | None = None  # those of the engine; None where the text ended before its canvas
    log_mass: float | None = None  # under a grammar, likewise
    certificates: list[Certificate] = field(default_factory=list)  # of its spans
    final: bool = False  # were tokens told as they were committed?
    end_id: int | None = None  # behind it the law leaves nothing open
    held: Piece | None = None  # the last one, until the result has come
    last: float | None = None  # when there was a piece
    counted: int = 0  # tokens that the metrics know of


class Answer:
    """All choices of a request."""

    def __init__(self, asked: Asked, choices: Sequence[Choice], backend: Backend, metrics: Metrics) -> None:
        self.asked, self.drawn, self.choices = asked, choices, choices
        self.backend, self.metrics = backend, metrics
        self.inbox = choices[0].ticket.inbox
        self.by_ticket = {choice.ticket: choice for choice in choices}
        self.began = time.perf_counter()
        self.early: list[Heard] = []  # came before all choices were accepted

    async def accepted(self) -> None:
        """Hand the choices to the engine. Raises ApiError where it does not take one."""
        for choice in self.choices:
            self.backend.submit(choice.ticket)
        missing = len(self.choices)
        try:
            while missing:
                for ticket, event in await self.inbox.read():
                    if isinstance(event, Refused):
                        raise ApiError(500 if event.fault else 400, str(event.error))
                    if isinstance(event, Over) and event.error is not None:
                        raise failed(event.error, self.backend.ended)
                    if isinstance(event, Accepted):
                        assert ticket is not None
                        choice = self.by_ticket[ticket]
                        choice.certificates, choice.final = [event.certificate], event.final
                        choice.end_id = event.end_id
                        missing -= 1
                    else:
                        self.early.append((ticket, event))
                        if isinstance(event, HungUp):  # the last one
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
                heard, self.early = self.early or await self.inbox.read(), []
                for ticket, event in heard:
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
        if isinstance(event, NextSpan):
            choice.certificates.append(event.certificate)
        committed: Sequence[tuple[int, tuple[int, float]]] = ()
        likeliest: Mapping[int, Likeliest] = {}
        if isinstance(event, NewTokens):
            committed, likeliest = event.committed, event.likeliest
        elif isinstance(event, Over):
            if event.error is not None or event.result is None:
                raise failed(event.error, self.backend.ended)
            choice.counters, choice.log_mass = event.result.counters, event.result.log_mass
            told = zip(event.result.tokens, event.result.logprobs, strict=True)
            committed = list(zip(choice.pieces.places, told, strict=True))
            if event.result.likeliest is not None:
                likeliest = dict(zip(choice.pieces.places, event.result.likeliest, strict=True))
        piece = choice.held or choice.pieces.add(committed, likeliest)
        if piece is None:
            return None
        if piece.finish is not None and not isinstance(event, Over) and choice.pieces.filled(choice.end_id):
            choice.held = piece  # a GPU tells tokens before the result, whose counters are to be told with the end
            return None
        now = time.perf_counter()
        between = None if choice.last is None else now - choice.last
        first = now - self.began if choice.last is None else None
        self.metrics.piece(first, between, choice.pieces.counted - choice.counted)
        choice.counted = choice.pieces.counted
        choice.last = now
        if piece.finish is not None:
            choice.finish = piece.finish
            self.backend.cancel(choice.ticket)
            times = choice.ticket.first_times or choice.ticket.times
            if times is not None:
                self.metrics.times(times, now)
            self.metrics.finished(piece.finish, len(choice.prompt), choice.pieces.counted, now - self.began)
        return piece

    def cancel(self) -> None:
        """Give up what is not over."""
        for choice in self.choices:
            self.backend.cancel(choice.ticket)

    def hang_up(self) -> None:
        """Nobody waits for the answer any more."""
        self.cancel()
        self.inbox.put(None, HungUp())
        self.inbox.wake()

    def keep_best(self) -> None:
        """Of more choices than were asked for, keep those of largest log p for each prompt."""
        drawn, n = self.asked.best_of, self.asked.n
        if drawn == n:
            return
        kept: list[Choice] = []
        for start in range(0, len(self.drawn), drawn):
            ranked = sorted(self.drawn[start : start + drawn], key=lambda one: -sum(one.pieces.logprobs))
            kept += ranked[:n]
        self.choices = kept
        for index, choice in enumerate(kept):
            choice.index = index

    @property
    def certificate(self) -> Certificate:
        """Of the texts that are told."""
        found = certificate_of_spans(self.choices[0].certificates)
        drawn, n = self.asked.best_of, self.asked.n
        if drawn == n:
            return found
        reason = f"best_of: of {drawn} texts the {n} of largest log p are told, so what was drawn decides which"
        return Certificate(
            "none", f"No stated law: {reason}. Each of the {drawn}: {found.law}", (*found.reasons, reason)
        )

    def usage(self) -> dict[str, Any]:
        """Tokens of the prompts, each once, and tokens drawn for the texts, end tokens among them."""
        prompts = sum(len(choice.prompt) for choice in self.drawn[:: self.asked.best_of])
        drawn = sum(choice.pieces.counted for choice in self.drawn)
        return {"prompt_tokens": prompts, "completion_tokens": drawn, "total_tokens": prompts + drawn}

    def about(self) -> dict[str, Any]:
        """What only this server tells: law, seed and costs."""
        first = self.choices[0]
        passes = [about_choice(choice)["passes"] for choice in self.drawn]
        scored = first.echo.certificate
        return {
            "certificate": self.certificate.to_dict(),
            **({} if scored is None else {"echo": {"certificate": scored.to_dict(), "score_from": first.echo.given}}),
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
        **({"spans": choice.pieces.texts} if isinstance(choice.pieces, TemplatePieces) else {}),
    }


def failed(error: FefError | None, ended: bool) -> ApiError:
    """The error of a request that the engine had taken: its own, where its grammar lets no text go on. ended: were all given
    up?"""
    if isinstance(error, OptionError | InputError | GrammarError) and not ended:
        return bad_request(str(error))
    return ApiError(503 if ended else 500, "The request failed." if error is None else str(error))


def begin(asked: Asked, model: TextFormat, backend: Backend, metrics: Metrics) -> Answer:
    """The choices of a request, in the order of its prompts. Raises InputError for prompts that do not fit."""
    config = model.config
    ends = {*config.stop_ids, *asked.stop_ids} | ({config.eos_id} if config.eos_id is not None else set())
    inbox = Inbox()
    grammar = None if asked.grammar is None else model.grammar(asked.grammar)
    for part in asked.template or ():
        if isinstance(part, str):
            check_length(model, part)
    choices: list[Choice] = []
    top = asked.top or 0
    if asked.top is not None and asked.sampling["temperature"] == 0:
        top = max(top, 1)  # greedy texts are told the log p of their tokens at temperature 1
    for prompt in asked.prompts:
        before = ids_of_prompt(model, prompt)
        if asked.template is None:
            ids, start, stop = canvas_of(model, prompt, before, asked.canvas, asked.suffix)
            canvas = SpanCanvas(ids, [range(start, stop)], [grammar])
        else:
            canvas = template_canvas(
                model, before if marked(model, prompt) else before + model.answer_mark, asked.template
            )
        echo = Echo()
        if asked.echo:
            echo = Echo(prompt if isinstance(prompt, str) else model.tokenizer.decode(before))
        for _ in range(asked.best_of):
            seed = asked.seed + len(choices)
            options = {**asked.sampling, **asked.method, "seed": seed, "top": top}
            # a text that may end before its canvas is followed, so that it can be given up there
            early = asked.stops or ends - {config.eos_id} or asked.method.get("after_eos") == "free"
            follow = asked.stream or bool(early) or asked.most < asked.canvas
            wanted = Wanted(canvas.ids, canvas.spans, canvas.grammars, options, follow, asked.watch)
            pieces = pieces_of(asked, canvas.spans, model.tokenizer, ends)
            choices.append(Choice(len(choices), seed, before, echo, pieces, Ticket(wanted, inbox)))
    return Answer(asked, choices, backend, metrics)


def pieces_of(
    asked: Asked, spans: Sequence[range], tokenizer: Tokenizer, ends: set[int]
) -> TextPieces | TemplatePieces:
    """The text of a choice, to be told."""

    def of_span(span: range, most: int) -> TextPieces:
        return TextPieces(
            tokenizer.decode,
            span,
            ends,
            asked.stops,
            most=most,
            least=asked.sampling["min_tokens"],
            keep_stop=asked.keep_stop,
            tokens=asked.top is not None or asked.token_ids,
        )

    if asked.template is None:
        return of_span(spans[0], asked.most)
    left = iter(spans)
    return TemplatePieces(
        [part if isinstance(part, str) else of_span(next(left), part.slots) for part in asked.template]
    )


def places_to_score(asked: Asked, ids: Sequence[int]) -> range:
    """Of a prompt of which log p is told: a request does not say what its context is, so it says from where on."""
    return range(min(asked.score_from, len(ids)), len(ids))


def scored_echo(model: TextFormat, ids: Sequence[int], text: str, places: range, scored: Score | None) -> Echo:
    """A prompt whose tokens at `places` were scored, as a text that is drawn behind those before it."""
    decode = model.tokenizer.decode
    grown, tokens = GrowingText(decode), list[Token]()
    for token in ids:
        tokens.append(Token(token, 0.0, decode([token]), grown.length))
        grown.add([token])
    if scored is None:
        return Echo(text, tokens, places.start)
    for place, logprob, beside in zip(places, scored.logprobs, scored.likeliest, strict=True):
        likeliest = [(token, decode([token]), p) for token, p in beside]
        tokens[place] = replace(tokens[place], logprob=logprob, likeliest=likeliest)
    return Echo(text, tokens, places.start, scored.certificate)


def ids_of_prompt(model: TextFormat, prompt: Prompt) -> list[int]:
    """Raises InputError for what is no prompt of the model, and at once for a text that is longer than it can ever hold."""
    if isinstance(prompt, TokenIds):
        return model.without_masks("prompt", prompt.ids)
    if isinstance(prompt, Begun):
        check_length(model, prompt.text)
        return [*ids_of_prompt(model, prompt.messages), *model.answer_mark, *model.begun_ids(prompt.text)]
    check_length(model, prompt if isinstance(prompt, str) else "".join(message["content"] for message in prompt))
    return model.prompt_ids(prompt)


def canvas_of(
    model: TextFormat, prompt: Prompt, before: list[int], size: int, suffix: str
) -> tuple[list[int], int, int]:
    """The canvas of a prompt whose ids are `before`, and its open places; ids of one's own may go on into the answer."""
    return model.canvas_behind(before, size, suffix, marked(model, prompt))


def marked(model: TextFormat, prompt: Prompt) -> bool:
    """Has the answer to this prompt begun?"""
    if isinstance(prompt, TokenIds):
        return any(mark in prompt.ids for mark in model.answer_mark)
    return isinstance(prompt, Begun)


def check_length(model: TextFormat, text: str) -> None:
    """Raise InputError for a text that no tokenization makes short enough, before time is spent on it."""
    most = model.config.max_length * longest_of(model.tokenizer)
    if len(text) > most:
        raise InputError(
            f"The prompt has {len(text)} characters, more than {model.config.max_length} tokens can hold. Shorten it."
        )


@lru_cache(maxsize=4)
def longest_of(tokenizer: Tokenizer) -> int:
    """Characters of the longest token."""
    return max((len(token) for token in tokenizer.raw.get_vocab(with_added_tokens=True)), default=1)
