"""The network in a GGUF file: its metadata as a config.json would say it, its tensors in the layout of our parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from fef.errors import CheckpointError
from fef.models.config import TransformerConfig
from fef.models.families import LLAMA, QWEN2, QWEN3, Family
from fef.models.gguf.file import QUANTIZATIONS, GgufFile, read_rows
from fef.models.homes import Rows, Span
from fef.models.weights import StoredWeights
from fef.readers import shown

__all__ = ["check_heads", "config_values", "gguf_family", "gguf_weights", "spelling"]

FAMILIES = {"llama": LLAMA, "qwen2": QWEN2, "qwen3": QWEN3}  # by general.architecture
PERMUTED = ("llama",)  # where the rows of queries and keys are stored in another order
QUERIES_AND_KEYS = (".attn_q.weight", ".attn_k.weight", ".attn_q.bias", ".attn_k.bias")
LAYER = "blk.{layer}"
KEYS = {
    "embed": "token_embd",
    "norm": "output_norm",
    "head": "output",
    "blocks.{layer}.attn_norm": f"{LAYER}.attn_norm",
    "blocks.{layer}.attn.q": f"{LAYER}.attn_q",
    "blocks.{layer}.attn.k": f"{LAYER}.attn_k",
    "blocks.{layer}.attn.v": f"{LAYER}.attn_v",
    "blocks.{layer}.attn.out": f"{LAYER}.attn_output",
    "blocks.{layer}.attn.q_norm": f"{LAYER}.attn_q_norm",
    "blocks.{layer}.attn.k_norm": f"{LAYER}.attn_k_norm",
    "blocks.{layer}.mlp_norm": f"{LAYER}.ffn_norm",
    "blocks.{layer}.mlp.gate": f"{LAYER}.ffn_gate",
    "blocks.{layer}.mlp.up": f"{LAYER}.ffn_up",
    "blocks.{layer}.mlp.down": f"{LAYER}.ffn_down",
}
NEEDED = {  # settings of the architecture: what config.json calls them
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
}
OPTIONAL = {"attention.head_count_kv": "num_key_value_heads", "attention.key_length": "head_dim"}
UNSUPPORTED = {  # settings of variants: the values with which they say nothing
    "expert_count": (0,),
    "attention.sliding_window": (0,),
    "attention.causal": (True,),
    "rope.scaling.type": ("none",),
    "rope.scale_linear": (1,),
}
SCALED_ROPE = "rope_freqs.weight"


def gguf_family(file: GgufFile) -> Family:
    """The family of the network, with the keys of GGUF. Raises CheckpointError for an unknown architecture."""
    name = file.metadata.get("general.architecture")
    if not isinstance(name, str) or name not in FAMILIES:
        raise CheckpointError(
            f"{file.path} has the architecture {shown(name)}, which fef does not know in GGUF files. Supported: "
            f"{', '.join(FAMILIES)}."
        )
    return replace(FAMILIES[name], keys=KEYS)


def config_values(file: GgufFile) -> dict[str, Any]:
    """What the config.json of this network would hold, but for special tokens.

    Raises CheckpointError where a setting or the embedding is missing, and for variants that the transformer does not run.
    """
    arch = file.metadata["general.architecture"]
    shapes = {tensor.key: tensor.shape for tensor in file.tensors}
    settings = {name.removeprefix(f"{arch}."): value for name, value in file.metadata.items()}
    refuse_variants(file, arch, settings, shapes)
    missing = [f"{arch}.{name}" for name in NEEDED if name not in settings]
    if missing:
        raise CheckpointError(f"{file.path} lacks {', '.join(missing)} in its metadata; convert the model again.")
    if "token_embd.weight" not in shapes:
        raise CheckpointError(f"{file.path} lacks token_embd.weight, the embedding; convert the model again.")
    return {
        **{ours: settings[name] for name, ours in (NEEDED | OPTIONAL).items() if name in settings},
        "vocab_size": shapes["token_embd.weight"][0],
        "tie_word_embeddings": "output.weight" not in shapes,
        "attention_bias": "blk.0.attn_q.bias" in shapes,
    }


def refuse_variants(file: GgufFile, arch: str, settings: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    for name, allowed in UNSUPPORTED.items():
        if name in settings and settings[name] not in allowed:
            raise CheckpointError(
                f"{file.path}: its metadata has {arch}.{name} = {shown(settings[name])}; it must be {shown(allowed[0])} or "
                "absent: fef runs no other variant."
            )
    if SCALED_ROPE in shapes or ("rope.scaling.factor" in settings and "rope.scaling.type" not in settings):
        raise CheckpointError(f"{file.path} has a scaled rotary embedding, and fef runs no scaled rotary embedding.")


def check_heads(file: GgufFile, config: TransformerConfig) -> None:
    """Raise CheckpointError where values have another size than keys, or only a part of these is rotated."""
    arch = file.metadata["general.architecture"]
    for name in ("attention.value_length", "rope.dimension_count"):
        size = file.metadata.get(f"{arch}.{name}", config.head_size)
        if size != config.head_size:
            raise CheckpointError(
                f"{file.path}: its metadata has {arch}.{name} = {shown(size)}; it must be {config.head_size}, the size of a "
                "head: fef runs no other variant."
            )


def spelling(file: GgufFile) -> dict[str, str]:
    """What the metadata calls the settings of a config.json."""
    return {ours: f"{file.metadata['general.architecture']}.{name}" for name, ours in (NEEDED | OPTIONAL).items()}


def gguf_weights(file: GgufFile, config: TransformerConfig) -> StoredWeights:
    """The tensors, with the rows of queries and keys in the order of the half-rotation form."""
    permuted = [tensor.key for tensor in file.tensors if file.metadata["general.architecture"] in PERMUTED]
    head_sizes = {key: config.head_size for key in permuted if key.endswith(QUERIES_AND_KEYS)}

    def read(wanted: Sequence[Span]) -> Iterator[Rows]:
        tensors = dict.fromkeys(span.tensor for span in wanted)  # whole: rows of a head are mixed
        for tensor, start, rows in read_rows(file, tensors, head_sizes):
            yield tensor, start, halves(rows, head_sizes[tensor.key]) if tensor.key in head_sizes else rows

    return StoredWeights(file.path, "metadata", file.tensors, QUANTIZATIONS, read)


def halves(rows: Tensor, head_size: int) -> Tensor:
    """Rows of whole heads, where the two that rotate together lie side by side, with these half a head apart."""
    return rows.reshape(-1, head_size // 2, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
