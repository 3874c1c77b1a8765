"""The hidden Markov oracle against enumeration, and its closed forms against its own samples."""

from __future__ import annotations

import itertools

import pytest
import torch

import fef
from fef.models.markov import MarkovDenoiser
from fef.models.table import TableDenoiser


def hidden(seed: int = 0, H: int = 3, K: int = 2) -> MarkovDenoiser:
    generator = torch.Generator().manual_seed(seed)

    def law(*shape: int) -> torch.Tensor:
        weight = torch.rand(*shape, generator=generator, dtype=torch.float64) ** 2
        return weight / weight.sum(-1, keepdim=True)

    return MarkovDenoiser(law(H), law(H, H), law(H, K))


def joint_by_enumeration(chain: MarkovDenoiser, length: int) -> torch.Tensor:
    """The law of texts, summed over all hidden paths."""
    H, K = chain.emission_HK.shape
    joint = torch.zeros([K] * length, dtype=torch.float64)
    for path in itertools.product(range(H), repeat=length):
        weight = chain.initial_H[path[0]]
        for a, b in itertools.pairwise(path):
            weight = weight * chain.transition_HH[a, b]
        for text in itertools.product(range(K), repeat=length):
            joint[text] += (
                weight * torch.stack([chain.emission_HK[h, v] for h, v in zip(path, text, strict=True)]).prod()
            )
    return joint


@pytest.mark.parametrize(
    "chain", [hidden(), hidden(1, 2, 3), MarkovDenoiser.random(3, seed=2)], ids=["wide", "narrow", "visible"]
)
def test_every_posterior_is_the_tables(chain):
    length = 4
    table = TableDenoiser(joint_by_enumeration(chain, length))
    states = torch.cartesian_prod(*[torch.arange(chain.vocab_size)] * length)
    torch.testing.assert_close(chain(states).exp(), table(states).exp(), rtol=0, atol=1e-12)


def test_an_excluded_text_leaves_the_uniform_law():
    chain = MarkovDenoiser(torch.tensor([1.0, 0.0]), torch.eye(2))
    law = chain(torch.tensor([[0, 1, 2]])).exp()
    torch.testing.assert_close(law[0, 2], torch.tensor([0.5, 0.5, 0.0]).double())
    assert law[0, 0].tolist() == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_ngram_law_is_the_mean_over_places(n):
    chain, length = hidden(), 5
    joint = joint_by_enumeration(chain, length)
    places = [joint.sum([a for a in range(length) if not p <= a < p + n]) for p in range(length - n + 1)]
    torch.testing.assert_close(chain.ngram_law(n, length), torch.stack(places).mean(0), rtol=0, atol=1e-12)


def test_long_texts_do_not_underflow():
    chain = MarkovDenoiser.random(8, seed=0)
    text = chain.sample(1, 2000, torch.Generator().manual_seed(0))
    text[0, ::7] = chain.mask_id
    law = chain(text).exp()
    torch.testing.assert_close(law.sum(-1), torch.ones(1, 2000).double())


def test_samples_have_its_transitions():
    chain = MarkovDenoiser.random(4, seed=1)
    text = chain.sample(20_000, 3, torch.Generator().manual_seed(0))
    counts = torch.zeros(4, 4).index_put_((text[:, 1], text[:, 2]), torch.tensor(1.0), accumulate=True)
    torch.testing.assert_close(counts / counts.sum(1, keepdim=True), chain.transition_HH.float(), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "arrays",
    [
        (torch.ones(2), torch.eye(2)),
        (torch.tensor([0.5, 0.5]), torch.eye(3)),
        (torch.tensor([1.5, -0.5]), torch.eye(2)),
        (torch.tensor([0.5, 0.5]), torch.eye(2), torch.eye(3)),
    ],
)
def test_bad_arrays_are_refused(arrays):
    with pytest.raises(fef.InputError):
        MarkovDenoiser(*arrays)


def test_bad_ids_are_refused():
    with pytest.raises(fef.InputError, match="0 to 3"):
        MarkovDenoiser.random(3, seed=0)(torch.tensor([[0, 4]]))
