"""The text of a request depends on itself alone: not on who asks beside it, how it is sent, or when."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from serving import Client, running

from fef.generation import Model

ASKED = [
    {"prompt": f"Ann has {n} pens and buys {n + 3} more.", "temperature": (0.0, 0.7)[n % 2], "seed": n}
    for n in range(2, 18)
]


def texts(client: Client, asked: list[dict[str, Any]], streams: bool, at_once: int) -> list[str]:
    def one(fields: dict[str, Any]) -> str:
        if not streams:
            return client.complete(**fields).texts[0]
        events = client.complete(stream=True, **fields).events
        return "".join(choice["text"] for event in events for choice in event["choices"])

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, asked))


@pytest.fixture(scope="module")
def alone(client: Client) -> list[str]:
    return texts(client, ASKED[:6], streams=False, at_once=1)


@pytest.mark.parametrize("streams", [False, True])
def test_among_sixteen_others(client: Client, alone: list[str], streams: bool) -> None:
    others = [{"prompt": "Write a number.", "seed": n, "temperature": 1.0, "max_tokens": 8 + n} for n in range(10)]
    found = texts(client, [*ASKED[:6], *others], streams, at_once=16)
    assert found[:6] == alone
    assert len({*alone}) > 3


def test_after_a_restart_and_on_another_server(model: Model, alone: list[str]) -> None:
    with running(model, {"max_batch": 3}) as other:
        assert texts(other, ASKED[:6], streams=True, at_once=6) == alone


def test_another_seed_is_another_text(client: Client, alone: list[str]) -> None:
    asked = [fields | {"seed": 99, "temperature": 1.5} for fields in ASKED[:3]]
    assert texts(client, asked, streams=False, at_once=3) != alone[:3]
