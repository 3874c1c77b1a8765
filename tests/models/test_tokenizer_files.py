"""Tokenizer files that released checkpoints get wrong or leave out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import fef
from fef.models.tokenizer_files import load_tokenizer

DATA = Path(__file__).parents[1] / "golden" / "data"
FILES = ("vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json")


@pytest.fixture
def dream(tmp_path: Path) -> Path:
    for name in FILES:
        shutil.copy(DATA / "dream" / "checkpoint" / name, tmp_path)
    return tmp_path


def change(path: Path, **values: object) -> None:
    file = path / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | values
    file.write_text(json.dumps({name: value for name, value in settings.items() if value is not None}))


def test_added_tokens_are_read_where_the_settings_list_none(dream):
    whole = load_tokenizer(dream)
    change(dream, added_tokens_decoder=None)
    again = load_tokenizer(dream)
    assert whole is not None
    assert again is not None
    assert again.raw.get_vocab() == whole.raw.get_vocab()


def test_holes_are_no_tokens(dream):
    listed = json.loads((dream / "tokenizer_config.json").read_text())["added_tokens_decoder"]
    (dream / "vocab.json").write_text(json.dumps(json.loads((dream / "vocab.json").read_text()) | {"new": 490}))
    change(dream, added_tokens_decoder=listed)
    with pytest.raises(fef.CheckpointError, match="different models"):  # 464 is no longer the next free id
        load_tokenizer(dream)
    change(dream, added_tokens_decoder={})
    tokenizer = load_tokenizer(dream)
    assert tokenizer is not None
    assert tokenizer.vocab_size == 491
    assert tokenizer.holes == list(range(464, 490))


@pytest.mark.parametrize(
    ("settings", "missing", "words"),
    [
        ({"tokenizer_class": "BloomTokenizer"}, None, "'BloomTokenizer'; fef knows the rules of DreamTokenizer"),
        ({}, "merges.txt", "no merges.txt"),
    ],
)
def test_vocabularies_without_known_rules_are_refused(dream, settings, missing, words):
    change(dream, **settings)
    if missing:
        (dream / missing).unlink()
    with pytest.raises(fef.CheckpointError, match=words):
        load_tokenizer(dream)


def test_damaged_files_are_refused(dream):
    (dream / "merges.txt").write_text("a\n")
    with pytest.raises(fef.CheckpointError, match="not a tokenizer"):
        load_tokenizer(dream)
    (dream / "tokenizer_config.json").write_text("[]")
    with pytest.raises(fef.CheckpointError, match="must hold a JSON object"):
        load_tokenizer(dream)


def test_a_directory_without_a_tokenizer(tmp_path):
    assert load_tokenizer(tmp_path) is None
