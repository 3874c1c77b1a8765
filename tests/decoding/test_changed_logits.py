"""logit_bias, min_tokens and ignore_eos change the law that is sampled as they say, whatever decodes it. Held against a plain
recursion over all texts."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from drafters import odd_drafter
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.errors import FefError, OptionError
from fef.verify.reference import Table, table_of
from fef.verify.texts import Law, distance, sharpened
from tests.integrated_law import integrated_law
from tests.tiny_tables import EMPTY, TABLES, K, L

EXACT = 1e-9
END = 2
BIAS = {0: 1.5, 1: -0.7, END: 0.4}
WAYS: list[dict[str, Any]] = [
    {"method": "sequential"},
    {"accept": "rejection", "window": 2, "draft": "reuse"},
    {"accept": "block", "window": 4, "draft": "fresh"},
    {"accept": "rejection", "window": 3, "draft": odd_drafter},
    {"accept": "rejection", "window": 2, "bonus": False},
]
EVERY_WAY = pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(str(v) for v in way.values())[:40])


@cache
def table() -> Table:
    return table_of(TABLES["inconsistent"](), K, L)


def changed_chain(
    bias: dict[int, float], least: int, order: Sequence[int] = range(L), temperature: float = 1.0, top_p: float = 1.0
) -> Law:
    """Token by token: the table's law times exp(bias), no end token at the first places, and then temperature and cut."""
    factor = np.exp([bias.get(token, 0.0) for token in range(K)])
    law: Law = {EMPTY: 1.0}
    for slot in order:
        after: Law = defaultdict(float)
        for state, weight in law.items():
            others = [i for i, token in enumerate(state) if token not in (EMPTY[0], END)]
            p = table().at[state][slot] * factor
            if END in state[:slot]:
                p = np.eye(K)[END]
            else:
                if slot < least or slot < max(others, default=-1):
                    p[END] = 0
                p = sharpened(temperature, top_p)(p / p.sum())
            for token in np.flatnonzero(p):
                after[(*state[:slot], int(token), *state[slot + 1 :])] += weight * float(p[token])
        law = after
    return law


@EVERY_WAY
@pytest.mark.parametrize("least", [0, 1, L - 1, L])
def test_no_text_ends_before_its_least_tokens(way: dict[str, Any], least: int) -> None:
    law = integrated_law(TABLES["inconsistent"](), L, eos_id=END, changes={"min_tokens": least}, **way)
    assert distance(law, changed_chain({}, least)) < EXACT
    assert all(END not in text[:least] for text in law)


@EVERY_WAY
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.6, 0.8)])
def test_biases_come_before_temperature_and_cuts(way: dict[str, Any], temperature: float, top_p: float) -> None:
    settings = {"temperature": temperature, "top_p": top_p, "changes": {"logit_bias": BIAS, "min_tokens": 1}}
    law = integrated_law(TABLES["inconsistent"](), L, eos_id=END, **settings, **way)
    assert distance(law, changed_chain(BIAS, 1, temperature=temperature, top_p=top_p)) < EXACT


@pytest.mark.parametrize("rank", [(2, 0, 3, 1), (1, 3, 2, 0)])
def test_in_any_order(rank: tuple[int, ...]) -> None:
    order = sorted(range(L), key=lambda slot: rank[slot])
    changes = {"logit_bias": BIAS, "min_tokens": 2}
    law = integrated_law(
        TABLES["inconsistent"](), L, rank=rank, eos_id=END, changes=changes, accept="rejection", window=2
    )
    assert distance(law, changed_chain(BIAS, 2, order)) < EXACT


def test_a_bias_of_minus_infinity_bans_and_ignored_ends_do_not_come() -> None:
    law = integrated_law(
        TABLES["inconsistent"](), L, method="sequential", eos_id=END, changes={"logit_bias": {0: -math.inf}}
    )
    assert not any(0 in text for text in law)
    law = integrated_law(TABLES["inconsistent"](), L, method="sequential", eos_id=END, changes={"ignore_eos": True})
    assert not any(END in text for text in law)
    assert distance(law, changed_chain({}, L)) < EXACT


def test_another_bias_and_another_least_are_other_laws() -> None:
    """The comparisons above have teeth."""
    law = integrated_law(
        TABLES["inconsistent"](), L, method="sequential", eos_id=END, changes={"logit_bias": BIAS, "min_tokens": 1}
    )
    assert distance(law, changed_chain(BIAS, 0)) > 0.01
    assert distance(law, changed_chain({**BIAS, 0: 1.4}, 1)) > 0.01


NETWORK = tiny_network(scale=0.3)
CHANGES = [{}, {"min_tokens": 3}, {"ignore_eos": True}, {"logit_bias": {EOS: 5.0, 1: -3.0}}, {"logit_bias": {3: 40.0}}]
BY_RULE = [
    {"method": "low-confidence", "steps": 4},
    {"method": "threshold"},
    {"method": "wino"},
    {"method": "entropy-bounded"},
    {"method": "fef", "steps": 2},
    {"method": "fef", "order": "random", "verify": "rows"},
]


@pytest.mark.parametrize("method", BY_RULE, ids=str)
def test_rows_of_one_batch_have_changes_of_their_own(method: dict[str, Any]) -> None:
    ids = torch.full((len(CHANGES), 10), MASK)
    ids[:, 0] = 1
    columns = {
        "logit_bias": [change.get("logit_bias") for change in CHANGES],
        "min_tokens": [change.get("min_tokens", 0) for change in CHANGES],
        "ignore_eos": [change.get("ignore_eos", False) for change in CHANGES],
    }
    together = fef.decode(NETWORK, ids, temperature=0.8, seed=5, eos_id=EOS, **columns, **method)
    for row, change in enumerate(CHANGES):
        alone = fef.decode(NETWORK, ids[:1], temperature=0.8, seed=5 + row, eos_id=EOS, **change, **method)
        assert alone.ids[0].tolist() == together.ids[row].tolist()
        assert torch.allclose(alone.logprobs[0], together.logprobs[row], equal_nan=True)
    rows = together.ids.tolist()
    assert EOS not in rows[1][1:4]
    assert EOS not in rows[2]
    assert set(rows[4][1:]) == {3}


def test_the_certificate_says_it() -> None:
    changed = fef.certify(NETWORK, temperature=1.0, logit_bias={1: 2.0}, min_tokens=4)
    assert changed.kind == "chain"
    assert "logit_bias at 1 id" in changed.law and "no end token among the first 4 tokens" in changed.law
    assert any("logit_bias" in reason for reason in changed.reasons)
    assert "no end token" in fef.certify(NETWORK, ignore_eos=True).law
    plain = fef.certify(NETWORK, temperature=1.0)
    assert "bias" not in plain.law and "end token" not in plain.law
    bound = fef.certify(NETWORK, method="entropy-bounded", temperature=1.0)
    changed_bound = fef.certify(NETWORK, method="entropy-bounded", temperature=1.0, logit_bias={1: 2.0})
    assert (bound.kind, changed_bound.kind) == ("bound", "none")


@pytest.mark.parametrize(
    "wrong",
    [
        {"logit_bias": [1, 2]},
        {"logit_bias": {"a": 1}},
        {"logit_bias": {1: math.nan}},
        {"logit_bias": {1: math.inf}},
        {"logit_bias": {1: 1e300}},
        {"logit_bias": {10**6: 1.0}},
        {"logit_bias": dict.fromkeys(range(5000), 1.0)},
        {"min_tokens": -1},
        {"min_tokens": 1.5},
        {"min_tokens": 9},
        {"ignore_eos": 1},
        {"min_tokens": [1, 2, 3]},
        {"top": -1},
        {"top": 99},
        {"method": "low-confidence", "after_eos": "free", "min_tokens": 2},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    ids = torch.full((1, 8), MASK)
    with pytest.raises(OptionError) as refused:
        fef.decode(NETWORK, ids, eos_id=EOS, **wrong)
    assert next(name for name in reversed(wrong)).split("_")[0] in str(refused.value)


def test_where_the_end_is_free_it_can_be_ignored_but_not_delayed() -> None:
    ids = torch.full((4, 8), MASK)
    free = {"method": "low-confidence", "after_eos": "free", "eos_id": EOS, "temperature": 1.0}
    assert EOS in fef.decode(NETWORK, ids, **free, logit_bias={EOS: 3.0}).ids
    assert EOS not in fef.decode(NETWORK, ids, **free, ignore_eos=True, logit_bias={EOS: 3.0}).ids
    with pytest.raises(FefError, match="min_tokens"):
        fef.decode(NETWORK, ids, **free, min_tokens=2)


@pytest.mark.parametrize("method", [{}, {"method": "sequential"}, {"method": "low-confidence", "steps": 4}], ids=str)
def test_the_likeliest_tokens_are_those_of_the_law(method: dict[str, Any]) -> None:
    """Held against the log p of the same places by chains whose next token is forced."""
    ids = torch.full((1, 6), MASK)
    found = fef.decode(NETWORK, ids, temperature=0.9, seed=3, top=8, logit_bias={1: 1.0}, **method)
    assert len(found.likeliest[0]) == 6
    for place, at in enumerate(found.likeliest[0]):
        assert [p for _, p in at] == sorted((p for _, p in at), reverse=True)
        assert math.isclose(sum(math.exp(p) for _, p in at), 1.0, abs_tol=1e-6)
        assert math.isclose(dict(at)[int(found.ids[0, place])], float(found.logprobs[0, place]), abs_tol=1e-9)
    few = fef.decode(NETWORK, ids, temperature=0.9, seed=3, top=2, logit_bias={1: 1.0}, **method)
    assert few.likeliest[0] == [at[:2] for at in found.likeliest[0]]
    assert not fef.decode(NETWORK, ids, temperature=0.9, seed=3, **method).likeliest


@pytest.mark.parametrize("temperature", [0.0, 0.9])
@pytest.mark.parametrize("way", [{}, {"window": 3, "draft": "fresh"}, {"verify": "packed", "tree": 8}], ids=str)
@pytest.mark.parametrize("order", ["left-to-right", "random"])
def test_tokens_of_one_round_change_nothing_in_the_likeliest_of_those_before_them(
    temperature: float, way: dict[str, Any], order: str
) -> None:
    """What stands behind a slot forbids an end token there, but it was no part of the law that the slot was drawn from."""
    ids = torch.full((16, 8), MASK)
    shared = {"temperature": temperature, "top": 7, "eos_id": EOS, "seed": 3, "order": order, "min_tokens": 1}
    verify = way.get("verify", "rows")
    one = fef.decode(NETWORK, ids, method="sequential", **shared, verify=verify).likeliest
    many = fef.decode(NETWORK, ids, **{"verify": verify} | way, **shared).likeliest
    for row, text in enumerate(one):
        for place, at in enumerate(text):
            assert dict(many[row][place]) == pytest.approx(dict(at), abs=1e-6)


def test_pairs_of_changes_compose() -> None:
    for least, bias in itertools.product((0, 2), ({}, BIAS)):
        changes = {"min_tokens": least, "logit_bias": bias}
        law = integrated_law(TABLES["inconsistent"](), L, eos_id=END, method="sequential", changes=changes)
        assert distance(law, changed_chain(bias, least)) < EXACT


def test_under_a_grammar_the_weight_is_that_of_the_biased_law() -> None:
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    model = fef.load("demo", device="cpu")
    grammar, prompt = {"regex": "[0-9]+( apples)?"}, "Tom has 12 apples. How many apples does Tom have?"
    settings = {
        "max_new_tokens": 12,
        "temperature": 0.9,
        "verify": "packed",
        "logit_bias": {17: 2.0, 21: -3.0, 30: 1.0},
    }
    for seed in range(3):
        found = model.generate(prompt, grammar=grammar, seed=seed, **settings)
        free = model.score(prompt, found.token_ids, **settings)
        under = model.score(prompt, found.token_ids, grammar=grammar, **settings)
        assert found.log_mass == pytest.approx(free.total - under.total, abs=1e-4)
    with pytest.raises(OptionError, match="min_tokens"):
        model.generate(prompt, grammar=grammar, min_tokens=2, **settings)
