"""Commands as bytes, for an engine in another process.

What both processes have goes by name: the vocabulary, and the compiled grammars that were given before. These are large, and
the engine tells them apart by identity. Both ends remember the same ones, since they see the same commands in one order.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from fef.grammar.compiled import TokenGrammar
from fef.grammar.given import Grammar
from fef.grammar.vocabulary import Vocabulary
from fef.serve.letters import Command
from fef.text import TextFormat

__all__ = ["Packer", "Unpacker"]

_KEPT = 16  # grammars

Name = tuple[Grammar, bool]


class Known(OrderedDict[Name, TokenGrammar]):
    """The grammars used last."""

    def used(self, name: Name, grammar: TokenGrammar) -> TokenGrammar:
        self[name] = grammar
        self.move_to_end(name)
        if len(self) > _KEPT:
            self.popitem(last=False)
        return grammar


class Packer:
    """format: that of the engine's texts."""

    def __init__(self, format: TextFormat) -> None:
        self.format, self.known = format, Known()

    def packed(self, command: Command) -> bytes:
        return pickled(command, self.named)

    def named(self, value: Any) -> Any:
        if not isinstance(value, TokenGrammar):
            return self.vocabulary(value)
        name = value.grammar, value.reads_behind
        body = None if name in self.known else pickled(value, self.vocabulary)
        self.known.used(name, value)
        return name, body

    def vocabulary(self, value: Any) -> Any:
        if not isinstance(value, Vocabulary):
            return None
        assert value is self.format.vocabulary, "grammars of requests are of all tokens"
        return ()


class Unpacker:
    """format: as in `Packer`."""

    def __init__(self, format: TextFormat) -> None:
        self.format, self.known = format, Known()

    def unpacked(self, body: bytes) -> Any:
        return unpickled(body, self.of_name)

    def of_name(self, told: Any) -> Any:
        if told == ():
            return self.format.vocabulary
        name, body = told
        grammar = self.known[name] if body is None else unpickled(body, self.of_name)
        return self.known.used(name, grammar)


def pickled(value: Any, named: Callable[[Any], Any]) -> bytes:
    """named: what stands for a value, or None."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.persistent_id = named  # type: ignore[method-assign]
    pickler.dump(value)
    return buffer.getvalue()


def unpickled(body: bytes, of_name: Callable[[Any], Any]) -> Any:
    unpickler = pickle.Unpickler(io.BytesIO(body))
    unpickler.persistent_load = of_name  # type: ignore[method-assign]
    return unpickler.load()
