"""Random checkpoints in the released LLaDA format, of any size; and, as a program, the peak memory of loading one.

python released.py write DIR BYTES
python released.py stream|copy|int8|fp8 DIR DTYPE       prints weight bytes and peak bytes above what was there before
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from fef.models.checkpoint import describe
from fef.models.families.llada import LLADA
from fef.models.homes import stored_parts
from fef.models.transformer import Transformer
from fef.models.weights import INDEX, load_weights

LARGE = 1 << 32  # from here on the shape is that of LLaDA-8B, with fewer or more layers
CONFIG = {"architectures": ["LLaDAModelLM"], "model_type": "llada", "max_sequence_length": 64, "rope_theta": 500000.0}


def shape(size: int) -> dict[str, int]:
    """Config fields of a network of about `size` bytes in bfloat16."""
    dim, mlp, vocab, heads = (4096, 12288, 126464, 32) if size >= LARGE else (512, 1536, 8192, 8)
    layer, embeddings = 2 * (4 * dim * dim + 3 * dim * mlp), 2 * 2 * vocab * dim
    layers = max(1, round((size - embeddings) / layer))
    return {"d_model": dim, "n_heads": heads, "n_layers": layers, "mlp_hidden_size": mlp, "embedding_size": vocab}


def write(path: Path, size: int, shard_bytes: int = 1 << 29) -> None:
    """A checkpoint of about `size` bytes in shards, written one shard at a time."""
    path.mkdir(parents=True, exist_ok=True)
    fields = CONFIG | shape(size)
    vocab = fields["embedding_size"]
    fields |= {"vocab_size": vocab, "mask_token_id": vocab - 1, "eos_token_id": vocab - 2}
    (path / "config.json").write_text(json.dumps(fields))
    with torch.device("meta"):
        network = Transformer(describe(path).config)
    parts = {key: homes[0].rows for key, homes in stored_parts(network, LLADA).items()}
    shards: list[list[str]] = [[]]
    room = shard_bytes
    for key, part in parts.items():
        if room < 2 * part.numel():
            shards.append([])
            room = shard_bytes
        shards[-1].append(key)
        room -= 2 * part.numel()
    tile = torch.randn(4096, generator=torch.Generator().manual_seed(0)).mul_(0.02).bfloat16()
    files = {}
    for i, keys in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        files |= dict.fromkeys(keys, name)
        tensors = {}
        for key in keys:
            count = parts[key].numel()
            tensors[key] = tile.repeat(-(-count // len(tile)))[:count].view(parts[key].shape).clone()
        save_file(tensors, path / name)
    (path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": files}))


def stream(path: Path, dtype: torch.dtype, weights: str | None = None) -> Transformer:
    described = describe(path)
    return load_weights(path, described.config, described.family, "cpu", dtype, weights)


def copy(path: Path, dtype: torch.dtype) -> Transformer:
    """The twin that must fail: whole shards in memory beside the network."""
    described = describe(path)
    with torch.device("meta"):
        network = Transformer(described.config)
    shards = [load_file(file) for file in sorted(path.glob("*.safetensors"))]
    stored = {key: tensor.to(dtype, copy=True) for shard in shards for key, tensor in shard.items()}
    names = {name: key for key, homes in stored_parts(network, LLADA).items() for name in (home.name for home in homes)}
    network.load_state_dict({name: stored[key] for name, key in names.items()}, assign=True)
    return network


def peak_bytes() -> int:
    """The most memory this program ever held (Linux). Not ru_maxrss, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def measure(how: str, path: Path, dtype: torch.dtype) -> tuple[int, int]:
    """Bytes of the weights in `dtype`, and the peak of loading them above what the process held before."""
    with torch.device("meta"):
        Transformer(describe(path).config)  # the libraries behind the first network, 70 MB, are not the loader's
    before = peak_bytes()
    network = copy(path, dtype) if how == "copy" else stream(path, dtype, None if how == "stream" else how)
    return sum(p.numel() * p.element_size() for p in network.parameters()), peak_bytes() - before


if __name__ == "__main__":
    if sys.argv[1] == "write":
        write(Path(sys.argv[2]), int(float(sys.argv[3])))
    else:
        print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), getattr(torch, sys.argv[3]))))
