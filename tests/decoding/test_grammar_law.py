"""Under a grammar every text has the probability that the chain gives it when each token's law is renormalised over what the
grammar allows behind those before it. Held against plain recursion over all texts."""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from drafters import odd_drafter
from tiny_network import tiny_network

import fef
from fef.errors import DenoiserError, FefError, InputError, OptionError
from fef.grammar.compiled import AutomatonText, TokenGrammar
from fef.grammar.text import GrammarText
from fef.verify.reference import Table, table_of
from fef.verify.tables import MASK, TABLES, K, L
from fef.verify.texts import Array, Law, Pipeline, State, distance, sharpened
from tests.integrated_law import integrated_law

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

EXACT = 1e-9
A, B, END = 0, 1, 2
TOKENS = (b"a", b"b", b"", b"")  # the tokens of the tables, an end token among them, and the mask
EMPTY = (MASK,) * L
Language = Callable[[str], bool]

REGULAR = ["(ab)*", "a*b?", "b(a|b)a*", "aa|b+"]
RULES = 'start: "a" start "b" | "ab"'  # as many b behind as many a


def spelled(ids: State) -> str:
    return "".join("ab"[i] for i in ids if i in (A, B))


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


def regular(expression: str) -> tuple[TokenGrammar, Language]:
    grammar = fef.compile_grammar({"regex": expression}, TOKENS, END)
    assert grammar.automaton is not None
    return grammar, lambda text: re.fullmatch(expression, text) is not None


def by_rules() -> TokenGrammar:
    grammar = fef.compile_grammar({"grammar": RULES}, TOKENS, END)
    assert grammar.automaton is None
    return grammar


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


def test_scores_under_a_grammar_sum_to_what_was_drawn() -> None:
    model = fef.load("demo", device="cpu")
    options: dict[str, Any] = {"temperature": 1.0, "max_new_tokens": 12, "grammar": {"regex": "[a-z]+( [a-z]+)?"}}
    found = model.generate("Say a word: ", seed=3, **options)
    score = model.score("Say a word: ", found.text, **options)
    assert score.token_ids[:-1] == found.token_ids, "the seed is one whose text is tokenized as it was drawn"
    assert score.logprobs[:-1] == pytest.approx(found.logprobs, abs=1e-4)
    assert "regular expression" in score.certificate.law
    assert model.score("Say a word: ", "Word 1", **options).total == -math.inf


# --- windows leave no trace ---

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}, "ok": {"type": "boolean"}},
    "required": ["name", "age"],
}
REAL: list[dict[str, Any]] = [
    {"json": SCHEMA},
    {"json": {"type": "array", "items": {"enum": ["red", "green", "blue"]}, "minItems": 1}},
    {"json": {"type": "object"}},
    {"json": {"$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}, "$ref": "#/$defs/t"}},
    {"regex": r"\d{3}-\d{4}( ext\.? \d+)?"},
    {"choice": ["yes", "no", "not yet", "nobody knows"]},
    {"grammar": 'start: sum\nsum: term | sum ("+" | "-") term\nterm: /[0-9]+/ | "(" sum ")"'},
]


def texts_by(network: Any, grammars: list[TokenGrammar], slots: int, seeds: list[int], **way: Any) -> Any:
    config = network.config
    rows = torch.full((len(grammars), slots + 2), config.mask_id)
    rows[:, 0] = 5
    rows[:, -1] = config.mask_id
    banned = [i for i, token in enumerate(grammars[0].vocabulary.tokens) if not token and i != config.eos_id]
    return fef.decode(network, rows[:, :-1], grammar=grammars, eos_id=config.eos_id, banned=banned, seed=seeds, **way)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("verify", ["rows", "packed"])
@pytest.mark.parametrize("count", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_a_window_changes_no_token_under_real_grammars(verify: str, temperature: float, count: int) -> None:
    model = fef.load("demo", device="cpu")
    config = model.network.config
    network = tiny_network(vocab_size=config.vocab_size, mask_id=config.mask_id, eos_id=config.eos_id, max_length=64)
    compiled = [model.grammar(each) for each in REAL]
    for start in range(0, count, 20):
        seeds = [seed for seed in range(start, min(start + 20, count)) for _ in compiled]
        grammars = compiled * (len(seeds) // len(compiled))
        way = {"verify": verify, "temperature": temperature}
        one = texts_by(network, grammars, 20, seeds, method="sequential", **way)
        many = texts_by(network, grammars, 20, seeds, method="fef", window=8, **way)
        assert many.ids.tolist() == one.ids.tolist()
        assert torch.allclose(many.logprobs, one.logprobs, atol=1e-6, equal_nan=True)
        finite = one.log_mass.isfinite()
        assert torch.allclose(many.log_mass[finite], one.log_mass[finite], atol=1e-6)


@pytest.mark.parametrize(
    ("method", "options", "config"),
    [
        ("dual-exact", {}, {}),
        ("fef", {"window": 4, "draft": "fresh", "accept": "coupled"}, {}),
        ("fef", {"window": 4, "cfg_scale": 0.5}, {}),
        ("fef", {"window": 4, "cache": "prefix"}, {"attention": "block-causal", "block_length": 4}),
        ("fef", {"window": 4, "block_length": 4}, {}),
    ],
    ids=str,
)
def test_every_way_of_drafting_and_caching_gives_the_text_of_one_token_at_a_time(
    method: str, options: dict[str, Any], config: dict[str, Any]
) -> None:
    model = fef.load("demo", device="cpu")
    own = model.network.config
    network = tiny_network(
        vocab_size=own.vocab_size, mask_id=own.mask_id, eos_id=own.eos_id, max_length=64, packed=False, **config
    )
    grammars = [model.grammar(each) for each in REAL]
    same = {name: options[name] for name in ("cfg_scale", "block_length") if name in options}
    seeds = [7] * len(REAL)
    one = texts_by(network, grammars, 16, seeds, method="sequential", temperature=1.0, **same)
    many = texts_by(network, grammars, 16, seeds, method=method, temperature=1.0, **options)
    assert many.ids.tolist() == one.ids.tolist()


def test_drafts_that_know_the_grammar_are_accepted_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that ignores a grammar drafts what is not allowed, unless its drafts are masked, each behind those before."""
    model = fef.load("demo", device="cpu")
    config = model.network.config
    network = tiny_network(
        0, 0.02, vocab_size=config.vocab_size, mask_id=config.mask_id, eos_id=config.eos_id, packed=False
    )
    grammars, seeds = [model.grammar({"json": SCHEMA})] * 4, [0, 1, 2, 3]
    masked_ = texts_by(network, grammars, 24, seeds, temperature=1.0, window=16)

    def unmasked(self: AutomatonText, _drafts: Any) -> Any:
        return np.ones(self.size, dtype=np.bool_)

    monkeypatch.setattr(AutomatonText, "allowed_behind", unmasked)
    free = texts_by(network, grammars, 24, seeds, temperature=1.0, window=16)
    assert free.ids.tolist() == masked_.ids.tolist(), "drafts never change a text"
    passes = [sum(row["rounds"] for row in out.stats) for out in (masked_, free)]
    assert passes[0] * 3 < passes[1]


def test_tokens_without_alternative_are_drafts_where_none_are_left() -> None:
    """A round that ends at the last of its drafts leaves none for the next one, which has seven tokens that are certain."""
    grammar = fef.compile_grammar({"regex": "(abababa(a|b)){4}"}, TOKENS, END)
    network = tiny_network(vocab_size=4, mask_id=3, eos_id=2, max_length=64)
    out = fef.decode(
        network,
        torch.full((16, 32), 3),
        grammar=grammar,
        eos_id=END,
        temperature=1.0,
        verify="packed",
        window=8,
        anchors=0,
        survival=0.0,
    )
    assert all(row["rounds"] == 4 for row in out.stats), "one for each token that has an alternative"


# --- states that no text gets to, and those that leave nothing ---


class Cornered:
    """Behind b at the first slot it never draws a; b stands there with probability zero."""

    mask_id, vocab_size = MASK, K + 1

    def __init__(self, first: float) -> None:
        self.first = first

    def __call__(self, ids_BL: torch.Tensor) -> torch.Tensor:
        logits_BLV = torch.zeros(*ids_BL.shape, K + 1, dtype=torch.float64)
        logits_BLV[:, 0, B] = self.first
        logits_BLV[:, 1, A] = torch.where(ids_BL[:, 0] == B, -torch.inf, 0.0)
        return logits_BLV


def draft_b(_canvas: Any, slots_BS: torch.Tensor) -> torch.Tensor:
    logits_BSV = torch.full((*slots_BS.shape, K + 1), -50.0, dtype=torch.float64)
    logits_BSV[..., B] = 50.0
    return logits_BSV


@pytest.mark.parametrize("expression", ["ab|ba", "aba|bab|ba"])
def test_a_state_that_no_text_gets_to_may_leave_nothing(expression: str) -> None:
    grammar, _ = regular(expression)
    rows = torch.full((4, 3), MASK)
    out = fef.decode(
        Cornered(-2000.0),
        rows,
        grammar=grammar,
        eos_id=END,
        temperature=1.0,
        window=2,
        draft=draft_b,
        accept="rejection",
    )
    assert all(spelled(tuple(text)).startswith("ab") for text in out.ids.tolist())


def test_a_text_that_cannot_go_on_ends_with_a_sentence() -> None:
    grammar, _ = regular("ba")
    with pytest.raises(DenoiserError, match="the grammar allows no token that the network can draw"):
        fef.decode(Cornered(0.0), torch.full((1, 3), MASK), grammar=grammar, eos_id=END, temperature=1.0)


# --- what is refused ---


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"order": "random"}, "from left to right"),
        ({"order": "blocks", "block_length": 2}, "from left to right"),
        ({"steps": 2}, "one denoising pass"),
        ({"method": "sequential", "order": "random"}, "from left to right"),
        *(
            ({"method": name}, "from left to right")
            for name in ("threshold", "low-confidence", "klass", "wino", "random")
        ),
        ({"method": "entropy", "temperature": 1.0}, "from left to right"),
        ({"eos_id": None}, "eos_id is None"),
        ({"eos_id": 1}, "eos_id is 1"),
        ({"grammar": "a+"}, "fef.compile_grammar"),
        ({"grammar": {"regex": "a+"}}, "fef.compile_grammar"),
        ({"grammar": [None, None]}, "2 values for 1 rows"),
    ],
    ids=str,
)
def test_what_would_not_be_exact_is_refused_in_one_sentence(options: dict[str, Any], words: str) -> None:
    grammar, _ = regular("a+")
    asked: dict[str, Any] = {"grammar": grammar, "eos_id": END, **options}
    with pytest.raises((OptionError, InputError)) as found:
        fef.decode(TABLES["inconsistent"](), torch.full((1, L), MASK), **asked)
    assert words in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("ids", "size", "words"),
    [
        ([MASK, A, MASK, MASK], 4, "side by side"),
        ([MASK, MASK, MASK, MASK], 5, "compiled for 5 ids"),
        ([MASK, MASK, B, B], 4, "There is no text before this suffix"),
    ],
)
def test_canvases_that_a_grammar_does_not_fit_are_refused(ids: list[int], size: int, words: str) -> None:
    grammar = fef.compile_grammar({"regex": "(ab)+"}, (*TOKENS, b"c")[:size], END)
    with pytest.raises(FefError, match=words):
        fef.decode(TABLES["inconsistent"](), torch.tensor([ids]), grammar=grammar, eos_id=END)


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
