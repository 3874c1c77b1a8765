"""What every acceptance rule keeps to in a batch: ranges, padding, keys of decisions, and laws that exclude each other."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws_helpers import EXACT, f64, law_of_texts, point, random_law, site

from fef.laws.accept import ACCEPT, residual
from fef.laws.draws import KeyedNoise, Purpose
from fef.laws.integrate import enumerate_outcomes, merge

# Batches: ragged widths, padding, greedy laws.


def random_round(rule, seed, B, W, T, V, sharp, noise=None):
    generator = torch.Generator().manual_seed(seed)
    p = random_law(B, T, V, seed=seed)
    q = random_law(B, W, V, seed=seed + 1)
    if sharp:
        p, q = point(p.argmax(-1), V), point(q.argmax(-1), V)
    draft = torch.stack([torch.multinomial(q[:, w], 1, generator=generator)[:, 0] for w in range(W)], 1)
    width = torch.randint(0, W + 1, (B,), generator=generator)
    targets = (width + torch.randint(0, 2, (B,), generator=generator)).clamp_max(T)
    noise = KeyedNoise(torch.arange(B) + seed) if noise is None else noise
    return p, q, draft, width, targets, rule(p.log(), q.log(), draft, width, targets, noise, site(B, T))


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(ACCEPT)),
    st.integers(0, 10_000),
    st.integers(1, 5),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)
def test_what_is_committed_is_in_range(name, seed, B, W, bonus, sharp):
    V, T = 4, W + bonus
    p, _, draft, width, targets, done = random_round(ACCEPT[name], seed, B, W, T, V, sharp)
    assert (done.accepted_B >= 0).all()
    assert (done.accepted_B <= width).all()
    assert torch.equal(done.commit_B, torch.minimum(done.accepted_B + 1, targets))
    assert done.tokens_BT.shape == (B, T)
    assert done.tokens_BT.dtype == done.commit_B.dtype == done.accepted_B.dtype == torch.int64
    for b in range(B):
        n, m = int(done.accepted_B[b]), int(done.commit_B[b])
        assert torch.equal(done.tokens_BT[b, :n], draft[b, :n])
        tokens = done.tokens_BT[b, :m]
        assert (p[b, torch.arange(m), tokens] > 0).all()
        if sharp:  # every rule is the greedy match
            greedy = p[b].argmax(-1)
            run = int((greedy[: width[b]] == draft[b, : width[b]]).long().cumprod(0).sum())
            assert n == run
            assert torch.equal(tokens, greedy[:m])


@pytest.mark.parametrize("name", ACCEPT)
def test_rows_and_padding_do_not_matter(name):
    """A row gives the same tokens alone, without its padded slots, whatever stands in them."""
    B, W, V = 16, 4, 5
    p, q, draft, width, targets, done = random_round(ACCEPT[name], 77, B, W, W + 1, V, False)
    for b in range(B):
        w, t = int(width[b]), int(targets[b])
        if t == 0:
            continue
        noise = KeyedNoise(torch.tensor([77 + b]))
        alone = ACCEPT[name](
            p[b : b + 1, :t].log(),
            q[b : b + 1, :w].log(),
            draft[b : b + 1, :w],
            width[b : b + 1],
            targets[b : b + 1],
            noise,
            site(1, t),
        )
        m = int(alone.commit_B[0])
        assert (int(done.accepted_B[b]), int(done.commit_B[b])) == (int(alone.accepted_B[0]), m)
        assert torch.equal(alone.tokens_BT[0, :m], done.tokens_BT[b, :m])


def committed_law(rule, p_TV, q_WV, width, targets):
    """Law of (committed tokens, accepted) for the first `width` of the drafts: rows of an outcome and probabilities."""
    (T, V), W = p_TV.shape, q_WV.shape[0]

    def run(noise, rows):
        n = rows.numel()
        draft = noise.categorical(q_WV.log().expand(n, W, V), site(n, W).where(torch.arange(W) < width), Purpose.DRAFT)
        width_B, targets_B = torch.full((n,), width), torch.full((n,), targets)
        done = rule(
            p_TV.log().expand(n, T, V), q_WV.log().expand(n, W, V), draft, width_B, targets_B, noise, site(n, T)
        )
        tokens = done.tokens_BT.masked_fill(torch.arange(T) >= done.commit_B[:, None], -1)[:, :targets]
        return torch.cat([tokens, done.accepted_B[:, None]], 1)

    found = enumerate_outcomes(run, 1)
    return merge(found.outcome, found.probability_N), found.probability_N.numel()


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize(("width", "targets"), [(1, 1), (1, 2), (2, 2), (2, 3), (3, 3)])
def test_slots_past_the_width_change_nothing_and_use_no_randomness(rule, width, targets):
    p_TV, q_WV = random_law(5, 3, seed=11), random_law(4, 3, seed=12)
    (outcomes, law), paths = committed_law(rule, p_TV, q_WV, width, targets)
    (alone, alone_law), alone_paths = committed_law(rule, p_TV[:targets], q_WV[:width], width, targets)
    assert torch.equal(outcomes, alone)
    torch.testing.assert_close(law, alone_law, atol=1e-14, rtol=0)
    assert paths == alone_paths


@pytest.mark.parametrize("rule", EXACT)
def test_a_row_without_targets_commits_nothing(rule):
    (outcomes, law), paths = committed_law(rule, random_law(5, 3, seed=11), random_law(4, 3, seed=12), 0, 0)
    assert (outcomes.tolist(), law.tolist(), paths) == ([[0]], [1], 1)


class RecordingNoise(KeyedNoise):
    """Keyed noise that notes where each active decision was taken: (purpose, row, position, attempt)."""

    def __init__(self, seed_B):
        super().__init__(seed_B)
        self.seen = []

    def note(self, here, purpose):
        for b, s in here.active_BS.nonzero().tolist():
            self.seen.append((purpose, b, int(here.position_BS[b, s]), int(here.attempt_B[b])))

    def categorical(self, logp_BSV, site, purpose):
        self.note(site, purpose)
        return super().categorical(logp_BSV, site, purpose)

    def bernoulli(self, prob_BS, site, purpose):
        self.note(site, purpose)
        return super().bernoulli(prob_BS, site, purpose)


@pytest.mark.parametrize("name", ACCEPT)
def test_every_decision_is_keyed_by_its_own_position(name):
    B, W, V = 30, 3, 4
    p, q = random_law(B, W + 1, V, seed=13), random_law(B, W, V, seed=14)
    noise = RecordingNoise(torch.arange(B))
    draft = KeyedNoise(torch.arange(B)).categorical(q.log(), site(B, W), Purpose.TOKEN)
    width = torch.arange(B) % (W + 1)
    targets = width + torch.arange(B) % 2
    done = ACCEPT[name](p.log(), q.log(), draft, width, targets, noise, site(B, W + 1, first=100, attempt=5))
    expected = []
    for b in range(B):
        if name == "coupled":
            expected += [(Purpose.TOKEN, b, 100 + t, 0) for t in range(int(targets[b]))]
            continue
        expected += [(Purpose.ACCEPT, b, 100 + w, 5) for w in range(int(width[b]))]
        n = int(done.accepted_B[b])
        if n < int(targets[b]):
            expected.append((Purpose.RESIDUAL, b, 100 + n, 5))
    assert sorted(noise.seen) == sorted(expected)


@pytest.mark.parametrize("rule", EXACT)
def test_drafts_that_their_own_law_excludes(rule):
    """Cannot happen with honest drafts; the answer is still a token that p allows, and never nan."""
    p = f64([[0.0, 0.5, 0.5]] * 4).log()[None]
    q = f64([[0.0, 0.0, 1.0]] * 3).log()[None]
    three = torch.tensor([3])
    done = rule(p, q, torch.tensor([[1, 0, 1]]), three, three + 1, KeyedNoise(torch.tensor([0])), site(1, 4))
    assert done.accepted_B.tolist() == [1]
    assert done.tokens_BT[0, 0] == 1
    assert done.tokens_BT[0, 1] in (1, 2)


@pytest.mark.parametrize("name", ACCEPT)
def test_without_drafts_a_token_is_drawn_from_p(name):
    p_V = random_law(4, seed=8)

    def run(noise, rows):
        n = rows.numel()
        none = torch.zeros(n, dtype=torch.int64)
        empty = torch.empty(n, 0, 4, dtype=torch.float64)
        return ACCEPT[name](
            p_V.log().expand(n, 1, 4), empty, empty[..., 0].long(), none, none + 1, noise, site(n, 1)
        ).tokens_BT

    found = enumerate_outcomes(run, 1)
    torch.testing.assert_close(law_of_texts(found.outcome, found.probability_N, 4), p_V, atol=1e-15, rtol=0)


def test_the_residual_falls_back_to_p_when_rounding_leaves_nothing():
    p = random_law(6, seed=9).log()
    assert torch.equal(residual(p, p, torch.ones(1, dtype=torch.float64)), p)
    assert torch.equal(residual(p, p + 1e-12, torch.ones(1, dtype=torch.float64)), p)


@pytest.mark.parametrize("rule", EXACT)
def test_equal_laws_accept_everything(rule):
    p = random_law(3, 4, 6, seed=10)
    noise = KeyedNoise(torch.arange(3))
    draft = noise.categorical(p.log(), site(3, 4), Purpose.DRAFT)
    four = torch.full((3,), 4)
    assert rule(p.log(), p.log(), draft, four, four, noise, site(3, 4)).accepted_B.tolist() == [4, 4, 4]
