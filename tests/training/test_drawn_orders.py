"""The orders in which layers on hidden states see masked tokens: from left to right, as in blocks, and any."""

from __future__ import annotations

import torch
from torch import Tensor

from fef.training.hidden_layer import drawn_slots

ROWS, LENGTH = 1500, 64
WHOLE = torch.ones(ROWS, LENGTH, dtype=torch.bool)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(order_BS: Tensor) -> list[float]:
    """Of whole orders: those from left to right, others whose places are off by a quarter of the length at most on average,
    and the rest."""
    off_B = (order_BS - torch.arange(LENGTH)).abs().double().mean(1)
    sorted_, near = float((off_B == 0).double().mean()), float((off_B <= LENGTH / 4).double().mean())
    return [sorted_, near - sorted_, 1 - near]


def test_a_third_of_the_orders_is_of_each_kind() -> None:
    order_BS, there_BS = drawn_slots(WHOLE, LENGTH, generator())
    assert bool(there_BS.all())
    assert all(abs(share - 1 / 3) < 0.06 for share in shares(order_BS))
    random_BS = torch.rand(ROWS, LENGTH, generator=generator()).argsort(1)
    assert shares(random_BS)[2] > 0.95, "twin: any order in all rows"


def test_masked_positions_are_drawn_once_each_up_to_a_number() -> None:
    masked_BL = torch.rand(ROWS, LENGTH, generator=generator(1)) < torch.rand(ROWS, 1, generator=generator(2))
    for count in (5, LENGTH, 2 * LENGTH):
        slots_BS, there_BS = drawn_slots(masked_BL, count, generator(3))
        assert torch.equal(there_BS.sum(1), masked_BL.sum(1).clamp(max=count))
        drawn_BL = torch.zeros(ROWS, LENGTH, dtype=torch.int64).scatter_add(1, slots_BS, there_BS.long())
        assert int(drawn_BL.max()) == 1 and not bool((drawn_BL.bool() & ~masked_BL).any())
        assert bool((there_BS[:, :-1] >= there_BS[:, 1:]).all()), "those that are there come first"


def test_blocks_reach_no_farther_than_half_a_canvas() -> None:
    """What comes next is at most so far behind the first position that is still open, where the order is not any."""
    order_BS, _ = drawn_slots(WHOLE, LENGTH, generator(4))
    behind_BS = order_BS - order_BS.flip(1).cummin(1).values.flip(1)
    far_B = behind_BS.max(1).values >= LENGTH // 2
    assert abs(float(far_B.double().mean()) - 1 / 3) < 0.06
