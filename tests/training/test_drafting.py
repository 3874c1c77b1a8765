"""Tokens per pass of held-out drafts: against loops over padded rows, and where the answer is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fef.models.config import TransformerConfig
from fef.models.packed import packed_visible
from fef.models.transformer import Transformer
from fef.training.drafting import committed, overlaps, tokens_per_pass
from fef.training.flat import flatten
from fef.training.patterns import Canvases, packed_slots
from fef.training.streams import packed_streams

CONFIG = TransformerConfig(
    vocab_size=23, dim=16, layers=2, heads=2, mlp_dim=24, max_length=24, mask_id=22, eos_id=21, packed=True
)
LENGTH, SLOTS = 12, 12


@pytest.fixture(scope="module")
def network() -> Transformer:
    model = Transformer(CONFIG).eval().requires_grad_(False)
    model.reset(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.5)
    return model


def expected(accepts: list[float]) -> float:
    """Of one group."""
    return 1 + sum(math.prod(accepts[:n]) for n in range(1, len(accepts)))


@pytest.mark.parametrize("sizes", [[1], [1, 1, 1], [3], [2, 5, 1, 4]])
def test_a_pass_commits_one_token_more_than_it_accepts_and_no_more_than_its_group(sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(len(sizes))
    groups = [torch.rand(size, generator=generator).tolist() for size in sizes]
    group_P = torch.cat([torch.full((size,), 7 * at) for at, size in enumerate(sizes)])
    found = committed(torch.tensor([a for group in groups for a in group]), group_P)
    assert float(found) == pytest.approx(sum(map(expected, groups)) / len(groups), rel=1e-6)


@pytest.mark.parametrize(("accept", "tokens"), [(1.0, 5.0), (0.0, 1.0)])
def test_perfect_drafts_commit_their_group_and_hopeless_ones_one_token(accept: float, tokens: float) -> None:
    assert float(committed(torch.full((10,), accept), torch.arange(10) // 5)) == pytest.approx(tokens)


def test_the_tokens_of_a_flat_row_are_those_of_its_canvases_group_by_group(network: Transformer) -> None:
    canvases, masked_BL = drawn()
    slots = packed_slots(canvases, masked_BL, 21, SLOTS, torch.tensor([2, 4]), torch.Generator().manual_seed(3))
    streams = packed_streams(canvases, masked_BL, slots, 22, 21)
    flat = flatten(streams, 512)
    assert int(flat.rows) == len(canvases.ids_BL)
    hidden_1TD, _ = network.trunk(flat.input_1T, flat.index_1T, flat.intervals.dense())
    found = tokens_per_pass(hidden_1TD[0], network.head_weight, flat)

    hidden_BND, _ = network.trunk(
        streams.input_BN, streams.tokens.index_BN, packed_visible(streams.tokens, streams.tokens)
    )
    law_BNV = network.logits(hidden_BND).softmax(-1)
    values = []
    for row, starts in enumerate(slots.group_start_BM.tolist()):
        groups: dict[int, list[float]] = {}
        for slot, start in enumerate(starts):
            if slots.index_BM[row, slot] >= 0:
                target = law_BNV[row, LENGTH + SLOTS + slot]
                draft = law_BNV[row, LENGTH + 2 * SLOTS + slot]
                groups.setdefault(start, []).append(float(torch.minimum(target, draft).sum()))
        values += map(expected, groups.values())
    assert float(found) == pytest.approx(sum(values) / len(values), rel=1e-4)
    every_one = replace(flat, intervals=replace(flat.intervals, first_T=torch.arange(512)))
    assert float(tokens_per_pass(hidden_1TD[0], network.head_weight, every_one)) == 1.0  # groups of one


def test_overlap_is_one_of_a_law_with_itself_and_less_of_two() -> None:
    hidden_PD, other_PD, head_VD = (torch.randn(n, 8, generator=torch.Generator().manual_seed(n)) for n in (5, 5, 11))
    other_PD = other_PD.flip(0)
    assert overlaps(hidden_PD, hidden_PD, head_VD).tolist() == pytest.approx([1.0] * 5)
    distance_P = (law(hidden_PD, head_VD) - law(other_PD, head_VD)).abs().sum(-1) / 2
    assert overlaps(hidden_PD, other_PD, head_VD).tolist() == pytest.approx((1 - distance_P).tolist(), abs=1e-6)


def law(hidden_PD: Tensor, head_VD: Tensor) -> Tensor:
    return (hidden_PD @ head_VD.T).softmax(-1)


def drawn() -> tuple[Canvases, Tensor]:
    generator = torch.Generator().manual_seed(5)
    ids_BL = torch.randint(21, (4, LENGTH), generator=generator)
    stop_B = torch.tensor([12, 9, 11, 12])
    ids_BL[torch.arange(LENGTH) >= stop_B[:, None] - 1] = 21
    start_B = torch.tensor([2, 3, 4, 1])
    canvases = Canvases(ids_BL, start_B, torch.full((4,), LENGTH), torch.full((4,), LENGTH))
    return canvases, (torch.rand(4, LENGTH, generator=generator) < 0.8) & canvases.region_BL()
