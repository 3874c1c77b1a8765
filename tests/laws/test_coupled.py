"""Coupled acceptance on samples, since its noise cannot be enumerated; and a rule that looks like it and is wrong."""

from __future__ import annotations

import pytest
import torch
from laws_helpers import (
    PAIRS,
    L,
    f64,
    log_conditionals,
    random_law,
    site,
    total_variation,
)
from scipy import stats

from fef.laws.accept import agreement, coupled
from fef.laws.draws import KeyedNoise, Purpose
from fef.laws.tree import given_chain

SAMPLES = 200_000


def coupled_round(p_V, q_V, n):
    noise = KeyedNoise(torch.arange(n))
    draft = noise.categorical(q_V.log().expand(n, 1, -1), site(n, 1), Purpose.TOKEN)
    one = torch.ones(n, dtype=torch.int64)
    return coupled(
        p_V.log().expand(n, 1, -1), q_V.log().expand(n, 1, -1), draft, one, one, noise, site(n, 1, attempt=3)
    )


def g_test(token_B, p_V):
    count_V = torch.bincount(token_B, minlength=p_V.numel()).double()
    return stats.power_divergence(count_V.numpy(), (p_V * count_V.sum()).numpy(), lambda_="log-likelihood").pvalue


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_coupled_samples_p_and_accepts_within_its_bounds(seed):
    p_V, q_V = random_law(6, seed=20 + seed, concentration=1.0), random_law(6, seed=30 + seed, concentration=1.0)
    done = coupled_round(p_V, q_V, SAMPLES)
    assert g_test(done.tokens_BT[:, 0], p_V) > 1e-4
    tv = total_variation(p_V, q_V)
    rate = float(done.accepted_B.double().mean())
    error = 4 * (0.25 / SAMPLES) ** 0.5
    assert (1 - tv) / (1 + tv) - error < rate < 1 - tv + error


def test_coupled_text_does_not_depend_on_the_drafter():
    p_V = random_law(6, seed=40)
    texts = [coupled_round(p_V, random_law(6, seed=41 + i), 500).tokens_BT for i in range(3)]
    sequential = KeyedNoise(torch.arange(500)).categorical(p_V.log().expand(500, 1, -1), site(500, 1), Purpose.TOKEN)
    assert all(torch.equal(text, sequential) for text in texts)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_coupled_rounds_give_the_text_of_one_token_decoding(width):
    target, drafter = PAIRS["inconsistent, another drafter"]
    law, other, n = log_conditionals(target), log_conditionals(drafter), 400
    noise = KeyedNoise(torch.arange(n))
    text = torch.full((n, L), target.mask_id)
    for t in range(L):
        token = noise.categorical(law(text)[:, t : t + 1], site(n, 1, first=t), Purpose.TOKEN)
        text[:, t] = token[:, 0]

    canvas = torch.full((n, L), target.mask_id)
    while bool((canvas == target.mask_id).any()):
        first_B = (canvas != target.mask_id).sum(1)
        for first in first_B.unique().tolist():
            if first == L:
                continue
            rows = (first_B == first).nonzero()[:, 0]
            m, w = rows.numel(), min(width, L - first)
            here, some = site(m, w, first=first), noise.select(rows)
            logq = other(canvas[rows])[:, first : first + w]
            draft = some.categorical(logq, here, Purpose.TOKEN)
            state, logp = canvas[rows].clone(), []
            for j in range(w):
                logp.append(law(state)[:, first + j])
                state[:, first + j] = draft[:, j]
            width_B = torch.full((m,), w)
            done = coupled(torch.stack(logp, 1), logq, draft, width_B, width_B, some, here)
            fresh = torch.arange(w) < done.commit_B[:, None]
            old = canvas[rows, first : first + w]
            canvas[rows, first : first + w] = torch.where(fresh, done.tokens_BT, old)
    assert torch.equal(canvas, text)


def test_targets_are_committed_up_to_the_first_that_differs_from_its_draft():
    tokens_BT = torch.tensor([[7, 8, 9, 4], [7, 5, 9, 4], [7, 8, 9, 4], [7, 8, 9, 4], [7, 8, 9, 4]])
    draft_BW = torch.tensor([[7, 8, 9]]).expand(5, -1)
    width_B, targets_B = torch.tensor([3, 3, 3, 1, 0]), torch.tensor([4, 4, 3, 2, 0])
    tree = given_chain(width_B, 3)
    found = agreement(tokens_BT, tree, draft_BW, targets_B)
    assert found.accepted_B.tolist() == [3, 1, 3, 1, 0]  # a draft behind the window does not count
    assert found.commit_B.tolist() == [4, 2, 3, 2, 0]  # without a bonus target nothing follows a full window
    commits_BT = torch.arange(4) < found.commit_B[:, None]
    assert torch.equal(found.tokens_BT[commits_BT], tokens_BT[commits_BT])


def test_agree_or_redraw_is_caught():
    """APD's rule: on disagreement the next round draws from the drafter again (arXiv 2506.00413)."""
    q_V, p_V = f64([0.6, 0.3, 0.1]), f64([0.2, 0.5, 0.3])
    done = coupled_round(p_V, q_V, SAMPLES)
    again = KeyedNoise(torch.arange(SAMPLES)).categorical(
        q_V.log().expand(SAMPLES, 1, -1), site(SAMPLES, 1, attempt=1), Purpose.DRAFT
    )
    token_B = torch.where(done.accepted_B > 0, done.tokens_BT[:, 0], again[:, 0])
    assert g_test(token_B, p_V) < 1e-12
    assert g_test(token_B, q_V) < 1e-12
    assert g_test(done.tokens_BT[:, 0], p_V) > 1e-4
