"""A window of drafts leaves no trace in a text under a grammar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from grammar_tables import END, TOKENS
from tiny_network import tiny_network

import fef
from fef.grammar.compiled import AutomatonText, TokenGrammar

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")


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


def likeliest_of(found: fef.Decoded) -> list[list[list[int]]]:
    """The ids of the likeliest tokens that may stand at each place."""
    return [[[token for token, logp in at if logp > -np.inf] for at in text] for text in found.likeliest]


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
        one = texts_by(network, grammars, 20, seeds, method="sequential", top=3, **way)
        many = texts_by(network, grammars, 20, seeds, method="fef", window=8, top=3, **way)
        assert many.ids.tolist() == one.ids.tolist()
        assert likeliest_of(many) == likeliest_of(one)
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


@pytest.mark.parametrize("tree", [1, 4, 32])
def test_a_tree_is_a_chain_under_a_grammar_however_few_its_drafts(tree: int) -> None:
    model = fef.load("demo", device="cpu")
    own = model.network.config
    network = tiny_network(vocab_size=own.vocab_size, mask_id=own.mask_id, eos_id=own.eos_id, max_length=64)
    grammars = [model.grammar(each) for each in REAL]
    shared = {"temperature": 1.0, "verify": "packed"}
    one = texts_by(network, grammars, 16, [7] * len(REAL), method="sequential", **shared)
    many = texts_by(network, grammars, 16, [7] * len(REAL), method="fef", tree=tree, **shared)
    assert many.ids.tolist() == one.ids.tolist()
    assert all(row["drafted"] <= tree * row["rounds"] for row in many.stats)


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
