"""The Monte-Carlo bound against its expectation, enumerated, and against the exact law of tables."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import pytest
import torch

from fef.decoding.network import Network
from fef.eval.bound import monte_carlo_bound
from fef.models.table import TableDenoiser

K, L = 3, 4
MASK = K
NOTHING_BANNED: list[int] = []
PLACES = torch.tensor([0, 1, 3])
IDS = torch.tensor([2, 0, 1, 1])


def joint() -> torch.Tensor:
    weight = torch.rand((K,) * L, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    return weight / weight.sum()


def expectation(denoiser: TableDenoiser) -> float:
    """P/k times the sum of log p of k masked tokens, over all k and all subsets of k places."""
    total = 0.0
    count = len(PLACES)
    for k in range(1, count + 1):
        subsets = list(combinations(PLACES.tolist(), k))
        for subset in subsets:
            state = IDS.clone()
            state[list(subset)] = MASK
            logp = denoiser(state[None])[0].log_softmax(-1)
            total += count / k * sum(float(logp[i, IDS[i]]) for i in subset) / len(subsets) / count
    return total


TABLES = {"consistent": TableDenoiser(joint()), "inconsistent": TableDenoiser.inconsistent(K, L, seed=1)}


@pytest.mark.parametrize("name", TABLES)
def test_the_mean_is_the_enumerated_expectation(name: str) -> None:
    denoiser = TABLES[name]
    runs = [monte_carlo_bound(Network(denoiser), IDS, PLACES, 64, seed, NOTHING_BANNED) for seed in range(400)]
    mean = sum(runs) / len(runs)
    error = math.sqrt(sum((r - mean) ** 2 for r in runs) / len(runs) / (len(runs) - 1))
    assert abs(mean - expectation(denoiser)) < 4 * error  # p > 1e-4
    assert error < 0.06


def test_the_expectation_is_the_mean_chain_over_all_orders_and_bounds_the_truth() -> None:
    """For a consistent table every order has the same chain, so the bound is tight; mixing orders loses otherwise."""
    table = joint()
    exact = math.log(float(table[tuple(IDS)]) / float(table[:, :, IDS[2]][..., :].sum()))
    assert expectation(TABLES["consistent"]) == pytest.approx(exact, abs=1e-9)
    chains = []
    for order in permutations(PLACES.tolist()):
        state, logp = IDS.clone(), 0.0
        state[PLACES] = MASK
        for place in order:
            logp += float(TABLES["inconsistent"](state[None])[0, place].log_softmax(-1)[IDS[place]])
            state[place] = IDS[place]
        chains.append(logp)
    mean = sum(chains) / len(chains)
    assert expectation(TABLES["inconsistent"]) == pytest.approx(mean, abs=1e-9)
    assert mean < math.log(sum(map(math.exp, chains)) / len(chains))


def test_one_token_is_scored_exactly_and_the_seed_decides() -> None:
    network = Network(TABLES["inconsistent"])
    state = IDS.clone()
    state[1] = MASK
    exact = float(network.denoiser(state[None])[0, 1].log_softmax(-1)[IDS[1]])
    assert monte_carlo_bound(network, IDS, torch.tensor([1]), 3, 0, NOTHING_BANNED) == pytest.approx(exact)
    first, again, other = (monte_carlo_bound(network, IDS, PLACES, 4, seed, NOTHING_BANNED) for seed in (5, 5, 6))
    assert first == again != other


def test_banned_ids_share_no_probability() -> None:
    network = Network(TABLES["consistent"])
    free = monte_carlo_bound(network, IDS, torch.tensor([1]), 1, 0, NOTHING_BANNED)
    banned = monte_carlo_bound(network, IDS, torch.tensor([1]), 1, 0, [2])
    state = IDS.clone()
    state[1] = MASK
    p = network.denoiser(state[None])[0, 1].softmax(-1)
    assert banned - free == pytest.approx(-math.log(1 - float(p[2])))


def test_pieces_give_the_same_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(TABLES["consistent"])
    whole = monte_carlo_bound(network, IDS, PLACES, 7, 0, NOTHING_BANNED)
    monkeypatch.setattr("fef.eval.bound.BATCH_ENTRIES", 2 * len(PLACES) * (K + 1))
    assert monte_carlo_bound(network, IDS, PLACES, 7, 0, NOTHING_BANNED) == pytest.approx(whole)
