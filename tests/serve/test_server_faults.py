"""What fails in the server is a 500 that clients can read, and it goes on."""

from __future__ import annotations

from typing import Any

import pytest
from serving import running

from fef.generation import Model


def test_what_fails_is_a_500_with_the_headers_of_every_answer(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("a reason")

    monkeypatch.setattr(Model, "score_ids", broken)
    headers = {"authorization": "Bearer secret", "origin": "https://page.example", "x-request-id": "mine-8"}
    with running(model, {"max_batch": 2}, api_key="secret", cors=("https://page.example",)) as client:
        reply = client.post("/v1/score", {"prompt": "A", "response": "B", "max_tokens": 4}, **headers)
    assert reply.status == reply.body["error"]["code"] == 500
    assert b"a reason" not in reply.raw
    assert reply.headers["x-request-id"] == "mine-8"
    assert reply.headers["access-control-allow-origin"] == "https://page.example"


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_that_a_fault_keeps_out_is_a_500(model: Model, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no")

    with running(model, {"max_batch": 2}) as client:
        with monkeypatch.context() as patched:
            patched.setattr(client.host.engine, "submit", broken)
            reply = client.complete(stream=stream)
        assert reply.status == reply.body["error"]["code"] == 500
        assert "fault of the server" in reply.body["error"]["message"]
        assert client.complete(max_tokens=4).status == 200
