"""A causal language model beside the network: the law of each slot given the tokens before it, all slots in one pass.

Shapes: B rows, L canvas length, S slots, N tokens that are read, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.errors import OptionError
from fef.models.causal import load_causal
from fef.models.transformer import Transformer

__all__ = ["CausalModel", "find_causal"]


@dataclass(frozen=True)
class CausalModel:
    """network: its logits at a position are those of the next token (`fef.models.causal`)."""

    network: Network

    @property
    def name(self) -> str:
        return self.network.name

    def logits(self, ids_BL: Tensor, slots_BS: Tensor, meter: Meter) -> Tensor:
        """Logits [B, S, V] of the slots (-1: none), each given the tokens before it. Tokens behind the last slot are not
        computed, and no slot may be the first position of its row (`check_canvas`)."""
        read_B = slots_BS.amax(1).clamp(min=0)
        ids_BN = ids_BL[:, : max(1, int(read_B.max()))]
        meter.pass_((read_B > 0).long(), read_B)
        return self.network.logits_at(ids_BN, (slots_BS - 1).clamp(min=0))


def find_causal(given: Callable[..., Tensor] | str | None, network: Network) -> CausalModel:
    """The model that was given, loaded where it is a name; else the one that came with the checkpoint. Raises OptionError
    where there is none, or none that fits the network."""
    found: Any = network.extra("causal_model") if given is None else given
    if isinstance(found, str | Path):
        own = network.denoiser
        dtype = own.embed.weight.dtype if isinstance(own, Transformer) else None
        found = loaded(str(found), network.device or torch.device("cpu"), dtype)
    if found is None:
        raise OptionError(
            f"{network.name} comes without a causal model. Give causal=MODEL: one of fef.models.causal.load_causal, or the "
            "name of a file or directory that it loads."
        )
    if isinstance(found, Transformer) and found.config.attention != "causal":
        raise OptionError(
            f"{found.name} is no causal model: its attention is {found.config.attention}. Give one of "
            "fef.models.causal.load_causal."
        )
    causal = Network(found)
    if None not in (causal.vocab_size, network.vocab_size) and causal.vocab_size != network.vocab_size:
        raise OptionError(
            f"{causal.name} has {causal.vocab_size} tokens and {network.name} {network.vocab_size}; both must read the same "
            "ids. Give a causal model with the same tokenizer."
        )
    return CausalModel(causal)


@lru_cache(maxsize=1)
def loaded(name: str, device: torch.device, dtype: torch.dtype | None) -> Transformer:
    """Kept, as a plan is made for every call."""
    return load_causal(name, device, dtype)[0]
