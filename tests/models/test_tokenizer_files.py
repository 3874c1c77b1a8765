"""Tokenizer files that released checkpoints get wrong or leave out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer as RawTokenizer

import fef
from fef.models.tokenizer import Tokenizer
from fef.models.tokenizer_files import load_tokenizer, named_tokens

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


def test_a_damaged_id_is_no_vocabulary_of_billions(dream, tmp_path):
    (dream / "vocab.json").write_text(
        json.dumps(json.loads((dream / "vocab.json").read_text()) | {"new": 4_000_000_000})
    )
    change(dream, added_tokens_decoder={})
    with pytest.raises(fef.CheckpointError, match="the id 4,000,000,000; ids are below"):
        load_tokenizer(dream)
    (tmp_path / "tokenizer.json").write_text(
        json.dumps({"model": {"type": "WordLevel", "vocab": {"a": 2**31}, "unk_token": "a"}})
    )
    with pytest.raises(fef.CheckpointError, match="the id 2,147,483,648; ids are below"):
        Tokenizer.load(tmp_path / "tokenizer.json")


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


LONG = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
FILLED = {"strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0}


@pytest.mark.parametrize(
    "stored",
    [
        {"truncation": LONG},
        {"truncation": LONG | {"direction": "Left", "max_length": 1}},
        {"padding": FILLED | {"pad_token": "!"}},
        {"padding": FILLED | {"pad_token": "!", "strategy": "BatchLongest", "pad_to_multiple_of": 32}},
        {"truncation": LONG, "padding": FILLED | {"pad_token": "!"}},
    ],
)
def test_what_a_file_stores_about_cutting_and_filling_does_not_act(tmp_path, stored):
    whole = Tokenizer.load(DATA / "llada" / "checkpoint" / "tokenizer.json")
    described = json.loads((DATA / "llada" / "checkpoint" / "tokenizer.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(described | stored))
    raw = RawTokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer is not None
    texts = ["Tom has 12 apples and gives 3 to Ann. How many are left?", "Hi", ""]
    assert any(raw.encode(text, add_special_tokens=False).ids != whole.encode(text) for text in texts)  # it would act
    for text in texts:
        assert tokenizer.encode(text) == whole.encode(text)
    assert tokenizer.encode_batch(texts) == whole.encode_batch(texts)


@pytest.mark.parametrize(
    "listed",
    [
        *([1], {"x": {"content": "a"}}, {"5": "a"}, {"5": {}}, 3, {"512": {"content": "\ud800"}}),
        *({number: {"content": "a"}} for number in (str(2**32), str(2**64), "1" * 5000)),
    ],
)
def test_malformed_lists_of_added_tokens_are_refused(dream, listed):
    change(dream, added_tokens_decoder=listed)
    with pytest.raises(fef.CheckpointError, match="added tokens"):
        load_tokenizer(dream)


@pytest.mark.parametrize("special", [False, True])
def test_what_the_settings_say_of_a_token_goes_before_what_its_file_says(tmp_path, special):
    """A token that is special is text where it is typed, and none where it is generated."""
    shutil.copy(DATA / "sdar" / "checkpoint" / "tokenizer.json", tmp_path)
    described = json.loads((tmp_path / "tokenizer.json").read_text())
    token = next(token for token in described["added_tokens"] if token["content"] == "<|im_end|>")
    token["special"] = not special
    (tmp_path / "tokenizer.json").write_text(json.dumps(described))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    before = load_tokenizer(tmp_path)
    number = before.raw.token_to_id("<|im_end|>")
    assert before.raw.get_added_tokens_decoder()[number].special != special
    entry = {"content": "<|im_end|>", "special": special, "normalized": False}
    change(tmp_path, added_tokens_decoder={str(number): entry})
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.raw.get_added_tokens_decoder()[number].special == special
    assert not special or tokenizer.decode([number]) == ""  # tokenizers goes on to leave out what was special before
    assert tokenizer.vocab_size == before.vocab_size
    change(tmp_path, added_tokens_decoder={str(number): {"content": "<|im_end|>"}})
    assert load_tokenizer(tmp_path).raw.get_added_tokens_decoder()[number].special != special


def test_half_a_character_names_no_token(dream):
    before = named_tokens(dream)
    change(dream, cls_token="\ud800")
    assert named_tokens(dream) == before
