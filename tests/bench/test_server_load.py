"""The measurement of the server: its figures are those of the times that it saw."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from threading import Thread

import pytest

import fef
from fef.bench.letters import told_to_nobody
from fef.bench.paced import paced
from fef.bench.serve import Load, Samples, children, core_seconds, measured, served
from fef.bench.streams import read_stream, streamed
from fef.errors import EngineError, FefError
from fef.generation import Model
from fef.measure.intervals import mean_interval


def test_intervals_hold_the_mean_and_shrink() -> None:
    low, high = mean_interval([1.0, 2.0, 3.0, 4.0])
    assert 1.0 < low < 2.5 < high < 4.0
    few, many = mean_interval([0.9, 1.1] * 3), mean_interval([0.9, 1.1] * 300)
    assert many[1] - many[0] < few[1] - few[0]
    assert mean_interval([2.0] * 5) == (2.0, 2.0)


def test_the_table_tells_ratio_and_difference_of_pairs_with_intervals() -> None:
    found = Samples()
    found["server, tokens/s"] += [90.0, 92.0]
    found["engine, tokens/s"] += [100.0, 100.0]
    found["engine with letters, tokens/s"] += [99.0, 98.0]
    found["server, first text of one client, ms"] += [12.0, 13.0]
    found["engine, first text of one client, ms"] += [10.0, 11.0]
    found["between texts, ms"] += [100.0, 200.0]
    sheet = found.sheet()
    lines = {line[0]: list(line[1:]) for line in sheet.lines}
    assert lines["tokens/s, server over engine"] == ["0.910 (0.900 to 0.920)", "0.900", "0.920", "2"]
    assert lines["tokens/s, engine with letters over engine"][0].startswith("0.985 (")
    assert lines["first text, added by the server, ms"][0] == "2.000 (2.000 to 2.000)"
    assert lines["between texts, ms"] == ["150.000", "100.000", "200.000", "2"]


def test_what_a_process_works_is_seen() -> None:
    before, began = core_seconds(os.getpid()), time.process_time()
    while time.process_time() < began + 0.1:
        sum(range(1000))
    worked = core_seconds(os.getpid()) - before
    assert math.isnan(worked) or 0.05 < worked < 0.5


def test_children_of_a_process_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = children(os.getpid())
        child.communicate(b"\n")
    assert child.pid in found or math.isnan(core_seconds(os.getpid()))
    assert child.pid not in children(os.getpid())


def test_a_stream_is_read_event_by_event_however_it_was_cut() -> None:
    events = [{"choices": [{"text": text}]} for text in ("Tom ", "", "has é")] + [{"usage": {"completion_tokens": 3}}]
    raw = b"".join(b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n" for event in events)
    raw += b"data: [DONE]\n\n"
    for size in (1, 7, len(raw)):
        parts = [(float(at), raw[at : at + size]) for at in range(0, len(raw), size)]
        found = read_stream(parts)
        assert (found.text, found.tokens, len(found.gaps)) == ("Tom has é", 3, 1)
        assert found.first <= len(raw)
    with pytest.raises(EngineError, match="broke off"):
        read_stream([(0.0, raw[:-8])])


class Chunks(BaseHTTPRequestHandler):
    """Answers in chunks; refuses a request of the seed 1, and breaks off behind the chunks of one of the seed 2."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["seed"] == 1:
            self.send_error(429, "slow down")
            return
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for part in PARTS:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.flush()
            time.sleep(0.02)
        if asked["seed"] == 2:
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


PARTS = [b"data: a\r\n0\r\n\r\n", b"x" * 300, b"data: [DONE]\n\n"]


@pytest.fixture
def chunks() -> Iterator[int]:
    """The port of a server of `Chunks`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Chunks) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_every_chunk_of_an_answer_is_kept_with_its_time(chunks: int) -> None:
    answers = streamed(chunks, [{"seed": 0}] * 5, streams=2)
    for found in answers:
        assert [part for _, part in found] == PARTS
        assert all(first < second for (first, _), (second, _) in pairwise(found))
    assert len(answers) == 5


def test_a_refusal_and_an_answer_that_breaks_off_are_told(chunks: int) -> None:
    with pytest.raises(EngineError, match=r"refused a stream: 429, .*slow down"):
        streamed(chunks, [{"seed": 1}])
    with pytest.raises(EngineError, match="broke off after 3 parts"):
        streamed(chunks, [{"seed": 2}])


@pytest.mark.slow
def test_a_server_that_does_not_start_is_said() -> None:
    with pytest.raises(EngineError, match="did not start"), served(["--model", "/no/such/model"]):
        pass


@pytest.mark.slow
def test_both_are_asked_the_same() -> None:
    load = Load(streams=2, requests=4, max_tokens=12, pairs=2)
    engine = fef.load("demo", device="cpu").engine(max_batch=2)
    with served(["--model", "demo", "--device", "cpu", "--max-batch", "2"]) as asking:
        found = measured(asking, engine, load)
        body = load.body(3)
        alone = fef.load("demo", device="cpu").generate(body["prompt"], max_new_tokens=12, temperature=0.7, seed=3)
        assert asking.streamed(body).tokens == len(alone.token_ids) + (alone.finish_reason == "stop")
    counts = {name: len(values) for name, values in found.items()}
    assert counts.pop("between texts, ms") and counts.pop("/load under the load, ms")
    assert {name for name, count in counts.items() if count == 8} == {
        *("server, first text of one client, ms", "engine, first text of one client, ms"),
        "first text under the load, ms",
    }
    assert {count for count in counts.values() if count != 8} == {2} and len(counts) == 13
    assert all(min(found[f"{what}, tokens/s"]) > 0 for what in ("server", "engine", "engine with letters"))


def test_rounds_take_the_time_and_commit_the_tokens_of_their_pace(tiny_model: Model) -> None:
    engine = paced(tiny_model.engine(max_batch=2), round_ms=2.0)
    began = time.perf_counter()
    jobs = [engine.submit("a", max_new_tokens=12, seed=seed) for seed in (0, 2, 0)]
    engine.run()
    seconds = time.perf_counter() - began
    whole, shorter, last = (job.result() for job in jobs)
    assert [len(one.token_ids) for one in (whole, shorter, last)] == [12, 9, 12]
    assert [one.finish_reason for one in (whole, shorter, last)] == ["length", "stop", "length"]
    assert whole.text == last.text and whole.text.startswith(shorter.text)
    # the third has a seat behind the fourth round: eight in all
    assert seconds >= 8 * 0.002 and engine.engine.waited <= seconds


def test_an_engine_whose_letters_nobody_reads_draws_what_it_draws_alone(tiny_model: Model) -> None:
    asked = {"max_new_tokens": 8, "temperature": 0.7}
    engine = tiny_model.engine(max_batch=2)
    drawn = [engine.submit("a b", seed=seed, **asked).result() for seed in range(5)]
    tokens = sum(len(one.token_ids) + (one.finish_reason == "stop") for one in drawn)
    assert told_to_nobody(engine, ["a b"] * 5, asked, streams=2) == tokens
    with pytest.raises(FefError, match="max_new_tokens is 1000000"):
        told_to_nobody(engine, ["a"], {"max_new_tokens": 10**6}, streams=2)
