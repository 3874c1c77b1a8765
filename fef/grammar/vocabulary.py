"""The bytes of every token, which is what a grammar speaks of.

Shapes: V vocabulary, N nodes of the tree of their bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from fef.errors import OptionError
from fef.models.tokenizer import Tokenizer

__all__ = ["ByteTree", "Numbers", "Vocabulary", "ending", "token_bytes"]

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """tokens: the bytes of each id, empty where it is no text. eos_id: the id that ends a text, and fills what is left.
    stop_ids: others that end one, behind which only `eos_id` stands."""

    tokens: tuple[bytes, ...]
    eos_id: int
    stop_ids: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return len(self.tokens)

    @cached_property
    def end_ids(self) -> list[int]:
        return [self.eos_id, *self.stop_ids]

    @cached_property
    def tree(self) -> ByteTree:
        return ByteTree.of(self.tokens)

    def without(self, banned: Iterable[int]) -> Vocabulary:
        """The same in which these ids are no text; itself, where they are none already."""
        dropped = frozenset(i for i in banned if i < self.size and self.tokens[i])
        return smaller(self, dropped) if dropped else self


@lru_cache(maxsize=16)
def smaller(vocabulary: Vocabulary, dropped: frozenset[int]) -> Vocabulary:
    tokens = (b"" if i in dropped else token for i, token in enumerate(vocabulary.tokens))
    return Vocabulary(tuple(tokens), vocabulary.eos_id, vocabulary.stop_ids)


@dataclass(frozen=True)
class ByteTree:
    """Tokens by their bytes. Node 0 is the root; the children of a node stand one behind the other, and so do the ids of the
    tokens that end at a node."""

    byte_N: Numbers  # the last byte of each node
    first_child_N: Numbers
    children_N: Numbers  # how many
    first_id_N: Numbers
    ids_N: Numbers  # how many
    id_T: Numbers  # ids of the tokens that have bytes, by node

    @classmethod
    def of(cls, tokens: Sequence[bytes]) -> ByteTree:
        id_T = np.array([i for i, token in enumerate(tokens) if token], dtype=np.int64)
        length_T = np.array([len(tokens[i]) for i in id_T], dtype=np.int64)
        flat = np.frombuffer(b"".join(tokens[i] for i in id_T), dtype=np.uint8).astype(np.int64)
        start_T = np.cumsum(length_T) - length_T
        node_T = np.zeros_like(id_T)
        bytes_, parents, nodes = [np.zeros(1, dtype=np.int64)], [np.full(1, -1, dtype=np.int64)], 1
        for depth in range(int(length_T.max(initial=0))):  # nodes of one depth by parent, then byte
            (deep,) = (length_T > depth).nonzero()
            key, inverse = np.unique(node_T[deep] * 256 + flat[start_T[deep] + depth], return_inverse=True)
            node_T[deep] = nodes + inverse
            bytes_.append(key % 256)
            parents.append(key // 256)
            nodes += len(key)
        parent_N = np.concatenate(parents)
        children_N = np.bincount(parent_N[1:], minlength=nodes)
        ids_N = np.bincount(node_T, minlength=nodes)
        return cls(
            byte_N=np.concatenate(bytes_),
            first_child_N=1 + np.cumsum(children_N) - children_N,
            children_N=children_N,
            first_id_N=np.cumsum(ids_N) - ids_N,
            ids_N=ids_N,
            id_T=id_T[np.argsort(node_T, kind="stable")],
        )


def token_bytes(tokenizer: Tokenizer, size: int, eos_id: int | None, stop_ids: Iterable[int] = ()) -> Vocabulary:
    """The bytes of a byte-level tokenizer's tokens, of a network with `size` ids; special tokens are no text.

    Raises OptionError for another kind of tokenizer, and where no id ends a text.
    """
    described: dict[str, Any] = json.loads(tokenizer.raw.to_str())
    if not any(part.get("type") == "ByteLevel" for part in parts_of(described.get("decoder"))):
        raise OptionError(
            "A grammar needs a byte-level tokenizer, whose tokens are strings of bytes; this one is of another kind. "
            "Leave grammar out."
        )
    if eos_id is None:
        raise OptionError("A grammar needs an end token, and the model has none. Leave grammar out.")
    tokens = [b""] * size
    for text, i in described["model"]["vocab"].items():
        if i < size and all(character in BYTES for character in text):
            tokens[i] = bytes(BYTES[character] for character in text)
    for added in described.get("added_tokens", []):
        if added["id"] < size:
            tokens[added["id"]] = b"" if added["special"] else added["content"].encode()
    return ending(tokens, eos_id, stop_ids)


def ending(tokens: Sequence[bytes], eos_id: int, stop_ids: Iterable[int]) -> Vocabulary:
    """A vocabulary in which these ids end texts, and are no text themselves."""
    ends = {eos_id, *stop_ids}
    cleared = tuple(b"" if i in ends else token for i, token in enumerate(tokens))
    return Vocabulary(cleared, eos_id, tuple(sorted(ends - {eos_id})))


def parts_of(decoder: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A decoder and those that it is a sequence of."""
    if decoder is None:
        return []
    return [decoder, *(part for each in decoder.get("decoders", []) for part in parts_of(each))]


def byte_letters() -> dict[str, int]:
    """The letters that stand for bytes in byte-level vocabularies (GPT-2): printable ones for themselves, and the others, in
    their order, from U+0100 on."""
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in own]
    return {chr(byte): byte for byte in own} | {chr(0x100 + i): byte for i, byte in enumerate(others)}


BYTES = byte_letters()
