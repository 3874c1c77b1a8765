"""Speculation in the rows law is refused where a fake table of costs says that it is slower, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_network import tiny_network

import fef
from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.decoding.payoff import check_rows_pay
from fef.laws.row_costs import RowCosts

COSTS = RowCosts("n", "d", "float32", 384, (1, 2, 4), (10.0, 12.0, 20.0), acceptance=0.5)
PACKED = Network(tiny_network())
BLOCK_CAUSAL = Network(tiny_network(attention="block-causal", block_length=4, packed=False))


def check(costs=COSTS, method="fef", network=PACKED, requests=1, slots=64, **options):
    check_rows_pay(make_plan(method, {"verify": "rows", **options}, network), costs, requests, slots)


def refusal(*arguments, **options) -> str:
    with pytest.raises(fef.OptionError) as caught:
        check(*arguments, **options)
    return str(caught.value)


def test_a_refusal_names_the_cost_and_the_ways_out():
    """Window 3: 4 rows, 20 ms, 1 + 1/2 + 1/4 + 1/8 tokens, 20 / 18.75 of the time. Window 1: 1.5 tokens in 12 ms."""
    message = refusal(window=3)
    for words in (
        "fef with window=3",
        "1.07 times as long",
        "1 sequence takes 10 ms",
        "4 sequences 20 ms",
        "384 positions",
        "1.88 tokens",
        "probability 0.5",
        "all accepted, 4",
        "0.50 times",
        "window=1, predicted to be 1.25 times as fast",
        'verify="packed"',
        'method="sequential"',
        "force=True",
    ):
        assert words in message


def test_without_a_window_that_pays_none_is_named():
    dear = replace(COSTS, milliseconds=(10.0, 20.0, 40.0))
    message = refusal(dear, window=3)
    assert "No window pays" in message
    assert "Use window" not in message


def test_sequential_is_no_way_out_of_many_passes():
    assert "sequential" not in refusal(window=3, steps=2)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 1},
        {"window": 2},
        {"window": 3, "slots": 2},  # two slots are one round of two rows
        {"window": 3, "block_length": 2},
        {"window": 2, "draft": "fresh"},  # 2.5 tokens for 22 ms
        {"window": 3, "survival": 0.5},  # fewer rows than the window
        {"window": 3, "verify": "packed"},
        {"window": 3, "network": BLOCK_CAUSAL, "cache": "prefix"},
        {"method": "dual-exact", "window": 2},
        {"method": "sequential"},
        {"window": 3, "costs": replace(COSTS, milliseconds=(10.0, 10.0, 10.0))},
        {"window": 16, "costs": replace(COSTS, acceptance=1.0)},  # 17 tokens for 85 ms
    ],
)
def test_what_pays_or_is_not_priced_goes_on(options):
    check(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"window": 3, "accept": "rejection", "order": "random"},
        {"window": 3, "network": BLOCK_CAUSAL},
        {"window": 3, "draft": "random"},
        {"window": 1, "requests": 2},  # 4 rows, 20 ms, for 3 tokens that take 18 one by one
        {"window": 16},
        {"method": "dual-exact", "window": 4},  # 10 ms and 4 rows for 2.875 tokens
    ],
)
def test_what_does_not_pay_is_refused(options):
    refusal(**options)


@given(
    st.lists(st.floats(5, 200), min_size=4, max_size=4),
    st.lists(st.floats(0.05, 1), min_size=4, max_size=4),
    st.integers(1, 30),
    st.sampled_from(["reuse", "fresh"]),
    st.floats(0, 1),
)
def test_a_cheaper_table_never_turns_a_decode_into_a_refusal(times, factors, window, draft, acceptance):
    dear = RowCosts("n", "d", "float32", 9, (1, 2, 4, 8, 16), (10.0, *times), acceptance)
    cheap = replace(dear, milliseconds=(10.0, *(t * f for t, f in zip(times, factors, strict=True))))
    try:
        check(dear, window=window, draft=draft)
    except fef.OptionError:
        return
    check(cheap, window=window, draft=draft)
