"""Small vocabularies and grammars for tests, and what a grammar allows by trying every text."""

from __future__ import annotations

import itertools
import re
from functools import cache

import fef
from fef.grammar.compiled import TokenGrammar

A, B, AB, END = 0, 1, 2, 3
TOKENS = (b"a", b"b", b"ab", b"")  # the last ends a text


def small(grammar: dict[str, object], tokens: tuple[bytes, ...] = TOKENS, eos_id: int = END) -> TokenGrammar:
    return fef.compile_grammar(grammar, tokens, eos_id)


def text_of(ids: tuple[int, ...], tokens: tuple[bytes, ...] = TOKENS) -> str:
    return b"".join(tokens[i] for i in ids).decode()


@cache
def completions(expression: str, slots: int, suffix: str = "") -> frozenset[tuple[int, ...]]:
    """Every sequence of at most `slots` tokens that stands before the suffix in a text that `re` matches."""
    found = (ids for n in range(slots + 1) for ids in itertools.product((A, B, AB), repeat=n))
    return frozenset(ids for ids in found if re.fullmatch(expression, text_of(ids) + suffix))


def allowed_by_trying(expression: str, prefix: tuple[int, ...], slots: int, suffix: str = "") -> set[int]:
    """What may stand behind a prefix, so that a text of at most `slots` tokens can still be completed."""
    whole = completions(expression, slots, suffix)
    n = len(prefix)
    found = {ids[n] for ids in whole if len(ids) > n and ids[:n] == prefix}
    return found | ({END} if prefix in whole else set())
