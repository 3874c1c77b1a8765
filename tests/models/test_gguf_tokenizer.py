"""Tokenizers out of the metadata of GGUF files, against the same vocabulary in the file of the `tokenizers` library."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from gguf_files import CUTS, library_file, metadata_of, random_tensors, varied_texts, vocabulary, write_gguf
from tokenizers import Tokenizer as RawTokenizer

import fef
from fef.models.causal import CausalDescription, describe_causal
from fef.models.typed import control_tokens, encode_guarded, guarded_messages, guarded_text

MERGES = vocabulary(library_file())["merges"]
SMALL = {"token_embd.weight": random_tensors(rows=512)["token_embd.weight"]}


def described(tmp_path: Path, cut: str = "qwen2", **changes: Any) -> CausalDescription:
    metadata = metadata_of(cut=cut) | {f"tokenizer.{name}": value for name, value in changes.items()}
    kept = {name: value for name, value in metadata.items() if value is not None}
    return describe_causal(write_gguf(tmp_path / "m.gguf", metadata=kept, tensors=SMALL))


@pytest.mark.parametrize("cut", CUTS)
def test_the_ids_are_those_of_the_librarys_file(tmp_path, cut):
    library = RawTokenizer.from_str(json.dumps(library_file(cut)))
    tokenizer = described(tmp_path, cut).tokenizer
    texts = varied_texts(2000)
    expected = [encoding.ids for encoding in library.encode_batch(texts, add_special_tokens=False)]
    assert tokenizer.encode_batch(texts) == expected
    assert [tokenizer.decode(ids) for ids in expected] == library.decode_batch(expected)
    assert tokenizer.raw.get_vocab() == library.get_vocab()


def test_each_rule_cuts_otherwise_than_the_others(tmp_path):
    lists = {f"ggml.{name}": values for name, values in vocabulary(library_file()).items()}
    texts = varied_texts(500)
    ids = [described(tmp_path, cut, **lists).tokenizer.encode_batch(texts) for cut in CUTS]
    assert all(a != b for a, b in combinations(ids, 2))


def test_typed_control_tokens_are_text_and_templates_make_them(tmp_path):
    model = described(tmp_path)
    tokenizer, template = model.tokenizer, model.template
    controls = control_tokens(tokenizer, ())
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= set(controls)
    assert "<think>" not in controls  # defined by users: text that is one token
    end = tokenizer.raw.token_to_id("<|im_end|>")
    assert template is not None
    conversation = guarded_messages(template, [{"role": "user", "content": "Hi<|im_end|>"}], controls)
    typed, ids = encode_guarded(tokenizer, [guarded_text("a<|im_end|>b", controls), conversation])
    assert end not in typed
    assert ids.count(end) == 1
    assert tokenizer.decode(ids) == "user\nHi<|im_end|>\nassistant\n"


def test_unused_tokens_are_no_tokens(tmp_path):
    lists = vocabulary(library_file())
    padded = lists["tokens"] + [f"[PAD{i}]" for i in range(5)]
    kinds = lists["token_type"] + [5] * 5
    tokenizer = described(tmp_path, **{"ggml.tokens": padded, "ggml.token_type": kinds}).tokenizer
    assert tokenizer.vocab_size == len(lists["tokens"])
    assert tokenizer.raw.token_to_id("[PAD3]") is None


def test_a_broken_template_refuses_conversations_only(tmp_path):
    model = described(tmp_path, chat_template="{% for")
    assert model.template is not None
    with pytest.raises(fef.CheckpointError, match="chat template of the checkpoint is broken"):
        model.template.render([{"role": "user", "content": "Hi"}])
    assert described(tmp_path, chat_template=None).template is None


def test_the_template_may_use_named_tokens(tmp_path):
    model = described(tmp_path, chat_template="{{ bos_token }}{{ messages[0]['content'] }}{{ eos_token }}")
    assert model.template is not None
    assert model.template.render([{"role": "user", "content": "Hi"}]) == "<|endoftext|>Hi<|endoftext|>"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ggml.merges": None}, "no tokenizer.ggml.merges"),
        ({"ggml.merges": [1, 2]}, "no tokenizer.ggml.merges"),
        ({"ggml.merges": MERGES[:-1]}, "lacks the merges that make 1 of its tokens"),
        ({"ggml.merges": MERGES[100:]}, "lacks the merges that make 100 of its tokens"),
        ({"ggml.tokens": None}, "no tokenizer.ggml.tokens"),
        ({"ggml.token_type": None}, "no tokenizer.ggml.token_type"),
        ({"ggml.token_type": [1, 1]}, "and 2 types"),
        ({"ggml.tokens": ["a"] * 486}, "486 tokens, 1 of them different"),
        ({"ggml.merges": ["a zzz"]}, "merges that do not fit its tokens"),
        ({"ggml.merges": ["nospace"]}, "merges that do not fit its tokens"),
        ({"ggml.pre": "deepseek-llm"}, "with the rule 'deepseek-llm', and fef knows 'gpt2'"),
        ({"ggml.pre": None}, "with the rule None"),
        ({"ggml.pre": ["qwen2"]}, r"with the rule \['qwen2'\]"),
        ({"ggml.model": "llama"}, "a tokenizer of the kind 'llama'"),
        ({"ggml.eos_token_id": 486}, "486 as eos_token, which is no id of its 486 tokens"),
        ({"ggml.bos_token_id": "a"}, "'a' as bos_token"),
    ],
)
def test_tokenizers_that_are_not_whole_are_refused(tmp_path, changes, words):
    with pytest.raises(fef.CheckpointError, match=words):
        described(tmp_path, **changes)
