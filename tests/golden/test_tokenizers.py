"""Text, ids and chat renderings equal those of the official tokenizers."""

from __future__ import annotations

import pytest
from golden import GOLDEN, description, families, read

from fef.models.chat import ChatTemplate
from fef.models.tokenizer import Tokenizer
from fef.models.tokenizer_files import named_tokens

TOKENIZER = "tokenizer.json"


def tokenizer_of(family: str) -> Tokenizer:
    tokenizer = description(family).tokenizer
    assert tokenizer is not None
    return tokenizer


@pytest.mark.parametrize("family", families(TOKENIZER))
def test_texts(family):
    tokenizer = tokenizer_of(family)
    for case in read(family, TOKENIZER)["encode"]:
        assert tokenizer.encode(case["text"]) == case["ids"]
        assert tokenizer.raw.decode(case["ids"], skip_special_tokens=False) == case["decoded"]
        assert tokenizer.decode(case["ids"]) == case["decoded_skip_special"]


@pytest.mark.parametrize("family", families(TOKENIZER))
def test_chats(family):
    template = ChatTemplate.load(GOLDEN / family / "checkpoint")
    for case in read(family, TOKENIZER).get("chat", []):
        assert template is not None
        settings = {key: value for key, value in case.items() if key not in ("messages", "text", "ids")}
        text = template.render(case["messages"], **settings)
        assert text == case["text"]
        assert tokenizer_of(family).encode(text) == case["ids"]


@pytest.mark.parametrize("family", families(TOKENIZER))
def test_special_ids(family):
    tokenizer, config = tokenizer_of(family), description(family).config
    named = named_tokens(GOLDEN / family / "checkpoint")
    ids = {f"{name}_id": tokenizer.raw.token_to_id(text) for name, text in named.items()}
    for name, wanted in read(family, TOKENIZER)["special_ids"].items():
        assert ids.get(name) == wanted
    assert config.mask_id == read(family, "decode.json")["special_ids"]["mask"]
    assert {config.eos_id, *config.stop_ids} >= {read(family, "decode.json")["special_ids"]["eos"]}
