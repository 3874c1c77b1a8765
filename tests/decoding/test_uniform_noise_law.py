"""Uniform noise: FeF with the site likelihood of Lemma 1 samples the joint, in any number of steps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_network import tiny_network
from torch import Tensor

import fef
from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import Settings, make_sampling
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.decoding.rows import RowsScorer
from fef.laws.draws import Noise
from fef.laws.integrate import enumerate_outcomes, merge
from fef.laws.noise import Schedule, UniformNoise
from fef.models.demask import DependencyHead
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.verify.tables import random_joint
from fef.verify.texts import Law, distance, law_of_joint
from tests.integrated_law import decode_pass, integrated_law
from tests.tiny_tables import K

JOINT = random_joint(K, 3)


@pytest.mark.parametrize("accept", ["rejection", "block"])
@pytest.mark.parametrize(
    ("window", "draft", "steps"),
    [
        (1, "fresh", 1),
        (2, "fresh", 2),
        (2, "fresh", 3),
        (2, "random", 1),
        (2, "random", 2),
        pytest.param(2, "random", 3, marks=pytest.mark.slow),
        pytest.param(3, "reuse", 3, marks=pytest.mark.slow),
    ],
)
def test_the_joint_is_sampled(accept, steps, window, draft):
    denoiser = TableDenoiser(JOINT, noise=UniformNoise(K))
    law = integrated_law(denoiser, 3, accept=accept, steps=steps, window=window, draft=draft)
    assert distance(law, law_of_joint(JOINT)) < 1e-9


@pytest.mark.parametrize("own", ["linear", "cosine"])
def test_the_schedule_of_the_plan_rules_every_part(own):
    denoiser = TableDenoiser(JOINT, noise=UniformNoise(K, Schedule(own)))
    for schedule in ("linear", "cosine"):
        law = integrated_law(denoiser, 3, accept="rejection", steps=2, window=2, schedule=schedule)
        assert distance(law, law_of_joint(JOINT)) < 1e-9


def test_blocks_and_a_prompt():
    joint = random_joint(2, 4)
    denoiser = TableDenoiser(joint, noise=UniformNoise(2))
    law = integrated_law(denoiser, 4, prompt={1: 1}, accept="rejection", steps=2, window=2, block_length=2)
    given = {s: p / float(joint[:, 1].sum()) for s, p in law_of_joint(joint).items() if s[1] == 1}
    assert distance(law, given) < 1e-9


def test_sequential_samples_the_joint():
    denoiser = TableDenoiser(JOINT, noise=UniformNoise(K))
    assert distance(integrated_law(denoiser, 3, method="sequential"), law_of_joint(JOINT)) < 1e-9


def law_given(noisy: tuple[int, ...], draft: str) -> Law:
    """The law of the last of two passes from a noisy text x_t, t = 1/2."""
    network = Network(TableDenoiser(JOINT, noise=UniformNoise(K)))
    plan = make_plan("fef", {"steps": 2, "window": 2, "accept": "rejection", "draft": draft}, network)

    def run(noise: Noise, rows: torch.Tensor) -> torch.Tensor:
        ids_BL = torch.tensor(noisy).repeat(len(rows), 1)
        open_BL = torch.ones_like(ids_BL, dtype=torch.bool)
        canvas = Canvas.start(ids_BL, open_BL, torch.arange(3).expand_as(ids_BL), None)
        sampling = make_sampling(network, Settings(1.0, 1.0, 0), [], None, len(rows), ids_BL.device)
        decode_pass(network, plan, Requests.start(canvas, noise, sampling))
        return canvas.ids_BL

    found = enumerate_outcomes(run, 1)
    texts, weights = merge(found.outcome, found.probability_N)
    return {tuple(t): w for t, w in zip(texts.tolist(), weights.tolist(), strict=True)}


def posterior(noisy: tuple[int, ...]) -> Law:
    """p(x_0 | x_t) by Bayes' rule: a token stays with probability 1/2, else it is drawn from all K."""
    weight = {
        text: p * float(np.prod([0.5 * (a == b) + 0.5 / K for a, b in zip(text, noisy, strict=True)]))
        for text, p in law_of_joint(JOINT).items()
    }
    return {text: w / sum(weight.values()) for text, w in weight.items()}


@pytest.mark.parametrize("noisy", [(0, 1, 2), (2, 2, 2)])
@pytest.mark.parametrize("draft", ["fresh", "random"])
def test_one_pass_samples_the_posterior_of_what_is_visible(noisy, draft):
    assert distance(law_given(noisy, draft), posterior(noisy)) < 1e-9


def test_without_the_site_likelihood_the_law_is_wrong(monkeypatch):
    monkeypatch.setattr(RowsScorer, "with_likelihood", lambda _self, _canvas, logits, _slots: logits)
    assert distance(law_given((2, 2, 2), "random"), posterior((2, 2, 2))) > 0.05
    denoiser = TableDenoiser(JOINT, noise=UniformNoise(K))
    law = integrated_law(denoiser, 3, accept="rejection", steps=4, window=2, draft="random")
    assert distance(law, law_of_joint(JOINT)) > 1e-3  # pure noise at the start forgives most of it


class Odd(TableDenoiser):
    """Conditionals that fit no joint, of what is visible and how surely."""

    def __call__(self, ids_BL: Tensor, keep_BL: Tensor | None = None) -> Tensor:
        logits_BLV = super().__call__(ids_BL, keep_BL)
        state_B11 = (ids_BL * torch.tensor([3, 5, 7])).sum(1)[:, None, None] % 13
        place_L1, token_V = torch.arange(3)[:, None], torch.arange(logits_BLV.shape[2])
        return logits_BLV + (1.3 * state_B11 + 0.7 * place_L1 + 2.1 * token_V).sin()


def of_masks() -> Transformer:
    network = tiny_network(scale=0.3, vocab_size=K + 1, mask_id=K)
    network.noise = UniformNoise(K)  # type: ignore[assignment]
    network.dependency_head = DependencyHead(network.config.dim, rank=4)  # type: ignore[assignment]
    return network


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("window", [1, 2, 3])
def test_the_text_of_sequential_also_where_no_joint_has_the_conditionals(steps, window):
    """One law has one name: a slot counts its own noisy token by its likelihood, whoever draws it."""
    denoiser, ids = Odd(JOINT, noise=UniformNoise(K)), torch.full((200, 3), K)
    one = fef.decode(denoiser, ids, method="fef", window=1, draft="fresh", bonus=False, temperature=1.0, steps=steps)
    many = fef.decode(denoiser, ids, method="fef", window=window, temperature=1.0, steps=steps)
    assert torch.equal(many.ids, one.ids)
    if steps == 1:
        alone = fef.decode(denoiser, ids, method="sequential", temperature=1.0)
        assert torch.equal(alone.ids, one.ids)
        torch.testing.assert_close(alone.logprobs, one.logprobs, atol=1e-9, rtol=0)
        assert {stats["rows"] for stats in alone.stats} == {3}


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("fef", {"window": 3}),
        ("dual-exact", {"window": 3, "drafts": 2}),
        ("fef", {"window": 3, "planner": "influence", "draft": "fresh", "survival": 0.3}),
    ],
)
def test_drafts_of_a_transformer_are_verified_from_the_first(method, options):
    """None of its drafts has the law of its target, and the packed pattern, which knows masks only, is not taken."""
    network, ids = of_masks(), torch.full((50, 6), K)
    ids[:, 0] = torch.arange(50) % K
    shared = {"temperature": 1.0, "seed": 3}
    one = fef.decode(network, ids, method="sequential", **shared)
    out = fef.decode(network, ids, method=method, **shared, **options)
    assert torch.equal(out.ids, one.ids)
    assert "plain forward" in out.certificate.law
