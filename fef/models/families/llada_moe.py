"""LLaDA-MoE (2509.24389): a bidirectional mixture of experts with a softmax router."""

from __future__ import annotations

from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.families.family import LLAMA_KEYS, Family, Fields
from fef.models.families.rope import read_rope

__all__ = ["LLADA_MOE"]


def config(fields: Fields) -> TransformerConfig:
    # moe_router_score_function and norm_topk_prob are in config.json, but the official code never reads them.
    fields.only(
        clip_qkv=None,
        hidden_act="silu",
        moe_router_enable_expert_bias=False,
        routed_scaling_factor=1,
    )
    heads, layers = fields.whole("num_attention_heads"), fields.layers("num_hidden_layers")
    is_mixture = fields.values.get("moe_layer_freq") or [1] * layers
    if not isinstance(is_mixture, list) or len(is_mixture) != layers:
        raise fields.wrong("moe_layer_freq", is_mixture, f"a list of {layers} numbers, one per layer")
    return TransformerConfig(
        vocab_size=fields.whole("vocab_size"),
        dim=fields.whole("hidden_size"),
        layers=layers,
        heads=heads,
        kv_heads=fields.whole("num_key_value_heads", heads),
        mlp_dim=fields.whole("dense_intermediate_size"),
        max_length=fields.whole("max_position_embeddings"),
        qkv_bias=fields.flag("attention_bias"),
        out_bias=fields.flag("attention_bias"),
        qk_norm=fields.flag("qk_layernorm"),
        tied_embeddings=fields.flag("tie_word_embeddings"),
        rope_theta=read_rope(fields).theta,
        norm_eps=fields.number("rms_norm_eps", 1e-5, least=0.0),
        mixture=MixtureConfig(
            experts=fields.whole("num_experts"),
            per_token=fields.whole("num_experts_per_tok"),
            expert_dim=fields.whole("expert_intermediate_size"),
            shared_dim=fields.whole("shared_expert_intermediate_size", 0, least=0),
            dense_layers=tuple(layer for layer in range(layers) if is_mixture[layer] != 1),
        ),
        **fields.tokens(),
    )


LLADA_MOE = Family(
    name="LLaDA-MoE",
    released="LLaDA-MoE-7B-A1B Base and Instruct",
    architectures=("LLaDAMoEModelLM",),
    config=config,
    keys=LLAMA_KEYS
    | {
        "blocks.{layer}.mlp.shared.gate": "model.layers.{layer}.shared_expert.gate_proj",
        "blocks.{layer}.mlp.shared.up": "model.layers.{layer}.shared_expert.up_proj",
        "blocks.{layer}.mlp.shared.down": "model.layers.{layer}.shared_expert.down_proj",
    },
    turn_ends=("<|role_end|>",),
)
