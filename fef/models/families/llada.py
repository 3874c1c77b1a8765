"""LLaDA (2502.09992), LLaDA-1.5 (2505.19223), iLLaDA (2606.25331): dense, bidirectional, predicts in place."""

from __future__ import annotations

from fef.models.config import MOST_WIDTH, TransformerConfig
from fef.models.families.family import Family, Fields
from fef.models.families.rope import read_rope

__all__ = ["LLADA"]


def config(fields: Fields) -> TransformerConfig:
    fields.only(
        activation_type="silu",
        alibi=False,
        attention_layer_norm=False,
        bias_for_layer_norm=False,
        block_type="llama",
        include_bias=False,
        input_emb_norm=False,
        layer_norm_type="rms",
        rope=True,
        scale_logits=False,
    )
    dim, heads = fields.whole("d_model"), fields.whole("n_heads")
    return TransformerConfig(
        vocab_size=fields.whole("embedding_size", fields.whole("vocab_size")),
        dim=dim,
        layers=fields.layers("n_layers"),
        heads=heads,
        kv_heads=fields.whole("n_kv_heads", 1 if fields.flag("multi_query_attention") else heads),
        mlp_dim=fields.whole("mlp_hidden_size", int(fields.number("mlp_ratio", 4, least=0.0, most=MOST_WIDTH) * dim)),
        max_length=fields.whole("max_sequence_length"),
        qkv_bias=fields.flag("include_qkv_bias"),
        tied_embeddings=fields.flag("weight_tying"),
        rope_theta=read_rope(fields).theta,
        norm_eps=fields.number("rms_norm_eps", 1e-5, least=0.0),
        **fields.tokens(),
    )


LAYER = "model.transformer.blocks.{layer}"

LLADA = Family(
    name="LLaDA",
    released="LLaDA-8B Base and Instruct, LLaDA-1.5, iLLaDA-8B",
    architectures=("LLaDAModelLM",),
    config=config,
    keys={
        "embed": "model.transformer.wte",
        "norm": "model.transformer.ln_f",
        "head": "model.transformer.ff_out",
        "blocks.{layer}.attn_norm": f"{LAYER}.attn_norm",
        "blocks.{layer}.attn.q": f"{LAYER}.q_proj",
        "blocks.{layer}.attn.k": f"{LAYER}.k_proj",
        "blocks.{layer}.attn.v": f"{LAYER}.v_proj",
        "blocks.{layer}.attn.out": f"{LAYER}.attn_out",
        "blocks.{layer}.mlp_norm": f"{LAYER}.ff_norm",
        "blocks.{layer}.mlp.gate": f"{LAYER}.ff_proj",
        "blocks.{layer}.mlp.up": f"{LAYER}.up_proj",
        "blocks.{layer}.mlp.down": f"{LAYER}.ff_out",
    },
    turn_ends=("<|eot_id|>",),
)
