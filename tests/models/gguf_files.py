"""Tiny GGUF files by the package's own writer, tokenizers as the library writes them, a causal network in plain float64."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

gguf = pytest.importorskip("gguf", reason="gguf is not installed (extra adapt)")
DATA = Path(__file__).parents[1] / "golden" / "data"
LAYERS, DIM, HEADS, KV_HEADS, HEAD_SIZE, MLP = 2, 256, 4, 2, 64, 512  # K-quants have blocks of 256
THETA, EPS, LENGTH = 50_000.0, 1e-5, 64
TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
STORED = {  # what the GGUF files of the same models call it
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
CUTS: dict[str, dict[str, Any]] = {
    "smollm": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES | {"use_regex": True}],
        }
    },
    "llama-bpe": {
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False},
                BYTES | {"use_regex": False},
            ],
        }
    },
    "qwen2": {},  # as in the file
    "gpt-2": {},
}


def library_file(cut: str = "qwen2") -> dict[str, Any]:
    """The tokenizer.json of a model with this rule of cutting text, a released one or one with its rule replaced."""
    folder = "llada" if cut == "gpt-2" else "sdar"
    described: dict[str, Any] = json.loads((DATA / folder / "checkpoint" / "tokenizer.json").read_text())
    if folder == "sdar":  # the mask is of the diffusion model
        described["added_tokens"] = [t for t in described["added_tokens"] if t["content"] != "<|MASK|>"]
    if cut in ("smollm", "llama-bpe"):
        described["normalizer"] = None
    if cut == "llama-bpe":  # a token that no merge makes
        vocabulary = described["model"]["vocab"]
        described["model"]["ignore_merges"] = True
        vocabulary["Ġquintessence"] = vocabulary.pop(max(vocabulary, key=lambda token: vocabulary[token]))
        described["model"]["merges"] = [m for m in described["model"]["merges"] if "".join(m) in vocabulary]
    return described | CUTS[cut]


def vocabulary(described: Mapping[str, Any]) -> dict[str, Any]:
    """The lists of a library file as GGUF has them."""
    added = {token["content"]: token for token in described["added_tokens"]}
    ids = described["model"]["vocab"] | {text: token["id"] for text, token in added.items()}
    tokens = sorted(ids, key=lambda token: ids[token])
    assert [ids[token] for token in tokens] == list(range(len(tokens)))
    kinds = [1 if token not in added else 3 if added[token]["special"] else 4 for token in tokens]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in described["model"]["merges"]]
    return {"tokens": tokens, "token_type": kinds, "merges": merges}


def metadata_of(arch: str = "llama", cut: str = "qwen2") -> dict[str, Any]:
    """Everything that a file needs to be loaded."""
    lists = vocabulary(library_file(cut))
    return {
        f"{arch}.block_count": LAYERS,
        f"{arch}.context_length": LENGTH,
        f"{arch}.embedding_length": DIM,
        f"{arch}.feed_forward_length": MLP,
        f"{arch}.attention.head_count": HEADS,
        f"{arch}.attention.head_count_kv": KV_HEADS,
        f"{arch}.attention.layer_norm_rms_epsilon": EPS,
        f"{arch}.rope.freq_base": THETA,
        f"{arch}.rope.dimension_count": HEAD_SIZE,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": cut,
        **{f"tokenizer.ggml.{name}": values for name, values in lists.items()},
        "tokenizer.ggml.bos_token_id": lists["tokens"].index("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": lists["tokens"].index("<|endoftext|>"),
        "tokenizer.chat_template": TEMPLATE,
    }


def random_tensors(
    arch: str = "llama", rows: int | None = None, tied: bool = True, biases: bool = False
) -> dict[str, np.ndarray]:
    rows = rows or len(vocabulary(library_file())["tokens"])
    sizes = {"attn_q": HEADS * HEAD_SIZE, "attn_k": KV_HEADS * HEAD_SIZE, "attn_v": KV_HEADS * HEAD_SIZE}
    draw = np.random.default_rng(0)

    def matrix(*shape: int) -> np.ndarray:
        return (draw.standard_normal(shape) * shape[-1] ** -0.5).astype(np.float32)

    def norm(size: int) -> np.ndarray:
        return (1 + 0.2 * draw.standard_normal(size)).astype(np.float32)

    tensors = {"token_embd.weight": matrix(rows, DIM), "output_norm.weight": norm(DIM)}
    if not tied:
        tensors["output.weight"] = matrix(rows, DIM)
    for layer in range(LAYERS):
        parts = {f"{name}.weight": matrix(size, DIM) for name, size in sizes.items()}
        if biases or arch == "qwen2":
            parts |= {f"{name}.bias": 0.5 * matrix(1, size)[0] * size**0.5 for name, size in sizes.items()}
        if biases:
            parts["attn_output.bias"] = matrix(1, DIM)[0] * DIM**0.5
        if arch == "qwen3":
            parts |= {"attn_q_norm.weight": norm(HEAD_SIZE), "attn_k_norm.weight": norm(HEAD_SIZE)}
        parts |= {"attn_output.weight": matrix(DIM, HEADS * HEAD_SIZE), "attn_norm.weight": norm(DIM)}
        parts |= {"ffn_norm.weight": norm(DIM), "ffn_gate.weight": matrix(MLP, DIM)}
        parts |= {"ffn_up.weight": matrix(MLP, DIM), "ffn_down.weight": matrix(DIM, MLP)}
        tensors |= {f"blk.{layer}.{name}": part for name, part in parts.items()}
    return tensors


def stored_name(key: str) -> str:
    """The key in safetensors of a key of GGUF."""
    stem, _, last = key.rpartition(".")
    if stem.startswith("blk."):
        _, layer, part = stem.split(".")
        return f"model.layers.{layer}.{STORED[part]}.{last}"
    return f"{STORED[stem]}.{last}"


def write_gguf(
    path: Path,
    arch: str = "llama",
    kind: str = "F32",
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """A file; matrices quantized as `kind`. metadata: instead of the usual one; a value may say its type, (value, type)."""
    writer = gguf.GGUFWriter(path, arch)
    for name, value in (metadata_of(arch) if metadata is None else metadata).items():
        add_value(writer, name, value)
    for name, array in (random_tensors(arch) if tensors is None else tensors).items():
        type_ = gguf.GGMLQuantizationType[kind if array.ndim > 1 else "F32"]
        writer.add_tensor(name, quantized(array, type_), raw_dtype=None if type_.name in ("F32", "F16") else type_)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_value(writer: gguf.GGUFWriter, name: str, value: Any) -> None:
    if isinstance(value, tuple):
        writer.add_key_value(name, *value)
    elif isinstance(value, bool):
        writer.add_bool(name, value)
    elif isinstance(value, str):
        writer.add_string(name, value)
    elif isinstance(value, list):
        writer.add_array(name, value)
    elif isinstance(value, float):
        writer.add_float32(name, value)
    else:
        writer.add_uint32(name, value)


def quantized(array: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """Blocks of an array; for K-quants, which the package only reads, random blocks with numbers of that size."""
    if kind.name not in ("Q4_K", "Q6_K"):
        return gguf.quants.quantize(array, kind)
    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.random.default_rng(array.shape).integers(0, 256, (array.size // numbers, size), dtype=np.uint8)
    scale, places = (1e-4, (0, 2)) if kind.name == "Q4_K" else (1e-5, (208,))
    for place in places:
        blocks[:, place : place + 2] = np.array([scale], np.float16).view(np.uint8)
    return blocks.reshape(*array.shape[:-1], -1)


def plain_logits(path: Path, ids_L: Tensor) -> Tensor:
    """Logits [L, V] of a file, read and dequantized by the package."""
    reader = gguf.GGUFReader(path)
    weights = {
        t.name: torch.from_numpy(gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float64))
        for t in reader.tensors
    }
    return causal_logits(weights, ids_L, interleaved=reader.get_field("general.architecture").contents() == "llama")


def causal_logits(weights: Mapping[str, Tensor], ids_L: Tensor, interleaved: bool) -> Tensor:
    """A causal network in float64, part by part as llama.cpp runs it. interleaved: neighbouring dimensions rotate together,
    not those half a head apart."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", torch.zeros(()))

    def normed(x: Tensor, name: str) -> Tensor:
        if f"{name}.weight" not in weights:
            return x
        return x / (x.square().mean(-1, keepdim=True) + EPS).sqrt() * weights[f"{name}.weight"]

    def turned(x_LHE: Tensor) -> Tensor:
        E2 = HEAD_SIZE // 2
        angle_LE = torch.arange(len(ids_L))[:, None] * THETA ** (-torch.arange(E2, dtype=torch.float64) / E2)
        unit_L1E = torch.polar(torch.ones_like(angle_LE), angle_LE)[:, None]
        pairs = x_LHE.unflatten(-1, (E2, 2)) if interleaved else x_LHE.unflatten(-1, (2, E2)).transpose(-1, -2)
        return torch.view_as_real(torch.view_as_complex(pairs.contiguous()) * unit_L1E).flatten(-2)

    x_LD = weights["token_embd.weight"][ids_L]
    hidden = torch.ones(len(ids_L), len(ids_L)).triu(1).bool()
    for layer in range(LAYERS):
        at = f"blk.{layer}"
        seen = normed(x_LD, f"{at}.attn_norm")
        q, k, v = (linear(seen, f"{at}.attn_{p}").unflatten(-1, (-1, HEAD_SIZE)) for p in "qkv")
        q, k = turned(normed(q, f"{at}.attn_q_norm")), turned(normed(k, f"{at}.attn_k_norm"))
        k, v = (part.repeat_interleave(HEADS // KV_HEADS, dim=1) for part in (k, v))
        scores = torch.einsum("qhe,khe->hqk", q, k) * HEAD_SIZE**-0.5
        law = scores.masked_fill(hidden, -torch.inf).softmax(-1)
        x_LD = x_LD + linear(torch.einsum("hqk,khe->qhe", law, v).flatten(1), f"{at}.attn_output")
        seen = normed(x_LD, f"{at}.ffn_norm")
        gate = linear(seen, f"{at}.ffn_gate")
        x_LD = x_LD + linear(gate * gate.sigmoid() * linear(seen, f"{at}.ffn_up"), f"{at}.ffn_down")
    return linear(normed(x_LD, "output_norm"), "output" if "output.weight" in weights else "token_embd")


PIECES = (
    *("the", "apples", "Hello", "don't", "I'LL", "naïve", "straße", "Σίσυφος", "привет", "日本語", "한국어"),
    *("العربية", "हिन्दी", "e\u0301", "\u1e9b\u0323", "\ufb01", "\u200b", "\ufeff", "\U00010348", "\x00", "\x1f"),
    *("12", "3,456.78", "0007", "x²", "½", "Ⅷ", "\uff11\uff12", "٣٤", "1e-5", "$5.00", "50%", "<<3*4=12>>12"),
    *("\u00a0", "\u3000", " ", "  ", "\n", "\r\n", "\t", " \n ", "\n\n\n", "   \t"),
    *("def f(x):", "    return x+1", "a_b", "--", "...", "!?", "'s", "'S", "\\n", "{}", "#", "==", "https://a.b/c?d=1"),
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "<tool_call>", "<|im", "_end|>", " quintessence"),
    *("🙂", "\U0001f469\u200d\U0001f469\u200d\U0001f467"),
)


def varied_texts(count: int) -> list[str]:
    draw = random.Random(0)
    return [
        "".join(draw.choice(PIECES) + draw.choice(("", " ")) for _ in range(draw.randint(0, 14))) for _ in range(count)
    ]
