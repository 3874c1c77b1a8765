"""Dream (2508.15487), Dream-Coder, DiffuCoder (2506.20639): a bidirectional Qwen2.5 with logits shifted by one."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.llama_layout import llama_layout

__all__ = ["DREAM"]


def config(fields: Fields) -> TransformerConfig:
    fields.only(use_mrope=False)
    return TransformerConfig(**llama_layout(fields), shift=True, qkv_bias=True)


DREAM = Family(
    name="Dream",
    released="Dream-7B Base and Instruct, Dream-Coder-7B, DiffuCoder-7B",
    architectures=("DreamModel",),
    config=config,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
