"""What the server costs beside the engine: tokens per second, time to the first text, gaps between texts.

    python -m fef.bench.serve --model demo --streams 16

starts `fef serve` as a process and asks it and an engine in this process the same requests in turn, so that what else the
machine does falls on both. With `--round-ms` both have an engine of that pace (`paced`) instead of a network.
Ratios and differences are of such pairs, with intervals of the pairs. The clients work on the same machine, so what the three
of them work is told, too: *core seconds*, of all threads of a process.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import sub, truediv
from pathlib import Path
from statistics import fmean
from threading import Thread
from typing import Any
from urllib.request import urlopen

import numpy as np
from rich.console import Console

from fef.bench.letters import told_to_nobody
from fef.bench.paced import paced
from fef.bench.streams import Streamed, read_stream, streamed
from fef.engine.text import TextEngine
from fef.errors import EngineError
from fef.generation import load
from fef.measure.intervals import mean_interval
from fef.measure.program import option, program
from fef.measure.table import Sheet, interval_words, sheet_of, terminal
from fef.measure.timing import Stopwatch
from fef.serve.hosts import keep_what_is_here

__all__ = ["Asking", "Load", "Samples", "measured", "served", "started"]

SERVE: Sequence[str] = ("fef", "serve")  # the module of the server, and its command


@dataclass(frozen=True)
class Load:
    """What is asked for, as on the command line."""

    model: str = "demo"
    device: str | None = None
    streams: int = 16
    requests: int = 48
    max_tokens: int = 64
    temperature: float = 0.7
    pairs: int = option(6, "how often the server and the engine are asked in turn")
    round_ms: float | None = option(None, "instead of what a network needs")

    def prompt(self, number: int) -> str:
        return f"Tom has {number % 9 + 2} apples and buys {number % 7 + 2} bags of {number % 5 + 3}. How many?"

    def body(self, number: int) -> dict[str, Any]:
        """As the server has it; in an engine, `asked` with the number as the seed."""
        asked = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        return {"prompt": self.prompt(number), "seed": number} | asked

    @property
    def asked(self) -> dict[str, Any]:
        return {"max_new_tokens": self.max_tokens, "temperature": self.temperature}


class Samples(defaultdict[str, list[float]]):
    """What was measured, pair by pair or request by request, by its name; names end in the unit."""

    def __init__(self) -> None:
        super().__init__(list)

    def sheet(self) -> Sheet:
        """Of all of it, and of what compares two of a pair, with intervals of the pairs."""
        pairs = {
            "tokens/s, server over engine": map(truediv, self[SERVER_RATE], self[ENGINE_RATE]),
            "tokens/s, engine with letters over engine": map(truediv, self[LETTERS_RATE], self[ENGINE_RATE]),
            "first text, added by the server, ms": map(sub, self[SERVER_FIRST], self[ENGINE_FIRST]),
        }
        rows = [(name, [*values], True) for name, values in pairs.items()]
        rows += [(name, values, False) for name, values in self.items()]
        return sheet_of([row for row in rows if row[1]], COLUMNS, words=["measured"])


SERVER_RATE, ENGINE_RATE, LETTERS_RATE = (f"{what}, tokens/s" for what in ("server", "engine", "engine with letters"))
SERVER_FIRST, ENGINE_FIRST = (f"{what}, first text of one client, ms" for what in ("server", "engine"))
COLUMNS: Mapping[str, Callable[[tuple[str, list[float], bool]], str]] = {
    "measured": lambda row: row[0],
    "mean (95 %)": lambda row: (
        interval_words(fmean(row[1]), *mean_interval(row[1]), ".3f") if row[2] else f"{fmean(row[1]):.3f}"
    ),
    "p50": lambda row: f"{np.quantile(row[1], 0.5, method='inverted_cdf'):.3f}",
    "p99": lambda row: f"{np.quantile(row[1], 0.99, method='inverted_cdf'):.3f}",
    "samples": lambda row: str(len(row[1])),
}


@dataclass(frozen=True)
class Asking:
    """What clients ask a server for. process: that listens at the port."""

    port: int
    process: int

    def streamed(self, body: dict[str, Any]) -> Streamed:
        """Raises EngineError for any answer but a stream to its end."""
        [parts] = streamed(self.port, [body])
        return read_stream(parts)

    def load_seconds(self) -> float:
        """In which `/load` answers. Raises OSError for a refusal."""
        watch = Stopwatch()
        with urlopen(f"http://127.0.0.1:{self.port}/load", timeout=300) as answer:
            answer.read()
        return watch.seconds

    def core_seconds(self) -> tuple[float, float]:
        """What the process of the routes has worked, and that of the engine, which it started."""
        return core_seconds(self.process), sum(core_seconds(child) for child in children(self.process))


def measured(asking: Asking, engine: TextEngine, load: Load) -> Samples:
    """Ask both in turn; one round of each before anything is counted."""
    bodies = [load.body(number) for number in range(load.requests)]
    prompts = [load.prompt(number) for number in range(load.requests)]

    def at_once() -> int:
        """All requests; the engine has as many seats as the server has streams."""
        outs = engine.generate(prompts, **load.asked)
        return sum(len(out.token_ids) + (out.finish_reason == "stop") for out in outs)

    lettered = partial(told_to_nobody, engine, prompts, load.asked, load.streams)
    found = Samples()
    for pair in range(load.pairs + 1):
        into = found if pair else Samples()
        through_server(asking, bodies, load.streams, into)
        in_engine(engine, "engine", at_once, into)
        in_engine(engine, "engine with letters", lettered, into)
    for number in range(4 * load.pairs + 1):
        first = asking.streamed(load.body(number)).first
        watch = Stopwatch()
        job = engine.submit(load.prompt(number), seed=number, **load.asked)
        job.result()
        assert job.job.first_token is not None
        if number:
            found[SERVER_FIRST].append(1e3 * first)
            found[ENGINE_FIRST].append(1e3 * (job.job.first_token - watch.began))
    return found


def through_server(asking: Asking, bodies: Sequence[dict[str, Any]], streams: int, found: Samples) -> None:
    worked = asking.core_seconds()
    with ThreadPoolExecutor(1) as pool:
        watch = Stopwatch()
        answers = pool.submit(streamed, asking.port, bodies, streams)
        while not answers.done():
            found["/load under the load, ms"].append(1e3 * asking.load_seconds())
            wait([answers], timeout=0.25)
        seconds, client = watch.seconds, watch.core_seconds
    routes, engine = (after - before for after, before in zip(asking.core_seconds(), worked, strict=True))
    read = [read_stream(parts) for parts in answers.result()]
    tokens = sum(stream.tokens for stream in read)
    found[SERVER_RATE].append(tokens / seconds)
    for what, spent in {"server": routes + engine, "its routes": routes, "clients": client}.items():
        found[f"{what}, core ms per token"].append(1e3 * spent / tokens)
    found["first text under the load, ms"] += [1e3 * stream.first for stream in read]
    found["between texts, ms"] += [1e3 * gap for stream in read for gap in stream.gaps]


def in_engine(engine: TextEngine, what: str, work: Callable[[], int], found: Samples) -> None:
    """The same requests in this process. work: gives the tokens that were drawn."""
    waited, watch = engine.engine.waited, Stopwatch()
    tokens = work()
    seconds, worked = watch.seconds, watch.core_seconds
    found[f"{what}, tokens/s"].append(tokens / seconds)
    found[f"{what}, core ms per token"].append(1e3 * worked / tokens)
    found[f"{what}, share of its time in which it waits for the device"].append(
        (engine.engine.waited - waited) / seconds
    )


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


@contextmanager
def served(arguments: Sequence[str], program: Sequence[str] = SERVE) -> Iterator[Asking]:
    """A server in a process of its own. Raises EngineError where it does not start."""
    with started([*arguments, "--port", "0"], " at http://", program) as [asking]:
        yield asking


@contextmanager
def started(arguments: Sequence[str], last: str, program: Sequence[str] = SERVE) -> Iterator[list[Asking]]:
    """`fef serve`, or another module, in a process of its own, and the addresses that it names up to the line that holds
    `last`. Raises EngineError where it does not start."""
    command, found, said = [sys.executable, "-m", *program, *arguments], list[Asking](), ""
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        # what it says once it is ready is read, so that it never waits for a reader
        reader = Thread(target=deque, args=(process.stderr, 0), daemon=True)
        try:
            while last not in said:
                if not (line := process.stderr.readline()):
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


@program(Load, __doc__)
def main(given: Load) -> None:
    arguments = ["--model", given.model, "--max-batch", str(given.streams)]
    arguments += [] if given.device is None else ["--device", given.device]
    engine, server = load(given.model, device=given.device).engine(max_batch=given.streams), SERVE
    engine.engine.warm_up()  # as the server's
    if given.round_ms is not None:
        engine = paced(engine, given.round_ms)
        arguments += ["--round-ms", str(given.round_ms)]
        server = ("fef.bench.paced",)
    keep_what_is_here()
    with served(arguments, server) as asking:
        found = measured(asking, engine, given)
    print(f"{given.model} on {engine.engine.device}: {given}")
    Console(width=160).print(terminal(found.sheet()))


if __name__ == "__main__":
    main()
