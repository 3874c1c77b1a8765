"""What may follow which tokens: the token automaton against trying every text and against llguidance, and the ways of
llguidance that would make another law."""

from __future__ import annotations

import itertools
import json
import sys
from random import Random
from typing import Any

import numpy as np
import pytest
from small_grammars import AB, END, TOKENS, A, B, allowed_by_trying, completions, small

import fef
from fef.errors import InputError, OptionError
from fef.grammar.automaton import Reach
from fef.grammar.given import read_grammar
from fef.grammar.prefixes import EngineTokens, engine_tokenizer, prefix_grammar
from fef.grammar.text import GrammarText, only_token, packed, unpacked, words_of
from fef.grammar.vocabulary import ByteTree, Vocabulary, token_bytes
from fef.models.tokenizer import Tokenizer

llguidance = pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")

REGULAR = ["(ab)*", "a*b?", "a{3}|b", "(a|b)*bb", "b(aa)+"]


def ids_of(allowed_V: np.ndarray) -> set[int]:
    return set(np.nonzero(allowed_V)[0].tolist())


def texts(grammar: Any, slots: int = 12) -> dict[str, GrammarText]:
    """The same grammar by both ways."""
    compiled = small(grammar)
    assert compiled.automaton is not None
    return {"automaton": compiled.text(slots, []), "llguidance": compiled.prefixes.text()}


# --- reading ahead ---


@pytest.mark.parametrize("way", ["automaton", "llguidance"])
@pytest.mark.parametrize("expression", REGULAR)
def test_reading_ahead_takes_what_is_allowed_and_leaves_the_text_where_it_is(expression: str, way: str) -> None:
    slots = 4
    text = texts({"regex": expression}, slots)[way]
    begin = next((ids[:1] for ids in sorted(completions(expression, slots)) if ids), ())
    assert text.follow(begin)
    before = ids_of(text.allowed([])[0])
    for tokens in itertools.product((A, B, AB, END), repeat=2):
        expected = 0
        while expected < 2 and tokens[expected] in allowed(expression, way, [*begin, *tokens[:expected]], slots):
            expected += 1
        with text.ahead() as ahead:
            assert ahead.take(tokens) == expected, tokens
            assert ahead.ended == (END in tokens[:expected])
            if not ahead.ended:
                behind = allowed(expression, way, [*begin, *tokens[:expected]], slots)
                assert ids_of(unpacked(ahead.words(), len(TOKENS))) == behind
                assert only_token(ahead.words()) == (behind.pop() if len(behind) == 1 else None)
        assert ids_of(text.allowed([])[0]) == before


@pytest.mark.parametrize("way", ["automaton", "llguidance"])
@pytest.mark.parametrize("expression", REGULAR)
def test_masks_are_written_as_far_as_drafts_are_allowed(expression: str, way: str) -> None:
    """Over whatever stood there before."""
    slots = 6
    for drafts in itertools.product((A, B, AB), repeat=2):
        found = np.full((4, words_of(len(TOKENS))), 0b1010, dtype=np.int32)
        count = texts({"regex": expression}, slots)[way].write(drafts, found)
        behind = [allowed(expression, way, [*drafts[:n]], slots) for n in range(3)]
        assert count == next((n for n in range(2) if drafts[n] not in behind[n]), 2) + 1, drafts
        assert [ids_of(unpacked(found[n], len(TOKENS))) for n in range(count)] == behind[:count]


def allowed(expression: str, way: str, prefix: list[int], slots: int) -> set[int]:
    """Behind a prefix, found by a text that reads token by token; nothing behind an end token."""
    text = texts({"regex": expression}, slots)[way]
    if END in prefix:
        return set()
    return ids_of(text.allowed([])[0]) if text.follow(prefix) else set()


@pytest.mark.parametrize("size", [1, 31, 32, 33, 100])
def test_words_have_a_bit_for_each_id(size: int) -> None:
    allowed_V = np.random.default_rng(size).random(size) < 0.4
    assert len(packed(allowed_V)) == words_of(size)
    assert np.array_equal(unpacked(packed(allowed_V), size), allowed_V)
    for token in range(size):
        alone_V = np.arange(size) == token
        assert only_token(packed(alone_V)) == token
        assert only_token(packed(alone_V | (np.arange(size) == 0))) == (0 if token == 0 else None)
    assert only_token(packed(np.zeros(size, dtype=np.bool_))) is None


# --- the end in reach ---


@pytest.mark.parametrize("suffix", ["", "b", "ab"])
@pytest.mark.parametrize("expression", REGULAR)
def test_a_token_is_allowed_where_some_text_of_the_slots_has_it(expression: str, suffix: str) -> None:
    slots, suffix_ids = 4, [{"a": A, "b": B}[letter] for letter in suffix]
    if not completions(expression, slots, suffix):
        with pytest.raises(InputError, match="There is no text before this suffix within 4 tokens"):
            small({"regex": expression}).text(slots, suffix_ids)
        return
    text = small({"regex": expression}).text(slots, suffix_ids)
    for n in range(slots):
        for prefix in itertools.product((A, B, AB), repeat=n):
            expected = allowed_by_trying(expression, prefix, slots, suffix)
            if text.follow(prefix):
                assert ids_of(text.allowed([])[0]) == expected
            else:
                assert not expected


def test_without_the_reach_of_the_end_texts_would_not_be_completed() -> None:
    """The twin: llguidance allows at the last slot what leads nowhere."""
    ways = texts({"regex": "a{3}|b"}, slots=2)
    assert ids_of(ways["automaton"].allowed([])[0]) == {B}
    assert ids_of(ways["llguidance"].allowed([])[0]) == {A, B}


@pytest.mark.parametrize("expression", REGULAR)
def test_far_from_the_end_both_ways_allow_the_same(expression: str) -> None:
    ways = texts({"regex": expression})
    for n in range(5):
        for prefix in itertools.product((A, B, AB, END), repeat=n):
            legal = {name: text.follow(prefix) for name, text in ways.items()}
            assert legal["automaton"] == legal["llguidance"], prefix
            first, second = (text.allowed([]) for text in ways.values())
            assert np.array_equal(first, second), prefix


PARTS = [
    "a",
    "b",
    "-",
    "é",
    ".",
    "[ab]",
    "[^a]",
    r"\d",
    r"\w",
    r"\s",
    "[a-]",
    r"[\d-]",
    "[é-ü]",
    "ab",
    r"\.",
    r"[^\n]",
    r"\x61",
]
COUNTS = ["*", "+", "?", "{2}", "{1,2}", "{0,}", "*?"]


def random_expression(random_: Random, depth: int) -> str:
    kind = random_.random() if depth else 0.0
    if kind < 0.35:
        return random_.choice(PARTS)
    first, second = (random_expression(random_, depth - 1) for _ in range(2))
    if kind < 0.55:
        return first + second
    return f"({first}|{second})" if kind < 0.7 else f"({first}){random_.choice(COUNTS)}"


def test_both_ways_allow_the_same_under_random_expressions() -> None:
    """Where every byte is a token, no state is a corner."""
    random_, end = Random(3), 259
    tokens = (*(bytes([byte]) for byte in range(256)), b"ab", "é".encode(), b" 1", b"")
    for _ in range(60):
        compiled = small({"regex": random_expression(random_, 4)}, tokens, end)
        assert compiled.automaton is not None
        text, other, ids = compiled.text(30, []), compiled.prefixes.text(), []
        while len(ids) < 6 and not text.ended:
            allowed_V = text.allowed([])[0]
            assert np.array_equal(allowed_V, other.allowed([])[0]), (compiled.grammar, ids)
            ids.append(random_.choice(np.nonzero(allowed_V)[0].tolist()))
            assert text.follow(ids)
            assert other.follow(ids)


@pytest.mark.parametrize(
    "schema",
    [
        {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "n": {"type": "number"},
                "tags": {"type": "array", "items": {"enum": ["a", "é"]}},
            },
            "required": ["n"],
        },
        {"type": "object"},
        {"type": "object", "properties": {"any": True, "code": {"type": "string", "pattern": "^[a-c]+$"}}},
    ],
)
def test_a_schema_allows_by_the_automaton_only_what_llguidance_allows(schema: Any) -> None:
    model = fef.load("demo", device="cpu")
    compiled = model.grammar({"json": schema})
    assert compiled.automaton is not None
    random_ = np.random.default_rng(0)
    for _ in range(20):
        text, other, ids = compiled.text(40, []), compiled.prefixes.text(), []
        while len(ids) < 40 and not text.ended:
            allowed_V = text.allowed([])[0]
            assert not (allowed_V & ~other.allowed([])[0]).any()
            ids.append(int(random_.choice(np.nonzero(allowed_V)[0])))
            assert text.follow(ids)
            assert other.follow(ids)
        assert isinstance(json.loads(model.tokenizer.decode(ids)), dict)


# --- all states of a window in one call ---


@pytest.mark.parametrize("way", ["automaton", "llguidance"])
def test_masks_of_a_window_are_those_of_its_prefixes_one_by_one(way: str) -> None:
    window = texts({"regex": "(ab|b)*a?"})[way]
    alone = texts({"regex": "(ab|b)*a?"})[way]
    for drafts in itertools.product((A, B, AB, END), repeat=4):
        found = window.allowed(drafts)
        for n in range(5):
            if not alone.follow(drafts[:n]):
                assert found[n:].any(1).all(), "no state is left without a token, though no text gets there"
                break
            assert np.array_equal(found[n], alone.allowed([])[0])
            assert np.array_equal(found[n], window.allowed_behind(drafts[:n]))


@pytest.mark.parametrize("way", ["automaton", "llguidance"])
def test_a_text_that_is_read_again_from_its_beginning_is_the_same(way: str) -> None:
    """Also across an end token, which llguidance would not count when it goes back."""
    text = texts({"regex": "a*b"})[way]
    fresh = ids_of(text.allowed([])[0])
    assert text.follow([A, B, END, END])
    assert ids_of(text.allowed([])[0]) == {END}
    assert not text.follow([A, B, END, A])
    assert text.follow([A])
    assert ids_of(text.allowed([])[0]) == {A, B, AB}
    assert text.follow([])
    assert ids_of(text.allowed([])[0]) == fresh


# --- the ways of llguidance ---


def own_matcher(lark: str, vocabulary: Vocabulary) -> Any:
    return llguidance.LLMatcher(engine_tokenizer(vocabulary), llguidance.LLMatcher.grammar_from_lark(lark), log_level=0)


def test_llguidance_counts_no_end_token_when_it_goes_back() -> None:
    """Why no text lets it read one: going back by one takes a token of the text back."""
    matcher = own_matcher('start: "ab"', Vocabulary(TOKENS, END))
    assert matcher.consume_tokens([A, B])
    assert matcher.consume_token(END)
    matcher.rollback(1)
    assert matcher.validate_tokens([B]) == 1


def test_llguidance_leaves_masks_behind_what_is_not_allowed_unwritten() -> None:
    matcher = own_matcher('start: "ab"', Vocabulary(TOKENS, END))
    bits = np.full((3, 1), 7, dtype=np.int32)
    pool = llguidance.LLExecutor(num_threads=1)
    llguidance.numpy.fill_next_token_bitmask_par_with_draft_tokens(pool, [(matcher, 0, [B, A])], bits)
    assert bits[1:, 0].tolist() == [7, 7]
    text = prefix_grammar(read_grammar({"regex": "ab"}), Vocabulary(TOKENS, END)).text()
    assert text.allowed([B, A])[1:].all()


def test_a_state_that_no_token_leaves_allows_nothing_and_spoils_no_other() -> None:
    """There llguidance would end the text, and be of no use any more."""
    compiled = small({"grammar": 'start: "a" "b" "c" | "ab" "b"'})
    text = compiled.text(8, [])
    assert ids_of(text.allowed_behind([A, B])) == {B}
    corner = small({"grammar": 'start: "a" ("b" "c" | "a")'}).text(8, [])
    for _ in range(2):
        assert [ids_of(row) for row in corner.allowed([A, B])] == [{A, AB}, {A, B}, set()]
        assert ids_of(corner.allowed_behind([A, B])) == set()
        assert ids_of(corner.allowed_behind([A])) == {A, B}
        assert corner.follow([A])
        assert ids_of(corner.allowed([])[0]) == {A, B}
        assert corner.follow([])
    assert corner.follow([A, A])
    assert ids_of(corner.allowed([])[0]) == {END}


class ModelTokens(EngineTokens):
    """A vocabulary that can tell how its tokenizer writes a text, which forcing asks."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        super().__init__(vocabulary)
        self.tokenizer = tokenizer

    def __call__(self, text: bytes) -> list[int]:
        return self.tokenizer.encode(text.decode())


def test_forced_bytes_allow_every_token_that_spells_them() -> None:
    """With llguidance's forcing only the one that its tokenizer would have written: another law."""
    model = fef.load("demo", device="cpu")
    vocabulary, tokenizer = model.vocabulary, model.tokenizer
    word = " apples"
    [whole] = tokenizer.encode(word)
    text = prefix_grammar(read_grammar({"choice": [word]}), vocabulary).text()
    free = ids_of(text.allowed([])[0])
    assert free == {i for i, token in enumerate(vocabulary.tokens) if token and word.encode().startswith(token)}
    assert len(free) > 1
    tokens = llguidance.TokenizerWrapper(ModelTokens(vocabulary, tokenizer))
    forcing = llguidance.LLTokenizer(tokens, n_vocab=vocabulary.size, eos_token=vocabulary.eos_id)
    bits = np.zeros((1, -(-vocabulary.size // 32)), dtype=np.int32)
    matcher = llguidance.LLMatcher(forcing, llguidance.LLMatcher.grammar_from_lark(f"start: {json.dumps(word)}"))
    llguidance.numpy.fill_next_token_bitmask(matcher, bits)
    forced = np.unpackbits(bits.view(np.uint8), axis=1, count=vocabulary.size, bitorder="little")[0]
    assert ids_of(forced) == {whole}


# --- vocabularies ---


def test_the_bytes_of_tokens_spell_what_the_tokenizer_decodes() -> None:
    model = fef.load("demo", device="cpu")
    tokens = model.vocabulary.tokens
    for i, token in enumerate(tokens):
        assert token.decode(errors="replace") == model.tokenizer.decode([i])
    ids = model.tokenizer.encode("Tom hat 3 Äpfel 😀\n")
    assert b"".join(tokens[i] for i in ids).decode() == "Tom hat 3 Äpfel 😀\n"


def test_a_tree_holds_every_token_once_and_ids_of_equal_bytes_together() -> None:
    tree = ByteTree.of([b"ab", b"", b"a", b"ab", b"\xff\x00"])
    assert sorted(tree.id_T.tolist()) == [0, 2, 3, 4]
    assert tree.ids_N.sum() == 4
    assert tree.children_N.sum() == len(tree.byte_N) - 1 == 4


def test_a_tokenizer_without_bytes_is_refused_in_one_sentence() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    with pytest.raises(OptionError, match="needs a byte-level tokenizer"):
        token_bytes(Tokenizer(raw), 2, 1)
    with pytest.raises(OptionError, match="needs an end token"):
        token_bytes(fef.load("demo", device="cpu").tokenizer, 2, None)


def test_banned_tokens_are_no_way_to_the_end() -> None:
    compiled = small({"regex": "ab"})
    assert compiled.without([END]) is compiled
    assert ids_of(compiled.without([AB]).text(4, []).allowed([])[0]) == {A}
    with pytest.raises(InputError, match="the shortest takes 2 tokens"):
        compiled.without([AB]).text(1, [])
    with pytest.raises(InputError, match="none at all"):
        compiled.without([AB, B]).text(9, [])


def test_what_is_remembered_of_states_stays_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fef.grammar.automaton._BYTES_KEPT", 20)
    reach: Reach = small({"regex": "(ab)*"}).text(4, []).reach  # type: ignore[attr-defined]
    before = [reach.allowed(state, 4).tolist() for state in range(3)]
    assert len(reach.known) <= 2
    assert [reach.allowed(state, 4).tolist() for state in range(3)] == before


def test_without_llguidance_a_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(OptionError, match=r"pip install 'fef\[grammar\]'"):
        small({"regex": "a|b|a{7}"})
