"""An engine in a process of its own: the answers of one beside the routes, and each process ends with the other."""

from __future__ import annotations

import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
from serving import QUESTION, Client, Reply, serving

from fef.bench.serve import children
from fef.errors import CheckpointError, EngineError
from fef.serve.process import EngineSpec, ProcessHost

COMPLETIONS: dict[str, dict[str, Any]] = {
    "whole": {},
    "streamed": {"stream": True, "temperature": 1.5},
    "of several passes": {"fef": {"method": "fef", "options": {"steps": 2}}, "stream": True},
    "several": {"n": 3, "temperature": 1.0, "logprobs": 2},
    "under a grammar": {"structured_outputs": {"regex": "[0-9]{2,5} apples"}, "max_tokens": 12},
    "stopped": {"stop": ["bags"], "top_p": 0.9, "temperature": 1.0, "stream": True},
    "between texts": {"suffix": " apples.", "logprobs": 0},
    "of a template": {
        "max_tokens": None,
        "fef": {"template": ["He has ", {"slots": 5, "regex": "[0-9]+"}, " apples", {"slots": 6}]},
    },
    "of a template under rules": {
        "max_tokens": None,
        "fef": {"template": ["Is it so? ", {"slots": 5, "grammar": 'start: "yes" | "no"'}]},
    },
    "with its prompt": {"echo": True, "logprobs": 1, "max_tokens": 4},
    "watched": {"stream": True, "fef": {"stream": "canvas"}, "max_tokens": 8},
    "refused": {"fef": {"method": "fef", "options": {"window": -1}}},
    "too long": {"max_tokens": 5000},
}
SCORES: dict[str, dict[str, Any]] = {
    "plain": {"response": "He has 30.", "top_logprobs": 3},
    "under a grammar": {"response": "30", "structured_outputs": {"regex": "[0-9]+"}},
    "refused": {"response": "30", "fef": {"method": "threshold"}},
}


@pytest.fixture(scope="module")
def apart() -> Iterator[Client]:
    with serving(ProcessHost(EngineSpec("demo", device="cpu", max_batch=4))) as client:
        yield client


# ids, and what depends on which rounds an engine found the fastest
APART = {"id", "created", "passes", "rounds", "drafted", "accepted"}


def told(reply: Reply) -> Any:
    """An answer; of a stream the whole text, what filled the canvas, and what came with the end."""
    if reply.status != 200 or not reply.raw.startswith(b"data: "):
        return reply.status, reply.body
    events = reply.events
    rounds = [event["fef"]["round"] for event in events if "round" in event.get("fef", {})]
    return (
        "".join(choice["text"] for event in events for choice in event["choices"]),
        sorted((one["at"], one["id"], one["text"]) for round_ in rounds for one in round_["filled"]),
        [event["fef"] for event in events if "certificate" in event.get("fef", {})],
    )


def same(one: Any, other: Any) -> bool:
    """Are they equal, but for what differs from answer to answer, and rounding?"""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one.keys() - APART)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return math.isclose(one, other, abs_tol=1e-4) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize("name", COMPLETIONS)
def test_it_answers_as_one_beside_the_routes(apart: Client, client: Client, name: str) -> None:
    one, other = (told(asked.complete(**COMPLETIONS[name])) for asked in (apart, client))
    assert same(one, other), (one, other)


def test_another_seed_is_another_answer(apart: Client, client: Client) -> None:
    asked = COMPLETIONS["streamed"]
    assert not same(told(apart.complete(**asked)), told(client.complete(**asked | {"seed": 2})))


@pytest.mark.parametrize("name", SCORES)
def test_it_scores_as_one_beside_the_routes(apart: Client, client: Client, name: str) -> None:
    body = {"prompt": QUESTION, "max_tokens": 16} | SCORES[name]
    one, other = (told(asked.post("/v1/score", body)) for asked in (apart, client))
    assert same(one, other), (one, other)


def test_who_hangs_up_frees_the_seat_there(apart: Client) -> None:
    body = {"prompt": QUESTION, "max_tokens": 128, "n": 8, "stream": True, "temperature": 2.0, "ignore_eos": True}
    with closing(apart.connect()) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        apart.wait_until(lambda gauges: gauges == (4, 4))
        assert apart.get("/load").body == {"server_load": 8}
    apart.wait_until_idle()
    assert apart.complete(max_tokens=4).status == 200


def test_an_engine_that_is_killed_ends_the_server(apart: Client) -> None:
    """The last test of this server."""
    host = apart.server.served.host
    assert isinstance(host, ProcessHost)
    body = {"prompt": QUESTION, "max_tokens": 128, "n": 4, "stream": True, "temperature": 2.0, "ignore_eos": True}
    with closing(apart.connect()) as connection:
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.read(6) == b"data: "
        host.process.kill()
        *_, error, done = [line for line in answer.read().split(b"\n") if line]
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == 503
    assert done == b"data: [DONE]"
    assert apart.server.served.backend.lost
    assert apart.server.should_exit
    assert apart.server.served.backend.tickets == {}


def test_what_keeps_an_engine_from_starting_is_said() -> None:
    with pytest.raises(CheckpointError, match="no-such-model"):
        ProcessHost(EngineSpec("./no-such-model", device="cpu"))


def test_an_engine_that_ends_before_it_is_ready_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(EngineError, match="ended with 1 before it was ready"):
        ProcessHost(EngineSpec("demo", device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("under_way", [False, True])
@pytest.mark.parametrize("killed", ["routes", "engine"])
def test_each_process_ends_with_the_other(killed: str, under_way: bool) -> None:
    """Of the command, by a signal that nobody can answer."""
    command = [sys.executable, "-m", "fef", "serve", "--port", "0", "--device", "cpu", "--max-batch", "2"]
    routes = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert routes.stderr is not None
    try:
        port = int(routes.stderr.readline().split("/v1")[0].rsplit(":", 1)[1])
        [engine] = children(routes.pid)
        with (
            os.fdopen(os.pidfd_open(engine), "rb", buffering=0) as its_end,
            closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection,
        ):
            if under_way:
                body = json.dumps({"prompt": QUESTION, "max_tokens": 96, "n": 8, "stream": True, "temperature": 2.0})
                connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
                assert connection.getresponse().read(6) == b"data: "
            os.kill(routes.pid if killed == "routes" else engine, signal.SIGKILL)
            began = time.monotonic()
            assert select.select([its_end], [], [], 10) == ([its_end], [], []), "the engine is gone"
            assert routes.wait(10) == (-signal.SIGKILL if killed == "routes" else 1)
            assert time.monotonic() - began < 10
    finally:
        routes.kill()
        routes.wait(10)
        routes.stderr.close()
