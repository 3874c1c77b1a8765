"""SDAR (2510.06303): a block-causal Qwen3, one block of masks behind a causal cache of finished blocks."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.rope import read_rope

__all__ = ["SDAR"]


def config(fields: Fields) -> TransformerConfig:
    fields.only(hidden_act="silu")
    fields.full_attention()
    dim, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        dim=dim,
        layers=fields.layers("num_hidden_layers"),
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
        rope_theta=read_rope(fields).theta,
        norm_eps=fields.number("rms_norm_eps", 1e-6, least=0.0),
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
