"""The tokenizer files of a released checkpoint: `tokenizer.json`, or `vocab.json` with `merges.txt`, and named tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeGuard

from tokenizers import AddedToken, models, normalizers
from tokenizers import Tokenizer as RawTokenizer

from fef.errors import CheckpointError
from fef.models.byte_level import QWEN_PATTERN, byte_level, cut_by
from fef.models.tokenizer import Tokenizer

__all__ = ["TOKENIZER", "load_tokenizer", "named_tokens", "read_json", "tokenizer_settings"]

TOKENIZER, VOCABULARY, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
SETTINGS, SPECIALS, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
ID_DIGITS = 9  # of the number of a token
QWEN_CLASSES = ("DreamTokenizer", "Qwen2Tokenizer", "Qwen2TokenizerFast")


def load_tokenizer(path: Path) -> Tokenizer | None:
    """The tokenizer of a model directory, None if it has none. Raises CheckpointError for one that cannot be read."""
    if (path / TOKENIZER).is_file():
        tokenizer = Tokenizer.load(path / TOKENIZER)
    elif (path / VOCABULARY).is_file():
        tokenizer = Tokenizer(qwen_tokenizer(path))
    else:
        return None
    add_tokens(tokenizer.raw, path)
    return Tokenizer(tokenizer.raw)


def qwen_tokenizer(path: Path) -> RawTokenizer:
    """The byte-level BPE of Qwen2, which vocab.json and merges.txt alone do not describe."""
    kind = tokenizer_settings(path).get("tokenizer_class")
    if kind not in QWEN_CLASSES:
        raise CheckpointError(
            f"{path} has {VOCABULARY} but no {TOKENIZER}, and its tokenizer_class is {kind!r}; fef knows the rules of "
            f"{', '.join(QWEN_CLASSES)}. For others add the {TOKENIZER} of the fast tokenizer."
        )
    if not (path / MERGES).is_file():
        raise CheckpointError(f"{path} has {VOCABULARY} but no {MERGES}. Download or copy it again.")
    try:
        raw = byte_level(models.BPE.from_file(str(path / VOCABULARY), str(path / MERGES)), cut_by(QWEN_PATTERN))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{VOCABULARY} and {MERGES} of {path} are not a tokenizer ({error}).") from error
    raw.normalizer = normalizers.NFC()
    return raw


def add_tokens(raw: RawTokenizer, path: Path) -> None:
    """Add the tokens that stand outside the vocabulary file, each under the id that the checkpoint gives it.

    added_tokens.json is read only where tokenizer_config.json lists none: released copies of the two disagree. What
    tokenizer_config.json says of a token goes before what tokenizer.json says of it, as in `transformers`.
    """
    listed = tokenizer_settings(path).get("added_tokens_decoder")
    special = listed is None  # where nothing says so
    if listed is None:
        listed = {str(i): {"content": text} for text, i in read_json(path / ADDED).items()}
    fits = isinstance(listed, dict) and all(
        number.isdecimal() and len(number) <= ID_DIGITS and isinstance(entry, dict) and is_text(entry.get("content"))
        for number, entry in listed.items()
    )
    if not fits:
        raise CheckpointError(f"{path}: the added tokens in {SETTINGS} or {ADDED} are not a table of ids and texts.")
    known = {token.content: token for token in raw.get_added_tokens_decoder().values()}
    for number, entry in sorted(listed.items(), key=lambda item: int(item[0])):
        content = entry["content"]
        old = known.get(content, AddedToken(content, special=special, normalized=False))
        flags = {name: bool(entry.get(name, getattr(old, name))) for name in FLAGS}
        same = content in known and all(getattr(old, name) == value for name, value in flags.items())
        if same and raw.id_to_token(int(number)) == content:
            continue
        raw.add_tokens([AddedToken(content, **flags)])
        if raw.token_to_id(content) != int(number):
            raise CheckpointError(
                f"{path}: {SETTINGS} gives {content!r} the id {number}, but the tokenizer gives it "
                f"{raw.token_to_id(content)}; the files belong to different models."
            )


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that UTF-8 can hold."""
    try:
        return isinstance(value, str) and value.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def named_tokens(path: Path) -> dict[str, str]:
    """The texts of bos_token, eos_token, mask_token and the like, as far as the checkpoint names them."""
    merged: dict[str, Any] = read_json(path / SPECIALS) | tokenizer_settings(path)
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in merged.items()}
    return {name: text for name, text in texts.items() if name.endswith("_token") and is_text(text)}


def tokenizer_settings(path: Path) -> dict[str, Any]:
    return read_json(path / SETTINGS)


def read_json(file: Path) -> dict[str, Any]:
    """The JSON object in a file, empty if there is no such file. Raises CheckpointError for anything else."""
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: no JSON, no UTF-8, or a number of too many digits
        raise CheckpointError(f"{file} is not valid JSON ({error}). Copy the file again.") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{file} must hold a JSON object.")
    return values
