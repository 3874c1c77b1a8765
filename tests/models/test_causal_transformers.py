"""Causal sources against `transformers`, where it is installed: it is no dependency, and takes no part in fef."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
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
    THETA,
    library_file,
    metadata_of,
    random_tensors,
    stored_name,
    varied_texts,
    write_gguf,
)

from fef.models.causal import describe_causal, load_causal

transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: causal sources are not compared with it"
)
pytestmark = pytest.mark.filterwarnings("ignore")
IDS = torch.tensor([[5, 300, 17, 17, 461, 8, 99, 250, 1, 33, 462, 7]])
CLASSES = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3"}


def official(arch: str, **changes: Any) -> torch.nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{CLASSES[arch]}Config")(
        vocab_size=486,
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_SIZE,
        intermediate_size=MLP,
        max_position_embeddings=LENGTH,
        rms_norm_eps=EPS,
        rope_parameters={"rope_type": "default", "rope_theta": THETA},
        initializer_range=0.1,
        **changes,
    )
    model: torch.nn.Module = getattr(transformers, f"{CLASSES[arch]}ForCausalLM")(config)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 1.0, 0.2)
    return model.eval()


def differs(path: Path, model: torch.nn.Module) -> float:
    network, _ = load_causal(path, dtype=torch.float32)
    with torch.no_grad():
        expected = model(IDS).logits
    return ((network(IDS)[..., : expected.shape[-1]] - expected).abs().max() / expected.std()).item()


@pytest.mark.parametrize(
    ("arch", "changes"),
    [
        ("llama", {"tie_word_embeddings": True}),
        ("llama", {"attention_bias": True}),
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen2", {}),
        ("qwen3", {}),
    ],
)
def test_saved_models_have_the_official_logits(tmp_path, arch, changes):
    model = official(arch, **changes)
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text(json.dumps(library_file()))
    assert differs(tmp_path, model) < 1e-4


@pytest.mark.parametrize("arch", CLASSES)
def test_gguf_files_have_the_official_logits(tmp_path, arch):
    """Converted as llama.cpp does: rows of queries and keys of Llama change places."""
    model = official(arch, tie_word_embeddings=True)
    weights = model.state_dict()
    tensors = {key: weights[stored_name(key)].numpy() for key in random_tensors(arch)}
    if arch == "llama":
        for key, rows in tensors.items():
            if "attn_q" in key or "attn_k" in key:
                tensors[key] = rows.reshape(-1, 2, HEAD_SIZE // 2, DIM).swapaxes(1, 2).reshape(rows.shape)
    tensors = {key: np.ascontiguousarray(array) for key, array in tensors.items()}
    assert differs(write_gguf(tmp_path / "m.gguf", arch, tensors=tensors), model) < 1e-4


@pytest.mark.parametrize("cut", ["qwen2", "smollm", "llama-bpe", "gpt-2"])
def test_the_ids_are_those_of_the_official_tokenizer(tmp_path, cut):
    library = library_file(cut)
    if cut == "qwen2":  # rules of its own code, not those of the file
        merges = [tuple(m.split(" ") if isinstance(m, str) else m) for m in library["model"]["merges"]]
        theirs = transformers.Qwen2Tokenizer(vocab=library["model"]["vocab"], merges=merges)
        theirs.add_tokens([token["content"] for token in library["added_tokens"]], special_tokens=True)
    else:
        (tmp_path / "tokenizer.json").write_text(json.dumps(library))
        theirs = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    tensors = {"token_embd.weight": random_tensors(rows=512)["token_embd.weight"]}
    ours = describe_causal(write_gguf(tmp_path / "m.gguf", metadata=metadata_of(cut=cut), tensors=tensors)).tokenizer
    texts = varied_texts(2000)
    assert ours.encode_batch(texts) == [theirs.encode(text, add_special_tokens=False) for text in texts]
