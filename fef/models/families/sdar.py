"""SDAR (2510.06303): a block-causal Qwen3, one block of masks behind a causal cache of finished blocks."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields

__all__ = ["SDAR"]


def config(fields: Fields) -> TransformerConfig:
    fields.only(hidden_act="silu", rope_scaling=None, use_sliding_window=False)
    dim, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        dim=dim,
        layers=fields.whole("num_hidden_layers"),
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", heads),
        head_dim=fields.whole("head_dim", dim // heads),
        mlp_dim=fields.whole("intermediate_size"),
        max_length=fields.whole("max_position_embeddings"),
        attention="block-causal",
        block_length=fields.whole("block_size"),
        qkv_bias=fields.flag("attention_bias"),
        out_bias=fields.flag("attention_bias"),
        qk_norm=True,
        tied_embeddings=fields.flag("tie_word_embeddings"),
        rope_theta=fields.number("rope_theta", 10_000.0),
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        **fields.tokens(),
    )


SDAR = Family(
    name="SDAR",
    released="SDAR Chat 1.7B, 4B and 8B, TraDo 4B and 8B",
    architectures=("SDARForCausalLM",),
    config=config,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
