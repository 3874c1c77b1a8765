"""A language of two letters for the tiny tables, and its grammars."""

from __future__ import annotations

import re
from collections.abc import Callable

import fef
from fef.grammar.compiled import TokenGrammar
from fef.verify.texts import State

A, B, END = 0, 1, 2
TOKENS = (b"a", b"b", b"", b"")  # the tokens of the tables, an end token among them, and the mask
RULES = 'start: "a" start "b" | "ab"'  # as many b behind as many a
Language = Callable[[str], bool]


def spelled(ids: State) -> str:
    return "".join("ab"[i] for i in ids if i in (A, B))


def regular(expression: str) -> tuple[TokenGrammar, Language]:
    grammar = fef.compile_grammar({"regex": expression}, TOKENS, END)
    assert grammar.automaton is not None
    return grammar, lambda text: re.fullmatch(expression, text) is not None


def by_rules() -> TokenGrammar:
    grammar = fef.compile_grammar({"grammar": RULES}, TOKENS, END)
    assert grammar.automaton is None
    return grammar
