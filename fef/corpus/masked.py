"""What two problems share that differ in numbers, names and things only: the words of the question, these masked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b

from fef.corpus.inventory import COLOURS, NAMES, PLACES, THINGS, singular
from fef.corpus.overlap import words_of
from fef.eval.tasks import Message

__all__ = ["template_key", "template_text"]

_NAME = re.compile(r"(?<![.?!]\s)(?<![\n:])(?<!^)\b[A-Z][a-z]+\b")
_MASKED = {
    **dict.fromkeys((name.lower() for name in NAMES), "NAME"),
    **dict.fromkeys((f"{name.lower()}'s" for name in NAMES), "NAME's"),
    **dict.fromkeys(THINGS, "THINGS"),
    **dict.fromkeys(map(singular, THINGS), "THING"),
    **dict.fromkeys(COLOURS, "COLOUR"),
    **dict.fromkeys(PLACES, "PLACE"),
}
_ASKED = ("Question: ", "\nLet's think step by step.\nAnswer:")


def template_text(text: str) -> str:
    """The words of a text, with one word for all numbers, one for all names, and one for things of a kind."""
    for part in _ASKED:
        text = text.replace(part, "")
    named = _NAME.sub("NAME", text)
    return " ".join(_MASKED.get(word, word) for word in words_of(named))


def template_key(messages: Sequence[Message]) -> int:
    """Of the user's words. The same in every process."""
    text = "\n".join(template_text(turn["content"]) for turn in messages if turn["role"] == "user")
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
