"""Grammars in the engine: the text of the loop, in packed rounds and in those of a session, whoever shares them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from json_schemas import SCHEMAS, is_valid
from small_grammars import END, small
from tiny_network import tiny_network

import fef
from fef.engine.engine import SESSION_ROUNDS, Engine
from fef.engine.packed_texts import Candidates, Draft, NextSlots, PackedText
from fef.errors import DenoiserError, FefError, GrammarError, InputError, OptionError
from fef.generation import Model
from fef.grammar.text import words_of
from fef.text import Generation

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

PERSON = SCHEMAS[0]
TREE = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}
GRAMMARS: list[Any] = [
    {"json": PERSON},
    None,
    {"regex": "[a-z ]{3,20}"},
    {"json": TREE},
    {"choice": ["yes", "no"]},
]


@pytest.fixture(scope="module")
def model() -> Model:
    return fef.load("demo", device="cpu")


@pytest.mark.parametrize("way", [{}, {"verify": "rows", "window": 4}, {"method": "sequential"}], ids=str)
def test_requests_get_the_text_of_the_loop_whoever_shares_their_rounds(model: Model, way: dict[str, Any]) -> None:
    engine = model.engine(threads=1)
    options: dict[str, Any] = {"max_new_tokens": 16, "temperature": 0.9, **way}
    jobs = [
        engine.submit("Tom has 3 apples.", grammar=grammar, seed=seed, **options)
        for seed, grammar in enumerate(GRAMMARS)
    ]
    engine.run()
    for seed, (grammar, job) in enumerate(zip(GRAMMARS, jobs, strict=True)):
        found = job.result()
        alone = model.generate("Tom has 3 apples.", grammar=grammar, seed=seed, **options)
        assert found.token_ids == alone.token_ids
        assert found.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
        assert (found.log_mass is None) == (grammar is None)
        if grammar is not None:
            assert found.log_mass == pytest.approx(alone.log_mass, abs=1e-3)


def test_a_grammar_takes_packed_rounds_where_they_know_it_and_the_certificate_says_where_not(model: Model) -> None:
    """Packed rounds tell no likeliest tokens, and have the packed law only."""
    engine = model.engine(threads=1)
    asked: dict[str, Any] = {"grammar": {"choice": ["yes"]}, "max_new_tokens": 8}
    packed = engine.submit("A", **asked)
    told = engine.submit("A", top=2, **asked)
    by_rows = engine.submit("A", verify="rows", **asked)
    assert engine.engine.packed is not None
    assert [one.job for one in engine.engine.packed.waiting] == [packed.job]
    assert list(engine.engine.sessions.waiting) == [told.job, by_rows.job]
    assert SESSION_ROUNDS in told.job.certificate.reasons
    assert SESSION_ROUNDS not in packed.job.certificate.reasons + by_rows.job.certificate.reasons
    engine.run()
    assert {one.result().text for one in (packed, told, by_rows)} == {"yes"}
    assert engine.engine.packed.texts == {}


REAL: list[Any] = [
    {"json": PERSON},
    {"json": {"type": "object"}},
    {"json": TREE},
    {"regex": r"\d{3}-\d{4}( ext\.? \d+)?"},
    {"choice": ["yes", "no", "not yet", "nobody knows"]},
    {"grammar": 'start: sum\nsum: term | sum ("+" | "-") term\nterm: /[0-9]+/ | "(" sum ")"'},
]


def answers_by(model: Model, network: Any, seeds: Iterable[int], settings: dict[str, Any], **shape: Any) -> list[Any]:
    """Every one of `REAL` on every seed, and a request without a grammar beside them."""
    end = network.config.eos_id
    banned = [i for i, token in enumerate(model.vocabulary.tokens) if not token and i != end]
    engine = Engine(network, threads=1, max_length=32, eos_id=end, banned=banned, **shape)
    canvas, grammars = [5, *[network.config.mask_id] * 20], [*map(model.grammar, REAL), None]
    jobs = [
        engine.submit(canvas, range(1, 21), seed=seed, grammar=grammar, **settings)
        for seed in seeds
        for grammar in grammars
    ]
    engine.run()
    assert engine.packed is not None and not engine.packed.texts
    return [job.result() for job in jobs]


@pytest.fixture(scope="module")
def odd_network(model: Model) -> Any:
    """One that knows nothing of grammars."""
    config = model.network.config
    return tiny_network(vocab_size=config.vocab_size, mask_id=config.mask_id, eos_id=config.eos_id, max_length=64)


@pytest.mark.parametrize("shape", [{"windows": (4,)}, {"windows": (2, 16)}, {"tree": [12], "windows": ()}], ids=str)
@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"temperature": 1.0, "top_p": 0.9}], ids=str)
@pytest.mark.parametrize("count", [2, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_no_window_and_no_tree_of_packed_rounds_changes_a_token(
    model: Model, odd_network: Any, shape: dict[str, Any], settings: dict[str, Any], count: int
) -> None:
    seeds = range(1, count + 1)
    one = answers_by(model, odd_network, seeds, settings, windows=(0,))
    many = answers_by(model, odd_network, seeds, settings, **shape)
    assert [found.tokens for found in many] == [found.tokens for found in one]
    for found, wanted in zip(many, one, strict=True):
        assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)
        assert found.log_mass == (None if wanted.log_mass is None else pytest.approx(wanted.log_mass, abs=1e-3))
    rounds = [sum(found.counters["rounds"] + found.counters["calls"] for found in each) for each in (many, one)]
    assert rounds[0] < rounds[1]


def test_drafts_of_packed_rounds_know_the_grammar(
    model: Model, odd_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drafts that do not are refused, and a round commits one token; the text stays."""
    settings = {"temperature": 1.0}
    known = answers_by(model, odd_network, [1], settings, windows=(8,))

    def blind(text: PackedText, slots: NextSlots, limit: int, _least: float) -> list[Draft]:
        everything_W = np.full(words_of(text.text.size), -1, dtype=np.int32)
        found = [slots.best(place, everything_W) for place in range(limit)]
        return [draft for draft in found if draft is not None]

    monkeypatch.setattr(PackedText, "drafted", blind)
    ignored = answers_by(model, odd_network, [1], settings, windows=(8,))
    assert [found.tokens for found in ignored] == [found.tokens for found in known]
    calls = [sum(found.counters["calls"] for found in each[:-1]) for each in (known, ignored)]
    assert calls[0] * 1.5 < calls[1]


def test_laws_that_forget_the_grammar_are_seen(model: Model, odd_network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw that it does not allow ends the request, whatever drew it."""
    monkeypatch.setattr("fef.engine.draws.legal", lambda logits_NV, *_: logits_NV)
    with pytest.raises(DenoiserError, match="the grammar allows no token that the network can draw"):
        answers_by(model, odd_network, [1], {"temperature": 1.0}, windows=(4,))


def test_tokens_under_a_grammar_are_told_as_they_are_committed(model: Model) -> None:
    engine = model.engine(threads=1).engine
    ids, start, stop = model.canvas("Who? ", 24, "")
    job = engine.submit(ids, range(start, stop), grammar=model.grammar({"json": PERSON}), stream=True, temperature=1.0)
    told: list[int] = []
    while not job.finished:
        engine.step()
        assert job.committed is not None
        told.append(len(job.committed))
    assert len(set(told)) > 2
    assert [job.committed[place][0] for place in range(start, stop) if place in job.committed] == job.result().tokens[
        : told[-1]
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grammar": {"json": PERSON}, "max_new_tokens": 3}, "There is no text of this grammar within 3 tokens"),
        ({"grammar": {"json": PERSON}, "suffix": "years"}, "before this suffix within 24 tokens: none at all"),
        ({"grammar": {"json": TREE}, "suffix": "]"}, "A suffix needs a grammar of a regular language"),
        ({"grammar": {"grammar": 'start: "a"+ "b"'}, "suffix": "b"}, "A suffix needs a grammar of a regular language"),
        ({"grammar": {"json": PERSON}, "steps": 2}, "one denoising pass"),
        ({"grammar": {"json": PERSON}, "method": "threshold"}, "from left to right"),
        ({"grammar": {"json": {"type": "wat"}}}, "Invalid type: wat"),
        ({"grammar": {"json": {"type": "array", "uniqueItems": True}}}, "uniqueItems"),
        ({"grammar": {"json": {"if": {}, "then": {}}}}, "The JSON schema is not allowed"),
        ({"grammar": {"json": "no json"}}, "The JSON schema is no JSON"),
        ({"grammar": {"json": 3}}, "is an object or a boolean"),
        ({"grammar": {"json": {"description": "x" * 5_000_000}}}, "has 5000019 bytes; 65536 are allowed"),
        ({"grammar": {"json": "[" * 5_000_000}}, "bytes; 65536 are allowed"),
        ({"grammar": {"json": "[" * 60_000}}, "The JSON schema is"),
        ({"grammar": {"regex": "("}}, "The regular expression is not allowed: unclosed group"),
        ({"grammar": {"regex": "a(?=b)"}}, "The regular expression is not allowed: look-around"),
        ({"grammar": {"regex": "\ud800"}}, "holds half a character"),
        ({"grammar": {"choice": []}}, "a list of texts"),
        ({"grammar": {"choice": "yes"}}, "a list of texts"),
        ({"grammar": {"grammar": "start: nowhere"}}, "The set of Lark rules is not allowed"),
        ({"grammar": {"grammar": '%llguidance {"no_forcing": false}\nstart: "a"'}}, "begin without %llguidance"),
        (
            {"grammar": {"grammar": "start: a0\n" + "\n".join(f"a{i}: a{i + 1}" for i in range(900))}},
            "more than 500 lines",
        ),
        ({"grammar": {"grammar": 'start: <|nosuch|> "a"'}}, "llguidance"),
        ({"grammar": {"regex": "ab|" * 20_000}}, "8192 are allowed"),
        ({"grammar": {"json": {}, "regex": "a"}}, "one of the keys json, regex, choice, grammar"),
        ({"grammar": "a+"}, "one of the keys json, regex, choice, grammar"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_what_no_text_can_meet_is_refused_before_it_runs(model: Model, options: dict[str, Any], words: str) -> None:
    asked = {"max_new_tokens": 24, **options}
    for submit in (model.engine(threads=1).submit, model.generate):
        with pytest.raises((OptionError, InputError)) as found:
            submit("Who? ", **asked)
        assert words in str(found.value)
        assert "\n" not in str(found.value)
        assert len(str(found.value)) < 500


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "grammar",
    [
        {"regex": ".*a.{14}"},
        {"regex": "(a{1,1000}){1,1000}"},
        {"json": {"type": "string", "maxLength": 100_000}},
        {"json": {"enum": [f"choice {i}" for i in range(3000)]}},
        {"json": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(300)}}},
        {"json": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(600)}}},
        {"grammar": "start: T0\n" + "\n".join(f"T{i}: T{i + 1} T{i + 1}" for i in range(60)) + '\nT60: "a"'},
        {"choice": [str(i) for i in range(5000)]},
        {"grammar": 'start: x\nx: x x | "a" |'},
    ],
    ids=lambda value: str(value)[:40],
)
def test_large_grammars_take_little_time_or_are_refused(model: Model, grammar: Any) -> None:
    with suppress(FefError):
        model.generate("A", grammar=grammar, max_new_tokens=4, temperature=1.0)


def test_one_that_cannot_go_on_fails_alone(model: Model) -> None:
    """Rules that ask for a token that is banned: nobody sees it before the text is there."""
    engine = model.engine(threads=1, banned=[i for i, token in enumerate(model.vocabulary.tokens) if b"q" in token])
    options: dict[str, Any] = {"max_new_tokens": 12, "temperature": 1.0}
    cornered = engine.submit("A", grammar={"grammar": 'start: "a" "b" "q"'}, **options)
    others = [
        engine.submit("A", grammar={"json": PERSON}, seed=seed, **(options | {"max_new_tokens": 20}))
        for seed in range(2)
    ]
    engine.run()
    with pytest.raises(DenoiserError, match="the grammar allows no token that the network can draw"):
        cornered.result()
    assert all(is_valid(json.loads(other.result().text), PERSON) for other in others)


ENDS: list[dict[str, Any]] = [
    {"grammar": 'start: "a" "b" "q"'},  # behind "ab" no token can stand
    {"grammar": 'start: "q" | "(" start ")"'},
    {"grammar": 'start: "(" start ")" | "x"'},
    {"choice": ["12345", "1"]},
    {"regex": "(ab)*a"},
    {"regex": "a*"},
]


def end_of(answer: Callable[[], Generation]) -> tuple[Any, float]:
    """A text or why there is none, and its mass."""
    try:
        found = answer()
    except GrammarError as error:
        return str(error), 0.0
    return (found.token_ids, found.finish_reason), found.log_mass or 0.0


@pytest.mark.parametrize("window", [0, 2, 8])
def test_a_text_ends_as_in_the_loop_wherever_its_canvas_and_its_rounds_end(model: Model, window: int) -> None:
    """In the middle of a round, at the end of the canvas, or in a corner, which there is none behind the canvas."""
    banned = [i for i, token in enumerate(model.vocabulary.tokens) if b"q" in token]
    engine = model.engine(threads=1, max_batch=4, windows=(window,), banned=banned)
    asked: list[dict[str, Any]] = [
        {"grammar": grammar, "max_new_tokens": slots, "temperature": 1.0, "seed": 3}
        for slots in (1, 2, 3)
        for grammar in ENDS
    ]
    jobs = [engine.submit("A", **one) for one in asked]
    free = engine.submit("A", max_new_tokens=4)
    found = [end_of(job.result) for job in jobs]
    expected = [end_of(lambda one=one: model.generate("A", banned=banned, **one)) for one in asked]
    assert [end for end, _ in found] == [end for end, _ in expected]
    assert [mass for _, mass in found] == pytest.approx([mass for _, mass in expected], abs=1e-3)
    assert len({type(end) for end, _ in found}) == 2, "some are cornered"
    assert free.result().token_ids == model.generate("A", banned=banned, max_new_tokens=4).token_ids


def test_answers_before_a_suffix_complete_the_document(model: Model) -> None:
    engine = model.engine(threads=1)
    jobs = [
        engine.submit("{", grammar={"json": PERSON}, suffix=" 7}", max_new_tokens=20, temperature=1.0, seed=seed)
        for seed in range(4)
    ]
    engine.run()
    for job in jobs:
        document = json.loads(job.result().text + " 7}")
        assert is_valid(document, PERSON)
        assert document["age"] == 7


@pytest.mark.parametrize("each", [1, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_every_answer_under_a_schema_is_valid(model: Model, each: int) -> None:
    """Ten schemas, `each` answers to each: python -m pytest -m slow tests/engine/test_grammar_requests.py has 1,000."""
    engine = model.engine(threads=1)
    jobs = [
        (
            schema,
            engine.submit("Tom has 3 apples.", grammar={"json": schema}, max_new_tokens=32, temperature=1.0, seed=seed),
        )
        for seed in range(each)
        for schema in SCHEMAS
    ]
    engine.run()
    for schema, job in jobs:
        assert is_valid(json.loads(job.result().text), schema), job.result().text


def test_validity_is_told_from_invalidity() -> None:
    """The check of the test before, on what is none."""
    wrong = [
        '{"name": 1, "age": 2}',
        "[1]",
        '"blue"',
        "{}",
        '"longer"',
        '{"where": {"x": 1}}',
        '"ab-123"',
        "{}",
        '{"q": 1}',
        '"a"',
    ]
    assert not any(is_valid(json.loads(text), schema) for text, schema in zip(wrong, SCHEMAS, strict=True))


@pytest.mark.parametrize("least", [0.0, 0.5])
@pytest.mark.parametrize(
    "grammar", [{"regex": "(ab)*b"}, {"grammar": 'start: "a" start "b" | "ab"'}, {"choice": ["abba", "ba"]}], ids=str
)
def test_drafts_are_the_best_candidates_that_a_grammar_allows(grammar: dict[str, Any], least: float) -> None:
    """One after the other, until too few are likely to be needed; what alone is allowed needs no candidate."""
    random, slots = np.random.default_rng(1), 6
    for _ in range(20):
        text = PackedText(small(grammar).text(slots, []))
        text.begin(slots)
        token_KC = np.array([random.permutation(4)[:3] for _ in range(4)])
        holds_KC = np.sort(random.dirichlet([0.3] * 3, size=4))[:, ::-1].copy()
        holds = text.draft(Candidates(token_KC, holds_KC), slots, least)
        wanted: list[int] = []
        reached = 1.0
        while len(wanted) < slots and reached >= least and END not in wanted:
            allowed = set(np.nonzero(text.text.allowed(wanted)[-1])[0].tolist())
            known = token_KC[len(wanted)].tolist() if len(wanted) < len(token_KC) else []
            best = allowed if len(allowed) == 1 and END not in allowed else [i for i in known if i in allowed]
            if not best:
                break
            wanted.append(next(iter(best)))
            reached *= holds[len(wanted) - 1]
        assert text.drafts == wanted
        assert all(0 < hold <= 1 + 1e-9 for hold in holds) and len(holds) == len(wanted)
