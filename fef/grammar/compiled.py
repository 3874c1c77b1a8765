"""A grammar for a vocabulary: a token automaton where its language is a regular one, else prefixes by llguidance.

llguidance checks every grammar, so that what it refuses is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np

from fef.errors import InputError, OptionError
from fef.grammar.automaton import FAR, Reach, TokenAutomaton
from fef.grammar.given import Grammar, read_grammar
from fef.grammar.pieces import NotRegular, Piece, choice, determined, literal
from fef.grammar.prefixes import PrefixGrammar, prefix_grammar
from fef.grammar.regex import piece_of_regex
from fef.grammar.schema import piece_of_schema
from fef.grammar.text import Ahead, GrammarText, Words, words_of
from fef.grammar.vocabulary import Vocabulary, ending
from fef.readers import token_id, token_ids

__all__ = ["TokenGrammar", "compile_grammar", "compiled"]


@dataclass(frozen=True, eq=False)
class TokenGrammar:
    """A grammar that `fef.decode` and `Engine.submit` take. automaton: of a regular language; None for another one.
    reads_behind: a text is what is drawn with the tokens behind it; else it is what is drawn alone."""

    grammar: Grammar
    vocabulary: Vocabulary
    prefixes: PrefixGrammar
    automaton: TokenAutomaton | None
    why_not: str = ""  # why there is no automaton
    reads_behind: bool = True

    @property
    def reason(self) -> str:
        """What the certificate says."""
        if self.automaton is not None:
            how = "a token automaton, and tokens from which its end is out of the canvas's reach are not allowed"
        else:
            how = f"llguidance {version('llguidance')} without forcing; the canvas may end before the text does"
        return f"grammar: {self.grammar.words}, what may follow is a function of the tokens before it: {how}"

    def without(self, banned: Iterable[int]) -> TokenGrammar:
        """The same grammar of tokens that are none of these."""
        left = self.vocabulary.without(banned)
        if left is self.vocabulary:
            return self
        return replace(compiled(self.grammar, left), reads_behind=self.reads_behind)

    def of_open_positions(self) -> TokenGrammar:
        """The same grammar of texts to which no token belongs that is given."""
        return replace(self, reads_behind=False)

    def text(self, slots: int, suffix: Sequence[int]) -> GrammarText:
        """A text of at most `slots` tokens that stands before a suffix, both together one of the grammar, unless it does not
        read what stands behind.

        Raises InputError where there is none, and where a suffix cannot be kept within reach.
        """
        suffix = suffix if self.reads_behind else ()
        if self.automaton is None:
            if suffix:
                raise InputError(
                    f"A suffix needs a grammar of a regular language, so that it stays within reach, and this one is none: "
                    f"{self.why_not}. Leave the suffix out, or give a simpler grammar."
                )
            return self.prefixes.text()
        reach = reach_before(self.automaton, tuple(suffix))
        needed = int(reach.distance_Q[0])
        if needed > slots:
            place = "before this suffix" if suffix else "of this grammar"
            found = "none at all" if needed == FAR else f"the shortest takes {needed} tokens"
            raise InputError(
                f"There is no text {place} within {slots} tokens: {found}. Give "
                + ("another suffix or grammar." if needed == FAR else "a longer canvas.")
            )
        return AutomatonText(reach, slots)


class AutomatonText(GrammarText):
    """slots: how many tokens it has at most."""

    def __init__(self, reach: Reach, slots: int) -> None:
        super().__init__(reach.automaton.vocabulary)
        self.reach, self.slots = reach, slots
        self.restart()

    def restart(self) -> None:
        self.state = 0

    @property
    def left(self) -> int:
        return self.slots - len(self.seen)

    def read(self, tokens: Sequence[int]) -> int:
        ahead = self.ahead()
        count = ahead.read(tokens)
        self.state = ahead.state
        return count

    def may_end(self) -> bool:
        return bool(self.reach.distance_Q[self.state] == 0)

    def fill(self, drafts: Sequence[int], words_XW: Words) -> int:
        with self.ahead() as ahead:
            words_XW[0] = ahead.words()
            for place, token in enumerate(drafts, start=1):
                if not ahead.read([token]):
                    return place
                words_XW[place] = ahead.words()
        return len(drafts) + 1

    def ahead(self) -> AutomatonAhead:
        return AutomatonAhead(self)


class AutomatonAhead(Ahead):
    """state: of the automaton. left: slots."""

    def __init__(self, text: AutomatonText) -> None:
        super().__init__(text)
        self.reach, self.state, self.left = text.reach, text.state, text.left

    def read(self, tokens: Sequence[int]) -> int:
        distances_Q, most = self.reach.distances_Q, self.reach.farthest + 1
        for count, token in enumerate(tokens):
            state = self.reach.behind(self.state, token)
            if distances_Q[state] >= min(self.left, most):
                return count
            self.state, self.left = state, self.left - 1
        return len(tokens)

    def may_end(self) -> bool:
        return self.reach.distances_Q[self.state] == 0

    def words(self) -> Words:
        if self.left < 1:  # there is no slot for it
            return np.full(words_of(self.text.size), -1, dtype=np.int32)
        return self.reach.words(self.state, self.left)


def compile_grammar(grammar: Any, tokens: Sequence[bytes], eos_id: int, stop_ids: Sequence[int] = ()) -> TokenGrammar:
    """A grammar for a vocabulary, for `fef.decode` and `Engine.submit`; `Model.generate` compiles its own.

    grammar: as `Model.generate` takes it. tokens: the bytes of every id of the network's vocabulary, empty where it is no
    text. eos_id: the id that ends a text, and fills the positions behind. stop_ids: others that end one. Raises OptionError
    for what is none, and with llguidance's reason for a schema, an expression or rules that it does not take.
    """
    if not isinstance(tokens, Sequence) or not all(isinstance(token, bytes) for token in tokens):
        raise OptionError("tokens must be a list of bytes, one for each id of the vocabulary.")
    eos_id, stop_ids = token_id("eos_id", eos_id, len(tokens)), token_ids("stop_ids", stop_ids, len(tokens))
    return compiled(read_grammar(grammar), ending(tokens, eos_id, stop_ids))


@lru_cache(maxsize=16)
def compiled(grammar: Grammar, vocabulary: Vocabulary) -> TokenGrammar:
    prefixes = prefix_grammar(grammar, vocabulary)
    try:
        automaton = TokenAutomaton.of(determined(piece_of(grammar)), vocabulary)
    except NotRegular as error:
        return TokenGrammar(grammar, vocabulary, prefixes, None, str(error))
    return TokenGrammar(grammar, vocabulary, prefixes, automaton)


@lru_cache(maxsize=16)
def reach_before(automaton: TokenAutomaton, suffix: tuple[int, ...]) -> Reach:
    return automaton.before(suffix)


def piece_of(grammar: Grammar) -> Piece:
    """Raises NotRegular for a language that is none, or that is not read here."""
    if grammar.kind == "json":
        return piece_of_schema(json.loads(grammar.source))
    if grammar.kind == "regex":
        return piece_of_regex(grammar.source)
    if grammar.kind == "choice":
        return choice([literal(each) for each in json.loads(grammar.source)])
    raise NotRegular("Lark rules may be of any kind")
