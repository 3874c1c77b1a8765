"""The text of a request depends on itself alone: not on who asks beside it, how it is sent, or when.

Sized by FEF_REQUESTS, for example: FEF_REQUESTS=200 python -m pytest -m slow tests/serve/test_sameness.py
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import stub_router
from serving import Client, running

from fef.bench.serve import Asking, Load, served, started
from fef.generation import Model
from fef.serve.replicas import free_ports

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


# --- servers of their own, replicas, and the router before them ---

REQUESTS = int(os.environ.get("FEF_REQUESTS", "7"))  # at each temperature
BESIDE = 64
SERVER = ["--model", "demo", "--device", "cpu", "--max-batch", str(BESIDE)]
KINDS: list[dict[str, Any]] = [
    {},
    {"structured_outputs": {"regex": "[a-z0-9 ]+"}},
    {"fef": {"options": {"window": 3}}},
    {"fef": {"method": "sequential"}},
    {
        "fef": {"template": ["He has ", {"slots": 6, "regex": "[0-9]+"}, " apples", {"slots": 10}, "."]},
        "max_tokens": None,
    },
    {"suffix": " apples.", "logprobs": 1},
    {"stop": ["."], "top_p": 0.9},
]


def whole(asking: Asking, body: dict[str, Any]) -> str:
    """An answer that is not streamed."""
    asked = Request(f"http://127.0.0.1:{asking.port}/v1/completions", json.dumps(body).encode())
    asked.add_header("content-type", "application/json")
    with urlopen(asked, timeout=300) as answer:
        return str(json.load(answer)["choices"][0]["text"])


def ways(asked: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """The answers of each way, the first of which is alone."""

    def all_of(
        asking: Asking, at_once: int = BESIDE, streams: bool = False, bodies: list[dict[str, Any]] = asked
    ) -> list[str]:
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(lambda body: asking.streamed(body).text if streams else whole(asking, body), bodies))

    with served(SERVER) as asking:
        yield "alone", all_of(asking, at_once=1)
        yield "among others", all_of(asking)
        yield "streamed among others", all_of(asking, streams=True)
    with served(SERVER) as asking:
        yield "after a restart, in the other order", all_of(asking, bodies=asked[::-1])[::-1]
    [port] = free_ports(1)
    with started([*SERVER, "--replicas", "2", "--port", str(port)], "behind vllm-router") as [one, other, both]:
        yield "of one replica", all_of(one, at_once=16)
        yield "of another replica", all_of(other, at_once=16)
        yield "through the router", all_of(both)
        yield "streamed through the router", all_of(both, streams=True)


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_requests_of_every_kind_get_the_same_bytes_each_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("vllm-router") is None:
        stub_router.install(tmp_path)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    asked = [
        Load(max_tokens=24, temperature=temperature).body(number) | KINDS[number % len(KINDS)]
        for temperature in (0.0, 0.7)
        for number in range(REQUESTS)
    ]
    (_, wanted), *others = ways(asked)
    assert len(set(wanted)) > len(wanted) // 2
    for name, found in others:
        different = [
            n for n, pair in enumerate(zip(wanted, found, strict=True)) if pair[0].encode() != pair[1].encode()
        ]
        assert different == [], name
