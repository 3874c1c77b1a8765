"""A checkpoint of random weights in the files, names, joins and dtypes in which LLaDA is released, of any size.

    python tools/released_layout.py --shape 8b --out checkpoint

What it costs to load, train and serve it is what the release costs; what it says means nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tokenizers import AddedToken, models, pre_tokenizers
from torch import Tensor

from fef.bench.engine.shapes import shape_config
from fef.errors import OptionError
from fef.measure.program import option, program, told
from fef.models.byte_level import byte_level, cut_at_words
from fef.models.checkpoint import CONFIG, PACKED, describe
from fef.models.config import TransformerConfig
from fef.models.device import default_device
from fef.models.export import write_weights
from fef.models.families.llada import LLADA
from fef.models.tokenizer_files import SETTINGS, TOKENIZER
from fef.models.transformer import blank

__all__ = ["SHAPES", "main", "write_released_layout"]

SHAPES = {  # with a vocabulary that has room for bytes and special tokens
    "8b": shape_config("8b"),
    "1b": shape_config("1b"),
    "tiny": replace(shape_config("tiny"), vocab_size=1024),
}

FILES = 6  # of weights, as LLaDA-8B has them
SPECIAL = {  # places of special tokens, counted from the end of the vocabulary
    "<|startoftext|>": -384,
    "<|endoftext|>": -383,
    "<|mdm_mask|>": -128,
    "<|start_header_id|>": -118,
    "<|end_header_id|>": -117,
    "<|eot_id|>": -116,
}
TURN = "<|start_header_id|>{{ m['role'] }}<|end_header_id|>\n\n{{ m['content'] }}<|eot_id|>"
CHAT = (
    "{{ bos_token }}{% for m in messages %}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def write_released_layout(path: Path, shape: TransformerConfig, device: torch.device, seed: int = 0) -> int:
    """Write it into a new directory, one file of weights in memory at a time; numbers are drawn on the device. A shape with
    the packed law says so. Returns the bytes of the weights. Raises OptionError where the disk has no room for them."""
    path.mkdir(parents=True)
    at = {token: shape.vocab_size + place for token, place in SPECIAL.items()}
    (path / CONFIG).write_text(json.dumps(released_config(shape, at), indent=1) + "\n", encoding="utf-8")
    write_tokenizer(path, shape.vocab_size, at)
    state = blank(describe(path).config).state_dict()
    size: int = 2 * sum(tensor.numel() for tensor in state.values())
    free = shutil.disk_usage(path).free
    if free < size:
        shutil.rmtree(path)
        raise OptionError(
            f"The weights take {size / 1e9:.3g} GB, and {path.parent} has {free / 1e9:.3g} GB free; give another disk."
        )
    generator = torch.Generator(device).manual_seed(seed)

    def drawn(tensor: Tensor) -> Tensor:
        if tensor.ndim == 1:
            return torch.ones(tensor.shape, dtype=torch.bfloat16, device=device)
        random = torch.empty(tensor.shape, dtype=torch.bfloat16, device=device)
        return random.normal_(std=tensor.shape[-1] ** -0.5, generator=generator)

    write_weights(path, state, LLADA, {}, shard_bytes=size // FILES + 1, gather=drawn)
    return size


def released_config(shape: TransformerConfig, at: Mapping[str, int]) -> dict[str, object]:
    return {
        "architectures": ["LLaDAModelLM"],
        "model_type": "llada",
        "block_type": "llama",
        "activation_type": "silu",
        "layer_norm_type": "rms",
        "rms_norm_eps": 1e-5,
        "rope": True,
        "rope_theta": shape.rope_theta,
        "d_model": shape.dim,
        "n_heads": shape.heads,
        "n_kv_heads": shape.kv_head_count,
        "n_layers": shape.layers,
        "mlp_hidden_size": shape.mlp_dim,
        "vocab_size": shape.vocab_size,
        "embedding_size": shape.vocab_size,
        "max_sequence_length": 4096,
        "weight_tying": False,
        "include_bias": False,
        "include_qkv_bias": False,
        "mask_token_id": at["<|mdm_mask|>"],
        "eos_token_id": at["<|endoftext|>"],
        "pad_token_id": at["<|endoftext|>"],
        "torch_dtype": "bfloat16",
        **({PACKED: True} if shape.packed else {}),
    }


def write_tokenizer(path: Path, size: int, at: Mapping[str, int]) -> None:
    """Bytes, tokens that no text has, and the special ones in their places; the chat template."""
    special = {place: token for token, place in at.items()}
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [special.get(i, letters[i] if i < len(letters) else f"<|{i}|>") for i in range(size)]
    raw = byte_level(models.BPE({name: i for i, name in enumerate(names)}, []), cut_at_words())
    raw.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in at])
    raw.save(str(path / TOKENIZER))
    tokens = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "chat_template": CHAT}
    (path / SETTINGS).write_text(json.dumps(tokens, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    out: Path = option(help="a new directory")
    shape: str = option("8b", choices=sorted(SHAPES))
    device: str = default_device()


@program(Options, __doc__)
def main(given: Options) -> None:
    size = write_released_layout(given.out, replace(SHAPES[given.shape], packed=False), torch.device(given.device))
    told(gigabytes=size / 1e9, files=sorted(path.name for path in given.out.iterdir()))


if __name__ == "__main__":
    main()
