"""Byte-level BPE tokenizers (GPT-2): merges over bytes, within pieces that a rule cuts text into."""

from __future__ import annotations

from tokenizers import Regex, decoders, models, pre_tokenizers
from tokenizers import Tokenizer as RawTokenizer

__all__ = ["LLAMA3_PATTERN", "QWEN_PATTERN", "byte_level", "cut_at_words", "cut_by", "cut_digits"]

# How Llama 3 and Qwen2 cut text: words with one leading sign, digits (up to three, or single), signs, line ends, spaces.
LLAMA3_PATTERN, QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + digits
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in (r"\p{N}{1,3}", r"\p{N}")
)


def byte_level(model: models.BPE, cut: pre_tokenizers.PreTokenizer) -> RawTokenizer:
    """The tokenizer of a vocabulary with merges, over bytes."""
    raw = RawTokenizer(model)
    raw.pre_tokenizer = cut
    raw.decoder = decoders.ByteLevel()
    return raw


def cut_at_words() -> pre_tokenizers.PreTokenizer:
    """GPT-2's own rule: words, numbers and signs with the space before them."""
    return pre_tokenizers.ByteLevel(add_prefix_space=False)


def cut_digits() -> pre_tokenizers.PreTokenizer:
    """GPT-2's rule with single digits, so that numbers align by place."""
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), cut_at_words()])


def cut_by(pattern: str) -> pre_tokenizers.PreTokenizer:
    """The rule of a regular expression: each of its matches is a piece."""
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
