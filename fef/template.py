"""Templates: texts that are given, and spans of slots between them that are filled.

The spans are filled from the left. Each is a canvas of its own: its slots are open, and everything else is given, the texts
of the template before and behind it, what was drawn for the spans before it, and masks at those that follow. So a span has
the law that its method has on that canvas, its end token ends it alone, and log p of the spans add up to that of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fef.decoding.certificate import Certificate
from fef.errors import InputError, OptionError
from fef.grammar.compiled import TokenGrammar
from fef.grammar.given import Grammar, read_grammar
from fef.readers import several, shown, whole_from
from fef.text import Generation, TextFormat

__all__ = ["Filled", "Part", "Span", "SpanCanvas", "certificate_of_spans", "read_template", "template_canvas"]

MOST_PARTS = 64
MOST_GRAMMARS = 8  # different ones, each of which may take a second to compile


@dataclass(frozen=True)
class Span:
    """slots: tokens that are drawn for it, the end tokens behind its text among them. grammar: what its text may be."""

    slots: int
    grammar: Grammar | None = None


Part = str | Span


@dataclass(frozen=True)
class SpanCanvas:
    """ids: masks where spans are. spans: their places. grammars: of each."""

    ids: list[int]
    spans: list[range]
    grammars: list[TokenGrammar | None]


@dataclass(frozen=True)
class Filled:
    """What `Model.fill` gives. text: of the whole template. spans: what was drawn for each. logprob: log p (nats) of all that
    was drawn, end tokens among them. certificate: of the whole."""

    text: str
    spans: list[Generation]
    logprob: float
    certificate: Certificate


def read_template(value: Any) -> list[Part]:
    """A list of texts and of spans: {"slots": 12}, with one of the keys of a grammar where it has one, {"slots": 12,
    "choice": ["yes", "no"]}. Raises OptionError for anything else."""
    found = several(value)
    if not found or len(found) > MOST_PARTS:
        raise OptionError(f"template={shown(value)} is not allowed: give a list of at most {MOST_PARTS} parts.")
    parts = [part if isinstance(part, str) else read_span(part) for part in found]
    if not any(isinstance(part, Span) for part in parts):
        raise OptionError('The template has no span to fill; give one, for example {"slots": 12}.')
    grammars = {part.grammar for part in parts if isinstance(part, Span)} - {None}
    if len(grammars) > MOST_GRAMMARS:
        raise OptionError(f"The template has {len(grammars)} different grammars; {MOST_GRAMMARS} are allowed.")
    return parts


def read_span(part: Any) -> Span:
    if not isinstance(part, Mapping) or "slots" not in part:
        raise OptionError(
            f'The template has the part {shown(part)}; parts are texts and spans such as {{"slots": 12}} or '
            '{"slots": 12, "regex": "[0-9]+"}.'
        )
    given = {name: value for name, value in part.items() if name != "slots"}
    return Span(whole_from("slots", part["slots"], 1), read_grammar(given) if given else None)


def template_canvas(model: TextFormat, before: Sequence[int], parts: Sequence[Part]) -> SpanCanvas:
    """The canvas of a template behind `before`, the ids of the prompt and what begins an answer.

    Raises InputError for what does not fit the network, or stands where a span cannot see it, and for a grammar that no text
    of its span meets; OptionError as `TextFormat.grammar`.
    """
    config = model.config
    ids, spans, grammars = list(before), list[range](), list[TokenGrammar | None]()
    for part in parts:
        if isinstance(part, str):
            ids += model.text_ids("template", part)
            continue
        if part.slots > config.max_length:
            raise InputError(f"A span has {part.slots} slots; {model.name} allows {config.max_length} tokens in all.")
        spans.append(range(len(ids), len(ids) + part.slots))
        ids += [config.mask_id] * part.slots
        grammar = None if part.grammar is None else model.grammar(part.grammar).of_open_positions()
        if grammar is not None:
            grammar.text(part.slots, ())
        grammars.append(grammar)
    if len(ids) > config.max_length:
        raise InputError(
            f"The prompt and its template take {len(ids)} tokens; {model.name} allows {config.max_length}. Shorten them."
        )
    for span in spans:
        model.check_seen(len(ids) - span.stop, span.stop)
    return SpanCanvas(ids, spans, grammars)


def certificate_of_spans(found: Sequence[Certificate]) -> Certificate:
    """Of a template, from those of its spans, which are filled by one method with the same settings."""
    if len(found) == 1:
        return found[0]
    laws = list(dict.fromkeys(one.law for one in found))
    reasons = list(dict.fromkeys(reason for one in found for reason in one.reasons))
    words = (
        f"{len(found)} spans, from the left, each given the texts around it, what was drawn before, and masks behind"
    )
    return Certificate(found[0].kind, f"{words}. Of each: {' Or: '.join(laws)}", (*reasons, f"template: {words}"))
