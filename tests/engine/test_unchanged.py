"""Which networks an engine takes for changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fef.engine.unchanged import Fingerprint
from fef.errors import EngineError

KINDS: dict[str, Callable[[], Tensor]] = {
    "plain": lambda: torch.ones(3),
    "transposed": lambda: torch.ones(4, 5).T,
    "expanded": lambda: torch.ones(3, 1).expand(3, 7),
    "a number": lambda: torch.tensor(1.5),
    "float8": lambda: torch.ones(4).to(torch.float8_e4m3fn),
    "nan": lambda: torch.tensor([float("nan")]),
    "meta": lambda: torch.empty(3, device="meta"),
    "sparse": lambda: torch.eye(3).to_sparse(),
    "conjugate": lambda: torch.ones(4, dtype=torch.complex64).conj(),
    "negated": lambda: torch.ones(4, dtype=torch.complex64).conj().imag,
    "empty": lambda: torch.empty(0, 5),
    "nothing of a longer one": lambda: torch.empty(10)[10:][::2],
}


def module_of(tensor: Tensor) -> nn.Module:
    module = nn.Module()
    module.register_buffer("weights", tensor)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_of_any_kind_are_unchanged_until_another_takes_their_place(kind: str) -> None:
    module = module_of(KINDS[kind]())
    known = Fingerprint(module)
    known.check(module)
    module.weights = torch.zeros(3)
    with pytest.raises(EngineError, match="Make a new engine"):
        known.check(module)


@pytest.mark.parametrize("kind", ["plain", "sparse", "conjugate", "meta"])
def test_a_write_is_seen_in_tensors_of_any_kind(kind: str) -> None:
    module = module_of(KINDS[kind]())
    known = Fingerprint(module)
    module.weights.mul_(2)
    with pytest.raises(EngineError, match="Make a new engine"):
        known.check(module)


@pytest.mark.parametrize("kind", ["plain", "transposed", "a number"])
def test_a_write_through_data_that_is_not_counted_is_seen_by_its_numbers(kind: str) -> None:
    module = module_of(KINDS[kind]())
    known = Fingerprint(module)
    module.weights.data.mul_(2)
    assert not known.overwritten
    with pytest.raises(EngineError, match="Make a new engine"):
        known.check(module)
