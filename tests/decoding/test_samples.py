"""200,000 samples of every acceptance rule through the public `decode` pass a G-test against the chain law."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

import fef
from fef.verify.reference import denoised, table_of
from fef.verify.statistics import g_test
from fef.verify.texts import Law, sharpened
from tests.tiny_tables import EMPTY, TABLES, K, L, empty_rows

SAMPLES = 200_000


@cache
def expected_law(kind: str, temperature: float, top_p: float, steps: int) -> Law:
    return denoised(table_of(TABLES[kind](), K, L), EMPTY, [range(L)], steps, sharpened(temperature, top_p))


def p_value(kind: str, temperature: float, top_p: float, steps: int = 1, seed: int = 0, **options: Any) -> float:
    out = fef.decode(
        TABLES[kind](),
        empty_rows(SAMPLES),
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        **options | ({"steps": steps} if options.get("method", "fef") == "fef" else {}),
    )
    return g_test(out.ids, expected_law(kind, temperature, top_p, steps))


@pytest.mark.parametrize(
    ("accept", "temperature", "top_p", "draft"),
    [("coupled", 0.7, 1.0, "reuse"), ("rejection", 1.0, 0.8, "fresh"), ("block", 1.0, 1.0, "reuse")],
)
def test_each_rule(accept, temperature, top_p, draft):
    assert p_value("inconsistent", temperature, top_p, accept=accept, window=2, draft=draft) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("accept", ["coupled", "rejection", "block"])
@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (1.0, 1.0), (1.0, 0.8)])
@pytest.mark.parametrize(("window", "draft", "steps"), [(2, "reuse", 1), (4, "random", 1), (2, "fresh", 2)])
def test_every_rule_at_every_setting(kind, accept, temperature, top_p, window, draft, steps):
    p = p_value(kind, temperature, top_p, steps, seed=10**9, accept=accept, window=window, draft=draft)
    assert p > 1e-4


@pytest.mark.slow
def test_sequential_samples_the_chain_law():
    assert p_value("inconsistent", 0.7, 1.0, method="sequential") > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("accept", ["coupled", "rejection", "block"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_random_orders_mix_the_laws_of_all_orders(accept, steps):
    """Of a consistent table, every order has the same law."""
    assert p_value("consistent", 1.0, 1.0, steps, accept=accept, order="random", window=2) > 1e-4
