"""Causal language models that diffusion models are made of: Llama (2407.21783) and SmolLM2 (2502.02737), Qwen2 (2407.10671)
with Qwen2.5, Qwen3 (2505.09388)."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.llama_layout import llama_layout

__all__ = ["LLAMA", "QWEN2", "QWEN3"]


def llama(fields: Fields) -> TransformerConfig:
    fields.only(mlp_bias=False, rope_interleaved=False)
    bias = fields.flag("attention_bias")
    return TransformerConfig(**llama_layout(fields), attention="causal", qkv_bias=bias, out_bias=bias)


def qwen2(fields: Fields) -> TransformerConfig:
    fields.only(use_mrope=False)
    return TransformerConfig(**llama_layout(fields), attention="causal", qkv_bias=True)


def qwen3(fields: Fields) -> TransformerConfig:
    bias = fields.flag("attention_bias")
    return TransformerConfig(**llama_layout(fields), attention="causal", qkv_bias=bias, out_bias=bias, qk_norm=True)


LLAMA = Family(
    name="Llama",
    released="Llama 3, SmolLM, SmolLM2",
    architectures=("LlamaForCausalLM",),
    config=llama,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>", "<|eot_id|>"),
)
QWEN2 = Family(
    name="Qwen2",
    released="Qwen2, Qwen2.5",
    architectures=("Qwen2ForCausalLM",),
    config=qwen2,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
QWEN3 = Family(
    name="Qwen3",
    released="Qwen3, without a mixture of experts",
    architectures=("Qwen3ForCausalLM",),
    config=qwen3,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
