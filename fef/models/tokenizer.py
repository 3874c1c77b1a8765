"""Text <-> ids. Special ids of our own tokenizers live outside the vocabulary, so no typed text can ever become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

from fef.errors import CheckpointError

__all__ = ["Tokenizer"]


class Tokenizer:
    """Wraps a `tokenizers.Tokenizer`; ids from `vocab_size` on (mask, end, answer) decode to nothing, as special tokens do.

    holes: ids below `vocab_size` that are no token.
    """

    def __init__(self, raw: RawTokenizer) -> None:
        ids = set(raw.get_vocab(with_added_tokens=True).values())
        self.raw = raw
        self.vocab_size: int = max(ids, default=-1) + 1
        self.holes = sorted(set(range(self.vocab_size)) - ids)

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> Tokenizer:
        """Byte-level BPE of at most `vocab_size` entries; digits stay single, so that numbers align by place."""
        raw = RawTokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        raw.decoder = decoders.ByteLevel()
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
            return cls(RawTokenizer.from_file(str(path)))
        except Exception as error:  # tokenizers raises bare Exception
            raise CheckpointError(f"{path} is not a readable tokenizer ({error}). Copy the file again.") from error

    def save(self, path: Path) -> None:
        self.raw.save(str(path), pretty=False)

    def encode(self, text: str) -> list[int]:
        return list(self.raw.encode(text, add_special_tokens=False).ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        encodings: list[tokenizers.Encoding] = self.raw.encode_batch(list(texts), add_special_tokens=False)
        return [list(e.ids) for e in encodings]

    def decode(self, ids: Iterable[int]) -> str:
        return str(self.raw.decode([i for i in ids if 0 <= i < self.vocab_size], skip_special_tokens=True))
