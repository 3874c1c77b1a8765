"""Laws and texts do not hang on the last bits of floats: every logit moves by 1e-15 in every call, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

import fef
from fef.laws.tape import ReplayError
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.verify.decode import law_of_decode
from fef.verify.network_laws import packed_chain_law
from fef.verify.reference import chain_law, table_of
from fef.verify.tables import random_joint, random_network
from fef.verify.texts import Law, distance, law_of_joint, sharpened

EXACT = 1e-9
SIZE = 1e-15
TOKENS, SLOTS = 4, 3
CANVAS = (0, *[TOKENS] * SLOTS)  # a given token first: on masks alone, slots would tie
EMPTY = (3,) * 3
SMALL = {"consistent": TableDenoiser(random_joint(3, 3)), "inconsistent": TableDenoiser.inconsistent(3, 3, seed=0)}
RULES = pytest.mark.parametrize("accept", ["rejection", "block"])


class Moved:
    """Logits of which each moves up or down, absolutely and relatively by `size`, otherwise in every call."""

    def __init__(self, logits: Callable[..., Tensor], size: float = SIZE) -> None:
        self.logits, self.size = logits, size
        self.generator = torch.Generator().manual_seed(0)

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


@cache
def fixed_law(seed: int, verify: str) -> Law:
    network = random_network("network", seed, TOKENS)
    if verify == "packed":
        return packed_chain_law(network, CANVAS, sharpened())
    return chain_law(table_of(network, TOKENS, len(CANVAS)), CANVAS, sharpened())


def assert_same(found: Law, expected: Law) -> None:
    assert sum(found.values()) == pytest.approx(1, abs=EXACT)
    assert distance(found, expected) < EXACT


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [0, SIZE])
def test_packed_laws_of_networks(seed, size):
    found = law_of_decode(moved_network(seed, size), CANVAS, "fef", {"verify": "packed", "accept": "rejection"})
    assert_same(found, fixed_law(seed, "packed"))


@pytest.mark.parametrize(
    ("verify", "accept", "draft"),
    [("rows", "rejection", "reuse"), ("rows", "block", "fresh"), ("packed", "block", "reuse")],
)
@pytest.mark.parametrize("seed", range(2))
def test_laws_of_networks(seed, verify, accept, draft):
    options = {"verify": verify, "accept": accept, "draft": draft}
    assert_same(law_of_decode(moved_network(seed), CANVAS, "fef", options), fixed_law(seed, verify))


@pytest.mark.parametrize("kind", SMALL)
@pytest.mark.parametrize("method", ["low-confidence", "topk-margin", "entropy", "sequential"])
def test_laws_of_tables_and_orders(kind, method):
    options = {} if method == "sequential" else {"tokens_per_step": 1}
    laws = [law_of_decode(moved_table(SMALL[kind], size), EMPTY, method, options) for size in (0, SIZE)]
    assert_same(*laws)


@RULES
@pytest.mark.parametrize(("draft", "steps"), [("fresh", 1), ("fresh", 2), ("reuse", 2), ("random", 1)])
def test_laws_of_speculative_rounds(accept, draft, steps):
    table, options = SMALL["consistent"], {"accept": accept, "draft": draft, "steps": steps, "window": 2}
    assert_same(law_of_decode(moved_table(table), EMPTY, "fef", options), law_of_joint(table.joint))


@RULES
def test_drafts_that_are_certain_to_be_accepted(accept):
    """Slots that do not depend on each other: p = q everywhere, so each ratio and each residual is a quotient of rounding."""
    weight = torch.einsum("a,b,c->abc", *torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).double())
    table = TableDenoiser(weight / weight.sum())
    found = law_of_decode(moved_table(table), EMPTY, "fef", {"accept": accept, "draft": "fresh"})
    assert_same(found, law_of_joint(table.joint))


@RULES
def test_texts_that_are_excluded(accept):
    """Slots that are all alike: once one is known, the laws of the others are points."""
    joint = torch.zeros(3, 3, 3, dtype=torch.float64)
    joint[range(3), range(3), range(3)] = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    found = law_of_decode(moved_table(TableDenoiser(joint)), EMPTY, "fef", {"accept": accept})
    assert_same(found, law_of_joint(joint))


@pytest.mark.parametrize("verify", ["packed", "rows"])
@pytest.mark.parametrize("method", ["fef", "dual-exact"])
def test_coupled_texts(method, verify):
    """Coupled rounds cannot be integrated: their texts are those of one token at a time."""
    ids, seed = torch.tensor([CANVAS]).repeat(200, 1), list(range(200))
    plain = fef.decode(random_network("network", 0, TOKENS), ids, method="sequential", verify=verify, seed=seed)
    for _ in range(2):
        assert fef.decode(moved_network(0), ids, method=method, verify=verify, seed=seed).ids.equal(plain.ids)


@pytest.mark.parametrize("size", [0.1, 1e-6])
@pytest.mark.parametrize("verify", ["packed", "rows"])
def test_moves_beyond_rounding_are_named(verify, size):
    with pytest.raises(ReplayError, match=r"run again, has probability 0\.\d+ where it had 0\.\d+"):
        law_of_decode(moved_network(0, size), CANVAS, "fef", {"verify": verify, "accept": "rejection", "survival": 0.0})


@pytest.mark.parametrize("method", ["low-confidence", "topk-margin", "entropy"])
def test_an_order_by_the_last_bits_is_named(method):
    """Slots of one law tie, so the last bits rank them, and a path that is run again decides them in another order."""
    tied = moved_table(TableDenoiser(torch.full((3, 3, 3), 1 / 27, dtype=torch.float64)))
    with pytest.raises(ReplayError, match=r"TOKEN at position \d .* last bits of floats"):
        law_of_decode(tied, EMPTY, method, {"tokens_per_step": 1})
