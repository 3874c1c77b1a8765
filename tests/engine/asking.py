"""Canvases at random, and what `fef.decode` and the engine make of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import torch
from tiny_network import EOS, MASK, tiny_network

import fef
from fef.engine.engine import Engine, Job
from fef.models.transformer import Transformer

__all__ = [
    "METHODS",
    "NETWORK",
    "Answer",
    "Ask",
    "answered",
    "asks",
    "by_decode",
    "differences",
    "engine_of",
    "long_asks",
    "only",
    "submitted",
]

NETWORK = tiny_network(scale=0.3)
METHODS: list[dict[str, Any]] = [
    {"method": "fef"},
    {"method": "sequential"},
    {"method": "fef", "order": "random"},
    {"method": "sequential", "order": "random", "block_length": 4},
    {"method": "fef", "order": "blocks", "block_length": 3},
    {"method": "fef", "block_length": 3},
    {"method": "fef", "steps": 2},
    {"method": "fef", "steps": 3, "order": "random"},
    {"method": "fef", "steps": 2, "remask": "low-confidence", "block_length": 5},
    {"method": "fef", "steps": 3, "remask": "low-confidence"},
    {"method": "fef", "steps": 4, "schedule": "cosine"},
]
"""Every kind of course of denoising passes under the packed law."""


@dataclass
class Ask:
    ids: list[int]
    open: list[int]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass
class Answer:
    """At the open positions, from the left."""

    tokens: list[int]
    logprobs: list[float]
    counters: dict[str, int]


def only(shape: dict[str, Any]) -> dict[str, Any]:
    """Options of an engine all of whose rounds have the tree of these options of `fef`."""
    return shape | {"tree": [shape["tree"]], "windows": ()}


def asks(count: int, seed: int, longest: int = 14, vocabulary: int = 8, mask: int = MASK) -> list[Ask]:
    """Prompts of different lengths, holes with given tokens between and behind them, mask ids and end tokens among the
    given ones, and settings of their own."""
    dice = random.Random(seed)
    found = []
    for i in range(count):
        length = dice.randint(1, longest)
        ids = [dice.randrange(vocabulary) for _ in range(length)]
        start = dice.randrange(length)
        stop = dice.randint(start + 1, length)
        open_ = [p for p in range(start, stop) if p == start or dice.random() < 0.9]
        for p in open_:
            ids[p] = mask
        settings = {
            "temperature": (0.0, 0.7, 1.0)[i % 3],
            "top_p": dice.choice([1.0, 1.0, 0.9, 0.5]),
            "top_k": dice.choice([0, 0, 3]),
            "seed": dice.randrange(2**40),
        }
        found.append(Ask(ids, open_, settings))
    return found


def by_decode(
    network: Transformer,
    asked: list[Ask],
    eos_id: int | None = None,
    banned: list[int] | None = None,
    **method: Any,
) -> list[Answer]:
    """All in one call of `fef.decode`, under the packed law."""
    longest = max(len(a.ids) for a in asked)
    ids, open_ = torch.zeros(len(asked), longest, dtype=torch.int64), torch.zeros(len(asked), longest, dtype=torch.bool)
    for row, a in enumerate(asked):
        ids[row, : len(a.ids)] = torch.tensor(a.ids)
        open_[row, a.open] = True
    names = asked[0].settings
    out = fef.decode(
        network,
        ids,
        open=open_,
        lengths=[len(a.ids) for a in asked],
        eos_id=eos_id,
        banned=banned or [],
        **{"verify": "packed"} | method,
        **{name: [a.settings[name] for a in asked] for name in names},
    )
    tokens, logprobs = out.ids.cpu(), out.logprobs.cpu()
    return [
        Answer(
            tokens[row, a.open].tolist(),
            logprobs[row, a.open].tolist(),
            {k: int(v) for k, v in out.stats[row].items() if k != "seconds"},
        )
        for row, a in enumerate(asked)
    ]


def submitted(engine: Engine, asked: list[Ask], **method: Any) -> list[Job]:
    return [engine.submit(a.ids, a.open, **a.settings, **{"verify": "packed"} | method) for a in asked]


def answered(engine: Engine, asked: list[Ask], **method: Any) -> list[Answer]:
    jobs = submitted(engine, asked, **method)
    engine.run()
    results = [job.result() for job in jobs]
    return [Answer(r.tokens, r.logprobs, r.counters) for r in results]


def differences(found: list[Answer], expected: list[Answer], tolerance: float = 1e-9) -> list[str]:
    """In words; empty where tokens, log p and the number of committed tokens agree."""
    words = []
    for i, (a, b) in enumerate(zip(found, expected, strict=True)):
        if a.tokens != b.tokens:
            words.append(f"request {i}: tokens {a.tokens} instead of {b.tokens}")
        elif max(abs(x - y) for x, y in zip(a.logprobs, b.logprobs, strict=True)) > tolerance:
            words.append(f"request {i}: log p {a.logprobs} instead of {b.logprobs}")
        if a.counters["committed"] != b.counters["committed"]:
            words.append(f"request {i}: {a.counters['committed']} committed instead of {b.counters['committed']}")
    return words


assert EOS < 8 and MASK < 8


def engine_of(network: Transformer = NETWORK, **options: Any) -> Engine:
    """A small one."""
    return Engine(network, **{"max_batch": 3, "max_length": 14, "windows": (4,), "threads": 1} | options)


def long_asks(count: int) -> list[Ask]:
    return [Ask([i % 6] + [MASK] * 13, list(range(1, 14)), {"temperature": 1.0, "seed": i}) for i in range(count)]
