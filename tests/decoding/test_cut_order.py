"""With top-k and top-p both on, each method cuts in the order of its convention, and the certificate names it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import fef

DREAM: list[tuple[str, dict[str, Any]]] = [
    ("origin", {}),
    ("maskgit-plus", {}),
    ("topk-margin", {}),
    ("entropy", {}),
    ("entropy", {"first_slot_first": True}),
    ("threshold", {"pace": 1, "block_length": None}),
    ("threshold", {"first_slot_first": True}),
]
OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("sequential", {}),
    ("fef", {}),
    ("fef", {"accept": "rejection", "draft": "random", "steps": 2}),
    ("low-confidence", {}),
    ("random", {}),
    ("threshold", {}),
    ("factor", {}),
    ("entropy-bounded", {}),
    ("klass", {}),
    ("wino", {}),
    ("saber", {}),
]
LAWS = [  # of one slot, top-p, top-k, and what is left with top-p and with top-k first
    ([0.4, 0.3, 0.2, 0.1], 0.75, 3, [4 / 9, 3 / 9, 2 / 9], [4 / 7, 3 / 7]),
    ([0.4, 0.3, 0.2, 0.1], 0.5, 2, [4 / 7, 3 / 7], [1.0]),
    ([0.35, 0.3, 0.2, 0.15], 0.7, 3, [7 / 17, 6 / 17, 4 / 17], [7 / 13, 6 / 13]),
]


def probabilities_drawn(
    law: list[float], method: str, options: dict[str, Any], top_p: float, top_k: int
) -> list[float]:
    """The probability of each token that 60 seeds draw in one slot, most probable first."""
    denoiser = fef.TableDenoiser(torch.tensor(law, dtype=torch.float64))
    ids = torch.full((60, 1), denoiser.mask_id)
    out = fef.decode(denoiser, ids, method=method, temperature=1.0, top_p=top_p, top_k=top_k, **options)
    drawn = {int(token): math.exp(logp) for token, logp in zip(out.ids[:, 0], out.logprobs[:, 0], strict=True)}
    return [drawn[token] for token in sorted(drawn)]


@pytest.mark.parametrize(("law", "top_p", "top_k", "dream", "other"), LAWS)
@pytest.mark.parametrize(("method", "options", "is_dream"), [(*m, True) for m in DREAM] + [(*m, False) for m in OTHERS])
def test_a_method_samples_the_law_of_its_convention(method, options, is_dream, law, top_p, top_k, dream, other):
    found = probabilities_drawn(law, method, options, top_p, top_k)
    assert found == pytest.approx(dream if is_dream else other)


@pytest.mark.parametrize(("method", "options"), [*DREAM, *OTHERS])
def test_the_engine_cuts_as_decode_does(method, options):
    """A row of `decode` for each request, of one slot and of one seed."""
    law, top_p, top_k, *_ = LAWS[0]
    denoiser = fef.TableDenoiser(torch.tensor(law, dtype=torch.float64))
    engine = fef.Engine(denoiser)
    settings: dict[str, Any] = {"method": method, "temperature": 1.0, "top_p": top_p, "top_k": top_k, **options}
    jobs = [engine.submit([denoiser.mask_id], [0], seed=seed, **settings) for seed in range(8)]
    engine.run()
    out = fef.decode(denoiser, torch.full((8, 1), denoiser.mask_id), **settings)
    assert [job.result().tokens for job in jobs] == out.ids.tolist()
    assert [job.result().logprobs[0] for job in jobs] == pytest.approx(out.logprobs[:, 0].tolist())
    assert all(job.certificate == out.certificate for job in jobs)


@pytest.mark.parametrize("method", ["maskgit-plus", "origin", "sequential"])
def test_either_cut_alone_is_the_same_everywhere(method):
    law = [0.4, 0.3, 0.2, 0.1]
    assert probabilities_drawn(law, method, {}, 0.75, 0) == pytest.approx([4 / 9, 3 / 9, 2 / 9])
    assert probabilities_drawn(law, method, {}, 1.0, 2) == pytest.approx([4 / 7, 3 / 7])


def test_dreams_scores_are_those_of_the_law_cut_in_its_order_at_temperature_0_too():
    """Top-p first leaves one token of the second slot and two of the first; top-k first would leave one of each, and begin
    with the first slot."""
    joint = torch.outer(torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([0.6, 0.35, 0.03, 0.02])).double()
    denoiser = fef.TableDenoiser(joint)
    ids = torch.full((1, 2), denoiser.mask_id)
    out = fef.decode(denoiser, ids, method="entropy", tokens_per_step=1, top_p=0.5, top_k=2, trace=True)
    first = out.trace[0]
    assert first.slots[first.written].tolist() == [1]


@pytest.mark.parametrize(("method", "options"), [*DREAM, *OTHERS])
def test_the_certificate_names_the_order(method, options):
    denoiser = fef.TableDenoiser(torch.full((4,), 0.25, dtype=torch.float64))

    def words(**cuts: Any) -> list[str]:
        certificate = fef.certify(denoiser, method=method, temperature=0.7, **cuts, **options)
        return [reason for reason in certificate.reasons if reason.startswith("cuts:")]

    order = "top-p of the whole law first" if (method, options) in DREAM else "top-k first"
    both = words(top_p=0.8, top_k=3)
    assert len(both) == 1 and order in both[0]
    assert words(top_p=[1.0, 0.8], top_k=[3, 0]) == both
    assert words(top_p=0.8) == words(top_k=3) == []


def test_the_law_names_the_cuts_in_their_order():
    denoiser = fef.TableDenoiser(torch.full((4,), 0.25, dtype=torch.float64))
    settings = {"temperature": 0.7, "top_p": 0.8, "top_k": 3}
    assert "top-k 3 and then top-p 0.8" in fef.certify(denoiser, method="sequential", **settings).law
    dream = fef.certify(denoiser, method="entropy", tokens_per_step=1, **settings)
    assert "top-p 0.8 and then top-k 3" in dream.law


@pytest.mark.parametrize(
    ("law", "top_p", "top_k", "left"),
    [
        ([0.5, 0.3, 0.2], 0.9, 0, [5 / 8, 3 / 8]),  # the third would pass 0.9
        ([0.5, 0.3, 0.2], 0.8, 0, [5 / 8, 3 / 8]),  # the second reaches 0.8, and does not pass it
        ([0.5, 0.3, 0.2], 0.4, 0, [1.0]),  # one always stays
        ([0.4, 0.3, 0.2, 0.1], 0.75, 3, [1.0]),  # of (4, 3, 2) / 9
    ],
)
def test_remdm_drops_the_token_that_passes_top_p(law, top_p, top_k, left):
    assert probabilities_drawn(law, "remdm", {"steps": 1}, top_p, top_k) == pytest.approx(left)
    if top_p in (0.9, 0.75):  # elsewhere no token passes p
        assert probabilities_drawn(law, "random", {}, top_p, top_k) != pytest.approx(left)


def test_the_certificate_of_remdm_says_what_top_p_drops():
    denoiser = fef.TableDenoiser(torch.full((4,), 0.25, dtype=torch.float64))
    said = fef.certify(denoiser, method="remdm", temperature=1.0, top_p=0.8).reasons
    assert any("drops the token with which the mass passes p" in reason for reason in said)
    unsaid = fef.certify(denoiser, method="remdm", temperature=1.0).reasons
    assert not any(reason.startswith("cuts") for reason in unsaid)
