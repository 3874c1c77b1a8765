"""The same numbers, laws and decisions on a CUDA device as on the CPU."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from laws_helpers import random_law, site

from fef.laws.accept import ACCEPT
from fef.laws.draws import KeyedNoise, Purpose, Site, gumbels, uniforms
from fef.laws.integrate import enumerate_outcomes, merge
from fef.laws.noise import AbsorbingNoise, UniformNoise
from fef.laws.pipeline import Sampling, log_law
from fef.models.table import TableDenoiser

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
CUDA = torch.device("cuda")


def moved(here: Site) -> Site:
    fields = {f.name: getattr(here, f.name) for f in dataclasses.fields(here)}
    return Site(**{name: x.to(CUDA) if isinstance(x, torch.Tensor) else x for name, x in fields.items()})


@pytest.mark.parametrize("count", [1, 7, 1024, 200_000])
def test_uniforms_are_the_same_bits_and_gumbels_the_same_to_rounding(count):
    seed_B, here = torch.tensor([3, -(2**60), 2**62 + 5]), site(3, 4, first=9, attempt=2)
    for kind in (uniforms, gumbels):
        on_cpu, on_cuda = (
            kind(
                seed_B.to(device),
                here.position_BS.to(device),
                step_B=torch.full((3,), 5, device=device),
                attempt_B=here.attempt_B.to(device),
                purpose=Purpose.ORDER,
                count=count,
            )
            for device in ("cpu", CUDA)
        )
        if kind is uniforms:
            assert torch.equal(on_cuda.cpu(), on_cpu)
        torch.testing.assert_close(on_cuda.cpu(), on_cpu, atol=1e-14, rtol=1e-12)


def test_decisions_are_the_same():
    here, logp = site(64, 5), random_law(64, 5, 300, seed=0).log()
    prob = random_law(64, 5, seed=1)
    on_cpu, on_cuda = KeyedNoise(torch.arange(64)), KeyedNoise(torch.arange(64, device=CUDA))
    tokens = on_cuda.categorical(logp.to(CUDA), moved(here), Purpose.TOKEN)
    assert torch.equal(tokens.cpu(), on_cpu.categorical(logp, here, Purpose.TOKEN))
    hits = on_cuda.bernoulli(prob.to(CUDA), moved(here), Purpose.ACCEPT)
    assert torch.equal(hits.cpu(), on_cpu.bernoulli(prob, here, Purpose.ACCEPT))


def test_laws_are_the_same():
    logits = torch.randn(4, 3, 500, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)  # with ties
    f64 = torch.float64
    fields = [
        torch.tensor([0.0, 0.7, 1.0, 1.3], dtype=f64),
        torch.tensor([1.0, 0.9, 1.0, 0.5], dtype=f64),
        torch.tensor([0, 0, 20, 100]),
        torch.tensor([499, 3]),
    ]
    forced = torch.zeros(4, 3, dtype=torch.bool)
    forced[1, 2] = True
    on_cpu = log_law(logits, Sampling(*fields, eos_id=7), forced_eos_BS=forced, no_eos_BS=~forced)
    on_cuda = log_law(
        logits.to(CUDA),
        Sampling(*(x.to(CUDA) for x in fields), eos_id=7),
        forced_eos_BS=forced.to(CUDA),
        no_eos_BS=~forced.to(CUDA),
    )
    torch.testing.assert_close(on_cuda.cpu(), on_cpu, atol=1e-12, rtol=1e-12)
    assert torch.equal(on_cuda.cpu().isinf(), on_cpu.isinf())


@pytest.mark.parametrize("name", ACCEPT)
def test_acceptance_is_the_same(name):
    B, W, V = 200, 5, 12
    p, q = random_law(B, W + 1, V, seed=2).log(), random_law(B, W, V, seed=3).log()
    draft = KeyedNoise(torch.arange(B)).categorical(q, site(B, W), Purpose.TOKEN)
    width = torch.arange(B) % (W + 1)
    arguments = (p, q, draft, width, width + 1)
    on_cpu = ACCEPT[name](*arguments, KeyedNoise(torch.arange(B)), site(B, W + 1))
    on_cuda = ACCEPT[name](
        *(x.to(CUDA) for x in arguments), KeyedNoise(torch.arange(B, device=CUDA)), moved(site(B, W + 1))
    )
    assert torch.equal(on_cuda.accepted_B.cpu(), on_cpu.accepted_B)
    assert torch.equal(on_cuda.commit_B.cpu(), on_cpu.commit_B)
    meant = torch.arange(W + 1) < on_cpu.commit_B[:, None]
    assert torch.equal(on_cuda.tokens_BT.cpu()[meant], on_cpu.tokens_BT[meant])


@pytest.mark.parametrize("noise", [AbsorbingNoise(3), UniformNoise(3)])
def test_noise_processes_are_the_same(noise):
    x_t, x_0, u = torch.tensor([[3, 1, 2, 2]]), torch.tensor([[0, 1, 2, 2]]), torch.rand(1, 4, dtype=torch.float64)
    for call in (
        lambda d: noise.log_likelihood(x_t.to(d), 0.3, 4),
        lambda d: noise.posterior(x_t.to(d), x_0.to(d), 0.7, 0.2, 4),
        lambda d: noise.corrupt(x_0.to(d), 0.4, u.to(d)),
        lambda d: noise.prior(4, torch.device(d)),
    ):
        torch.testing.assert_close(call("cuda").cpu(), call("cpu"), atol=1e-14, rtol=1e-14)


def test_enumeration_and_tables_run_there():
    joint = random_law(81, seed=4).view(3, 3, 3, 3)
    for table in (TableDenoiser(joint.to(CUDA), noise=UniformNoise(3)), TableDenoiser.inconsistent(3, 4, seed=0)):
        reference = TableDenoiser(joint) if table.noise else table
        ids = torch.full((1, 4), 3, device=CUDA)
        assert table(ids).device.type == "cuda"
        torch.testing.assert_close(table(ids).cpu(), reference(ids.cpu()), atol=1e-12, rtol=1e-12)

        def run(noise, rows, table=table):
            n = rows.numel()
            logp = table(torch.full((n, 4), 3, device=CUDA)).log_softmax(-1)
            return noise.categorical(logp, moved(site(n, 4)), Purpose.TOKEN)

        found = enumerate_outcomes(run, 1, device=CUDA)
        _, law = merge(found.outcome, found.probability_N)
        assert law.numel() == 81
        assert float(law.sum()) == pytest.approx(1, abs=1e-12)
