"""LoRA adapters (2106.09685) in the files of PEFT: thin factors of some matrices, beside the checkpoint that they change.

Modules have the names of the released checkpoint, so that PEFT applies an adapter to the official code of the family, and
adapters that PEFT trained there are read here. Matrices that a family stores as one have factors as one: those of the parts
stacked, so that the product is theirs. A file of our own says which base the adapter belongs to.

Shapes: O outputs, I inputs, R rank.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from fef.errors import CheckpointError
from fef.models.families import Family
from fef.models.homes import Held, whole
from fef.models.quantize import refuse_quantized
from fef.models.tokenizer_files import read_json
from fef.models.transformer import Transformer
from fef.readers import shown

__all__ = ["Factors", "apply_adapter", "base_digest", "write_adapter"]

CONFIG, WEIGHTS, FACTS = "adapter_config.json", "adapter_model.safetensors", "fef_adapter.json"
PREFIX, IN, OUT = "base_model.model.", "lora_A.weight", "lora_B.weight"
SAMPLE = 64  # numbers of each parameter in a digest
# options of PEFT that make more of an adapter, or of its base, than the product of two factors a matrix
SWITCHED_OFF = (
    "alora_invocation_tokens",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "modules_to_save",
    "monteclora_config",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
)
# values of init_lora_weights that leave the base as it is; others, as PiSSA's, change it, too
PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
Factors = Mapping[str, tuple[Tensor, Tensor]]
"""Of matrices of a network, by their names without ".weight": in [R, I] and out [O, R]; their product is added."""


@torch.no_grad()
def base_digest(
    parameters: Iterable[tuple[str, Tensor]],
    held: Held = whole,
    summed: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> str:
    """A sha256 of some numbers of each named parameter, the same in every dtype that holds the stored numbers.

    held: what is here of a parameter; summed: the sum of a tensor over the processes that hold it together.
    """
    named = list(parameters)
    bits_PS = summed(torch.stack([middle_bits(parameter, held) for _, parameter in named]))
    digest = hashlib.sha256()
    for (name, parameter), bits_S in zip(named, bits_PS, strict=True):
        digest.update(f"{name} {tuple(parameter.shape)}".encode())
        digest.update(bits_S[: middle_count(parameter)].to(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def middle_bits(parameter: Tensor, held: Held) -> Tensor:
    """The bits [SAMPLE] of numbers in the middle of a parameter, in bfloat16; 0 of those that are elsewhere."""
    first, rows = held(parameter)
    flat = rows.detach().reshape(-1)
    start = parameter.numel() // 2 - first * parameter[:1].numel()
    stop = start + middle_count(parameter)
    low, high = max(start, 0), min(stop, len(flat))
    bits_S = torch.zeros(SAMPLE, dtype=torch.int32)
    if low < high:
        numbers = flat[low:high].to("cpu", torch.bfloat16).contiguous()
        bits_S[low - start : high - start] = numbers.view(torch.int16).int()
    return bits_S


def middle_count(parameter: Tensor) -> int:
    return min(SAMPLE, parameter.numel() - parameter.numel() // 2)


def write_adapter(
    directory: Path, network: Transformer, factors: Factors, family: Family, base: str, digest: str, packed: bool
) -> None:
    """Write an adapter of a base of this name and digest. packed: does the base with it have the packed law?"""
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for stored, parts in stored_matrices(network, family):
        joined = join({stem: factors[stem] for stem, _ in parts if stem in factors}, parts)
        if joined is not None:
            in_RI, out_OR = joined
            ranks[stored] = len(in_RI)
            tensors[f"{PREFIX}{stored}.{IN}"] = in_RI.float().cpu().contiguous()
            tensors[f"{PREFIX}{stored}.{OUT}"] = out_OR.float().cpu().contiguous()
    rank = min(ranks.values())
    wider = {last_name(stored): r for stored, r in ranks.items() if r != rank}
    config = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": rank,  # over the rank, 1: the product is added as it is
        "rank_pattern": wider,
        "alpha_pattern": wider,
        "target_modules": "|".join(sorted({pattern_of(stored) for stored in ranks})),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
    }
    (directory / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    (directory / FACTS).write_text(json.dumps({"base": digest, "packed": packed}, indent=1) + "\n", encoding="utf-8")
    save_file(tensors, directory / WEIGHTS, metadata={"format": "pt"})


def stored_matrices(network: Transformer, family: Family) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Stored modules with a matrix, and the parts of them in order: name in the network and outputs."""
    found: dict[str, list[tuple[str, int]]] = {}
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2:
            stored = family.stored_name(f"{name}.weight").removesuffix(".weight")
            found.setdefault(stored, []).append((name, len(weight)))
    yield from found.items()


def join(factors: Factors, parts: list[tuple[str, int]]) -> tuple[Tensor, Tensor] | None:
    """Factors of the parts' matrices one below another; None where no part has any."""
    if not factors:
        return None
    if len(parts) == 1:
        return factors[parts[0][0]]
    outs = [factors[stem][1] if stem in factors else torch.zeros(outputs, 0) for stem, outputs in parts]
    outs = [out_OR.float().cpu() for out_OR in outs]
    return torch.cat([in_RI.float().cpu() for in_RI, _ in factors.values()]), torch.block_diag(*outs)  # type: ignore[no-untyped-call]


def last_name(stored: str) -> str:
    return stored.rpartition(".")[2]


def pattern_of(stored: str) -> str:
    """A pattern of a module's name in every layer."""
    return re.sub(r"(?<=\\\.)\d+(?=\\\.)", lambda _: r"\d+", re.escape(stored), count=1)


@dataclass(frozen=True)
class Adapter:
    """A stored adapter: its settings, what we noted of it if it is ours, and its tensors."""

    path: Path
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def scale(self, stored: str, rank: int) -> float:
        """What the product of a module's factors of this rank is multiplied with. Raises CheckpointError where the settings
        say another rank, or none."""
        said, alpha = self.size("r", "rank_pattern", stored), self.size("lora_alpha", "alpha_pattern", stored)
        if said != rank:
            raise CheckpointError(
                f"{self.path} has factors of {stored} of rank {rank}, and its {CONFIG} says {said}; the two files belong to "
                "different adapters."
            )
        return float(alpha / (rank**0.5 if self.settings.get("use_rslora") else rank))

    def size(self, name: str, by_module: str, stored: str) -> float:
        """A number of the settings for a module: that of the first pattern that fits the end of its name, as in PEFT, else
        that of all. Raises CheckpointError for what is none."""
        patterns = self.settings.get(by_module) or {}
        try:
            found = (size for pattern, size in patterns.items() if re.match(rf"(.*\.)?({pattern})$", stored))
            size = next(found, self.settings.get(name))
        except (AttributeError, re.error) as error:
            raise CheckpointError(
                f"{self.path / CONFIG} has {by_module} = {shown(patterns)}, which are no patterns of names. Copy it again."
            ) from error
        if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < inf:
            raise CheckpointError(f"{self.path / CONFIG} has {shown(size)} as {name} of {stored}. Copy it again.")
        return size


@torch.no_grad()
def apply_adapter(network: Transformer, family: Family, path: Path) -> Transformer:
    """Add an adapter to the matrices of its base, in place. Raises CheckpointError for a damaged adapter, one of another kind
    or of another base, OptionError for a quantized network."""
    refuse_quantized(network, "given an adapter")
    adapter = read_adapter(path)
    digest = adapter.facts.get("base")
    if digest is not None and digest != base_digest(network.named_parameters()):
        raise CheckpointError(
            f"{path} is an adapter of {adapter.settings.get('base_model_name_or_path')}, and {network.name} has "
            "other weights; load it with the base that it was trained on."
        )
    modules = dict(stored_matrices(network, family))
    known = {f"{PREFIX}{stored}.{part}" for stored in modules for part in (IN, OUT)}
    strangers = sorted(adapter.tensors.keys() - known)
    if strangers or not adapter.tensors:
        raise CheckpointError(
            f"{path} changes {strangers[0] if strangers else 'nothing'}, which {network.name}, a {family.name} network, has "
            "not; load it with the base that it was trained on."
        )
    for stored, parts in modules.items():
        in_RI = adapter.tensors.get(f"{PREFIX}{stored}.{IN}")
        out_OR = adapter.tensors.get(f"{PREFIX}{stored}.{OUT}")
        if in_RI is None and out_OR is None:
            continue
        if in_RI is None or out_OR is None:
            raise CheckpointError(f"{path / WEIGHTS} has only one of the two factors of {stored}. Copy the file again.")
        weights = [network.get_parameter(f"{name}.weight") for name, _ in parts]
        shape = (sum(outputs for _, outputs in parts), weights[0].shape[1])
        rank = len(in_RI) if in_RI.ndim else 0
        if out_OR.shape != (shape[0], rank) or in_RI.shape != (rank, shape[1]):
            raise CheckpointError(
                f"{path} has factors of {stored} of {tuple(out_OR.shape)} and {tuple(in_RI.shape)}, whose product is not "
                f"{shape}; load it with the base that it was trained on."
            )
        scale = adapter.scale(stored, rank)
        for weight, part_OR in zip(weights, torch.split(out_OR, [outputs for _, outputs in parts]), strict=True):
            change_OI = scale * (part_OR.to(weight.device).float() @ in_RI.to(weight.device).float())
            weight.copy_(weight.float() + change_OI if weight.dtype.itemsize < 4 else weight + change_OI)
    packed = adapter.facts.get("packed", network.config.packed)
    network.config = replace(network.config, packed=bool(packed))
    return network


def read_adapter(path: Path) -> Adapter:
    """Raises CheckpointError for a directory without one, and for one that is not plain LoRA."""
    if not (path / CONFIG).is_file() or not (path / WEIGHTS).is_file():
        raise CheckpointError(
            f"{path} holds no adapter: it needs {CONFIG} and {WEIGHTS}, as `fef train --lora` and PEFT write them."
        )
    settings = read_json(path / CONFIG)
    kind, on = settings.get("peft_type"), [name for name in SWITCHED_OFF if settings.get(name)]
    start = settings.get("init_lora_weights")
    if start not in PLAIN_STARTS:
        on.append(f"init_lora_weights {shown(start)}")
    if kind != "LORA" or on:
        raise CheckpointError(
            f"{path} holds an adapter of the kind {kind}{f' with {on[0]}' if on else ''}; fef applies plain LoRA. Merge it "
            "into its base (in peft: merge_and_unload, then save_pretrained) and load the result."
        )
    try:
        return Adapter(path, settings, read_json(path / FACTS), load_file(path / WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path / WEIGHTS} is damaged ({error}). Copy the file again.") from error
