"""A causal language model of two small layers in a directory, as released ones are laid out, and conversations for it."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken

from fef.models.tokenizer import Tokenizer

__all__ = ["write_causal", "write_conversations"]

DIM, MLP, LAYERS, HEADS, KV_HEADS = 32, 64, 2, 4, 2
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{m['role']}}\n{{m['content']}}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_causal(path: Path, seed: int = 0) -> Path:
    path.mkdir(parents=True)
    tokenizer = Tokenizer.train(["say a b c d e f g h i j k l"], 270)
    names = ("<|im_start|>", "<|im_end|>", "<unused>")
    tokenizer.raw.add_special_tokens([AddedToken(name, special=True) for name in names])
    tokenizer.save(path / "tokenizer.json")
    size = tokenizer.raw.get_vocab_size()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": size,
        "hidden_size": DIM,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10_000.0,
        "tie_word_embeddings": True,
        "hidden_act": "silu",
        "eos_token_id": tokenizer.raw.token_to_id("<|im_end|>"),
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": TEMPLATE}))
    made = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=made) * shape[-1] ** -0.5

    kv_dim = DIM // HEADS * KV_HEADS
    shapes = {
        "self_attn.q_proj": (DIM, DIM),
        "self_attn.k_proj": (kv_dim, DIM),
        "self_attn.v_proj": (kv_dim, DIM),
        "self_attn.o_proj": (DIM, DIM),
        "mlp.gate_proj": (MLP, DIM),
        "mlp.up_proj": (MLP, DIM),
        "mlp.down_proj": (DIM, MLP),
    }
    weights = {"model.embed_tokens.weight": random(size, DIM), "model.norm.weight": torch.ones(DIM)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        weights |= {at + name + ".weight": random(*shape) for name, shape in shapes.items()}
        weights |= {at + name + ".weight": torch.ones(DIM) for name in ("input_layernorm", "post_attention_layernorm")}
    save_file(weights, path / "model.safetensors")
    return path


def write_conversations(path: Path) -> Path:
    """The model is to say two letters in the other order."""
    rows = [
        {"messages": [{"role": "user", "content": f"say {a} {b}"}, {"role": "assistant", "content": f"{b} {a}"}]}
        for a in "abcdef"
        for b in "ghijkl"
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
