"""What a family of released checkpoints must say: how its config reads, and what its weights are called."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from fef.errors import CheckpointError
from fef.models.config import MOST_LAYERS, MOST_SIZE, TransformerConfig
from fef.readers import shown

__all__ = ["LLAMA_KEYS", "Family", "Fields"]

LLAMA_KEYS = {
    "embed": "model.embed_tokens",
    "norm": "model.norm",
    "head": "lm_head",
    "blocks.{layer}.attn_norm": "model.layers.{layer}.input_layernorm",
    "blocks.{layer}.attn.q": "model.layers.{layer}.self_attn.q_proj",
    "blocks.{layer}.attn.k": "model.layers.{layer}.self_attn.k_proj",
    "blocks.{layer}.attn.v": "model.layers.{layer}.self_attn.v_proj",
    "blocks.{layer}.attn.out": "model.layers.{layer}.self_attn.o_proj",
    "blocks.{layer}.attn.q_norm": "model.layers.{layer}.self_attn.q_norm",
    "blocks.{layer}.attn.k_norm": "model.layers.{layer}.self_attn.k_norm",
    "blocks.{layer}.mlp_norm": "model.layers.{layer}.post_attention_layernorm",
    "blocks.{layer}.mlp.gate": "model.layers.{layer}.mlp.gate_proj",
    "blocks.{layer}.mlp.up": "model.layers.{layer}.mlp.up_proj",
    "blocks.{layer}.mlp.down": "model.layers.{layer}.mlp.down_proj",
    "blocks.{layer}.mlp.router": "model.layers.{layer}.mlp.gate",
    "blocks.{layer}.mlp.experts.gate": "model.layers.{layer}.mlp.experts.{expert}.gate_proj.weight",
    "blocks.{layer}.mlp.experts.up": "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight",
    "blocks.{layer}.mlp.experts.down": "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight",
}
"""The names that LLaMA gave to its parts, which most checkpoints follow."""

NESTED = (
    "auto_map",
    "id2label",
    "label2id",
    "quantization_config",
    "rope_parameters",
    "rope_scaling",
    "task_specific_params",
    "transformers.js_config",
)
"""Objects in a config.json that hold no setting of the network, or are read elsewhere."""

LARGEST = sys.float_info.max


@dataclass(frozen=True)
class Family:
    """One family of checkpoints, told by the `architectures` entry of its config.json.

    keys: the stored name of each parameter of `Transformer`, whole or without its last part (weight, bias). Parameters
    with one stored name share it row by row, in the order of the network; `{expert}` makes it one stored tensor an
    expert. None: stored under our own names. turn_ends: tokens that end an answer in the family's chats, besides those
    that the checkpoint itself lists.
    """

    name: str
    released: str
    architectures: tuple[str, ...]
    config: Callable[[Fields], TransformerConfig]
    keys: Mapping[str, str] | None = None
    turn_ends: tuple[str, ...] = ()

    def stored_name(self, name: str) -> str:
        """The stored key of a parameter, with `{expert}` left in where experts are stored one by one."""
        if self.keys is None:
            return name
        layer = re.search(r"(?<=^blocks\.)\d+", name)
        general = name if layer is None else name.replace(layer[0], "{layer}", 1)
        stem, _, last = general.rpartition(".")
        stored = self.keys[general] if general in self.keys else f"{self.keys[stem]}.{last}"
        return stored if layer is None else stored.replace("{layer}", layer[0])


@dataclass(frozen=True)
class Fields:
    """The config.json of a checkpoint, read field by field. Each reader raises CheckpointError that names the field.

    generation: its generation_config.json. named_ids: ids of the tokenizer's named tokens, such as mask_token.
    turn_ends: ids of the family's turn ends. place, spelled: where the values stand if not in a config.json, and what they
    are called there, for error messages.
    """

    where: str
    values: Mapping[str, Any]
    generation: Mapping[str, Any] = field(default_factory=dict)
    named_ids: Mapping[str, int] = field(default_factory=dict)
    turn_ends: Sequence[int] = ()
    place: str = "config.json"
    spelled: Mapping[str, str] = field(default_factory=dict)

    def whole(self, name: str, default: int | None = None, least: int = 1, most: int = MOST_SIZE) -> int:
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(name, value, f"a whole number from {least} to {most}")
        return value

    def layers(self, name: str) -> int:
        return self.whole(name, most=MOST_LAYERS)

    def number(self, name: str, default: float | None = None, least: float = -inf, most: float = inf) -> float:
        """A number that a float holds, above `least` and up to `most`."""
        value = self.values.get(name)
        if value is None and default is not None:
            return default
        low, high = max(least, -LARGEST), min(most, LARGEST)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low < value <= high:
            limits = [f"above {least:g}"] * (least > -inf) + [f"at most {most:g}"] * (most < inf)
            raise self.wrong(name, value, " ".join(["a number", " and ".join(limits)]).strip())
        return float(value)

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.wrong(name, value, "true or false")
        return value

    def only(self, **supported: object) -> None:
        """Refuse switches that the transformer here does not have. A field that is absent or null is switched off."""
        for name, value in self.values.items():
            if isinstance(value, Mapping) and value and name not in NESTED:
                raise self.wrong(name, value, "left out: fef reads no settings there")
        for name, value in supported.items():
            given = self.values.get(name)
            if given is not None and given != value:
                raise self.wrong(name, given, f"{value!r}: fef runs no other variant")

    def full_attention(self) -> None:
        """Refuse networks some of whose layers see a window only."""
        self.only(use_sliding_window=False)
        kinds = self.values.get("layer_types")
        if kinds is not None and (not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds)):
            raise self.wrong("layer_types", kinds, "'full_attention' for each layer: fef runs no other variant")

    def tokens(self) -> dict[str, Any]:
        """mask_id, eos_id and stop_ids: of the generation defaults, else of the config, else of the tokenizer."""
        mask = first_known(self.values.get("mask_token_id"), self.named_ids.get("mask_token"))
        if mask is None:
            raise CheckpointError(
                f"{self.where} stores its mask id nowhere: no mask_token_id in config.json, no mask_token in "
                "tokenizer_config.json. Give it: fef.load(..., mask_id=...)."
            )
        stored = (settings.get("eos_token_id") for settings in (self.generation, self.values))
        ends = first_known(*stored, self.named_ids.get("eos_token"))
        end_ids = list(ends) if isinstance(ends, list) else [] if ends is None else [ends]
        if not all(isinstance(i, int) and not isinstance(i, bool) for i in (mask, *end_ids)):
            raise self.wrong("mask_token_id or eos_token_id", (mask, ends), "whole numbers")
        eos, *stops = dict.fromkeys([*end_ids, *self.turn_ends]) if end_ids else [None, *self.turn_ends]
        return {"mask_id": mask, "eos_id": eos, "stop_ids": tuple(stops)}

    def wrong(self, name: str, value: object, allowed: str) -> CheckpointError:
        spelled = self.spelled.get(name, name)
        return CheckpointError(f"{self.where}: {self.place} has {spelled} = {shown(value)}; it must be {allowed}.")


def first_known(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
