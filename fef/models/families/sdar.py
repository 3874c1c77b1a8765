"""SDAR (2510.06303): a block-causal Qwen3, one block of masks behind a causal cache of finished blocks."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.llama_layout import llama_layout

__all__ = ["SDAR"]


def config(fields: Fields) -> TransformerConfig:
    bias = fields.flag("attention_bias")
    return TransformerConfig(
        **llama_layout(fields),
        attention="block-causal",
        block_length=fields.whole("block_size"),
        qkv_bias=bias,
        out_bias=bias,
        qk_norm=True,
    )


SDAR = Family(
    name="SDAR",
    released="SDAR Chat 1.7B, 4B and 8B, TraDo 4B and 8B",
    architectures=("SDARForCausalLM",),
    config=config,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
