"""State, keys, hang-ups and the end of a server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from typing import Any

import pytest
from serving import QUESTION, Client, Reply, running

import fef
from fef.generation import Model
from fef.serve.letters import Times


def test_the_model_and_the_version_are_told(client: Client) -> None:
    (card,) = client.get("/v1/models").body["data"]
    assert card["id"] == "demo"
    assert card["max_model_len"] == 256
    assert client.get("/v1/models/demo").body == card
    assert client.get("/version").body == {"version": fef.__version__}
    assert client.get("/health").status == 200
    assert client.get("/load").body == {"server_load": 0}


def test_text_becomes_tokens_and_tokens_text(client: Client, model: Model) -> None:
    told = client.post("/tokenize", {"prompt": QUESTION}).body
    assert told["tokens"] == model.prompt_ids(QUESTION)
    assert told["count"] == len(told["tokens"])
    assert client.post("/detokenize", {"tokens": told["tokens"]}).body == {"prompt": QUESTION}
    messages = [{"role": "user", "content": QUESTION}]
    assert client.post("/tokenize", {"messages": messages}).body["tokens"] == told["tokens"]
    assert client.get("/tokenizer_info").body["chat_template"]
    assert client.post("/detokenize", {"tokens": ["a"]}).status == 400


def test_metrics_count_what_was_done(client: Client) -> None:
    def read() -> dict[str, float]:
        lines = client.get("/metrics").raw.decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    before = read()
    usage = client.complete(n=2, stream=True, stream_options={"include_usage": True}).events[-1]["usage"]
    after = read()
    more = {name: after[name] - before.get(name, 0.0) for name in after}
    assert more['fef:generation_tokens_total{model_name="demo"}'] == usage["completion_tokens"]
    assert more['fef:time_to_first_token_seconds_count{model_name="demo"}'] == 2
    assert more['fef:request_params_n_sum{model_name="demo"}'] == 2
    assert more['fef:inter_token_latency_seconds_count{model_name="demo"}'] >= 2
    for name in NAMES:
        assert any(line.startswith(f"fef:{name}") for line in after), name
    times = {name: more[f'fef:request_{name}_time_seconds_sum{{model_name="demo"}}'] for name in TIMES}
    assert times["inference"] == pytest.approx(times["prefill"] + times["decode"])
    assert (
        0 < times["inference"] + times["queue"] <= more['fef:e2e_request_latency_seconds_sum{model_name="demo"}'] + 0.1
    )
    assert more['fef:iteration_tokens_total_sum{model_name="demo"}'] == usage["completion_tokens"]


def test_the_times_of_a_template_are_those_of_all_its_spans(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[Times, float]] = []
    monkeypatch.setattr(client.server.served.metrics, "times", lambda times, now: told.append((times, now)))
    own = {"template": ["He has ", {"slots": 60}, " and ", {"slots": 1}]}
    asked = time.perf_counter()
    assert client.complete(max_tokens=None, temperature=2.0, ignore_eos=True, fef=own).status == 200
    [(times, end)] = told
    assert times.began - asked < 0.5 * (end - asked)


TIMES = ["queue", "prefill", "decode", "inference"]
NAMES = [
    *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "cache_config_info"),
    *("prompt_tokens_total", "generation_tokens_total", "iteration_tokens_total", "request_success_total"),
    *("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"),
    *(f"request_{name}_time_seconds" for name in TIMES),
    *("request_prompt_tokens", "request_generation_tokens", "request_params_n", "request_params_max_tokens"),
    "request_num_preemptions",
]


def test_another_prefix_is_for_boards_that_read_it(model: Model) -> None:
    with running(model, {"max_batch": 1}, metrics_prefix="vllm") as client:
        client.complete(max_tokens=2)
        lines = [line for line in client.get("/metrics").raw.decode().splitlines() if line[0] != "#"]
    assert all(line.startswith("vllm:") for line in lines)
    assert all(any(line.startswith(f"vllm:{name}") for line in lines) for name in NAMES)


def test_the_id_of_a_request_comes_back(client: Client) -> None:
    assert client.get("/health", **{"x-request-id": "mine-7"}).headers["x-request-id"] == "mine-7"
    assert "x-request-id" not in client.get("/health").headers


@pytest.fixture(scope="module")
def guarded(model: Model) -> Iterator[Client]:
    with running(model, {"max_batch": 2}, api_key="secret", cors=("https://page.example",)) as client:
        yield client


PATHS = [
    "/v1/models",
    "/v1/models/",
    "/v1/completions",
    "/v1/completions/",
    "/metrics",
    "/tokenize",
    "/version",
    "/playground",
    "/load",
    "/health/",
    "/tokenizer_info",
    "/detokenize",
    "/v1/score",
    "/v1/methods",
    "/v1/chat/completions",
    "//v1/models",
]


@pytest.mark.parametrize("path", PATHS)
def test_without_the_key_nothing_is_told(guarded: Client, path: str) -> None:
    for headers in ({}, {"authorization": "Bearer secre"}, {"authorization": "secret"}, {"authorization": "Bearer é"}):
        for method in ("GET", "POST", "OPTIONS"):
            reply = guarded.ask(method, path, b"{}", {k: v.encode("latin-1") for k, v in headers.items()})  # type: ignore[misc]
            assert reply.status == 401
            assert reply.body["error"]["type"] == "AuthenticationError"
            assert b"secret" not in reply.raw


def test_with_the_key_it_answers_and_its_health_needs_none(guarded: Client) -> None:
    assert guarded.get("/v1/models", authorization="Bearer secret").status == 200
    assert guarded.get("/health").status == 200


def test_a_page_may_ask_before_it_has_the_key(guarded: Client) -> None:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    reply = guarded.ask("OPTIONS", "/v1/completions", headers=asked)
    assert reply.status == 200
    assert reply.headers["access-control-allow-origin"] == "https://page.example"
    other = guarded.ask("OPTIONS", "/v1/completions", headers=asked | {"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


@contextmanager
def connected(client: Client, count: int) -> Iterator[list[HTTPConnection]]:
    """Connections that hang up at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(client.connect())) for _ in range(count)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("method", [{}, {"method": "fef", "options": {"steps": 8}}])
def test_who_hangs_up_frees_the_seat(client: Client, stream: bool, method: dict[str, Any]) -> None:
    """In the middle of a stream, and where nothing would be sent before the end."""
    fields = {"prompt": QUESTION, "max_tokens": 128, "n": 4, "stream": stream, "fef": method, "temperature": 1.0}
    body = json.dumps(fields).encode()
    with connected(client, 8) as connections:
        for connection in connections:
            connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        client.wait_until(lambda gauges: sum(gauges) > 0)
    assert client.complete(max_tokens=4).status == 200
    client.wait_until_idle()


def test_after_two_hundred_that_hang_up_one_is_answered(client: Client) -> None:
    with connected(client, 200) as connections:
        for n, connection in enumerate(connections):
            fields = {"prompt": QUESTION, "max_tokens": 128, "stream": n % 2 == 0, "temperature": 2.0}
            connection.request("POST", "/v1/completions", json.dumps(fields), {"content-type": "application/json"})
        client.wait_until(lambda gauges: gauges[0] == 16)
    assert client.complete(max_tokens=8).status == 200
    client.wait_until_idle()


@pytest.mark.slow
def test_after_two_hundred_that_give_up_in_half_a_second_one_is_answered_in_five(client: Client) -> None:
    """On a machine that has time: by the clock."""
    with ThreadPoolExecutor(200) as pool:

        def gives_up(n: int) -> None:
            fields = {
                "prompt": QUESTION,
                "max_tokens": 128,
                "stream": n % 2 == 0,
                "temperature": 2.0,
                "ignore_eos": True,
            }
            with closing(client.connect(timeout=0.5)) as connection, suppress(OSError):
                connection.request("POST", "/v1/completions", json.dumps(fields), {"content-type": "application/json"})
                connection.getresponse().read()

        list(pool.map(gives_up, range(200)))
    began = time.perf_counter()
    assert client.complete(max_tokens=8).status == 200
    assert time.perf_counter() - began < 5
    client.wait_until_idle()


def test_a_slow_reader_does_not_hold_up_others(client: Client) -> None:
    body = json.dumps({"prompt": QUESTION, "n": 8, "stream": True, "max_tokens": 64}).encode()
    with connected(client, 1) as (slow,):
        slow.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        for _ in range(3):
            assert client.complete(max_tokens=8).status == 200
        client.wait_until_idle()
        assert slow.getresponse().read().endswith(b"data: [DONE]\n\n")


def test_nobody_waits_for_a_round(client: Client) -> None:
    """A round holds the engine; who asks meanwhile is taken at once, and the event loop answers others."""
    with ThreadPoolExecutor(2) as pool:
        with client.host.engine.lock:  # as a round that takes long
            asked = [pool.submit(client.complete, max_tokens=4) for _ in range(2)]
            client.wait_until(lambda gauges: gauges == (0, 2))
            assert client.get("/health").status == 200
            assert not any(one.done() for one in asked)
        assert [one.result().status for one in asked] == [200, 200]


def test_an_engine_that_is_lost_ends_the_server(model: Model) -> None:
    with running(model, {"max_batch": 2}) as client:
        engine = client.host.engine
        assert engine.packed is not None

        def broken(_: bool) -> None:
            time.sleep(0.5)
            raise RuntimeError("CUDA error: an illegal memory access")

        def score() -> Reply:
            return client.post("/v1/score", {"prompt": QUESTION, "response": "30"})

        engine.packed.step = broken  # type: ignore[method-assign]
        with ThreadPoolExecutor(3) as pool:
            first = pool.submit(client.complete)
            time.sleep(0.2)
            replies = [first, pool.submit(client.complete), pool.submit(score)]
            for reply in replies:  # the first is in the engine, the others wait for the round
                assert reply.result(60).status == 503
                assert "The device cpu failed" in reply.result().body["error"]["message"]
        assert client.server.served.backend.lost
        assert client.server.should_exit


def test_an_error_behind_the_first_text_is_an_event(model: Model) -> None:
    with running(model, {"max_batch": 1}) as client:
        packed = client.host.engine.packed
        assert packed is not None
        step, rounds = packed.step, iter(range(10**6))

        def breaks_down(wait: bool) -> None:
            if next(rounds) == 4:
                raise RuntimeError("CUDA error: an illegal memory access")
            step(wait)

        packed.step = breaks_down  # type: ignore[method-assign]
        *before, last = client.complete(stream=True, max_tokens=96, temperature=2.0).events
        assert "".join(choice["text"] for event in before for choice in event["choices"])
        assert set(last) == {"error"} and last["error"]["code"] == 503


def test_health_is_503_once_the_engine_is_lost(model: Model) -> None:
    with running(model, {"max_batch": 2}) as client:
        client.server.served.backend.lost = True
        assert client.get("/health").status == 503
        assert client.complete().status == 503


def started(*arguments: str) -> tuple[subprocess.Popen[str], int]:
    """The command in a process of its own, and its port."""
    command = [sys.executable, "-m", "fef", "serve", "--port", "0", "--max-batch", "2", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    ready, law = process.stderr.readline(), process.stderr.readline()
    assert ready.startswith("demo at http://127.0.0.1:")
    assert "weights" in ready
    assert law.startswith("law: ")
    return process, int(ready.split("/v1")[0].rsplit(":", 1)[1])


def test_without_patience_it_ends_at_once() -> None:
    process, port = started("--drain-seconds", "0")
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        try:
            body = json.dumps({"prompt": QUESTION, "max_tokens": 96, "n": 8, "stream": True, "temperature": 2.0})
            connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
            answer = connection.getresponse()
            assert answer.read(6) == b"data: "
            os.kill(process.pid, signal.SIGTERM)
            assert given_up(b"data: " + answer.read())
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            end_silently(process)


def given_up(stream: bytes) -> bool:
    """Does a stream end with an event that says so?"""
    last = Reply(200, {}, stream).events[-1]
    return "error" in last and last["error"]["code"] == 503


def end_silently(process: subprocess.Popen[str]) -> None:
    """It has said nothing of requests that it gave up."""
    process.kill()
    process.wait(60)
    assert process.stderr is not None
    with process.stderr as said:
        assert "Traceback" not in said.read()


@pytest.mark.parametrize("signals", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_signal_lets_it_finish_and_a_second_one_does_not(signals: int) -> None:
    process, port = started()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = json.dumps({"prompt": QUESTION, "max_tokens": 96, "n": 4, "stream": True, "temperature": 2.0}).encode()
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.read(6) == b"data: "
        for _ in range(signals):
            os.kill(process.pid, signal.SIGTERM)
            time.sleep(0.1)
        assert given_up(b"data: " + answer.read()) == (signals == 2)
        assert process.wait(60) in (0, -signal.SIGTERM)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    finally:
        answer.close()
        connection.close()
        end_silently(process)


def test_whoever_waits_is_told_when_patience_ends_and_nobody_is_waited_for(model: Model) -> None:
    score = {"prompt": QUESTION, "response": "30", "max_tokens": 128}
    with running(model, {"max_batch": 1}) as client, ThreadPoolExecutor(3) as pool:
        server = client.server
        step = client.host.engine.step
        client.host.engine.step = lambda: (time.sleep(0.3), step())  # type: ignore[method-assign, assignment]
        with socket.create_connection(("127.0.0.1", client.port)) as silent:
            silent.sendall(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n")
            asked = [pool.submit(client.complete) for _ in range(2)]
            client.wait_until(lambda gauges: sum(gauges) == 2)
            asked.append(pool.submit(client.post, "/v1/score", score))
            time.sleep(0.1)
            server.end()
            server.patient = False
            replies = [reply.result(10) for reply in asked]
            assert [reply.status for reply in replies] == [503] * 3
            assert {reply.body["error"]["message"] for reply in replies} == {
                "The server ended before this was finished; ask again."
            }
            assert silent.recv(1) == b""


def test_what_is_new_is_refused_while_it_ends(model: Model) -> None:
    with running(model, {"max_batch": 2}) as client, connected(client, 1) as (connection,):
        body = {"prompt": QUESTION, "max_tokens": 128, "stream": True, "ignore_eos": True, "temperature": 1.0}
        connection.request("POST", "/v1/completions", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        assert answer.read(6) == b"data: "
        client.server.served.draining = True
        refused = [client.complete(), client.post("/v1/score", {"prompt": "A", "response": "b"}), client.get("/health")]
        assert [reply.status for reply in refused] == [503, 503, 503]
        assert refused[0].headers["retry-after"] == "1"
        assert answer.read().endswith(b"data: [DONE]\n\n")
        client.server.served.draining = False


def test_without_the_extra_the_command_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from fef.cli import main; sys.argv = ['fef', 'serve']; import fef; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "pip install 'fef[serve]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_refused_in_a_sentence(client: Client) -> None:
    command = [sys.executable, "-m", "fef", "serve", "--port", str(client.port)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "Give another --port" in done.stderr
