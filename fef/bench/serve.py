"""What the server costs beside the engine: tokens per second, time to the first text, gaps between texts.

    python -m fef.bench.serve --model demo --streams 16

starts `fef serve` as a process and asks it and an engine in this process the same requests in turn, so that what else the
machine does falls on both. With `--round-ms` both have an engine of that pace (`paced`) instead of a network.
Ratios and differences are of such pairs, with intervals of the pairs. The clients work on the same machine, so what the three
of them work is told, too: *core seconds*, of all threads of a process.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, fields
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from statistics import fmean, median
from threading import Thread
from typing import Any

import numpy as np

from fef.bench.letters import told_to_nobody
from fef.bench.paced import Pace, paced
from fef.bench.streams import Streamed, read_stream, streamed, unchunked
from fef.engine.text import TextEngine
from fef.errors import EngineError
from fef.files import write_whole
from fef.generation import load
from fef.measure.environment import environment
from fef.measure.intervals import mean_interval
from fef.measure.program import option, program, typed
from fef.measure.record import Record, RecordKind, record_json
from fef.measure.timing import Stopwatch
from fef.serve.hosts import keep_what_is_here

__all__ = ["Asking", "Load", "Measured", "measured", "quantile", "served", "started"]

SERVE: Sequence[str] = ("fef", "serve")  # the module of the server, and its command
SERVER_KIND = RecordKind("server", "python -m fef.bench.serve --json", facts=("model", "load", "measured"))


@dataclass(frozen=True)
class Load:
    """What is asked for. pairs: how often the server and the engine are asked in turn."""

    streams: int = 16
    requests: int = 48
    max_tokens: int = 64
    temperature: float = 0.7
    pairs: int = 6

    def body(self, number: int) -> dict[str, Any]:
        return {
            "prompt": f"Tom has {number % 9 + 2} apples and buys {number % 7 + 2} bags of {number % 5 + 3}. How many?",
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": number,
        }


@dataclass
class Measured:
    """Tokens per second of the server, of the engine, and of an engine whose letters nobody reads, pair by pair; seconds to
    the first text of a request alone, request by request; under the load all seconds to the first text of a stream and
    between two, and in which `/load` answered. Core seconds per token of the server, of its process of routes alone, of the
    clients and of the engine alone, and the share of the engine's time in which it waited for the device, alone and with
    letters, pair by pair."""

    server: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    letters: list[float] = field(default_factory=list)
    first_of_server: list[float] = field(default_factory=list)
    first_of_engine: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    server_work: list[float] = field(default_factory=list)
    routes_work: list[float] = field(default_factory=list)
    client_work: list[float] = field(default_factory=list)
    engine_work: list[float] = field(default_factory=list)
    engine_waited: list[float] = field(default_factory=list)
    letters_waited: list[float] = field(default_factory=list)

    def words(self) -> str:
        ratios = [a / b for a, b in zip(self.server, self.engine, strict=True)]
        added = [1e3 * (a - b) for a, b in zip(self.first_of_server, self.first_of_engine, strict=True)]
        lettered = [a / b for a, b in zip(self.letters, self.engine, strict=True)]
        worked = [
            1e3 * fmean(each or [math.nan])
            for each in (self.server_work, self.routes_work, self.client_work, self.engine_work)
        ]
        return "\n".join(
            [
                f"tokens/s: server {fmean(self.server):.0f}, engine {fmean(self.engine):.0f}; ratio {spread(ratios)}",
                f"engine with letters that nobody reads: ratio {spread(lettered)}; share of its time in which it waits for "
                f"the device: alone {fmean(self.engine_waited):.2f}, with letters {fmean(self.letters_waited):.2f}",
                f"ms to the first text, one client: server {1e3 * median(self.first_of_server):.1f}, engine "
                f"{1e3 * median(self.first_of_engine):.1f}; added {spread(added)}",
                f"ms under the load: to the first text {halves(self.firsts)}; between texts {halves(self.gaps)}; for /load "
                f"{halves(self.answered)}",
                "core ms per token: server {:.3f}, of which routes {:.3f}; clients {:.3f}; engine alone {:.3f}".format(
                    *worked
                ),
            ]
        )


def spread(values: Sequence[float]) -> str:
    low, high = mean_interval(values)
    return f"{fmean(values):.3f} (95 %: {low:.3f} to {high:.3f}, {len(values)} pairs)"


def halves(seconds: Sequence[float]) -> str:
    """The middle and the end of times, in ms."""
    return f"p50 {1e3 * median(seconds):.1f}, p99 {1e3 * quantile(seconds, 0.99):.1f}"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return float(np.quantile(values, share, method="inverted_cdf"))


@dataclass(frozen=True)
class Asking:
    """What clients ask a server for. process: that listens at the port."""

    port: int
    process: int

    def streamed(self, body: dict[str, Any]) -> Streamed:
        """Raises EngineError for any answer but a stream to its end."""
        [parts] = streamed(self.port, [body])
        return read_stream(unchunked(parts))

    def text(self, body: dict[str, Any]) -> str:
        """A whole answer. Raises EngineError for any other."""
        with self.answer("/v1/completions", body) as answer:
            return str(json.load(answer)["choices"][0]["text"])

    def load_seconds(self) -> float:
        watch = Stopwatch()
        with self.answer("/load") as answer:
            answer.read()
        return watch.seconds

    @contextmanager
    def answer(self, path: str, body: dict[str, Any] | None = None) -> Iterator[HTTPResponse]:
        """What a path answers, to a body if there is one. Raises EngineError for a refusal."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=300)) as connection:
            asked = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, asked, {"content-type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise EngineError(f"The server answered {answer.status}: {answer.read()[:200]!r}.")
            yield answer

    def core_seconds(self) -> tuple[float, float]:
        """What the process of the routes has worked, and that of the engine, which it started."""
        return core_seconds(self.process), sum(core_seconds(child) for child in children(self.process))


def measured(asking: Asking, engine: TextEngine, load: Load) -> Measured:
    """Ask both in turn; one round of each before anything is counted."""
    found = Measured()
    for pair in range(load.pairs + 1):
        through_server(asking, load, found if pair else Measured())
        through_engine(engine, load, found if pair else Measured())
        through_letters(engine, load, found if pair else Measured())
    for number in range(4 * load.pairs + 1):
        body = load.body(number)
        first = asking.streamed(body).first
        watch = Stopwatch()
        job = submitted(engine, body)
        job.result()
        assert job.job.first_token is not None
        if number:
            found.first_of_server.append(first)
            found.first_of_engine.append(job.job.first_token - watch.began)
    return found


def through_server(asking: Asking, load: Load, found: Measured) -> None:
    worked = asking.core_seconds()
    with ThreadPoolExecutor(1) as pool:
        watch = Stopwatch()
        bodies = [load.body(number) for number in range(load.requests)]
        answers = pool.submit(streamed, asking.port, bodies, load.streams)
        while not answers.done():
            found.answered.append(asking.load_seconds())
            wait([answers], timeout=0.25)
        seconds, client = watch.seconds, watch.core_seconds
    routes, engine = (after - before for after, before in zip(asking.core_seconds(), worked, strict=True))
    streams = [read_stream(unchunked(parts)) for parts in answers.result()]
    tokens = sum(stream.tokens for stream in streams)
    found.server.append(tokens / seconds)
    found.routes_work.append(routes / tokens)
    found.server_work.append((routes + engine) / tokens)
    found.client_work.append(client / tokens)
    found.firsts += [stream.first for stream in streams]
    found.gaps += [gap for stream in streams for gap in stream.gaps]


def through_engine(engine: TextEngine, load: Load, found: Measured) -> None:
    """All at once; the engine has as many seats as the server has streams."""
    waited, watch = engine.engine.waited, Stopwatch()
    jobs = [submitted(engine, load.body(number)) for number in range(load.requests)]
    engine.run()
    drawn = [job.result() for job in jobs]
    seconds, worked = watch.seconds, watch.core_seconds
    tokens = sum(len(one.token_ids) + (one.finish_reason == "stop") for one in drawn)
    found.engine.append(tokens / seconds)
    found.engine_work.append(worked / tokens)
    found.engine_waited.append((engine.engine.waited - waited) / seconds)


def through_letters(engine: TextEngine, load: Load, found: Measured) -> None:
    """The same requests, as the server's engine has them; clients cost nothing."""
    bodies = [load.body(number) for number in range(load.requests)]
    waited, watch = engine.engine.waited, Stopwatch()
    tokens = told_to_nobody(engine, [(body["prompt"], settings_of(body)) for body in bodies], load.streams)
    seconds = watch.seconds
    found.letters.append(tokens / seconds)
    found.letters_waited.append((engine.engine.waited - waited) / seconds)


def core_seconds(process: int) -> float:
    """What all threads of a process have worked (Linux); nan elsewhere."""
    told = stat_of(process)
    return sum(map(int, told[11:13])) / os.sysconf("SC_CLK_TCK") if told else math.nan


def children(process: int) -> list[int]:
    """Processes that a process has started (Linux); none elsewhere."""
    others = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [other for other in others if stat_of(other)[1:2] == [str(process)]]


def stat_of(process: int) -> list[str]:
    """What Linux tells of a process, from its state on; nothing of one that has ended, or elsewhere."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def submitted(engine: TextEngine, body: dict[str, Any]) -> Any:
    return engine.submit(body["prompt"], **settings_of(body))


def settings_of(body: dict[str, Any]) -> dict[str, Any]:
    """As `TextEngine.submit` has them."""
    return {"max_new_tokens": body["max_tokens"], "temperature": body["temperature"], "seed": body["seed"]}


@contextmanager
def served(arguments: Sequence[str], program: Sequence[str] = SERVE) -> Iterator[Asking]:
    """A server in a process of its own. Raises EngineError where it does not start."""
    with started([*arguments, "--port", "0"], " at http://", program) as [asking]:
        yield asking


@contextmanager
def started(arguments: Sequence[str], last: str, program: Sequence[str] = SERVE) -> Iterator[list[Asking]]:
    """`fef serve`, or another module, in a process of its own, and the addresses that it names up to the line that holds
    `last`. Raises EngineError where it does not start."""
    command = [sys.executable, "-m", *program, *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=os.environ)
    assert process.stderr is not None
    # what it says once it is ready is read, so that it never waits for a reader
    reader = Thread(target=deque, args=(process.stderr, 0), daemon=True)
    try:
        found, said = list[Asking](), ""
        while last not in said:
            line = process.stderr.readline()
            if not line:
                raise EngineError(f"The server did not start: {said.strip()}.")
            said = line
            if " at http://" in said:
                found.append(Asking(int(said.split("/v1")[0].rsplit(":", 1)[1]), process.pid))
        reader.start()
        yield found
    finally:
        process.terminate()
        process.wait(60)
        if reader.is_alive():
            reader.join(10)
        process.stderr.close()


@dataclass(frozen=True)
class Options(Load):
    """As on the command line."""

    model: str = "demo"
    device: str | None = None
    round_ms: float | None = option(None, "instead of what a network needs")
    round_tokens: int = option(Pace.round_tokens, "of each request, where rounds have a pace")
    json: Path | None = option(None, "also write all numbers to this file")


@program(Options, __doc__)
def main(given: Options) -> None:
    asked = Load(**{each.name: getattr(given, each.name) for each in fields(Load)})
    arguments = ["--model", given.model, "--max-batch", str(asked.streams)]
    arguments += [] if given.device is None else ["--device", given.device]
    engine, server = load(given.model, device=given.device).engine(max_batch=asked.streams), SERVE
    engine.engine.warm_up()  # as the server's
    if given.round_ms is not None:
        engine = paced(engine, Pace(given.round_ms, given.round_tokens))
        arguments += ["--round-ms", str(given.round_ms), "--round-tokens", str(given.round_tokens)]
        server = ("fef.bench.paced",)
    keep_what_is_here()
    with served(arguments, server) as asking:
        found = measured(asking, engine, asked)
    print(f"{given.model} on {engine.engine.device}, {asked}")
    print(found.words())
    if given.json is not None:
        setup = {"environment": environment(str(engine.engine.device))}
        facts = {"model": given.model, "load": asdict(asked), "measured": asdict(found)}
        record = Record(SERVER_KIND, typed("-m", "fef.bench.serve"), setup, facts, finished=True)
        write_whole(given.json, record_json(record))


if __name__ == "__main__":
    main()
