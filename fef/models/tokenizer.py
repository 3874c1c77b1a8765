"""Text <-> ids. Special ids of our own tokenizers live outside the vocabulary, so no typed text can ever become one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import models, pre_tokenizers, trainers

from fef.errors import CheckpointError
from fef.models.byte_level import byte_level, cut_digits

__all__ = ["Tokenizer"]

MOST_IDS = 1 << 24


class Tokenizer:
    """Wraps a `tokenizers.Tokenizer`; ids from `vocab_size` on (mask, end, answer) decode to nothing, as special tokens do.

    holes: ids below `vocab_size` that are no token. What the file stores about cutting or filling is switched off. Raises
    CheckpointError for ids that no vocabulary has.
    """

    def __init__(self, raw: RawTokenizer) -> None:
        raw.no_truncation()
        raw.no_padding()
        ids = set(raw.get_vocab(with_added_tokens=True).values())
        self.raw = raw
        self.vocab_size: int = max(ids, default=-1) + 1
        if self.vocab_size > MOST_IDS:
            raise CheckpointError(
                f"A token of the tokenizer has the id {self.vocab_size - 1:,}; ids are below {MOST_IDS:,}. Copy it again."
            )
        self.holes = sorted(set(range(self.vocab_size)) - ids)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Byte-level BPE of at most `vocab_size` entries; digits stay single, so that numbers align by place."""
        raw = byte_level(models.BPE(), cut_digits())
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
        )
        raw.train_from_iterator(texts, trainer)
        return cls(raw)

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """Raises CheckpointError when the file is missing or is no tokenizer."""
        if not path.is_file():
            raise CheckpointError(f"{path.parent} has no {path.name}. A model directory needs one next to its weights.")
        try:
            raw = RawTokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"{path} is not a readable tokenizer ({error}). Copy the file again.") from error
        return cls(raw)

    def save(self, path: Path) -> None:
        self.raw.save(str(path), pretty=False)

    def encode(self, text: str) -> list[int]:
        return list(self.raw.encode(text, add_special_tokens=False).ids)

    def encode_guarded(self, text: str, guard: str) -> list[int]:
        """Ids of a text in which the character `guard` breaks typed control tokens (`fef.models.typed`); it is left out.

        Between two tokens that stand outside the vocabulary, a piece with a guard is encoded by the vocabulary alone, and
        any other as always.
        """
        encoding = self.raw.encode(text, add_special_tokens=False)
        found: list[int] = encoding.ids  # a copy each time
        added, offsets = self.raw.get_added_tokens_decoder().keys(), encoding.offsets
        places = [(i, *offsets[i]) for i, token in enumerate(found) if token in added]
        ids: list[int] = []
        first, start = 0, 0
        for at, low, high in [*places, (len(found), len(text), len(text))]:
            piece = text[start:low]
            ids += self.plain_ids(piece, guard, start) if guard in piece else found[first:at]
            ids += found[at : at + 1]
            first, start = at + 1, high
        return ids

    def plain_ids(self, piece: str, guard: str, start: int) -> list[int]:
        """Of the piece that begins at `start` of a text."""
        ids = self.plain(start == 0).encode(piece.replace(guard, ""), add_special_tokens=False).ids
        if set(ids) & self.raw.get_added_tokens_decoder().keys():  # the vocabulary has them, too: keep the parts apart
            parts = [
                self.plain(start == number == 0).encode(part, add_special_tokens=False).ids
                for number, part in enumerate(piece.split(guard))
            ]
            ids = [token for part in parts for token in part]
        return list(ids)

    def plain(self, at_start: bool) -> RawTokenizer:
        """The vocabulary alone: no text is a control token to it. at_start: for what a text begins with, before which some
        tokenizers see a space."""
        return self.both_plain[0 if at_start else 1]

    @cached_property
    def both_plain(self) -> tuple[RawTokenizer, RawTokenizer]:
        described = json.loads(self.raw.to_str()) | {"added_tokens": [], "post_processor": None}
        whole = json.dumps(described)
        behind = whole.replace('"prepend_scheme": "first"', '"prepend_scheme": "never"')
        first = RawTokenizer.from_str(whole)
        return first, first if behind == whole else RawTokenizer.from_str(behind)

    def ids_of(self, tokens: Iterable[str]) -> list[int]:
        """The ids of those tokens that it has."""
        ids = (self.raw.token_to_id(token) for token in tokens)
        return [i for i in ids if i is not None]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Of several texts, in threads of the tokenizer's own and without Python's lock, and without their offsets."""
        encodings: list[tokenizers.Encoding] = self.raw.encode_batch_fast(list(texts), add_special_tokens=False)
        return [e.ids for e in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        size = self.vocab_size
        return str(self.raw.decode([i for i in ids if 0 <= i < size], skip_special_tokens=True))
