from __future__ import annotations

import itertools
import math

import pytest
import torch

from fef.errors import InputError
from fef.laws.noise import AbsorbingNoise, Schedule, UniformNoise
from fef.models import table as table_module
from fef.models.table import TableDenoiser

K, L = 3, 4
MASK = K


def random_joint(n_tokens=K, length=L, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand((n_tokens,) * length, generator=generator, dtype=torch.float64) ** 4
    return weight / weight.sum()


def brute_force(joint, likelihood_LK):
    """p(X_0^i = v | visible) by summing over every text."""
    length, n_tokens = likelihood_LK.shape
    law = torch.zeros(length, n_tokens, dtype=torch.float64)
    for text in itertools.product(range(n_tokens), repeat=length):
        weight = float(joint[text]) * math.prod(float(likelihood_LK[j, v]) for j, v in enumerate(text))
        for i, v in enumerate(text):
            law[i, v] += weight
    return law / law.sum(-1, keepdim=True)


def clean_likelihood(ids):
    return torch.tensor([[1.0 if x in (MASK, v) else 0.0 for v in range(K)] for x in ids])


@pytest.fixture(params=["tabulated", "computed"])
def any_path(request, monkeypatch):
    if request.param == "computed":
        monkeypatch.setattr(table_module, "_TABLE_ENTRIES", 0)


both_paths = pytest.mark.usefixtures("any_path")


@both_paths
def test_every_conditional_is_the_brute_force_one():
    joint = random_joint()
    denoiser = TableDenoiser(joint)
    states = list(itertools.product(range(K + 1), repeat=L))[::3]
    logits = denoiser(torch.tensor(states))
    assert logits.dtype == torch.float64
    assert logits.shape == (len(states), L, K + 1)
    assert (logits[..., MASK] == -torch.inf).all()
    for ids, row in zip(states, logits.exp(), strict=True):
        torch.testing.assert_close(row[:, :K], brute_force(joint, clean_likelihood(ids)), atol=1e-13, rtol=0)


def test_attributes():
    noise = UniformNoise(K)
    denoiser = TableDenoiser(random_joint(), noise=noise)
    assert (denoiser.mask_id, denoiser.vocab_size, denoiser.length, denoiser.noise) == (K, K + 1, L, noise)
    assert TableDenoiser(random_joint()).noise is None


def test_the_chain_of_conditionals_is_the_joint_in_every_order():
    joint = random_joint(seed=1)
    denoiser = TableDenoiser(joint)
    texts = torch.cartesian_prod(*[torch.arange(K)] * L)
    for order in [(0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)]:
        state, logp = torch.full_like(texts, MASK), torch.zeros(len(texts), dtype=torch.float64)
        for i in order:
            logp += denoiser(state)[:, i].gather(1, texts[:, i : i + 1])[:, 0]
            state[:, i] = texts[:, i]
        torch.testing.assert_close(logp.exp(), joint.flatten(), atol=1e-13, rtol=0)


@both_paths
def test_what_the_joint_excludes_is_uniform_and_clean_tokens_stay_certain():
    joint = torch.zeros(2, 2, 2)
    joint[0, 0, 0] = joint[1, 1, 1] = 0.5
    law = TableDenoiser(joint)(torch.tensor([[0, 1, 2], [2, 1, 2]])).exp()
    assert law[0].tolist() == [[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]]
    assert law[1].tolist() == [[0, 1, 0]] * 3


@pytest.mark.parametrize("keep", [0.0, 0.3, 1.0])
def test_uniform_noise_weighs_visible_tokens(keep):
    joint = random_joint(seed=2)
    denoiser = TableDenoiser(joint, noise=UniformNoise(K))
    ids = torch.tensor([[2, MASK, 0, 1]])
    keep_BL = torch.full((1, L), keep)
    keep_BL[0, 0] = 1.0  # a clean prefix
    likelihood = torch.ones(L, K, dtype=torch.float64)
    for j, x in enumerate(ids[0].tolist()):
        if x != MASK:
            a = float(keep_BL[0, j])
            likelihood[j] = (1 - a) / K
            likelihood[j, x] += a
    law = denoiser(ids, keep_BL)[0, :, :K].exp()
    torch.testing.assert_close(law, brute_force(joint, likelihood), atol=1e-13, rtol=0)
    # The likelihood is the one of the noise process.
    t = 1 - keep
    site = UniformNoise(K, Schedule("linear")).log_likelihood(ids[0, 2:], t, K + 1)[:, :K].exp()
    torch.testing.assert_close(site, likelihood[2:], atol=1e-7, rtol=0)


def test_clean_is_the_default_and_the_limit():
    joint = random_joint(seed=3)
    ids = torch.tensor([[2, MASK, 0, 1], [MASK] * L])
    plain = TableDenoiser(joint)(ids)
    for noise in (None, AbsorbingNoise(MASK), UniformNoise(K)):
        denoiser = TableDenoiser(joint, noise=noise)
        assert torch.equal(denoiser(ids), plain)
        torch.testing.assert_close(denoiser(ids, torch.ones(2, L)).exp(), plain.exp(), atol=1e-14, rtol=0)


def test_lemma_1_a_known_prefix_makes_its_noisy_copy_irrelevant():
    """FeF-DLLM, Lemma 1: p(X_0^i | X_t, X_0^{<i}) prop. to q(X_t^i | X_0^i) p(X_0^i | X_t^{>i}, X_0^{<i})."""
    denoiser, a = TableDenoiser(random_joint(seed=4), noise=UniformNoise(K)), 0.5
    noisy, prefix, i = [2, 0, 1, 1], [1, 2], 2
    keep = torch.tensor([[1.0, 1.0, a, a]])
    target = denoiser(torch.tensor([prefix + noisy[2:]]), keep)[0, i].exp()
    without = denoiser(torch.tensor([[*prefix, MASK, noisy[3]]]), keep)[0, i].exp()
    likelihood = torch.tensor([(1 - a) / K + a * (v == noisy[i]) for v in range(K)] + [0.0], dtype=torch.float64)
    torch.testing.assert_close(target, without * likelihood / (without * likelihood).sum(), atol=1e-13, rtol=0)


@both_paths
@pytest.mark.parametrize(("n_tokens", "length"), [(1, 1), (5, 1), (2, 2), (4, 5)])
def test_other_shapes(n_tokens, length):
    joint = random_joint(n_tokens, length)
    law = TableDenoiser(joint)(torch.full((2, length), n_tokens)).exp()
    for i in range(length):
        marginal = joint.sum([j for j in range(length) if j != i]) if length > 1 else joint
        torch.testing.assert_close(law[1, i, :n_tokens], marginal, atol=1e-13, rtol=0)


@both_paths
def test_a_row_gets_the_same_bits_in_any_batch(monkeypatch, request):
    denoiser = TableDenoiser(random_joint(8, 6) if "computed" in request.node.name else random_joint(5, 5))
    n_tokens, length = denoiser.mask_id, denoiser.length
    monkeypatch.setattr(table_module, "_CHUNK_ENTRIES", n_tokens**3 * 13)  # chunks of 13, 13, 13 and 1
    ids = torch.randint(0, n_tokens + 1, (40, length), generator=torch.Generator().manual_seed(0))
    whole = denoiser(ids)
    assert all(torch.equal(denoiser(ids[i : i + 1])[0], whole[i]) for i in range(40))
    assert torch.equal(denoiser(ids[13:37]), whole[13:37])
    assert denoiser(ids[:0]).shape == (0, length, n_tokens + 1)


@both_paths
def test_inconsistent_conditionals_are_positive_normalised_and_fit_no_joint():
    denoiser = TableDenoiser.inconsistent(K, L, seed=0)
    assert isinstance(denoiser, TableDenoiser)
    assert (denoiser.mask_id, denoiser.vocab_size, denoiser.length) == (K, K + 1, L)
    ids = torch.tensor(list(itertools.product(range(K + 1), repeat=L)))
    law = denoiser(ids).exp()
    torch.testing.assert_close(law.sum(-1), torch.ones(len(ids), L, dtype=torch.float64))
    masked = ids == MASK
    assert (law[masked][:, :K] > 1e-3).all()
    assert (law[~masked].gather(1, ids[~masked][:, None]) == 1).all()
    assert (law[..., MASK] == 0).all()
    # Two orders of two tokens give different joints.
    start = torch.full((1, L), MASK)

    def pair(first, second):
        joint = torch.zeros(K, K, dtype=torch.float64)
        for v in range(K):
            state = start.clone()
            state[0, first] = v
            joint[v] = denoiser(start)[0, first, v].exp() * denoiser(state)[0, second, :K].exp()
        return joint

    assert float((pair(0, 1) - pair(1, 0).T).abs().sum()) / 2 > 0.1


def test_inconsistent_conditionals_look_dirichlet_and_independent():
    from scipy import stats

    denoiser = TableDenoiser.inconsistent(2, 7, seed=1)
    ids = torch.tensor(list(itertools.product(range(3), repeat=7)))
    share = denoiser(ids)[ids == 2][:, 0].exp()
    assert stats.kstest(((share - 0.005) / 0.99).numpy(), stats.beta(0.5, 0.5).cdf).pvalue > 1e-4
    assert share.unique().numel() == share.numel()


@both_paths
def test_inconsistent_is_a_function_of_the_seed():
    ids = torch.randint(0, 4, (20, L), generator=torch.Generator().manual_seed(0))
    first, again, other = (TableDenoiser.inconsistent(K, L, seed=s)(ids) for s in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(TableDenoiser.inconsistent(K, L, 5)(ids[7:8]), first[7:8])


@pytest.mark.parametrize(
    ("joint", "message"),
    [
        (torch.ones(2, 3) / 6, "one axis per position"),
        (torch.tensor(1.0), "one axis per position"),
        (torch.ones(2, 2), "sum to 1"),
        (torch.tensor([1.5, -0.5]), "negative"),
        (torch.tensor([torch.nan, 0.5]), "nan"),
        (torch.zeros(0), "one axis per position"),
    ],
)
def test_tables_that_are_no_law_are_refused(joint, message):
    with pytest.raises(InputError, match=message):
        TableDenoiser(joint)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (torch.zeros(1, L + 1).long(), r"reads \[B, 4\]"),
        (torch.zeros(L).long(), r"reads \[B, 4\]"),
        (torch.full((1, L), K + 1), "mask id is 3"),
        (torch.full((1, L), -1), "tokens are 0 to 2"),
    ],
)
def test_ids_that_do_not_fit_are_refused(ids, message):
    with pytest.raises(InputError, match=message):
        TableDenoiser(random_joint())(ids)


def test_inconsistent_needs_a_size():
    with pytest.raises(InputError, match="at least 1"):
        TableDenoiser.inconsistent(0, 4, seed=0)
