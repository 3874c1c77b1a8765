"""The small tables that the tests of decoding share."""

from __future__ import annotations

import torch
from torch import Tensor

from fef.models.table import TableDenoiser

K, L = 3, 4
MASK = K
EMPTY = (MASK,) * L


def random_joint(n_tokens: int = K, length: int = L, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand((n_tokens,) * length, generator=generator, dtype=torch.float64) ** 3
    return weight / weight.sum()


def consistent() -> TableDenoiser:
    return TableDenoiser(random_joint())


def inconsistent() -> TableDenoiser:
    return TableDenoiser.inconsistent(K, L, seed=0)


TABLES = {"consistent": consistent, "inconsistent": inconsistent}


def empty_rows(count: int, length: int = L, mask: int = MASK) -> Tensor:
    return torch.full((count, length), mask)
