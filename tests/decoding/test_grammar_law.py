"""Under a grammar every text has the probability that the chain gives it when each token's law is renormalised over what the
grammar allows behind those before it. Held against plain recursion over all texts."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from drafters import odd_drafter
from grammar_tables import END, A, B, Language, by_rules, regular, spelled
from tiny_network import tiny_network

import fef
from fef.errors import DenoiserError
from fef.grammar.text import GrammarText
from fef.verify.reference import Table, table_of
from fef.verify.texts import Array, Law, Pipeline, State, distance, sharpened
from tests.integrated_law import integrated_law
from tests.tiny_tables import MASK, TABLES, K, L

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

EXACT = 1e-9
EMPTY = (MASK,) * L

REGULAR = ["(ab)*", "a*b?", "b(a|b)a*", "aa|b+"]


def is_balanced(text: str) -> bool:
    return text == "a" * (len(text) // 2) + "b" * (len(text) // 2) != ""


def everything(_text: str) -> bool:
    return True


@cache
def prefixes(language: Language, longest: int) -> frozenset[str]:
    """Beginnings of the texts of at most so many letters."""
    texts = ("".join(t) for n in range(longest + 1) for t in itertools.product("ab", repeat=n))
    return frozenset(text[:n] for text in texts if language(text) for n in range(len(text) + 1))


def renormalised_chain(
    table: Table, language: Language, longest: int, pipeline: Pipeline, order: str = "before"
) -> Law:
    """The chain from left to right under a language. order: does the pipeline come behind the grammar ("before"), or not?"""
    alive = prefixes(language, longest)
    law: Law = {EMPTY: 1.0}
    for slot in range(L):
        after: Law = defaultdict(float)
        for state, weight in law.items():
            p = masked(table.at[state][slot], state[:slot], language, alive, pipeline, order)
            for token in np.flatnonzero(p):
                after[(*state[:slot], int(token), *state[slot + 1 :])] += weight * float(p[token])
        law = after
    return law


def masked(p: Array, before: State, language: Language, alive: Any, pipeline: Pipeline, order: str) -> Array:
    if END in before:
        ended: Array = np.eye(K)[END]
        return ended
    text = spelled(before)
    keep = np.array([text + "a" in alive, text + "b" in alive, language(text)], dtype=float)
    kept = p * keep if order == "before" else pipeline(p) * keep
    kept = kept / kept.sum()
    return pipeline(kept) if order == "before" else kept


@cache
def table(kind: str = "inconsistent") -> Table:
    return table_of(TABLES[kind](), K, L)


WAYS: list[dict[str, Any]] = [
    {"method": "sequential"},
    *(
        {"accept": accept, "window": window, "draft": draft}
        for accept in ("rejection", "block")
        for window, draft in [(1, "reuse"), (4, "reuse"), (2, "fresh"), (3, "random"), (2, odd_drafter)]
    ),
    {"accept": "rejection", "window": 2, "bonus": False},
    {"accept": "rejection", "window": 2, "block_length": 2},
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(getattr(v, "__name__", str(v)) for v in way.values()))
@pytest.mark.parametrize("expression", REGULAR)
def test_the_law_is_the_chain_renormalised_at_every_token(expression: str, way: dict[str, Any]) -> None:
    grammar, language = regular(expression)
    law = integrated_law(TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, **way)
    assert distance(law, renormalised_chain(table(), language, L, sharpened())) < EXACT
    assert all(language(spelled(text)) for text in law)


@pytest.mark.parametrize(
    "way", WAYS[:4], ids=lambda way: "-".join(getattr(v, "__name__", str(v)) for v in way.values())
)
def test_the_law_of_a_context_free_grammar_is_that_of_its_prefixes(way: dict[str, Any]) -> None:
    law = integrated_law(TABLES["inconsistent"](), L, grammar=by_rules(), eos_id=END, **way)
    assert distance(law, renormalised_chain(table(), is_balanced, 10, sharpened())) < EXACT
    assert any(not is_balanced(spelled(text)) for text in law), "the canvas may end before the text does"


@pytest.mark.parametrize(("temperature", "top_p"), [(0.5, 1.0), (1.0, 0.6), (2.0, 0.8)])
def test_a_grammar_comes_before_temperature_and_cuts(temperature: float, top_p: float) -> None:
    grammar, language = regular("b(a|b)a*")
    settings = {"temperature": temperature, "top_p": top_p}
    law = integrated_law(
        TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, accept="rejection", window=3, **settings
    )
    assert distance(law, renormalised_chain(table(), language, L, sharpened(**settings))) < EXACT


# --- twins: other laws, and decoders that sample them ---


def test_it_is_not_the_law_given_the_grammar() -> None:
    """Texts that the grammar allows, each as likely as without it up to one factor, are another law."""
    grammar, language = regular("b(a|b)a*")
    free = renormalised_chain(table(), everything, L, sharpened())
    given = {text: p for text, p in free.items() if language(spelled(text))}
    given = {text: p / sum(given.values()) for text, p in given.items()}
    assert (
        distance(integrated_law(TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, accept="rejection"), given)
        > 0.03
    )


def test_a_grammar_behind_the_cuts_is_caught() -> None:
    grammar, language = regular("b(a|b)a*")
    law = integrated_law(TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, accept="rejection", temperature=0.5)
    wrong = renormalised_chain(table(), language, L, sharpened(0.5), order="behind")
    assert distance(law, wrong) < EXACT, "temperature alone commutes with a grammar"
    with np.errstate(invalid="ignore"):
        cut = renormalised_chain(table(), language, L, sharpened(top_p=0.6), order="behind")
    assert not all(math.isfinite(p) for p in cut.values()), "a cut may leave nothing that the grammar allows"


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda masks: masks[:1].repeat(len(masks), 0), id="one mask for the whole window"),
        pytest.param(lambda masks: masks[[0, *range(len(masks) - 1)]], id="masks late by one"),
        pytest.param(lambda masks: np.concatenate([masks[:1], masks[1:] | True]), id="the first mask only"),
    ],
)
def test_masks_of_other_states_are_caught(broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    grammar, language = regular("(ab)*")
    right = GrammarText.allowed
    monkeypatch.setattr(GrammarText, "allowed", lambda self, drafts: broken(right(self, drafts)))
    try:
        law = integrated_law(TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, accept="rejection", window=2)
    except DenoiserError:  # a token was committed that the grammar does not allow
        return
    assert distance(law, renormalised_chain(table(), language, L, sharpened())) > 0.01


# --- the weight of a text ---


@pytest.mark.parametrize("way", [{"method": "sequential"}, {"window": 3}, {"window": 3, "accept": "block"}])
def test_log_mass_is_the_log_of_what_the_law_without_the_grammar_left(way: dict[str, Any]) -> None:
    grammar, language = regular("b(a|b)a*")
    free = renormalised_chain(table(), everything, L, sharpened())
    law = renormalised_chain(table(), language, L, sharpened())
    rows = torch.full((64, L), MASK)
    out = fef.decode(TABLES["inconsistent"](), rows, grammar=grammar, eos_id=END, temperature=1.0, seed=5, **way)
    assert out.log_mass is not None
    for text, logp, log_mass in zip(out.ids.tolist(), out.logprobs, out.log_mass.tolist(), strict=True):
        assert float(logp.exp().prod()) == pytest.approx(law[tuple(text)], abs=EXACT)
        assert math.exp(log_mass) == pytest.approx(free[tuple(text)] / law[tuple(text)], abs=EXACT)
    assert len(set(out.log_mass.tolist())) > 1


def test_the_mean_weight_is_the_probability_of_the_grammar() -> None:
    """So weighted samples are samples of the law given the grammar: the sum over all texts."""
    grammar, language = regular("a*b?")
    free = renormalised_chain(table(), everything, L, sharpened())
    wanted = sum(p for text, p in free.items() if language(spelled(text)))
    law = integrated_law(TABLES["inconsistent"](), L, grammar=grammar, eos_id=END, method="sequential")
    assert sum(q * free[text] / q for text, q in law.items()) == pytest.approx(wanted, abs=EXACT)


def test_rows_have_grammars_of_their_own_and_none_has_no_weight() -> None:
    grammar, language = regular("b(a|b)a*")
    rows = torch.full((3, L), MASK)
    options = {"eos_id": END, "temperature": 1.0, "seed": [4, 4, 4]}
    out = fef.decode(TABLES["inconsistent"](), rows, grammar=[grammar, None, by_rules()], **options)
    alone = fef.decode(TABLES["inconsistent"](), rows[:1], eos_id=END, temperature=1.0, seed=4)
    assert language(spelled(tuple(out.ids[0].tolist())))
    assert out.ids[1].tolist() == alone.ids[0].tolist()
    assert alone.log_mass is None
    assert out.log_mass is not None
    assert abs(float(out.log_mass[1])) < EXACT
    assert out.certificate.law.endswith("in rows that have one.")
    whole = fef.decode(TABLES["inconsistent"](), rows[:1], grammar=grammar, eos_id=END)
    assert "in rows that have one" not in whole.certificate.law


def test_scores_under_a_grammar_sum_to_what_was_drawn() -> None:
    model = fef.load("demo", device="cpu")
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 12, "grammar": {"regex": "[a-z]+( [a-z]+)?"}}
    found = model.generate("Say a word: ", seed=3, **options)
    score = model.score("Say a word: ", found.text, **options)
    assert score.token_ids[:-1] == found.token_ids, "the seed is one whose text is tokenized as it was drawn"
    assert score.logprobs[:-1] == pytest.approx(found.logprobs, abs=1e-4)
    assert "regular expression" in score.certificate.law
    assert model.score("Say a word: ", "Word 1", **options).total == -math.inf


def test_texts_before_a_suffix_are_texts_of_the_grammar() -> None:
    grammar, language = regular("(ab)+")
    rows = torch.full((16, L), MASK)
    rows[:, -1] = B
    out = fef.decode(TABLES["inconsistent"](), rows, grammar=grammar, eos_id=END, temperature=1.0, window=2)
    assert all(language(spelled(tuple(text))) for text in out.ids.tolist())
    assert {len(spelled(tuple(text))) for text in out.ids.tolist()} == {2, 4}


def test_the_certificate_says_which_grammar_and_how() -> None:
    grammar, _ = regular("a+")
    rows = torch.full((1, L), MASK)
    first = fef.decode(TABLES["inconsistent"](), rows, grammar=grammar, eos_id=END, temperature=1.0).certificate
    assert first.kind == "chain"
    assert f"renormalised over what the regular expression of sha256 {grammar.grammar.digest} allows" in first.law
    assert any("a token automaton" in reason for reason in first.reasons)
    second = fef.decode(TABLES["inconsistent"](), rows, grammar=by_rules(), eos_id=END).certificate
    assert second.kind == "greedy"
    assert any(re.search(r"llguidance \d+\.\d+\.\d+ without forcing", reason) for reason in second.reasons)


def test_another_end_token_ends_a_text_where_it_may_end() -> None:
    """Chat models end a turn with one, and fill what is left with the end token."""
    stop, end, mask = 2, 3, 4
    network = tiny_network(vocab_size=5, mask_id=mask, eos_id=end, max_length=16)
    seen = set()
    for grammar in ({"regex": "(ab)*"}, {"grammar": 'start: ("ab")*'}):
        compiled = fef.compile_grammar(grammar, (b"a", b"b", b"", b"", b""), end, [stop])
        rows = torch.full((40, 6), mask)
        options: dict[str, Any] = {"grammar": compiled, "eos_id": end, "temperature": 1.0}
        out = fef.decode(network, rows, method="fef", window=4, **options)
        assert (
            out.ids.tolist() == fef.decode(network, rows, method="sequential", verify="packed", **options).ids.tolist()
        )
        for text in out.ids.tolist():
            assert re.fullmatch(r"((01)*(23*|3+))|(01){3}", "".join(map(str, text))), text
        seen |= {token for text in out.ids.tolist() for token in text}
    assert seen == {A, B, stop, end}
