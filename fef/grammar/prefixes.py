"""Grammars of any kind by llguidance, without forcing: what may follow a prefix, wherever the text has to end.

Three of its ways shape what is here. It narrows masks to the token that its tokenizer would have written, which is another
law, unless `no_forcing` stands in the grammar. An end token that it reads is not counted when it goes back, so it never reads
one. And it leaves masks behind a token that is not allowed unwritten, so that they are filled before.

Shapes: X prefixes, V vocabulary.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from fef.errors import OptionError
from fef.grammar.given import Grammar
from fef.grammar.text import Allowed, GrammarText
from fef.grammar.vocabulary import Vocabulary

__all__ = ["PrefixGrammar", "PrefixText", "prefix_grammar"]

_NO_FORCING = '%llguidance {"no_forcing": true}\n'


class PrefixGrammar:
    """A grammar that llguidance has read, and the vocabulary that it speaks of."""

    def __init__(self, vocabulary: Vocabulary, compiled: str) -> None:
        self.vocabulary, self.compiled = vocabulary, compiled

    def text(self) -> PrefixText:
        return PrefixText(self)


class PrefixText(GrammarText):
    def __init__(self, grammar: PrefixGrammar) -> None:
        super().__init__(grammar.vocabulary)
        self.library = library()
        self.matcher = self.library.LLMatcher(engine_tokenizer(grammar.vocabulary), grammar.compiled, log_level=0)

    def restart(self) -> None:
        self.matcher.reset()

    def read(self, token: int) -> bool:
        # a token that it refuses would leave the matcher in an error for good
        return bool(self.matcher.validate_tokens([token]) == 1 and self.matcher.consume_token(token))

    def may_end(self) -> bool:
        return bool(self.matcher.is_accepting())

    def fill(self, drafts: Sequence[int], allowed_XV: Allowed) -> None:
        bits = np.full((len(allowed_XV), -(-self.size // 32)), -1, dtype=np.int32)
        if drafts:
            states = [(self.matcher, 0, list(drafts))]
            self.library.numpy.fill_next_token_bitmask_par_with_draft_tokens(executor(), states, bits)
        else:
            self.library.numpy.fill_next_token_bitmask(self.matcher, bits)
        allowed_XV[:] = np.unpackbits(bits.view(np.uint8), axis=1, count=self.size, bitorder="little")
        allowed_XV[:, self.vocabulary.stop_ids] = allowed_XV[:, [self.vocabulary.eos_id]]

    def allowed_behind(self, drafts: Sequence[int]) -> Allowed:
        if not self.legal or self.ended or self.before_an_end(drafts) < len(drafts):
            return super().allowed_behind(drafts)
        read = self.matcher.try_consume_tokens(list(drafts))
        allowed_XV = np.ones((1, self.size), dtype=np.bool_)
        if read == len(drafts):
            self.fill([], allowed_XV)
        if read:
            self.matcher.rollback(read)
        allowed_V: Allowed = allowed_XV[0]
        return allowed_V


def prefix_grammar(grammar: Grammar, vocabulary: Vocabulary) -> PrefixGrammar:
    """Raises OptionError, in one sentence, for a schema, an expression or rules that llguidance does not take."""
    matchers = library().LLMatcher
    compiled = matchers.grammar_from_lark(_NO_FORCING + lark_of(grammar))
    problem = matchers.validate_grammar(compiled, engine_tokenizer(vocabulary))
    if problem:
        raise OptionError(f"The {grammar.name} is not allowed: {reason_of(problem)}. Give another one.")
    return PrefixGrammar(vocabulary, compiled)


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

    def __call__(self, text: bytes) -> list[int]:
        return []  # only forcing asks how its tokenizer would have written a text


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
