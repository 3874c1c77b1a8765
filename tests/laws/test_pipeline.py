from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fef.errors import DenoiserError, OptionError
from fef.laws.pipeline import Sampling, check_sampling, log_law

V = 7


def sampling(temperature=1.0, top_p=1.0, top_k=0, banned=(), eos_id=None, first_cut="top-k"):
    """Settings of one row a value; scalars make one row."""
    values = [x if isinstance(x, (list, tuple)) else [x] for x in (temperature, top_p, top_k)]
    rows = max(len(x) for x in values)
    temperature_B, top_p_B, top_k_B = ([*x] * rows if len(x) == 1 else x for x in values)
    f64 = torch.float64
    return Sampling(
        torch.tensor(temperature_B, dtype=f64),
        torch.tensor(top_p_B, dtype=f64),
        torch.tensor(top_k_B),
        torch.tensor(sorted(banned), dtype=torch.int64),
        eos_id,
        first_cut,
    )


def law(logits_V, **kw):
    logits = torch.as_tensor(logits_V, dtype=torch.float64)[None, None]
    return log_law(logits, sampling(**kw))[0, 0].exp()


# Few distinct values make ties common; -inf is a token that the model excludes.
logit = st.one_of(st.sampled_from([-1.0, 0.0, 0.0, 1.0, -math.inf]), st.floats(-40, 40, width=32))
logits_lists = st.lists(logit, min_size=V, max_size=V)
settings_of_a_row = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 1e-300, 0.1, 0.7, 1.0, 3.0]),
        "top_p": st.one_of(st.just(1.0), st.floats(0.01, 1.0)),
        "top_k": st.integers(0, V + 2),
        "banned": st.sets(st.integers(0, V - 1), max_size=3),
    }
)


def some_token_is_left(logits, banned):
    return any(x > -math.inf for i, x in enumerate(logits) if i not in banned)


@settings(max_examples=150)
@given(logits_lists, settings_of_a_row)
def test_the_law_is_normalised_and_respects_bans(logits, options):
    if not some_token_is_left(logits, options["banned"]):
        with pytest.raises(DenoiserError, match="No token is allowed"):
            law(logits, **options)
        return
    p_V = law(logits, **options)
    assert not p_V.isnan().any()
    assert abs(float(p_V.sum()) - 1) < 1e-12
    assert all(p_V[i] == 0 for i in options["banned"])
    assert all(p == 0 for p, x in zip(p_V, logits, strict=True) if x == -math.inf)


@settings(max_examples=150)
@given(logits_lists, settings_of_a_row, st.sampled_from(["top-k", "top-p"]))
def test_truncation_keeps_the_smallest_set(logits, options, first_cut):
    if not some_token_is_left(logits, options["banned"]) or options["temperature"] == 0:
        return
    plain = law(logits, **(options | {"top_p": 1.0, "top_k": 0}))
    p_V = law(logits, **options, first_cut=first_cut)
    # Reference, token by token: most probable first, ties to the lower id.
    ranked = sorted(range(V), key=lambda i: (-float(plain[i]), i))
    most = ranked[: options["top_k"] or V]
    total, mass, kept = sum(float(plain[i]) for i in (most if first_cut == "top-k" else ranked)), 0.0, []
    for i in most:
        if kept and mass >= options["top_p"] * total - 1e-12 * total and options["top_p"] < 1:
            break
        kept.append(i)
        mass += float(plain[i])
    reference = torch.zeros(V, dtype=torch.float64)
    reference[kept] = plain[kept] / plain[kept].sum()
    torch.testing.assert_close(p_V, reference, atol=1e-12, rtol=0)


@settings(max_examples=50)
@given(logits_lists, settings_of_a_row)
def test_a_law_is_its_own_law_at_temperature_one(logits, options):
    if not some_token_is_left(logits, options["banned"]):
        return
    logp = log_law(torch.tensor([[logits]]), sampling(**options))
    torch.testing.assert_close(log_law(logp, sampling()), logp, atol=1e-12, rtol=1e-12)
    again = sampling(temperature=1.0, top_k=options["top_k"], banned=options["banned"])
    if options["temperature"] > 0:
        torch.testing.assert_close(log_law(logp, again), logp, atol=1e-12, rtol=1e-12)


@settings(max_examples=50)
@given(
    st.lists(st.tuples(logits_lists, settings_of_a_row), min_size=2, max_size=4),
    st.sets(st.integers(0, V - 1), max_size=2),
)
def test_rows_and_slots_do_not_influence_each_other(rows, banned):
    rows = [row for row in rows if some_token_is_left(row[0], banned)]
    if not rows:
        return
    logits = torch.tensor([[row[0], row[0]] for row in rows])
    logits[:, 1] *= 0.5
    names = ("temperature", "top_p", "top_k")
    together = sampling(**{n: [row[1][n] for row in rows] for n in names}, banned=banned)
    whole = log_law(logits, together)
    for i, (_, options) in enumerate(rows):
        alone = sampling(**{n: options[n] for n in names}, banned=banned)
        for slot in (0, 1):
            assert torch.equal(whole[i : i + 1, slot : slot + 1], log_law(logits[i : i + 1, slot : slot + 1], alone))
        assert torch.equal(log_law(logits[i : i + 1], together.select(torch.tensor([i]))), whole[i : i + 1])


def test_plain_law_is_the_softmax_of_the_tempered_logits():
    logits = torch.randn(3, 4, V, generator=torch.Generator().manual_seed(0))
    found = log_law(logits, sampling(temperature=[0.5, 1.0, 2.0]))
    expected = torch.stack([(logits[i].double() / T).log_softmax(-1) for i, T in enumerate([0.5, 1.0, 2.0])])
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=1e-13)
    assert found.dtype == torch.float64


def test_temperature_zero_is_the_first_most_probable_token():
    assert law([0.0, 2.0, 2.0, 1.0], temperature=0.0).tolist() == [0, 1, 0, 0]
    assert law([0.0, 2.0, 2.0, 1.0], temperature=0.0, banned=[1]).tolist() == [0, 0, 1, 0]
    assert law([0.0, 2.0, 2.0, 1.0], temperature=0.0, top_k=3, top_p=0.2).tolist() == [0, 1, 0, 0]


def test_greedy_and_sampling_rows_mix():
    logits = torch.tensor([[[0.0, 1.0, 0.5]], [[0.0, 1.0, 0.5]]])
    found = log_law(logits, sampling(temperature=[0.0, 1.0])).exp()
    assert found[0, 0].tolist() == [0, 1, 0]
    torch.testing.assert_close(found[1, 0], logits[1, 0].double().softmax(-1))


def test_the_greedy_law_is_the_limit_of_small_temperatures():
    logits = [0.3, -1.0, 0.9, 0.2]
    assert torch.equal(law(logits, temperature=1e-4), law(logits, temperature=0.0))


def test_top_k_and_top_p_by_hand():
    log = torch.tensor([0.1, 0.5, 0.2, 0.2], dtype=torch.float64).log()
    assert law(log, top_k=2).tolist() == pytest.approx([0, 5 / 7, 2 / 7, 0])  # the tie goes to the lower id
    assert law(log, top_p=0.7).tolist() == pytest.approx([0, 5 / 7, 2 / 7, 0])  # exactly reached
    assert law(log, top_p=0.71).tolist() == pytest.approx([0, 5 / 9, 2 / 9, 2 / 9])
    assert law(log, top_p=0.01).tolist() == [0, 1, 0, 0]
    # After top-k 2 the law is (5/7, 2/7): 0.7 is reached by one token.
    assert law(log, top_k=2, top_p=0.7).tolist() == [0, 1, 0, 0]
    # The temperature comes first.
    assert law(log, temperature=0.5, top_p=0.7).tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(
    ("probabilities", "options", "top_p_first", "top_k_first"),
    [
        ([0.4, 0.3, 0.2, 0.1], {"top_p": 0.75, "top_k": 3}, 3, 2),
        ([0.4, 0.3, 0.2, 0.1], {"top_p": 0.5, "top_k": 2}, 2, 1),
        ([0.35, 0.15, 0.3, 0.2], {"top_p": 0.7, "top_k": 3}, 3, 2),
        ([0.5, 0.3, 0.1, 0.1], {"temperature": 0.5, "top_p": 0.95, "top_k": 3}, 3, 2),
        ([0.4, 0.3, 0.2, 0.1], {"top_p": 0.9, "top_k": 1}, 1, 1),
        ([0.4, 0.3, 0.2, 0.1], {"top_p": 0.75}, 3, 3),
        ([0.4, 0.3, 0.2, 0.1], {"top_k": 2}, 2, 2),
    ],
)
def test_top_p_first_is_measured_in_the_whole_law(probabilities, options, top_p_first, top_k_first):
    """How many tokens each order keeps; both keep the most probable ones, in proportion."""
    log = torch.tensor(probabilities, dtype=torch.float64).log()
    plain = law(log, temperature=options.get("temperature", 1.0))
    for first_cut, count in (("top-p", top_p_first), ("top-k", top_k_first)):
        kept = plain.argsort(descending=True, stable=True)[:count]
        expected = torch.zeros(4, dtype=torch.float64)
        expected[kept] = plain[kept] / plain[kept].sum()
        torch.testing.assert_close(law(log, **options, first_cut=first_cut), expected, atol=1e-12, rtol=0)


def test_truncation_at_its_edges():
    # 0.3 + 0.3 is 0.5999... in binary, and reaches 0.6 all the same.
    log = torch.tensor([0.3, 0.2, 0.3, 0.2], dtype=torch.float64).log()
    assert law(log, top_p=0.6).tolist() == pytest.approx([0.5, 0, 0.5, 0])
    # The most probable token stays for the smallest p, and top_p = 1 drops nothing that top-k left.
    assert law(log, top_p=1e-300).tolist() == [1, 0, 0, 0]
    assert law([0.0, -40.0, -50.0], top_k=2).tolist() == pytest.approx([1, math.exp(-40), 0], rel=1e-12, abs=0)
    # A sort that does not keep the order of equals would pick any ten of these.
    assert law(torch.zeros(5000), top_k=10).nonzero()[:, 0].tolist() == list(range(10))


def test_after_eos_comes_eos_whatever_the_logits():
    logits = torch.full((1, 2, 4), torch.nan)
    logits[0, 1] = torch.tensor([0.0, 1.0, 2.0, 3.0])
    forced = torch.tensor([[True, False]])
    for temperature in (0.0, 1.0):
        found = log_law(logits, sampling(temperature, banned=[3], eos_id=2), forced_eos_BS=forced).exp()
        assert found[0, 0].tolist() == [0, 0, 1, 0]
        assert found[0, 1, 3] == 0


def test_eos_can_be_banned_a_slot():
    logits, before = torch.tensor([[[0.0, 1.0, 5.0], [0.0, 1.0, 5.0]]]), None
    before = logits.clone()
    for temperature in (0.0, 1.0):
        settings_ = sampling(temperature, eos_id=2)
        found = log_law(logits, settings_, no_eos_BS=torch.tensor([[True, False]])).exp()
        assert found[0, 0, 2] == 0
        assert found[0, 1, 2] > 0.9
    assert torch.equal(logits, before)  # the denoiser's logits are left alone, also where they are float64 already
    doubles = logits.double()
    log_law(doubles, sampling(eos_id=2), no_eos_BS=torch.tensor([[True, True]]))
    assert torch.equal(doubles, before.double())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_bad_logits_are_refused_with_their_place(bad, temperature):
    logits = torch.zeros(2, 3, 4)
    logits[1, 2, 0] = bad
    with pytest.raises(DenoiserError, match=r"nan or \+inf.*row 1, slot 2"):
        log_law(logits, sampling(temperature))


def test_bad_logits_of_banned_tokens_do_no_harm():
    assert law([0.0, 1.0, math.nan, math.inf], banned=[2, 3]).sum() == pytest.approx(1)


def test_nothing_allowed_is_refused():
    with pytest.raises(DenoiserError, match="every id is banned"):
        law([0.0, 1.0], banned=[0, 1])
    with pytest.raises(DenoiserError, match="No token is allowed"):
        log_law(torch.tensor([[[-torch.inf, 1.0]]]), sampling(eos_id=1), no_eos_BS=torch.tensor([[True]]))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": math.nan}, "temperature"),
        ({"temperature": math.inf}, "temperature"),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p"),
        ({"temperature": 1.0, "top_p": 1.01}, "top_p"),
        ({"temperature": 1.0, "top_p": math.nan}, "top_p"),
        ({"temperature": 1.0, "top_k": -1}, "top_k"),
        ({"temperature": 1.0, "top_k": 1.5}, "top_k"),
    ],
)
def test_settings_out_of_range_say_what_is_allowed(options, name):
    with pytest.raises(OptionError, match=rf"{name}=.*must be.*Use"):
        check_sampling(**options)


def test_settings_in_range_pass():
    check_sampling(0.0)
    check_sampling(1.7, top_p=1e-6, top_k=50)
