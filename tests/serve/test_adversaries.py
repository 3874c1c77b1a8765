"""Clients that mean harm, or do not know better: nobody else waits for them, and what they hold is bounded."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from itertools import pairwise
from typing import Any

import pytest
from serving import QUESTION, Client, running

from fef.generation import Model
from fef.serve.fields import Limits
from fef.serve.letters import Call
from fef.serve.values import MOST_IDS

SCORE = {"prompt": QUESTION, "response": "30", "max_tokens": 8}


@contextmanager
def busy(client: Client) -> Iterator[None]:
    """The engine's thread is at something else meanwhile."""
    assert client.get("/health").status == 200, "it has begun to work"
    release = threading.Event()
    client.host.send(Call(-1, lambda _: release.wait()))
    try:
        yield
    finally:
        release.set()


def sent(client: Client, path: str, body: Any) -> HTTPConnection:
    connection = client.connect()
    connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
    return connection


def wait_for_calls(client: Client, count: int) -> None:
    end = time.monotonic() + 60
    while len(client.server.served.backend.calls) != count:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_scores_that_nobody_waits_for_are_not_computed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    right = Model.score_ids

    def counted(self: Model, *arguments: Any, **options: Any) -> Any:
        computed.append(1)
        return right(self, *arguments, **options)

    monkeypatch.setattr(Model, "score_ids", counted)
    with running(model, {"max_batch": 2}) as client:
        with busy(client):
            connections = [sent(client, "/v1/score", SCORE) for _ in range(12)]
            wait_for_calls(client, 12)
            for connection in connections:
                connection.close()
            wait_for_calls(client, 0)
        assert client.complete(max_tokens=4).status == 200
        assert computed == []
        assert client.post("/v1/score", SCORE).status == 200
        assert computed == [1]


def test_prompts_that_nobody_waits_for_are_not_scored(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    scored: list[int] = []
    release = threading.Event()
    right = Model.score_ids

    def counted(self: Model, *arguments: Any, **options: Any) -> Any:
        scored.append(1)
        release.wait(60)
        return right(self, *arguments, **options)

    monkeypatch.setattr(Model, "score_ids", counted)
    with running(model, {"max_batch": 2}) as client:
        try:
            body = {"prompt": [QUESTION] * 8, "max_tokens": 4, "echo": True, "logprobs": 1}
            connection = sent(client, "/v1/completions", body)
            wait_for_calls(client, 1)
            connection.close()
            wait_for_calls(client, 0)
            client.wait_until_idle()
        finally:
            release.set()
        assert client.complete(max_tokens=4).status == 200
        assert len(scored) <= 1, "the first one may have begun"
        assert client.complete(max_tokens=4, echo=True, logprobs=1).status == 200


def test_scores_wait_in_the_queue_of_all_and_not_beyond(model: Model) -> None:
    with running(model, {"max_batch": 1}, max_queue=3) as client:
        with ThreadPoolExecutor(4) as pool:
            with busy(client):
                waiting = [pool.submit(client.post, "/v1/score", SCORE) for _ in range(4)]
                wait_for_calls(client, 4)
                for reply in (client.post("/v1/score", SCORE), client.complete()):
                    assert reply.status == 429
                    assert reply.headers["retry-after"] == "1"
            assert [one.result().status for one in waiting] == [200] * 4
        assert client.complete(max_tokens=4).status == 200


def test_one_score_goes_between_two_rounds(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(model, {"max_batch": 1}) as client:
        assert client.get("/health").status == 200
        engine = client.host.engine
        done: list[str] = []
        step = engine.step
        monkeypatch.setattr(engine, "step", lambda: (done.append("round"), step()))
        with ThreadPoolExecutor(1) as pool:
            with busy(client):
                answer = pool.submit(client.complete, max_tokens=96, ignore_eos=True, temperature=2.0)
                client.wait_until(lambda gauges: gauges == (0, 1))
                for number in range(5):
                    client.host.send(Call(-1 - number, lambda _: done.append("score")))
            assert answer.result().status == 200
        scores = [i for i, name in enumerate(done) if name == "score"]
        assert len(scores) == 5
        assert all(b - a > 1 for a, b in pairwise(scores)), done


def test_who_has_a_grammar_compiled_makes_nobody_else_wait(model: Model) -> None:
    with running(model, {"max_batch": 2}) as client:
        release = threading.Event()
        client.server.served.compiling.submit(release.wait)
        try:
            with ThreadPoolExecutor(1) as pool:
                under = pool.submit(client.complete, max_tokens=8, structured_outputs={"choice": ["yes"]})
                assert client.complete(max_tokens=4).status == 200
                assert client.post("/tokenize", {"prompt": "A"}).status == 200
                assert not under.done()
                release.set()
                assert under.result().texts == ["yes"]
        finally:
            release.set()


class Remembering(ThreadPoolExecutor):
    """With what was submitted."""

    def __init__(self) -> None:
        super().__init__(1)
        self.futures: list[Future[Any]] = []

    def submit(self, *arguments: Any, **options: Any) -> Future[Any]:
        self.futures.append(super().submit(*arguments, **options))
        return self.futures[-1]


def test_grammars_of_clients_that_have_gone_are_not_compiled(model: Model) -> None:
    with running(model, {"max_batch": 2}) as client:
        release, end = threading.Event(), time.monotonic() + 20
        client.server.served.compiling = compiling = Remembering()
        compiling.submit(release.wait)
        try:
            body = {"prompt": "A", "structured_outputs": {"choice": ["gone"]}}
            asked = [(path, body | SCORE) for path in ("/v1/completions", "/v1/score") for _ in range(3)]
            connections = [sent(client, *each) for each in asked]
            while len(compiling.futures) < 7:
                assert time.monotonic() < end
                time.sleep(0.01)
            for connection in connections:
                connection.close()
            while not all(future.cancelled() for future in compiling.futures[1:]):
                assert time.monotonic() < end
                time.sleep(0.01)
        finally:
            release.set()
        assert client.complete(max_tokens=8, structured_outputs={"choice": ["here"]}).texts == ["here"]


@pytest.mark.parametrize(
    "grammar",
    [
        {"json": {"$ref": "#"}},
        {"json": {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(900)}}},
    ],
    ids=["nothing meets it", "too many members"],
)
def test_a_grammar_under_which_no_text_goes_on_is_the_clients_error(client: Client, grammar: Any) -> None:
    fields = {"structured_outputs": grammar, "max_tokens": 24, "temperature": 1.0}
    whole = client.complete(**fields)
    assert whole.status == 400
    assert "grammar" in whole.body["error"]["message"]
    streamed = client.complete(stream=True, **fields)
    assert streamed.status == 400 or streamed.events[-1]["error"]["code"] == 400
    assert client.complete(max_tokens=4).status == 200


def test_bodies_that_do_not_end_hold_so_much_and_no_more(model: Model) -> None:
    with running(model, {"max_batch": 1}, limits=Limits(bodies_bytes=20_000)) as client:
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 18000\r\n\r\n"
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as slow:
            slow.sendall(head + b" " * 17_000)
            end = time.monotonic() + 60
            large = {"max_tokens": 4, "user": "x" * 10_000}
            while (refused := client.complete(**large)).status != 429:
                assert time.monotonic() < end
            assert refused.headers["retry-after"] == "1"
            assert client.complete(max_tokens=4).status == 200, "small ones still come in"
        while client.complete(**large).status != 200:
            assert time.monotonic() < end


@pytest.mark.parametrize("path", ["/v1/completions", "/detokenize", "/v1/score"])
def test_lists_of_very_many_ids_are_refused_before_they_are_read(client: Client, path: str) -> None:
    ids = [1] * (MOST_IDS + 1)
    reply = client.post(path, {"prompt": ids, "tokens": ids, "response": "a"})
    assert reply.status == 400
    assert f"{MOST_IDS} are allowed" in reply.body["error"]["message"]


def test_while_large_bodies_are_read_others_are_answered(client: Client) -> None:
    """Reading one takes a second of a slow machine; the loop is not the one who does it."""
    raw = b'{"prompt":"a","max_tokens":2,"x":[' + b'{"a":1},' * 400_000 + b"1]}"
    with ThreadPoolExecutor(4) as pool:
        post = partial(client.ask, "POST", "/v1/completions", raw, {"content-type": "application/json"})
        large = [pool.submit(post) for _ in range(4)]
        answered = 0
        while not all(one.done() for one in large):
            assert client.get("/health").status == 200
            answered += 1
        assert answered > 2
        assert [one.result().status for one in large] == [200] * 4
