"""Causal language models in safetensors, and what a diffusion model needs of any of them: a mask, and an end of turns."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf_files import (
    DIM,
    EPS,
    HEAD_SIZE,
    HEADS,
    KV_HEADS,
    LAYERS,
    LENGTH,
    MLP,
    TEMPLATE,
    THETA,
    causal_logits,
    library_file,
    metadata_of,
    random_tensors,
    stored_name,
    vocabulary,
    write_gguf,
)
from safetensors.torch import load_file, save_file
from torch import Tensor

import fef
from fef.models.causal import describe_causal, load_causal

GOLDEN = Path(__file__).parents[1] / "golden" / "data"
IDS = torch.tensor([5, 300, 17, 17, 461, 8, 99, 250, 1, 33, 462, 7])
ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}


def config_of(arch: str) -> dict[str, Any]:
    return {
        "architectures": [ARCHITECTURES[arch]],
        "model_type": arch,
        "vocab_size": 486,
        "hidden_size": DIM,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "intermediate_size": MLP,
        "max_position_embeddings": LENGTH,
        "rms_norm_eps": EPS,
        "rope_theta": THETA,
        "rope_scaling": None,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "eos_token_id": 460,
    }


def write_directory(path: Path, arch: str = "llama", library: dict[str, Any] | None = None, **changes: Any) -> Path:
    path.mkdir(exist_ok=True)
    config = config_of(arch) | changes
    tensors = random_tensors(
        arch, config["vocab_size"], config["tie_word_embeddings"], config.get("attention_bias", False)
    )
    save_file({stored_name(key): torch.from_numpy(t.copy()) for key, t in tensors.items()}, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text(json.dumps(library or library_file()))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|endoftext|>", "chat_template": TEMPLATE}))
    return path


def plain_logits(arch: str, config: dict[str, Any]) -> Tensor:
    tensors = random_tensors(
        arch, config["vocab_size"], config["tie_word_embeddings"], config.get("attention_bias", False)
    )
    return causal_logits({key: torch.from_numpy(t).double() for key, t in tensors.items()}, IDS, interleaved=False)


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("llama", {}),
        ("llama", {"attention_bias": True}),
        ("llama", {"tie_word_embeddings": False, "vocab_size": 500}),
        ("qwen2", {}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("qwen3", {}),
    ],
)
def test_each_layout_is_run_as_its_network(tmp_path, arch, changes):
    network, tokenizer = load_causal(write_directory(tmp_path / "m", arch, **changes), dtype=torch.float32)
    expected = plain_logits(arch, config_of(arch) | changes)
    assert (network(IDS[None])[0] - expected).abs().max() < 1e-4 * expected.std()
    assert network.config.attention == "causal"
    assert not network.config.shift
    assert tokenizer.vocab_size == 486
    assert network.name == "m"


def test_another_network_would_be_told_apart(tmp_path):
    path = write_directory(tmp_path / "m", "qwen3")
    weights = load_file(path / "model.safetensors")
    weights["model.layers.0.self_attn.q_norm.weight"] = torch.ones(HEAD_SIZE)
    save_file(weights, path / "model.safetensors")
    network, _ = load_causal(path, dtype=torch.float32)
    expected = plain_logits("qwen3", config_of("qwen3"))
    assert (network(IDS[None])[0] - expected).abs().max() > 0.01 * expected.std()


def test_later_tokens_change_no_logits(tmp_path):
    network, _ = load_causal(write_directory(tmp_path / "m"), dtype=torch.float32)
    changed = IDS.clone()
    changed[7:] = 3
    before, after = network(torch.stack([IDS, changed])).unbind()
    assert torch.allclose(before[:7], after[:7], atol=1e-5)
    assert not torch.allclose(before[7:], after[7:], atol=1e-2)


def test_weights_are_bfloat16_unless_asked_otherwise(tmp_path):
    path = write_directory(tmp_path / "m")
    assert load_causal(path)[0].embed.weight.dtype == torch.bfloat16
    assert load_causal(str(path), dtype=torch.float32)[0].embed.weight.dtype == torch.float32
    with pytest.raises(fef.OptionError, match="float16 is unusably slow"):
        load_causal(path, dtype=torch.float16)


def with_tokens(*tokens: str | tuple[str, bool]) -> dict[str, Any]:
    """The library file with other tokens outside of its vocabulary: texts, or (text, special)."""
    described = library_file()
    first = len(described["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    pairs = [token if isinstance(token, tuple) else (token, True) for token in tokens]
    added = [{"id": first + i, "content": text, "special": special, **flags} for i, (text, special) in enumerate(pairs)]
    return described | {"added_tokens": added}


CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


@pytest.mark.parametrize(
    ("tokens", "mask"),
    [
        ((*CHAT, "<repo_name>", "<file_sep>"), "<repo_name>"),
        (("<repo_name>", *CHAT), "<repo_name>"),
        ((*CHAT, "<file_sep>", "<|reserved_special_token_3|>"), "<|reserved_special_token_3|>"),
        ((*CHAT, "<|eot_id|>", "<|eom_id|>", "<|start_header_id|>", "<unused7>"), "<unused7>"),
        ((*CHAT, "<|mask|>"), "<|mask|>"),
        ((*CHAT, "<s>", "<file_sep>"), "<file_sep>"),  # bos
        ((*CHAT, ("<think>", False)), None),
        (CHAT, None),
        ((), None),
    ],
)
def test_the_mask_is_a_control_token_without_use_or_a_new_one(tmp_path, tokens, mask):
    library = with_tokens(*tokens)
    rows = 460 + len(tokens)
    path = write_directory(tmp_path / "m", library=library, vocab_size=rows, eos_token_id=None)
    settings = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    network, tokenizer = load_causal(path, dtype=torch.float32)
    assert tokenizer.raw.id_to_token(network.mask_id) == mask
    assert tokenizer.vocab_size == rows
    if mask is None:
        assert network.mask_id == rows
        assert network.vocab_size == rows + 1
        assert torch.allclose(network.embed.weight[-1], network.embed.weight[:-1].mean(0), atol=1e-6)


def test_ids_that_any_setting_names_are_no_mask(tmp_path):
    path = write_directory(tmp_path / "m", library=with_tokens(*CHAT, "<a>", "<b>", "<c>", "<d>"), vocab_size=467)
    (path / "generation_config.json").write_text(json.dumps({"eos_token_id": [460, 463], "pad_token_id": 464}))
    (path / "config.json").write_text(json.dumps(config_of("llama") | {"vocab_size": 467, "bos_token_id": 465}))
    assert describe_causal(path).config.mask_id == 466


def test_tokens_that_the_template_writes_are_no_mask(tmp_path):
    path = write_directory(tmp_path / "m", library=with_tokens(*CHAT, "<turn>", "<b>"), vocab_size=465)
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "<turn>" + TEMPLATE}))
    assert describe_causal(path).config.mask_id == 464


@pytest.mark.parametrize("tied", [True, False])
def test_a_row_that_the_tokenizer_does_not_use_is_taken_before_a_new_one(tmp_path, tied):
    library, rows = with_tokens(*CHAT), 470
    path = write_directory(tmp_path / "m", library=library, vocab_size=rows, tie_word_embeddings=tied)
    network, _ = load_causal(path, dtype=torch.float32)
    assert (network.mask_id, network.vocab_size) == (463, rows)
    path = write_directory(tmp_path / "n", library=library, vocab_size=463, tie_word_embeddings=tied)
    network, _ = load_causal(path, dtype=torch.float32)
    assert (network.mask_id, network.vocab_size) == (463, 464)
    tables = [network.embed.weight] if tied else [network.embed.weight, network.head.weight]
    for table in tables:
        assert torch.allclose(table[-1], table[:-1].mean(0), atol=1e-6)
    assert torch.equal(network.embed.weight[:-1], torch.from_numpy(random_tensors(rows=463)["token_embd.weight"]))


def test_a_gguf_file_gets_its_mask_by_the_same_rule(tmp_path):
    lists = {f"tokenizer.ggml.{name}": v for name, v in vocabulary(with_tokens(*CHAT, "<x>")).items()}
    metadata = metadata_of() | lists
    config = describe_causal(write_gguf(tmp_path / "m.gguf", metadata=metadata)).config
    assert (config.mask_id, config.eos_id, config.stop_ids, config.vocab_size) == (463, 462, (460,), 486)
    padded = metadata | {"tokenizer.ggml.padding_token_id": 463, "tokenizer.chat_template": "{{ 1 }}"}
    config = describe_causal(write_gguf(tmp_path / "n.gguf", metadata=padded)).config
    assert (config.mask_id, config.eos_id, config.stop_ids) == (464, 460, (462,))
    tensors = random_tensors(rows=464, tied=False)
    network, _ = load_causal(write_gguf(tmp_path / "o.gguf", metadata=padded, tensors=tensors), dtype=torch.float32)
    assert (network.mask_id, network.vocab_size) == (464, 465)
    assert torch.allclose(network.head.weight[-1], network.head.weight[:-1].mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("generation", "template", "ends"),
    [
        ({}, TEMPLATE, (462, 460)),
        ({"eos_token_id": [460, 462]}, TEMPLATE, (462, 460)),
        ({"eos_token_id": 463}, TEMPLATE, (462, 463)),
        ({}, "{{ messages }}", (460, 462)),
        ({}, None, (460, 462)),
    ],
)
def test_the_end_of_a_turn_comes_first_where_there_is_a_chat(tmp_path, generation, template, ends):
    path = write_directory(tmp_path / "m")
    (path / "generation_config.json").write_text(json.dumps(generation))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    network, _ = load_causal(path)
    assert network.end_ids == ends


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["MistralForCausalLM"]}, "MistralForCausalLM, which fef does not know here"),
        ({"architectures": None, "model_type": "gpt2"}, "model_type 'gpt2', which fef does not know here"),
        ({"architectures": ["DreamModel"]}, "Supported: LlamaForCausalLM .*Qwen3, without a mixture of experts"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "no scaled rotary embedding"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"use_sliding_window": True}, "use_sliding_window"),
        ({"rope_interleaved": True}, "rope_interleaved"),
        ({"vocab_size": 485}, "486 entries but the network embeds 485"),
        ({"num_hidden_layers": 3}, "missing model.layers.2"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantized with AWQ"),
    ],
)
def test_models_that_are_no_such_network_are_refused(tmp_path, changes, words):
    path = write_directory(tmp_path / "m")
    (path / "config.json").write_text(json.dumps(config_of("llama") | changes))
    with pytest.raises(fef.CheckpointError, match=words):
        load_causal(path)


def test_missing_files_and_diffusion_models_are_refused(tmp_path):
    with pytest.raises(fef.CheckpointError, match="neither a GGUF file nor a model directory"):
        load_causal(tmp_path / "none.gguf")
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / "delta.safetensors").touch()
    for source, what in (
        ("demo", "it is what `fef train` writes"),
        (GOLDEN / "llada" / "checkpoint", "it is LLaDA"),
        (tmp_path / "delta", "it holds a change of one"),
    ):
        words = f"is no causal model as they are released: {what}.* Supported: LlamaForCausalLM .*Qwen3, without"
        with pytest.raises(fef.CheckpointError, match=words):
            load_causal(source)
    path = write_directory(tmp_path / "m")
    (path / "tokenizer.json").unlink()
    with pytest.raises(fef.CheckpointError, match=r"no tokenizer.json .* next to its weights\.$"):
        load_causal(path)


def test_a_causal_model_is_no_diffusion_model_and_told_what_makes_one_of_it(tmp_path):
    with pytest.raises(fef.CheckpointError, match=r"is a causal model \(Llama 3.*`fef adapt` makes.* Supported: LLaDA"):
        fef.load(write_directory(tmp_path / "m"))


def test_settings_of_other_programs_are_no_settings_of_the_network(tmp_path):
    path = write_directory(tmp_path / "m", **{"transformers.js_config": {"kv_cache_dtype": {"fp16": "float16"}}})
    load_causal(path)


def test_only_gguf_files_need_the_package_for_them(tmp_path, monkeypatch):
    path = write_directory(tmp_path / "m")
    monkeypatch.setitem(sys.modules, "gguf", None)  # not to be imported
    monkeypatch.setattr(fef.models, "causal", fef.models.causal)  # put back afterwards
    for name in [name for name in sys.modules if name.startswith(("fef.models.causal", "fef.models.gguf"))]:
        monkeypatch.delitem(sys.modules, name)
    fresh = importlib.import_module("fef.models.causal")
    fresh.load_causal(path)
    file = write_gguf(tmp_path / "m.gguf")
    with pytest.raises(fef.CheckpointError, match=r"pip install 'fef\[adapt\]'"):
        fresh.load_causal(file)
