"""What people type is text, also where it spells a control token: only templates make those."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fef.errors import InputError
from fef.models.chat import ChatTemplate, Message, check_messages
from fef.models.tokenizer import Tokenizer
from fef.readers import check_text

__all__ = ["Guarded", "control_tokens", "encode_guarded", "guarded_messages", "guarded_text"]

GUARDS = range(0xF0000, 0xF1000)  # characters of private use: no tokenizer knows them, and no template looks for them


def control_tokens(tokenizer: Tokenizer, ids: Iterable[int | None]) -> list[str]:
    """The texts of the special tokens, and of those of `ids` (mask, ends) that the tokenizer takes for ordinary ones."""
    added, named = tokenizer.raw.get_added_tokens_decoder(), set(ids)
    return [token.content for i, token in added.items() if token.special or i in named]


@dataclass(frozen=True)
class Guarded:
    """A text in which the character `guard` stands inside of every control token that somebody typed."""

    text: str
    guard: str


def guarded_text(text: str, controls: Sequence[str]) -> Guarded:
    """A text in which these control tokens are text; everything else is what the tokenizer makes of it."""
    guard = unused_character(text)
    return Guarded(guarded(text, controls, guard), guard)


def guarded_messages(template: ChatTemplate, messages: Sequence[Message], controls: Sequence[str]) -> Guarded:
    """A conversation, of whose messages none makes one of these control tokens. Raises as `ChatTemplate.render`, and
    InputError for text that is not UTF-8."""
    check_messages(messages)
    try:
        guard = unused_character("".join(text for message in messages for text in texts_of(message)))
        typed = [guarded(message, controls, guard) for message in messages]
    except RecursionError as error:
        raise InputError("A message is nested too deeply. Give its content as text.") from error
    return Guarded(check_text("conversation", template.render(typed)), guard)


def encode_guarded(tokenizer: Tokenizer, texts: Sequence[Guarded]) -> list[list[int]]:
    """Ids of texts."""
    others = iter(tokenizer.encode_batch([one.text for one in texts if one.guard not in one.text]))
    return [tokenizer.encode_guarded(one.text, one.guard) if one.guard in one.text else next(others) for one in texts]


def guarded(value: Any, controls: Sequence[str], guard: str) -> Any:
    """`value` with the guard inside of every control token in its texts, so that each of them is broken."""
    if isinstance(value, str):
        if not any(text in value for text in controls):  # mostly, and soon known
            return value
        pattern = inside_of(tuple(controls))
        return value if pattern is None else pattern.sub(guard, value)
    if isinstance(value, Mapping):
        return {guarded(key, controls, guard): guarded(part, controls, guard) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [guarded(part, controls, guard) for part in value]
    return value


@lru_cache
def inside_of(controls: tuple[str, ...]) -> re.Pattern[str] | None:
    """The places behind the first character of these; None where none has two."""
    inside = [f"(?<={re.escape(text[0])})(?={re.escape(text[1:])})" for text in controls if len(text) > 1]
    return re.compile("|".join(inside)) if inside else None


def texts_of(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = (
        [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    )
    return [text for part in parts for text in texts_of(part)]


def unused_character(text: str) -> str:
    first = chr(GUARDS[0])
    if first not in text:  # as always, and known without a look at each character by itself
        return first
    used = set(text)
    for number in GUARDS:
        if chr(number) not in used:
            return chr(number)
    raise InputError(f"The text uses all of {len(GUARDS)} characters of private use from U+F0000 on; take one out.")
