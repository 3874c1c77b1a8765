"""Requests that change the law (logit_bias, min_tokens, ignore_eos), or ask for the likeliest tokens, get in the engine what
`fef.decode` gives them, side by side with others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from asking import METHODS
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.engine.engine import SESSION_ROUNDS, Engine
from fef.errors import OptionError
from fef.models.transformer import Transformer

NETWORK = tiny_network(scale=0.3)
SMALL = {"max_batch": 4, "max_length": 16, "windows": (4,), "threads": 1}
CHANGES: list[dict[str, Any]] = [
    {},
    {"min_tokens": 4},
    {"ignore_eos": True},
    {"logit_bias": {EOS: 6.0}},
    {"logit_bias": {EOS: 6.0}, "min_tokens": 3},
    {"logit_bias": {1: -float("inf"), 3: 2.0}, "ignore_eos": True},
    {"top": 3},
]


def canvas() -> list[int]:
    return [1, 4] + [MASK] * 8 + [3]


def by_decode(network: Transformer, seed: int, temperature: float, **options: Any) -> fef.Decoded:
    ids = torch.tensor([canvas()])
    return fef.decode(network, ids, temperature=temperature, seed=seed, eos_id=EOS, verify="packed", **options)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_they_are_answered_as_decode_answers_them(method: dict[str, Any]) -> None:
    engine = Engine(NETWORK, eos_id=EOS, **SMALL)
    jobs = []
    for seed in range(2):
        for change in CHANGES:
            settings = {"temperature": 0.9 * seed, "seed": seed, **change, **method, "verify": "packed"}
            jobs.append((seed, change, engine.submit(canvas(), range(2, 10), stream=True, **settings)))
    engine.run()
    for seed, change, job in jobs:
        found, alone = job.result(), by_decode(NETWORK, seed, 0.9 * seed, **change, **method)
        assert found.tokens == alone.ids[0, 2:10].tolist(), change
        assert found.logprobs == pytest.approx(alone.logprobs[0, 2:10].tolist(), abs=1e-5)
        if change.get("ignore_eos"):
            assert EOS not in found.tokens
        assert EOS not in found.tokens[: change.get("min_tokens", 0)]
        if "top" in change:
            assert found.likeliest is not None
            for place, (at, expected) in enumerate(zip(found.likeliest, alone.likeliest[0], strict=True), 2):
                assert dict(at) == pytest.approx(dict(expected), abs=1e-5)
                assert not job.request.plan.final or job.likeliest.get(place, at) == at


def test_what_packed_rounds_can_do_they_do() -> None:
    """A ban of the end token at the first places is theirs; what they do not know goes to a session, and is said."""
    engine = Engine(NETWORK, eos_id=EOS, **SMALL)
    for change in CHANGES:
        job = engine.submit(canvas(), range(2, 10), **change)
        packed = set(change) <= {"min_tokens", "ignore_eos"}
        assert (engine.rounds_of(job.request) is engine.packed) == packed
        assert (SESSION_ROUNDS in job.certificate.reasons) != packed
    engine.run()


def test_texts_differ_from_those_without_changes() -> None:
    """The comparison above has teeth."""
    rows = torch.tensor([canvas()] * 8)
    plain, *changed = (
        fef.decode(NETWORK, rows, temperature=1.0, eos_id=EOS, verify="packed", **options).ids
        for options in CHANGES[:6]
    )
    assert not any(torch.equal(plain, other) for other in changed)


def test_of_several_ends_each_is_ignored_and_none_delayed() -> None:
    network = tiny_network(scale=0.3)
    network.config = dataclasses.replace(network.config, eos_id=EOS, stop_ids=(5,))
    engine = Engine(network, eos_id=EOS, **SMALL)
    jobs = [engine.submit(canvas(), range(2, 10), temperature=1.0, seed=n, ignore_eos=True) for n in range(8)]
    engine.run()
    for job in jobs:
        assert not {EOS, 5} & set(job.result().tokens)
    with pytest.raises(OptionError, match="min_tokens"):
        engine.submit(canvas(), range(2, 10), min_tokens=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_tokens": 9},
        {"min_tokens": [1]},
        {"logit_bias": {99: 1.0}},
        {"logit_bias": [{1: 1.0}]},
        {"top": -1},
        {"top": 99},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_at_once(wrong: dict[str, Any]) -> None:
    engine = Engine(NETWORK, eos_id=EOS, **SMALL)
    with pytest.raises(OptionError, match=next(iter(wrong))):
        engine.submit(canvas(), range(2, 10), **wrong)
    assert not engine.busy
