"""The tokenizer and the chat template in the metadata of a GGUF file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as RawTokenizer

from fef.errors import CheckpointError
from fef.models.byte_level import LLAMA3_PATTERN, QWEN_PATTERN, byte_level, cut_at_words, cut_by, cut_digits
from fef.models.chat import ChatTemplate
from fef.models.gguf.file import GgufFile
from fef.models.tokenizer import Tokenizer
from fef.readers import shown, whole

__all__ = ["named_ids", "read_template", "read_tokenizer"]

PREFIX = "tokenizer.ggml."
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5  # tokenizer.ggml.token_type
CUTS: dict[str, Callable[[], pre_tokenizers.PreTokenizer]] = {  # by tokenizer.ggml.pre
    "gpt-2": cut_at_words,
    "llama-bpe": lambda: cut_by(LLAMA3_PATTERN),
    "qwen2": lambda: cut_by(QWEN_PATTERN),
    "smollm": cut_digits,
}
COMPOSED = ("qwen2",)  # whose text is brought into Unicode's form NFC first
WHOLE_WORDS = ("llama-bpe",)  # where a piece that is a token is one, whatever the merges would make of it
NAMES = {"bos": "bos_token", "eos": "eos_token", "unknown": "unk_token", "padding": "pad_token", "mask": "mask_token"}
NAMES |= {name: f"{name}_token" for name in ("eot", "eom", "seperator", "cls")}  # sic


def read_tokenizer(file: GgufFile) -> Tokenizer:
    """The byte-level BPE of a file; unused tokens stay out of it.

    Raises CheckpointError for another kind of tokenizer, an unknown rule of cutting text, and lists that are missing or do
    not fit each other.
    """
    model, cut = (file.metadata.get(PREFIX + name) for name in ("model", "pre"))
    if model != "gpt2" or not isinstance(cut, str) or cut not in CUTS:
        raise CheckpointError(
            f"{file.path} has a tokenizer of the kind {shown(model)} with the rule {shown(cut)}, and fef knows 'gpt2' "
            f"(byte-level BPE) with {', '.join(CUTS)}. Take the model in safetensors."
        )
    tokens, merges, kinds = listed(file, "tokens", str), listed(file, "merges", str), listed(file, "token_type", int)
    if len(kinds) != len(tokens) or len(set(tokens)) != len(tokens):
        raise CheckpointError(
            f"{file.path} has {len(tokens)} tokens, {len(set(tokens))} of them different, and {len(kinds)} types; the "
            "numbers must be the same. Convert the model again."
        )
    vocabulary = {token: i for i, token in enumerate(tokens) if kinds[i] != UNUSED}
    pairs = [(first, second) for first, _, second in (merge.partition(" ") for merge in merges)]
    try:
        bpe = models.BPE(vocabulary, pairs, ignore_merges=cut in WHOLE_WORDS)
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(
            f"{file.path} has merges that do not fit its tokens ({error}). Convert the model again."
        ) from error
    made = {first + second for first, second in pairs}
    unmade = [t for t, kind in zip(tokens, kinds, strict=True) if kind == NORMAL and len(t) > 1 and t not in made]
    if unmade and cut not in WHOLE_WORDS:
        raise CheckpointError(
            f"{file.path} lacks the merges that make {len(unmade)} of its tokens, {shown(unmade[0])} among them. Convert the "
            "model again, or take it in safetensors."
        )
    raw = byte_level(bpe, CUTS[cut]())
    if cut in COMPOSED:
        raw.normalizer = normalizers.NFC()
    add_tokens(raw, tokens, kinds)
    return Tokenizer(raw)


def listed(file: GgufFile, name: str, kind: type) -> list[Any]:
    """A list of the tokenizer. Raises CheckpointError where it is missing, empty or of other values."""
    values = file.metadata.get(PREFIX + name)
    if not isinstance(values, list) or not values or not all(isinstance(value, kind) for value in values):
        raise CheckpointError(
            f"{file.path} has no {PREFIX}{name}, without which its tokenizer is not whole. Convert the model again, or take "
            "it in safetensors."
        )
    return values


def add_tokens(raw: RawTokenizer, tokens: list[str], kinds: list[int]) -> None:
    """Make control tokens, and those that users defined, stand for themselves wherever they occur."""
    for token, kind in zip(tokens, kinds, strict=True):
        if kind in (UNKNOWN, CONTROL, USER_DEFINED):
            raw.add_tokens([AddedToken(token, special=kind != USER_DEFINED, normalized=False)])


def named_ids(file: GgufFile) -> dict[str, int]:
    """The ids of bos_token, eos_token and the like, as far as the metadata names them."""
    size = len(listed(file, "tokens", str))
    given = {name: file.metadata.get(f"{PREFIX}{key}_token_id") for key, name in NAMES.items()}
    named = {name: value for name, value in given.items() if value is not None}
    for name, value in named.items():
        number = whole(value)
        if number is None or not 0 <= number < size:
            raise CheckpointError(
                f"{file.path}: its metadata has {shown(value)} as {name}, which is no id of its {size} tokens."
            )
    return named


def read_template(file: GgufFile) -> ChatTemplate | None:
    """As `ChatTemplate.load`."""
    source = file.metadata.get("tokenizer.chat_template")
    tokens = listed(file, "tokens", str)
    return None if source is None else ChatTemplate.usable(source, {n: tokens[i] for n, i in named_ids(file).items()})
