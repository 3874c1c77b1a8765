from __future__ import annotations

import pytest
import torch

from fef.laws.eos import at_position, bounds, bounds_before, undecided

EOS = 0
FAR = 99


def random_case(seed: int):
    """Committed and drafted tokens at the positions of a shuffled canvas."""
    generator = torch.Generator().manual_seed(seed)
    position_N = torch.randperm(8, generator=generator)
    token_N = torch.randint(0, 3, (8,), generator=generator)
    real_N = torch.rand(8, generator=generator) < 0.7
    return position_N, token_N, real_N


@pytest.mark.parametrize("seed", range(8))
def test_bounds_of_a_prefix_are_those_of_its_tokens_alone(seed):
    position_N, token_N, real_N = random_case(seed)
    none = torch.tensor([FAR]), torch.tensor([-1])
    first_1X, last_1X = bounds_before(*none, position_N[None], token_N[None], real_N[None], EOS)
    rows = list(zip(position_N.tolist(), token_N.tolist(), real_N.tolist(), strict=True))
    for count in range(9):
        ends = [p for p, token, real in rows[:count] if real and token == EOS]
        others = [p for p, token, real in rows[:count] if real and token != EOS]
        expected = min(ends, default=FAR), max(others, default=-1)
        assert (int(first_1X[0, count]), int(last_1X[0, count])) == expected
        part = position_N[None, :count], token_N[None, :count], real_N[None, :count]
        assert tuple(int(b) for b in bounds(*none, *part, EOS)) == expected


def test_tokens_join_what_was_there_before():
    first_B, last_B = torch.tensor([4, 9]), torch.tensor([2, 8])
    position_BN, token_BN = torch.tensor([[5, 3], [10, 7]]), torch.tensor([[EOS, 7], [EOS, EOS]])
    first, last = bounds(first_B, last_B, position_BN, token_BN, torch.ones(2, 2, dtype=torch.bool), EOS)
    assert (first.tolist(), last.tolist()) == ([4, 7], [3, 8])


def test_eos_is_certain_behind_the_first_and_impossible_before_another_token():
    position = torch.arange(6)[None]
    forced, forbidden = at_position(position, torch.tensor([[3]]), torch.tensor([[2]]))
    assert forced[0].tolist() == [False] * 4 + [True] * 2
    assert forbidden[0].tolist() == [True] * 2 + [False] * 4
    forced, forbidden = at_position(position, torch.tensor([[FAR]]), torch.tensor([[-1]]))
    assert not forced.any() and not forbidden.any()
    # where both are said, certainty wins: no slot is left without a token
    forced, forbidden = at_position(position, torch.tensor([[1]]), torch.tensor([[4]]))
    assert not (forced & forbidden).any() and bool(forced[0, 2])


@pytest.mark.parametrize("seed", range(12))
def test_undecided_counts_until_every_slot_left_lies_behind_an_eos(seed):
    position_N, token_N, _ = random_case(seed)
    order, tokens = position_N.tolist(), token_N.tolist()
    for drawn in range(9):
        for first in (3, FAR):
            expected = drawn
            for count in range(drawn):
                end = min([first, *(p for p, t in zip(order[:count], tokens, strict=False) if t == EOS)])
                if all(p > end for p in order[count:]):
                    expected = count
                    break
            assert int(undecided(torch.tensor([first]), position_N[None], token_N[None, :drawn], EOS)) == expected
