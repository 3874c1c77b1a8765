from __future__ import annotations

import itertools

import pytest
import torch
from scipy import stats

from fef.errors import OptionError
from fef.laws.draws import Purpose, uniforms
from fef.laws.noise import AbsorbingNoise, Schedule, UniformNoise

K, MASK, V = 3, 3, 4  # real tokens, mask id, vocabulary
SCHEDULES = [Schedule("linear"), Schedule("cosine")]
NOISES = [kind for s in SCHEDULES for kind in (AbsorbingNoise(MASK, s), UniformNoise(K, s))]


def kernel(noise, t):
    """q(x_t = y | x_0 = x) as a matrix [x, y] over the states that the noise can be in."""
    states = torch.arange(V if isinstance(noise, AbsorbingNoise) else K)
    return noise.log_likelihood(states, t, V).exp()[:, : states.numel()].T


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_schedules_start_at_one_end_at_zero_and_fall(schedule):
    assert schedule.keep(0.0) == 1.0
    assert schedule.keep(1.0) == 0.0
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    keep = schedule.keep(t)
    assert (keep[0], keep[-1]) == (1, 0)
    assert (keep.diff() < 0).all()
    assert keep.tolist() == pytest.approx([schedule.keep(float(x)) for x in t], abs=1e-15)


def test_an_unknown_schedule_is_refused_with_a_hint():
    with pytest.raises(OptionError, match="Did you mean 'cosine'"):
        Schedule("cosin")


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_likelihoods_are_a_stochastic_kernel(noise, t):
    matrix = kernel(noise, t)
    torch.testing.assert_close(matrix.sum(1), torch.ones(matrix.shape[0], dtype=torch.float64))
    if t == 0:
        assert torch.equal(matrix, torch.eye(matrix.shape[0], dtype=torch.float64))
    if t == 1:
        prior = noise.prior(V)[: matrix.shape[1]]
        torch.testing.assert_close(matrix, prior.expand_as(matrix))


@pytest.mark.parametrize("noise", NOISES)
def test_chapman_kolmogorov(noise):
    """q(x_t | x_0) sums q(x_s | x_0) q(x_t | x_s) over x_s; the step from s keeps a token with alpha_t / alpha_s."""
    for s, t in [(0.1, 0.2), (0.0, 0.7), (0.4, 1.0)]:
        ratio = noise.keep(t) / noise.keep(s)
        step = kernel(type(noise)(noise.mask_id if isinstance(noise, AbsorbingNoise) else K), 1 - ratio)
        torch.testing.assert_close(kernel(noise, s) @ step, kernel(noise, t), atol=1e-14, rtol=0)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize(("s", "t"), [(0.0, 0.5), (0.2, 0.6), (0.3, 1.0), (0.0, 1.0)])
def test_posterior_is_bayes_rule(noise, s, t):
    ratio = noise.keep(t) / noise.keep(s)
    step = kernel(type(noise)(noise.mask_id if isinstance(noise, AbsorbingNoise) else K), 1 - ratio)
    to_s, to_t = kernel(noise, s), kernel(noise, t)
    n = step.shape[0]
    for x_0, x_t in itertools.product(range(K), range(n)):
        if to_t[x_0, x_t] == 0:
            continue  # impossible, nothing to condition on
        bayes = to_s[x_0] * step[:, x_t] / to_t[x_0, x_t]
        found = noise.posterior(torch.tensor([[x_t]]), torch.tensor([[x_0]]), t, s, V)
        assert found.shape == (1, 1, V)
        torch.testing.assert_close(found[0, 0, :n], bayes, atol=1e-14, rtol=0)
        assert (found[0, 0, n:] == 0).all()


def test_absorbing_posterior_reveals_with_the_stated_probability():
    noise = AbsorbingNoise(MASK)
    assert noise.reveal_probability(0.8, 0.2) == pytest.approx(0.75)
    assert noise.reveal_probability(0.5, 0.0) == 1.0
    law = noise.posterior(torch.tensor([MASK, 1]), torch.tensor([2, 1]), 0.8, 0.2, V)
    assert law[0].tolist() == pytest.approx([0, 0, 0.75, 0.25])
    assert law[1].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("noise", NOISES)
def test_posterior_steps_compose_to_the_marginal(noise):
    """Averaging q(x_s | x_t, x_0) over q(x_t | x_0) gives q(x_s | x_0)."""
    n, x_0 = kernel(noise, 0.5).shape[0], 1
    law = torch.zeros(n, dtype=torch.float64)
    for x_t in range(n):
        weight = kernel(noise, 0.7)[x_0, x_t]
        if weight > 0:
            law += weight * noise.posterior(torch.tensor(x_t), torch.tensor(x_0), 0.7, 0.4, V)[:n]
    torch.testing.assert_close(law, kernel(noise, 0.4)[x_0], atol=1e-14, rtol=0)


@pytest.mark.parametrize("noise", NOISES)
def test_corrupt_samples_the_kernel(noise):
    n, x_0, t = 20_000, 2, 0.35
    u = uniforms(
        torch.tensor([5]),
        torch.arange(n)[None],
        step_B=torch.zeros(1, dtype=torch.int64),
        attempt_B=torch.zeros(1, dtype=torch.int64),
        purpose=Purpose.PRIOR,
        count=1,
    )[0, :, 0]
    x_t = noise.corrupt(torch.full((n,), x_0), t, u)
    law = kernel(noise, t)[x_0]
    count = torch.bincount(x_t, minlength=law.numel())
    assert count.numel() == law.numel()
    assert (count[law == 0] == 0).all()
    assert stats.chisquare(count[law > 0].numpy(), (n * law[law > 0]).numpy()).pvalue > 1e-4


@pytest.mark.parametrize("noise", NOISES)
def test_corrupt_keeps_all_at_time_zero_and_nothing_at_time_one(noise):
    x_0 = torch.arange(K).repeat(50)
    u = torch.linspace(0.001, 0.999, 150, dtype=torch.float64)
    assert torch.equal(noise.corrupt(x_0, 0.0, u), x_0)
    end = noise.corrupt(x_0, 1.0, u)
    assert (noise.prior(V)[end] > 0).all()


def test_times_may_differ_a_row():
    noise = UniformNoise(K)
    x_t = torch.tensor([[0, 1], [2, 0]])
    both = noise.log_likelihood(x_t, torch.tensor([[0.2], [0.9]], dtype=torch.float64), V)
    assert torch.equal(both[0], noise.log_likelihood(x_t[0], 0.2, V))
    assert torch.equal(both[1], noise.log_likelihood(x_t[1], 0.9, V))


def test_a_mask_under_uniform_noise_carries_no_information():
    loglik = UniformNoise(K).log_likelihood(torch.tensor([MASK]), 0.4, V)
    assert loglik[0].tolist() == [0, 0, 0, -torch.inf]


def test_a_mask_under_absorbing_noise_does_not_tell_the_token():
    loglik = AbsorbingNoise(MASK).log_likelihood(torch.tensor([MASK]), 0.4, V)
    assert loglik[0, :K].unique().numel() == 1
