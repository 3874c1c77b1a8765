"""Laws and texts do not hang on the last bits of floats: every logit moves by 1e-15 in every call, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import fef
from fef.laws.tape import ReplayError
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.verify.decode import law_of_decode
from fef.verify.reference import Chain, Law, chain_law, distance, packed_chain_law, sharpened, table_of
from fef.verify.tables import TABLES, random_network

EXACT = 1e-9
SIZE = 1e-15
TOKENS, SLOTS = 4, 3
CANVAS = (0, *[TOKENS] * SLOTS)  # a given token first: on masks alone, slots would tie
RULES = pytest.mark.parametrize("accept", ["rejection", "block"])


class Moved:
    """Logits of which each moves up or down by `size`, relatively and absolutely, otherwise in every call."""

    def __init__(self, logits: Callable[..., Tensor], size: float = SIZE, seed: int = 0) -> None:
        self.logits, self.size = logits, size
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *args: Any) -> Tensor:
        logits = self.logits(*args)
        sign = torch.randint(0, 2, logits.shape, generator=self.generator) * 2 - 1
        return logits + sign * self.size * (1 + logits.abs().nan_to_num(posinf=0))


def moved_table(table: TableDenoiser, size: float = SIZE) -> Callable[..., Tensor]:
    moved = Moved(table, size)
    moved.mask_id, moved.vocab_size = table.mask_id, table.vocab_size
    return moved


def moved_network(seed: int, size: float = SIZE) -> Transformer:
    """Every pass of a transformer, packed or not, ends in its `logits`."""
    network = random_network("network", seed, TOKENS)
    network.logits = Moved(network.logits, size)
    return network


def packed_law(seed: int) -> Law:
    return packed_chain_law(random_network("network", seed, TOKENS), CANVAS, sharpened())


def rows_law(seed: int) -> Law:
    return chain_law(table_of(random_network("network", seed, TOKENS), TOKENS, len(CANVAS)), start=CANVAS)


def is_the_law(found: Law, expected: Law) -> bool:
    return abs(sum(found.values()) - 1) < EXACT and distance(found, expected) < EXACT


@pytest.mark.parametrize("seed", [pytest.param(s, marks=[pytest.mark.slow] if s > 3 else []) for s in range(12)])
def test_packed_laws_of_networks(seed):
    options = {"verify": "packed", "accept": "rejection"}
    assert is_the_law(law_of_decode(moved_network(seed), CANVAS, "fef", options), packed_law(seed))
