from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from laws_helpers import chain_law, draft_and_verify, law_of_texts, random_law, site, total_variation
from scipy import stats

from fef.laws.accept import ACCEPT, agreement, block, coupled, coupled_tree, rejection, residual
from fef.laws.draws import KeyedNoise, Purpose
from fef.laws.growth import best_tree
from fef.laws.integrate import QuantileNoise, enumerate_outcomes, merge
from fef.laws.tree import given_chain
from fef.models.table import TableDenoiser

EXACT = [rejection, block]


def f64(values):
    return torch.tensor(values, dtype=torch.float64)


def point(token, vocab_size):
    return torch.nn.functional.one_hot(torch.as_tensor(token), vocab_size).double()


def one_slot_law(rule, p_V, q_V, bonus_V=None, drafted_from=None):
    """Law of the committed tokens and P(accept) when one draft is verified: exact, by enumeration."""
    V, T = p_V.numel(), 1 if bonus_V is None else 2
    logp = torch.stack([p_V] if bonus_V is None else [p_V, bonus_V]).log()
    drafted_from = q_V if drafted_from is None else drafted_from

    def run(noise, rows):
        n = rows.numel()
        draft = noise.categorical(drafted_from.log().expand(n, 1, V), site(n, 1), Purpose.DRAFT)
        width = torch.ones(n, dtype=torch.int64)
        done = rule(logp.expand(n, T, V), q_V.log().expand(n, 1, V), draft, width, width * T, noise, site(n, T))
        return torch.cat([done.tokens_BT, done.accepted_B[:, None], done.commit_B[:, None]], 1)

    found = enumerate_outcomes(run, 1)
    law = law_of_texts(found.outcome[:, :1], found.probability_N, V)
    return law, float(found.probability_N @ found.outcome[:, T].double()), found


LAWS = {
    "arbitrary": (random_law(5, seed=0), random_law(5, seed=1)),
    "equal": (random_law(5, seed=2), random_law(5, seed=2)),
    "disjoint": (f64([0.5, 0.5, 0.0, 0.0]), f64([0.0, 0.0, 0.3, 0.7])),
    "overlapping supports": (f64([0.2, 0.8, 0.0]), f64([0.0, 0.4, 0.6])),
    "point target": (point(1, 4), random_law(4, seed=3)),
    "point draft": (random_law(4, seed=4), point(2, 4)),
    "two points": (point(1, 3), point(2, 3)),
    "the same point": (point(1, 3), point(1, 3)),
}


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("name", LAWS)
def test_one_slot_gives_exactly_p_and_accepts_one_minus_tv(rule, name):
    p_V, q_V = LAWS[name]
    law, accepted, found = one_slot_law(rule, p_V, q_V)
    assert float(found.probability_N.sum()) == pytest.approx(1, abs=1e-14)
    torch.testing.assert_close(law, p_V, atol=1e-14, rtol=0)
    assert accepted == pytest.approx(1 - total_variation(p_V, q_V), abs=1e-14)


@pytest.mark.parametrize("rule", EXACT)
def test_the_bonus_token_follows_a_full_window_with_its_own_law(rule):
    p_V, q_V, bonus_V = (random_law(4, seed=s) for s in (5, 6, 7))
    _, _, found = one_slot_law(rule, p_V, q_V, bonus_V)
    accepted, commit = found.outcome[:, 2], found.outcome[:, 3]
    assert torch.equal(commit, accepted + 1)
    full = accepted == 1
    law = law_of_texts(found.outcome[full][:, 1:2], found.probability_N[full], 4)
    torch.testing.assert_close(law / law.sum(), bonus_V, atol=1e-14, rtol=0)


def round_outcomes(rule, target, drafter, length, width, bonus):
    def run(noise, rows):
        canvas = torch.full((rows.numel(), length), target.mask_id)
        text, accepted = draft_and_verify(
            rule, log_conditionals(target), log_conditionals(drafter), canvas, width, bonus, noise
        )
        return torch.cat([text, accepted[:, None]], 1)

    return enumerate_outcomes(run, 1)


def log_conditionals(table):
    return lambda ids: table(ids).log_softmax(-1)


K, L = 3, 4


def joint_table(seed):
    return TableDenoiser(random_law(K**L, seed=seed, concentration=0.15).view(*[K] * L))


PAIRS = {
    "consistent": (joint_table(0), joint_table(0)),
    "consistent, another drafter": (joint_table(0), joint_table(1)),
    "inconsistent": (TableDenoiser.inconsistent(K, L, 0), TableDenoiser.inconsistent(K, L, 0)),
    "inconsistent, another drafter": (TableDenoiser.inconsistent(K, L, 0), TableDenoiser.inconsistent(K, L, 1)),
}


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_a_round_leaves_the_chain_law(rule, name, width):
    target, drafter = PAIRS[name]
    expected = chain_law(log_conditionals(target), torch.full((L,), target.mask_id), K)
    for bonus in (False, True) if width < L else (False,):
        found = round_outcomes(rule, target, drafter, L, width, bonus)
        law = law_of_texts(found.outcome[:, :L], found.probability_N, K)
        torch.testing.assert_close(law, expected, atol=1e-12, rtol=0)
    if name == "consistent":
        torch.testing.assert_close(law, target.joint, atol=1e-12, rtol=0)


def tree_outcomes(target, drafter, length, nodes, candidates, committed=coupled_tree):
    """One coupled round on a tree of drafts from the left end, the rest token by token; by integration."""
    p, empty_L = log_conditionals(target), torch.full((length,), target.mask_id)
    logq_1LV = log_conditionals(drafter)(empty_L[None])

    def run(enumerated, rows):
        n, noise = rows.numel(), QuantileNoise(enumerated)
        scores, tokens = noise.ranked(logq_1LV.expand(n, -1, -1), site(n, length), Purpose.TOKEN, candidates)
        tree = best_tree(scores.softmax(-1), torch.full((n,), length), nodes)
        draft_BW = tree.tokens(tokens)
        states, logp = [empty_L.repeat(n, 1)], []
        for state in range(nodes + 1):
            if state:
                parent_B = tree.parent_BW[:, state - 1]
                text_BL = torch.stack(states, 1)[torch.arange(n), parent_B]
                states.append(text_BL.scatter(1, tree.depth_BX[:, state, None] - 1, draft_BW[:, state - 1, None]))
            at_B11 = tree.depth_BX[:, state, None, None].clamp(max=length - 1).expand(-1, -1, K)
            logp.append(p(states[-1]).gather(1, at_B11)[:, 0])
        here = dataclasses.replace(site(n, nodes + 1), position_BS=tree.depth_BX)
        done = committed(torch.stack(logp, 1), tree, draft_BW, torch.full((n,), length), noise, here)
        text_BL = torch.nn.functional.pad(done.tokens_BT, (0, length))[:, :length]
        for t in range(length):
            state_BL = torch.where(torch.arange(length) < t, text_BL, empty_L)
            open_B1 = t >= done.commit_B[:, None]
            token_B1 = noise.categorical(p(state_BL)[:, t : t + 1], site(n, 1, first=t).where(open_B1), Purpose.TOKEN)
            text_BL = text_BL.scatter(1, torch.full((n, 1), t), torch.where(open_B1, token_B1, text_BL[:, t : t + 1]))
        return torch.cat([text_BL, done.accepted_B[:, None]], 1)

    return enumerate_outcomes(run, 1)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("nodes", "candidates"), [(2, 1), (3, 2), (6, 3)])
def test_a_coupled_round_on_a_tree_leaves_the_chain_law(name, nodes, candidates):
    target, drafter = PAIRS[name]
    expected = chain_law(log_conditionals(target), torch.full((L,), target.mask_id), K)
    found = tree_outcomes(target, drafter, L, nodes, candidates)
    law = law_of_texts(found.outcome[:, :L], found.probability_N, K)
    torch.testing.assert_close(law, expected, atol=1e-12, rtol=0)


def test_a_tree_that_commits_the_likeliest_child_is_caught():
    target, drafter = PAIRS["inconsistent, another drafter"]

    def sibling(logp_BXV, tree, draft_BW, targets_B, noise, here):
        right = coupled_tree(logp_BXV, tree, draft_BW, targets_B, noise, here)
        return dataclasses.replace(right, tokens_BT=torch.cat([draft_BW[:, :1], right.tokens_BT[:, 1:]], 1))

    expected = chain_law(log_conditionals(target), torch.full((L,), target.mask_id), K)
    found = tree_outcomes(target, drafter, L, 3, 2, sibling)
    assert total_variation(law_of_texts(found.outcome[:, :L], found.probability_N, K), expected) > 0.01


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("width", [2, 3, 4])
def test_block_accepts_at_least_as_much_as_rejection(name, width):
    target, drafter = PAIRS[name]
    mean = {}
    for rule in EXACT:
        found = round_outcomes(rule, target, drafter, L, width, False)
        mean[rule] = float(found.probability_N @ found.outcome[:, L].double())
    assert mean[block] >= mean[rejection] - 1e-12
    if "another" in name:
        assert mean[block] > mean[rejection] + 1e-3


def test_the_example_of_the_block_verification_paper():
    """Sun et al. 2024: with p = (1/3, 2/3) and q = (2/3, 1/3) at two slots, 10/9 drafts by rejection, 11/9 by block."""
    p, q = f64([1 / 3, 2 / 3]).log(), f64([2 / 3, 1 / 3]).log()

    def mean(rule):
        def run(noise, rows):
            n = rows.numel()
            draft = noise.categorical(q.expand(n, 2, 2), site(n, 2), Purpose.DRAFT)
            two = torch.full((n,), 2)
            return rule(p.expand(n, 3, 2), q.expand(n, 2, 2), draft, two, two + 1, noise, site(n, 3)).accepted_B[
                :, None
            ]

        found = enumerate_outcomes(run, 1)
        return float(found.probability_N @ found.outcome[:, 0].double())

    assert mean(rejection) == pytest.approx(10 / 9)
    assert mean(block) == pytest.approx(11 / 9)


def test_rejection_is_the_textbook_recursion():
    """P(accepted >= n) from the laws alone, slot by slot, equals what the enumerated rule does."""
    target, drafter = PAIRS["inconsistent, another drafter"]
    found = round_outcomes(rejection, target, drafter, L, L, False)
    first = float(found.probability_N[found.outcome[:, L] >= 1].sum())
    mask = torch.full((1, L), target.mask_id)
    p, q = (log_conditionals(t)(mask)[0, 0].exp() for t in (target, drafter))
    assert first == pytest.approx(1 - total_variation(p, q), abs=1e-12)


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


# Coupled acceptance: by samples, since its noise cannot be enumerated.

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


def test_coupled_refuses_noise_that_cannot_be_shared():
    p_V, q_V = LAWS["arbitrary"]
    with pytest.raises(AssertionError, match="keyed noise"):
        one_slot_law(coupled, p_V, q_V)


# Rules that look right and are not: the tests above must be able to see it.


def test_argmax_drafts_scored_with_the_soft_law_are_caught():
    p_V, q_V = random_law(4, seed=50), random_law(4, seed=51)
    for rule in EXACT:
        law, _, _ = one_slot_law(rule, p_V, q_V, drafted_from=point(q_V.argmax(), 4))
        assert total_variation(law, p_V) > 0.05


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


def test_acceptance_without_the_residual_is_caught():
    p_V, q_V = f64([0.2, 0.5, 0.3]), f64([0.6, 0.3, 0.1])

    def redraw_from_p(logp, logq, draft, width, targets, noise, here):
        done = rejection(logp, logq, draft, width, targets, noise, here)
        fresh = noise.categorical(logp, here, Purpose.TOKEN)
        tokens = torch.where(done.accepted_B[:, None] > 0, done.tokens_BT, fresh)
        return dataclasses.replace(done, tokens_BT=tokens)

    law, _, _ = one_slot_law(redraw_from_p, p_V, q_V)
    assert total_variation(law, p_V) > 0.05


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
