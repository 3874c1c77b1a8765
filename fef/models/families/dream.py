"""Dream (2508.15487), Dream-Coder, DiffuCoder (2506.20639): a bidirectional Qwen2.5 with logits shifted by one."""

from __future__ import annotations

from fef.models.config import TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.rope import read_rope

__all__ = ["DREAM"]


def config(fields: Fields) -> TransformerConfig:
    fields.only(hidden_act="silu", use_mrope=False)
    fields.full_attention()
    heads = fields.whole("num_attention_heads")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        dim=fields.whole("hidden_size"),
        layers=fields.layers("num_hidden_layers"),
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", heads),
        mlp_dim=fields.whole("intermediate_size"),
        max_length=fields.whole("max_position_embeddings"),
        shift=True,
        qkv_bias=True,
        tied_embeddings=fields.flag("tie_word_embeddings"),
        rope_theta=read_rope(fields).theta,
        norm_eps=fields.number("rms_norm_eps", 1e-6, least=0.0),
        **fields.tokens(),
    )


DREAM = Family(
    name="Dream",
    released="Dream-7B Base and Instruct, Dream-Coder-7B, DiffuCoder-7B",
    architectures=("DreamModel",),
    config=config,
    keys=LLAMA_KEYS,
    turn_ends=("<|im_end|>",),
)
