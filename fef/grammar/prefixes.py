"""Grammars of any kind by llguidance, without forcing: what may follow a prefix, wherever the text has to end.

Three of its ways shape what is here. It narrows masks to the token that its tokenizer would have written, which is another
law, unless `no_forcing` stands in the grammar. An end token that it reads is not counted when it goes back, so it never reads
one. And it leaves masks behind a token that is not allowed unwritten, so that they are filled before.

Shapes: X prefixes, V vocabulary, W words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from fef.errors import OptionError
from fef.grammar.given import Grammar
from fef.grammar.text import Ahead, GrammarText, Words, words_of
from fef.grammar.vocabulary import Vocabulary

__all__ = ["PrefixGrammar", "PrefixText", "prefix_grammar"]

_NO_FORCING = '%llguidance {"no_forcing": true}\n'


class PrefixGrammar:
    """A grammar that llguidance has read, and the vocabulary that it speaks of."""

    def __init__(self, vocabulary: Vocabulary, compiled: str) -> None:
        self.vocabulary, self.compiled = vocabulary, compiled

    def __reduce__(self) -> tuple[Any, ...]:
        return PrefixGrammar, (self.vocabulary, self.compiled)  # a matcher is no data

    @cached_property
    def start(self) -> Any:
        """A matcher that reads nothing, and of which others are copies: those are made in no time."""
        return library().LLMatcher(engine_tokenizer(self.vocabulary), self.compiled, log_level=0)

    def text(self) -> PrefixText:
        return PrefixText(self)


class PrefixText(GrammarText):
    def __init__(self, grammar: PrefixGrammar) -> None:
        super().__init__(grammar.vocabulary)
        self.grammar = grammar
        self.restart()

    def restart(self) -> None:
        with named_panics():
            self.matcher = self.grammar.start.deep_copy()

    def read(self, tokens: Sequence[int]) -> int:
        with named_panics():
            count = int(self.matcher.try_consume_tokens(list(tokens)))
        self.check()
        return count

    def may_end(self) -> bool:
        return bool(self.matcher.is_accepting())

    def fill(self, drafts: Sequence[int], words_XW: Words) -> int:
        if not drafts:
            words_XW[0] = self.here()
            return 1
        with named_panics():
            states = [(self.matcher, 0, list(drafts))]
            library().numpy.fill_next_token_bitmask_par_with_draft_tokens(executor(), states, words_XW)
        self.end_everywhere(words_XW)
        if self.matcher.is_error():  # one of the states leaves nothing, and those behind it are not told
            self.recover()
            for n in range(len(words_XW)):
                words_XW[n] = self.behind(drafts[:n])
        refused = (n for n, token in enumerate(drafts) if not self.bits(words_XW[n], token))
        return next(refused, len(drafts)) + 1

    def ahead(self) -> PrefixAhead:
        return PrefixAhead(self)

    def behind(self, drafts: Sequence[int]) -> Words:
        with self.ahead() as ahead:
            return ahead.words() if ahead.read(drafts) == len(drafts) else np.full(words_of(self.size), -1, np.int32)

    def here(self) -> Words:
        """What is allowed where the matcher stands; nothing where it stands in a corner."""
        words_1W = np.full((1, words_of(self.size)), -1, dtype=np.int32)
        with named_panics():
            library().numpy.fill_next_token_bitmask(self.matcher, words_1W)
        self.check()
        self.end_everywhere(words_1W)
        words_W: Words = np.zeros_like(words_1W[0]) if self.matcher.is_error() else words_1W[0]
        return words_W

    def end_everywhere(self, words_XW: Words) -> None:
        """Allow the ids that end a text where the end token is allowed, and nowhere else."""
        end_X = self.bits(words_XW, self.vocabulary.eos_id)
        for stop in self.vocabulary.stop_ids:
            words_XW[:, stop // 32] ^= (self.bits(words_XW, stop) ^ end_X) << np.int32(stop % 32)

    def bits(self, words_XW: Words, token: int) -> Words:
        """Of one id, 0 or 1 [X]; of one prefix one."""
        found_X: Words = (words_XW[..., token // 32] >> np.int32(token % 32)) & np.int32(1)
        return found_X

    def check(self) -> None:
        """Raise OptionError where the matcher has given up, on which it stays silent."""
        reason = self.matcher.get_error() if self.matcher.is_error() else CORNER
        if not reason.startswith(CORNER):
            raise OptionError(given_up(reason))

    def recover(self) -> None:
        """A matcher that has seen a corner is of no more use: begin another one."""
        self.check()
        self.restart()
        self.matcher.consume_tokens(self.seen)


class PrefixAhead(Ahead):
    """Reads with the matcher of its text, and takes that back."""

    def __init__(self, text: PrefixText) -> None:
        super().__init__(text)
        self.prefix, self.count = text, 0

    def read(self, tokens: Sequence[int]) -> int:
        if not tokens:
            return 0
        with named_panics():
            count = int(self.prefix.matcher.try_consume_tokens(list(tokens)))
        self.count += count
        return count

    def may_end(self) -> bool:
        return self.prefix.may_end()

    def words(self) -> Words:
        return self.prefix.here()

    def close(self) -> None:
        if self.prefix.matcher.is_error():
            self.prefix.recover()
        elif self.count:
            self.prefix.matcher.rollback(self.count)


CORNER = "NoExtensionBias"  # the grammar goes on, but with no token of the vocabulary


def prefix_grammar(grammar: Grammar, vocabulary: Vocabulary) -> PrefixGrammar:
    """Raises OptionError, in one sentence, for a schema, an expression or rules that llguidance does not take."""
    matchers = library().LLMatcher
    with named_panics():
        compiled = matchers.grammar_from_lark(_NO_FORCING + lark_of(grammar))
        problem = matchers.validate_grammar(compiled, engine_tokenizer(vocabulary))
    if problem:
        raise OptionError(f"The {grammar.name} is not allowed: {reason_of(problem)}. Give another one.")
    return PrefixGrammar(vocabulary, compiled)


@contextmanager
def named_panics() -> Iterator[None]:
    """Turn a panic of llguidance, which is no Exception, into an OptionError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise OptionError(given_up(str(error))) from None


def given_up(reason: str) -> str:
    return f"llguidance gave this grammar up: {reason_of(reason)}. Give a simpler one."


def lark_of(grammar: Grammar) -> str:
    if grammar.kind == "json":
        return f"start: %json {grammar.source}"
    if grammar.kind == "regex":
        return f"start: /{library().regex_to_lark(grammar.source, use_ascii='dws')}/"
    if grammar.kind == "choice":
        return "start: " + " | ".join(json.dumps(each, ensure_ascii=False) for each in json.loads(grammar.source))
    return grammar.source


def reason_of(problem: str) -> str:
    """What llguidance says in one line, without where in the rules that it was given."""
    lines = [line.strip() for line in problem.splitlines() if line.strip()]
    found = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    return re.sub(r"^at \d+\(\d+\): ", "", found).rstrip(".")[:200]


@lru_cache(maxsize=4)
def engine_tokenizer(vocabulary: Vocabulary) -> Any:
    found = library()
    tokens = found.TokenizerWrapper(EngineTokens(vocabulary))
    return found.LLTokenizer(tokens, n_vocab=vocabulary.size, eos_token=vocabulary.eos_id)


class EngineTokens:
    """A vocabulary as llguidance reads it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.tokens = list(vocabulary.tokens)
        self.eos_token_id, self.bos_token_id = vocabulary.eos_id, None
        self.special_token_ids = vocabulary.end_ids
        self.of_byte = {token: i for i, token in enumerate(vocabulary.tokens) if len(token) == 1}

    def __call__(self, text: bytes) -> list[int]:
        """A text byte by byte: only forcing asks how its tokenizer would have written one."""
        return [self.of_byte[bytes([byte])] for byte in text if bytes([byte]) in self.of_byte]


@lru_cache(maxsize=1)
def executor() -> Any:
    return library().LLExecutor(num_threads=1)


def library() -> Any:
    """Raises OptionError where it is not installed."""
    try:
        import llguidance
        import llguidance.numpy
    except ImportError:
        raise OptionError("A grammar needs llguidance: `pip install 'fef[grammar]'`.") from None
    return llguidance
