"""Grammars in packed rounds on a GPU: texts of `fef.decode`, with and without windows, beside requests without a grammar.

python -m pytest -s -m gpu tests/engine/test_grammars_on_gpu.py
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from drafting_networks import drafting
from json_schemas import SCHEMAS, is_valid
from tiny_network import tiny_network

import fef
from fef.engine.engine import Engine
from fef.engine.graphs import GraphRunner, PartGraphs
from fef.engine.kernel_texts import KernelTexts
from fef.engine.text import TextEngine
from fef.errors import GrammarError
from fef.generation import Model
from fef.models.transformer import Transformer

pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

DEVICE = "cuda"
TREE = {"$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}, "$ref": "#/$defs/tree"}
GRAMMARS: list[Any] = [
    {"json": SCHEMAS[0]},
    None,
    {"json": {"type": "object"}},
    {"json": TREE},
    {"regex": r"\d{3}-\d{4}( ext\.? \d+)?"},
    None,
    {"choice": ["yes", "no", "not yet", "nobody knows"]},
    {"grammar": 'start: sum\nsum: term | sum ("+" | "-") term\nterm: /[0-9]+/ | "(" sum ")"'},
]
SHAPES: list[dict[str, Any]] = [
    {"windows": (2, 16)},
    {"tree": [12], "windows": ()},
    {"tree": [16], "windows": (), "head": True},
]
SETTINGS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 1.0, "top_p": 0.9, "top_k": 40},
]
SIZES = {"max_batch": 3, "max_length": 64}  # of all engines, whose kernels are then compiled once


@pytest.fixture(scope="module")
def model() -> Model:
    return fef.load("demo", device=DEVICE, dtype=torch.float32)


def odd_network(model: Model, dtype: torch.dtype = torch.float32) -> Transformer:
    """One that knows nothing of grammars, of the layers of the demo, so that few kernels are compiled."""
    known = model.network.config
    names = ("vocab_size", "mask_id", "eos_id", "dim", "heads", "mlp_dim", "qk_norm", "max_length")
    return tiny_network(scale=0.1, **{name: getattr(known, name) for name in names}).to(DEVICE, dtype)


CANVAS = 20


def canvas_of(network: Transformer) -> list[int]:
    return [5, *[network.config.mask_id] * CANVAS]


def asked_of(model: Model, seeds: int, *settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every grammar with every setting, one setting behind another: passes with cuts come behind others."""
    compiled = [None if grammar is None else model.grammar(grammar) for grammar in GRAMMARS]
    return [
        {"grammar": grammar, "seed": seed, **one} for one in settings for seed in range(seeds) for grammar in compiled
    ]


def banned_ids(model: Model) -> list[int]:
    end = model.network.config.eos_id
    return [i for i, token in enumerate(model.vocabulary.tokens) if not token and i != end]


def answered(model: Model, network: Transformer, asked: list[dict[str, Any]], **options: Any) -> list[Any]:
    end = network.config.eos_id
    engine = Engine(network, eos_id=end, banned=banned_ids(model), **SIZES | options)
    jobs = [engine.submit(canvas_of(network), range(1, CANVAS + 1), **one) for one in asked]
    assert engine.packed is not None and not engine.sessions.waiting
    engine.run()
    assert not engine.packed.texts
    return [job.result() for job in jobs]


@pytest.fixture(scope="module")
def engine(model: Model) -> TextEngine:
    return model.engine(windows=(2, 16), **SIZES)


@pytest.fixture(scope="module")
def decoded(model: Model) -> list[Any]:
    """What `fef.decode` makes of two seeds, one by one, on the same device: with drafts, and token by token."""
    network, found = odd_network(model), []
    for one in asked_of(model, 2, *SETTINGS):
        ids = torch.tensor([canvas_of(network)], device=DEVICE)
        open_ = torch.zeros_like(ids, dtype=torch.bool)
        open_[:, 1:] = True
        asked = one | {"method": "sequential" if one["seed"] else "fef", "verify": "packed"}
        end = network.config.eos_id
        found.append(fef.decode(network, ids, open=open_, eos_id=end, banned=banned_ids(model), **asked))
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_texts_are_those_of_decode(model: Model, shape: dict[str, Any], decoded: list[Any]) -> None:
    """Of rounds in which several grammars and none stand side by side, and end at different times."""
    network, options = odd_network(model), dict(shape)
    if options.pop("head", False):
        network = drafting(network)
    found = answered(model, network, asked_of(model, 2, *SETTINGS), **options)
    for one, wanted in zip(found, decoded, strict=True):
        assert one.tokens == wanted.ids[0, 1:].tolist()
        assert one.logprobs == pytest.approx(wanted.logprobs[0, 1:].tolist(), abs=1e-4)
        if one.log_mass is not None:
            assert one.log_mass == pytest.approx(float(wanted.log_mass[0]), abs=1e-3)


def test_bits_do_not_depend_on_the_batch(model: Model) -> None:
    """In bfloat16, of rounds of one shape."""
    network, asked = odd_network(model, torch.bfloat16), asked_of(model, 2, {"temperature": 1.0})
    expected = answered(model, network, asked, windows=(16,), max_batch=1)
    found = answered(model, network, asked[::-1], windows=(16,), max_batch=8)[::-1]
    assert [(one.tokens, one.logprobs) for one in found] == [(one.tokens, one.logprobs) for one in expected]
    for one, wanted in zip(found, expected, strict=True):
        assert one.log_mass == (None if wanted.log_mass is None else pytest.approx(wanted.log_mass, abs=1e-6))


def test_answers_of_the_demo_are_valid_and_drafts_hold(model: Model, engine: TextEngine) -> None:
    """Its texts are those of the loop, and a round commits several tokens."""
    asked: dict[str, Any] = {"max_new_tokens": 40, "temperature": 0.7}
    jobs = [
        engine.submit("Write a JSON object.\n", grammar={"json": schema}, seed=seed, **asked)
        for seed, schema in enumerate(SCHEMAS)
    ]
    free = [engine.submit("Tom has 3 apples.", seed=seed, **asked) for seed in range(4)]
    engine.run()
    calls, accepted = 0, 0
    for schema, job in zip(SCHEMAS, jobs, strict=True):
        found = job.result()
        assert is_valid(json.loads(found.text), schema)
        calls, accepted = calls + found.stats["calls"], accepted + found.stats["accepted"]
    drawn = sum(len(job.result().token_ids) for job in jobs)
    print(f"tokens per pass: {drawn / calls:.2f}")
    assert accepted > 0
    for seed, (schema, job) in enumerate(zip(SCHEMAS, jobs, strict=True)):
        alone = model.generate("Write a JSON object.\n", grammar={"json": schema}, seed=seed, **asked)
        assert job.result().token_ids == alone.token_ids
    for seed, job in enumerate(free):
        assert job.result().token_ids == model.generate("Tom has 3 apples.", seed=seed, **asked).token_ids


def test_requests_come_and_go(model: Model, engine: TextEngine) -> None:
    """Rows under grammars beside others, cancelled ones among them, streamed ones too."""
    asked: dict[str, Any] = {"max_new_tokens": 32, "temperature": 1.0}
    expected = [
        model.generate("Who? ", grammar=grammar, seed=seed, **asked).token_ids for seed, grammar in enumerate(GRAMMARS)
    ]
    jobs = []
    for seed, grammar in enumerate(GRAMMARS):
        jobs.append(engine.submit("Who? ", grammar=grammar, seed=seed, stream=seed % 2 == 0, **asked))
        given_up = engine.submit("Who? ", grammar={"json": {"type": "object"}}, seed=seed, **asked)
        engine.engine.step()
        given_up.cancel()
    engine.run()
    assert [job.result().token_ids for job in jobs] == expected
    packed = engine.engine.packed
    assert packed is not None and not packed.texts and len(packed.free) == packed.built.slots


def test_only_passes_with_grammars_are_taken_apart(model: Model) -> None:
    engine = model.engine(windows=(2, 16), **SIZES)
    engine.generate(["A", "B"], max_new_tokens=8)
    assert engine.engine.packed is not None
    runner = engine.engine.packed.built.runner
    assert isinstance(runner, GraphRunner)
    assert not any(isinstance(graph, PartGraphs) for graph, _ in runner.graphs.values())
    passes: Any = engine.engine.packed.built.passes
    assert "words_SXW" not in vars(passes.under), "no memory for masks without a grammar"
    job = engine.submit("A", max_new_tokens=8, grammar={"choice": ["yes"]})
    assert job.result().text == "yes"
    assert any(isinstance(graph, PartGraphs) for graph, _ in runner.graphs.values())


def test_masks_that_do_not_come_are_seen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KernelTexts, "mask", lambda texts, *_: texts.words_SXW.fill_(-1))
    engine = model.engine(windows=(2, 16), **SIZES)
    job = engine.submit("A", grammar={"regex": "[0-9]{12}"}, max_new_tokens=16, temperature=1.5)
    with pytest.raises(GrammarError):
        job.result()


def test_a_grammar_that_leaves_nothing_ends_its_request_alone(model: Model) -> None:
    network, end = odd_network(model), model.network.config.eos_id
    digits = [i for i, token in enumerate(model.vocabulary.tokens) if any(48 <= byte < 58 for byte in token)]
    engine = Engine(network, eos_id=end, banned=[*banned_ids(model), *digits], windows=(2, 16), **SIZES)
    rules = model.grammar({"grammar": 'start: "(" /[0-9]/ ")"'})
    asked = [{"grammar": rules}, {"grammar": model.grammar({"choice": ["yes"]})}, {}]
    bad, good, free = (engine.submit(canvas_of(network), range(1, CANVAS + 1), seed=3, **one) for one in asked)
    engine.run()
    with pytest.raises(GrammarError):
        bad.result()
    assert b"".join(model.vocabulary.tokens[token] for token in good.result().tokens) == b"yes"
    assert len(free.result().tokens) == CANVAS
