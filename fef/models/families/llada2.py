"""LLaDA2.x (2512.15745): a block-causal mixture of experts with a sigmoid router and a partial rotary embedding."""

from __future__ import annotations

from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.rope import read_rope

__all__ = ["LLADA2"]

RELEASED_BLOCK = 32  # the block length that LLaDA2 was trained with; its config.json does not say it


def config(fields: Fields) -> TransformerConfig:
    # score_function, norm_topk_prob and rotary_dim are in config.json, but the official code never reads them.
    fields.only(hidden_act="silu", use_rmsnorm=True)
    fields.full_attention()
    rope = read_rope(fields, partial=True)
    dim, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    layers, head_dim = fields.layers("num_hidden_layers"), fields.whole("head_dim", dim // heads)
    expert_dim, per_token = fields.whole("moe_intermediate_size"), fields.whole("num_experts_per_tok")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        dim=dim,
        layers=layers,
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", heads),
        head_dim=head_dim,
        mlp_dim=fields.whole("intermediate_size"),
        max_length=fields.whole("max_position_embeddings"),
        attention="block-causal",
        block_length=fields.whole("block_size", RELEASED_BLOCK),
        qkv_bias=fields.flag("use_qkv_bias"),
        out_bias=fields.flag("use_bias"),
        qk_norm=True,
        tied_embeddings=fields.flag("tie_word_embeddings"),
        rope_theta=rope.theta,
        rotary_dim=int(head_dim * rope.partial),
        norm_eps=fields.number("rms_norm_eps", 1e-6, least=0.0),
        mixture=MixtureConfig(
            experts=fields.whole("num_experts"),
            per_token=per_token,
            expert_dim=expert_dim,
            shared_dim=expert_dim * fields.whole("num_shared_experts", 0, least=0),
            dense_layers=tuple(range(fields.whole("first_k_dense_replace", 0, least=0, most=layers))),
            scores="sigmoid",
            selection_bias=True,
            groups=fields.whole("n_group", 1),
            top_groups=fields.whole("topk_group", 1),
            normalize=per_token > 1,
            scale=fields.number("routed_scaling_factor", 1.0),
        ),
        **fields.tokens(),
    )


LAYER = "model.layers.{layer}"

LLADA2 = Family(
    name="LLaDA2",
    released="LLaDA2.0-mini, LLaDA2.1-mini",
    architectures=("LLaDA2MoeModelLM",),
    config=config,
    keys=LLAMA_KEYS
    | {
        "embed": "model.word_embeddings",
        "blocks.{layer}.attn.q": f"{LAYER}.attention.query_key_value",
        "blocks.{layer}.attn.k": f"{LAYER}.attention.query_key_value",
        "blocks.{layer}.attn.v": f"{LAYER}.attention.query_key_value",
        "blocks.{layer}.attn.q_norm": f"{LAYER}.attention.query_layernorm",
        "blocks.{layer}.attn.k_norm": f"{LAYER}.attention.key_layernorm",
        "blocks.{layer}.attn.out": f"{LAYER}.attention.dense",
        "blocks.{layer}.mlp.router.selection_bias": f"{LAYER}.mlp.gate.expert_bias",
        "blocks.{layer}.mlp.shared.gate": f"{LAYER}.mlp.shared_experts.gate_proj",
        "blocks.{layer}.mlp.shared.up": f"{LAYER}.mlp.shared_experts.up_proj",
        "blocks.{layer}.mlp.shared.down": f"{LAYER}.mlp.shared_experts.down_proj",
    },
    turn_ends=("<|role_end|>",),
)
