from __future__ import annotations

import math

import pytest
import torch
from laws_helpers import random_law, site
from scipy import stats

from fef.laws import draws
from fef.laws.draws import KeyedNoise, Purpose, gumbels, gumbels_at, keyed_ranked, philox4x32, uniforms

ONES = 0xFFFFFFFF
KNOWN_ANSWERS = [  # Random123, kat_vectors, philox4x32-10: counter, key, output
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES, ONES, ONES, ONES), (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def draw(seeds, positions, *, step=0, attempts=None, purpose=Purpose.TOKEN, count=1, kind=uniforms):
    seed_B = torch.as_tensor(seeds, dtype=torch.int64)
    position_BS = torch.as_tensor(positions, dtype=torch.int64).expand(seed_B.numel(), -1)
    attempt_B = torch.zeros_like(seed_B) if attempts is None else torch.as_tensor(attempts, dtype=torch.int64)
    return kind(
        seed_B, position_BS, step_B=torch.full_like(seed_B, step), attempt_B=attempt_B, purpose=purpose, count=count
    )


@pytest.mark.parametrize(("counter", "key", "output"), KNOWN_ANSWERS)
def test_philox_known_answers(counter, key, output):
    words = philox4x32(tuple(torch.tensor([w]) for w in counter), tuple(torch.tensor([w]) for w in key))
    assert tuple(int(w) for w in words) == output


def test_philox_broadcasts_its_words():
    counter = tuple(torch.tensor(c) for c in ([[0, ONES]], [[0], [ONES]], [[0], [ONES]], [[0], [ONES]]))
    key = (torch.tensor([[0], [ONES]]), torch.tensor([[0], [ONES]]))
    words = philox4x32(counter, key)
    assert [int(w.expand(2, 2)[0, 0]) for w in words] == list(KNOWN_ANSWERS[0][2])
    assert [int(w.expand(2, 2)[1, 1]) for w in words] == list(KNOWN_ANSWERS[1][2])


def test_uniforms_follow_the_documented_key_layout():
    seed, position, step, attempt = -0x123456789ABCDEF, 77, 5, 9
    u = draw([seed], [[position]], step=step, attempts=[attempt], purpose=Purpose.REMASK, count=8)[0, 0]
    counter = [3, position, step << 16 | attempt, int(Purpose.REMASK)]
    key = [seed & ONES, (seed >> 32) & ONES]
    w = [int(x) for x in philox4x32(tuple(map(torch.tensor, counter)), tuple(map(torch.tensor, key)))]
    for number, (high, low) in zip(u[6:], [(w[0], w[1]), (w[2], w[3])], strict=True):
        assert float(number) == (2 * ((high << 20) | (low >> 12)) + 1) / 2**53


def test_uniforms_never_reach_zero_or_one():
    extreme = draws._midpoint(torch.tensor([0, ONES]), torch.tensor([0, ONES]))
    assert extreme.tolist() == [2.0**-53, 1 - 2.0**-53]
    assert (-(-extreme.log()).log()).isfinite().all()


N = 20_000
VARIED = {
    "index": lambda: draw([3], [[0]], count=N).flatten(),
    "position": lambda: draw([3], torch.arange(N)[None]).flatten(),
    "seed": lambda: draw(torch.arange(N), [[0]]).flatten(),
    "high half of the seed": lambda: draw(torch.arange(N) << 32, [[0]]).flatten(),
    "attempt": lambda: draw(torch.full((N,), 3), [[0]], attempts=torch.arange(N)).flatten(),
    "step": lambda: torch.cat([draw([3], torch.arange(20)[None], step=s).flatten() for s in range(1000)]),
    "purpose": lambda: torch.stack(
        [draw(torch.arange(3000), [[0]], purpose=p).flatten() for p in Purpose], 1
    ).flatten(),
}


@pytest.mark.parametrize("word", VARIED)
def test_uniforms_are_uniform_and_independent_along_each_key_word(word):
    u = VARIED[word]()
    assert stats.kstest(u.numpy(), "uniform").pvalue > 1e-4
    # Neighbours along the word, as an 8 x 8 contingency table.
    cell = (u[:-1] * 8).long() * 8 + (u[1:] * 8).long()
    assert stats.chisquare(torch.bincount(cell, minlength=64).numpy()).pvalue > 1e-4
    # The low bits are random too.
    assert stats.kstest(((u * 2**26) % 1).numpy(), "uniform").pvalue > 1e-4


def test_every_key_word_matters():
    base = {"seeds": [1], "positions": [[2]], "step": 3, "attempts": [4], "purpose": Purpose.TOKEN, "count": 4}
    changes = [
        {"seeds": [2]},
        {"seeds": [1 + 2**32]},
        {"seeds": [-1]},
        {"positions": [[3]]},
        {"step": 4},
        {"attempts": [3]},
        {"step": 4, "attempts": [3]},
        {"purpose": Purpose.DRAFT},
    ]
    seen = torch.cat([draw(**(base | change)).flatten() for change in [{}, *changes]])
    assert seen.unique().numel() == seen.numel()


def test_numbers_do_not_depend_on_batch_or_layout(monkeypatch):
    seeds, positions = torch.arange(5) * 1_000_003, torch.randperm(400, generator=torch.Generator().manual_seed(0))
    attempts = torch.tensor([0, 3, 1, 0, 7])
    whole = draw(seeds, positions[None], attempts=attempts, count=33, kind=gumbels)
    rows, slots = torch.tensor([4, 1]), torch.tensor([399, 7, 8])
    part = draw(seeds[rows], positions[None, slots], attempts=attempts[rows], count=33, kind=gumbels)
    assert torch.equal(part, whole[rows][:, slots])
    one = draw(seeds[2:3], positions[None, :1], attempts=attempts[2:3], count=12, kind=gumbels)
    assert torch.equal(one[0, 0], whole[2, 0, :12])
    monkeypatch.setattr(draws, "_CPU_COUNTERS", 7)
    assert torch.equal(draw(seeds, positions[None, :9], attempts=attempts, count=33, kind=gumbels), whole[:, :9])


@pytest.mark.parametrize(
    "bad",
    [{"step": 1 << 16}, {"step": -1}, {"attempts": [1 << 16]}, {"attempts": [-1]}, {"positions": [[1 << 32]]}],
)
def test_words_out_of_range_are_refused(bad):
    with pytest.raises((AssertionError, RuntimeError)):
        draw(**({"seeds": [1], "positions": [[0]]} | bad))


def test_gumbels_have_the_gumbel_law():
    g = draw(torch.arange(10), torch.arange(10)[None], count=2000, kind=gumbels).flatten()
    assert stats.kstest(g.numpy(), "gumbel_r").pvalue > 1e-4


def test_categorical_has_the_law_at_every_slot(monkeypatch):
    monkeypatch.setattr(draws, "_CATEGORICAL_ENTRIES", 1000)  # several chunks
    n, p_SV = 20_000, random_law(3, 5, seed=0)
    p_SV[1] = torch.tensor([0.0, 0.5, 0.0, 0.25, 0.25])
    token_BS = KeyedNoise(torch.arange(n)).categorical(p_SV.log().expand(n, 3, 5), site(n, 3), Purpose.TOKEN)
    for p_V, token_B in zip(p_SV, token_BS.T, strict=True):
        count_V = torch.bincount(token_B, minlength=5)
        assert (count_V[p_V == 0] == 0).all()
        keep = p_V > 1e-6
        assert stats.chisquare(count_V[keep].numpy(), (n * p_V[keep] / p_V[keep].sum()).numpy()).pvalue > 1e-4


def test_a_token_is_the_argmax_of_its_law_plus_its_own_gumbels():
    seed_B, here, p_BSV = torch.tensor([5, -6]), site(2, 3, first=40, step=7, attempt=2), random_law(2, 3, 50, seed=2)
    for purpose in (Purpose.TOKEN, Purpose.DRAFT):
        g_BSV = gumbels(
            seed_B, here.position_BS, step_B=here.step_B, attempt_B=here.attempt_B, purpose=purpose, count=50
        )
        token_BS = KeyedNoise(seed_B).categorical(p_BSV.log(), here, purpose)
        assert torch.equal(token_BS, (p_BSV.log() + g_BSV).argmax(-1))
        u_BS1 = uniforms(
            seed_B, here.position_BS, step_B=here.step_B, attempt_B=here.attempt_B, purpose=purpose, count=1
        )
        assert torch.equal(KeyedNoise(seed_B).uniform(here, purpose), u_BS1[..., 0])


@pytest.mark.parametrize("entries", [1, 100, 1 << 22])
def test_entries_of_equal_key_share_noise_that_is_computed_once(entries, monkeypatch):
    """Keys that differ in one part only, each several times and in any order, in chunks of all sizes."""
    monkeypatch.setattr(draws, "_CATEGORICAL_ENTRIES", entries)
    kinds = [
        (5, 3, 1, 0),
        (-6, 3, 1, 0),
        (5, 4, 1, 0),
        (5, 3, 2, 0),
        (5, 3, 1, 2),
        (5, 2**32 - 1, 2**16 - 1, 2**16 - 1),
    ]
    order_N = torch.randperm(18, generator=torch.Generator().manual_seed(0)) % 6
    seed_N, position_N, step_N, attempt_N = torch.tensor(kinds)[order_N].unbind(1)
    logp_NV = random_law(18, 1, 50, seed=3)[:, 0].log()
    noise_NV = gumbels(
        seed_N, position_N[:, None], step_B=step_N, attempt_B=attempt_N, purpose=Purpose.DRAFT, count=50
    )[:, 0]
    made: list[int] = []

    def counted(seed_B, *rest, **more):
        made.append(len(seed_B))
        return gumbels(seed_B, *rest, **more)

    monkeypatch.setattr(draws, "gumbels", counted)
    token_N = keyed_ranked(logp_NV, seed_N, position_N, step_N, attempt_N, Purpose.DRAFT, 1)[1][:, 0]
    assert torch.equal(token_N, (logp_NV + noise_NV).argmax(-1))
    assert sum(made) == 6 or entries < logp_NV.numel()
    assert len(set(token_N.tolist())) > 6, "the law of an entry counts, too"


def test_point_masses_and_inactive_slots_use_no_noise(monkeypatch):
    monkeypatch.setattr(draws, "gumbels", lambda *_, **__: pytest.fail("drew noise"))
    logp = torch.full((2, 2, 4), -torch.inf, dtype=torch.float64)
    logp[:, 0, 3] = 0
    logp[:, 1] = math.log(0.25)
    here = site(2, 2).where(torch.tensor([True, False]))
    assert KeyedNoise(torch.arange(2)).categorical(logp, here, Purpose.TOKEN)[:, 0].tolist() == [3, 3]


def test_a_mixed_batch_draws_what_each_row_draws_alone():
    logp_BSV = random_law(6, 3, 40, seed=1).log()
    logp_BSV[2] = torch.where(torch.arange(40) == 5, 0.0, -torch.inf)
    noise, here = KeyedNoise(torch.arange(6) + 50), site(6, 3, first=10, step=2, attempt=1)
    together = noise.categorical(logp_BSV, here, Purpose.DRAFT)
    for row in range(6):
        alone = noise.select(torch.tensor([row])).categorical(
            logp_BSV[row : row + 1], site(1, 3, first=10, step=2, attempt=1), Purpose.DRAFT
        )
        assert torch.equal(alone[0], together[row])


def test_take_gives_the_site_of_one_slot_a_row():
    here = site(2, 4, first=10, step=1, attempt=2).where(torch.tensor([[True] * 4, [True, True, False, True]]))
    one = here.take(torch.tensor([[3], [2]]))
    assert one.position_BS.tolist() == [[13], [12]]
    assert one.active_BS.tolist() == [[True], [False]]
    assert (one.step_B.tolist(), one.attempt_B.tolist()) == ([1, 1], [2, 2])


def test_bernoulli_is_exact_at_the_ends_and_fair_between():
    n = 20_000
    prob_BS = torch.tensor([0.0, 1.0, 0.3], dtype=torch.float64).expand(n, 3)
    hits = KeyedNoise(torch.arange(n)).bernoulli(prob_BS, site(n, 3), Purpose.ACCEPT).sum(0).tolist()
    assert hits[:2] == [0, n]
    assert stats.binomtest(hits[2], n, 0.3).pvalue > 1e-4


# Rare tokens of a large vocabulary: one dominant token, the others 2e-8 each.

LARGE, RARE = 131_072, 2e-8
DOMINANT = 1 - (LARGE - 1) * RARE


def rare_logp() -> torch.Tensor:
    logp_V = torch.full((LARGE,), math.log(RARE), dtype=torch.float64)
    logp_V[0] = math.log(DOMINANT)
    return logp_V


def count_rare(position_N: torch.Tensor) -> int:
    """How many of the draws at these positions give a rare token; few slots at a time stay in the cache."""
    noise, logp_V, found = KeyedNoise(torch.tensor([11])), rare_logp(), 0
    for position_n in position_N.split(8):
        here = site(1, position_n.numel())
        here = draws.Site(position_n[None], here.step_B, here.attempt_B, here.active_BS)
        token = noise.categorical(logp_V.expand(1, position_n.numel(), LARGE), here, Purpose.TOKEN)
        found += int((token != 0).sum())
    return found


def count_rare_float32(draws_: int) -> int:
    """As many draws with float32 noise of `torch.rand`."""
    generator, logp_V, found = torch.Generator().manual_seed(0), rare_logp().float(), 0
    for _ in range(0, draws_, 2):
        g_nV = torch.rand(2, LARGE, generator=generator).log_().neg_().log_().neg_()
        found += int((g_nV.add_(logp_V).argmax(1) != 0).sum())
    return found


def test_rare_tokens_are_drawn_as_often_as_they_should_be():
    # Sites where the dominant token has a middling Gumbel number: how often a rare token wins there is known, and
    # float32 numbers (at most 16.64, less 17.73 for the log probability) never can. So 1,060 draws show the defect.
    candidates, n = torch.arange(1, 64_001), 1060
    g0 = draw([11], candidates[None], count=1, kind=gumbels)[0, :, 0]
    chosen = ((g0 > -1.05) & (g0 < -0.85)).nonzero()[:n, 0]
    expected = float(-torch.expm1(-(1 - DOMINANT) / DOMINANT * (-g0[chosen]).exp()).sum())
    assert chosen.numel() == n
    most = -torch.tensor(1 - 2**-24).log().neg().log()  # of float32, in which uniform numbers are multiples of 2^-24
    assert most + math.log(RARE) < g0[chosen].min() + math.log(DOMINANT), "so none of these draws is rare in float32"
    assert stats.poisson.cdf(0, expected) < 1e-3
    found = count_rare(candidates[chosen])
    assert min(stats.poisson.cdf(found, expected), stats.poisson.sf(found - 1, expected)) > 1e-3


@pytest.mark.slow
def test_rare_tokens_by_plain_sampling():
    n = 8192
    assert stats.binomtest(count_rare_float32(n), n, 1 - DOMINANT).pvalue < 1e-4
    assert stats.binomtest(count_rare(torch.arange(n)), n, 1 - DOMINANT).pvalue > 1e-4


def test_numbers_at_some_tokens_are_those_of_all():
    seed, step, attempt = torch.tensor([5, -(2**60)]), torch.tensor([1, 300]), torch.tensor([0, 7])
    position = torch.tensor([[0, 4, 9], [2**31, 3, 1]])
    token = torch.randint(0, 101, (2, 3, 20), generator=torch.Generator().manual_seed(0))
    keys = {"step_B": step, "attempt_B": attempt, "purpose": Purpose.TOKEN}
    every = gumbels(seed, position, count=101, **keys)
    assert torch.equal(gumbels_at(token, seed, position, **keys), every.gather(2, token))
