"""What the config.json of a network in LLaMA's layout says: Llama, Qwen2 and Qwen3, and the diffusion models made of them."""

from __future__ import annotations

from typing import Any

from fef.models.families.family import Fields
from fef.models.families.rope import read_rope

__all__ = ["llama_layout"]


def llama_layout(fields: Fields) -> dict[str, Any]:
    """Sizes, rotary embedding, norms and special tokens, as arguments of TransformerConfig. Raises CheckpointError for
    variants that the transformer here does not run."""
    fields.only(hidden_act="silu")
    fields.full_attention()
    dim, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    return {
        "vocab_size": fields.whole("vocab_size"),
        "dim": dim,
        "layers": fields.layers("num_hidden_layers"),
        "heads": heads,
        "kv_heads": fields.whole("num_key_value_heads", heads),
        "head_dim": fields.whole("head_dim", dim // heads),
        "mlp_dim": fields.whole("intermediate_size"),
        "max_length": fields.whole("max_position_embeddings"),
        "tied_embeddings": fields.flag("tie_word_embeddings"),
        "rope_theta": read_rope(fields).theta,
        "norm_eps": fields.number("rms_norm_eps", 1e-6, least=0.0),
        **fields.tokens(),
    }
