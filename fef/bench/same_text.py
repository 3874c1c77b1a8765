"""Is the text of a request the same whoever answers it, and beside whom?

    python -m fef.bench.same_text --model demo --requests 200

asks a server each request alone, and then the same requests among 64 others, streamed, after a restart, of each of two
replicas, and through the router before them (extra `router`), at temperatures 0 and 0.7. It prints how many texts differ,
byte for byte, from the one that was alone, and exits with 1 where one does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from socket import socket
from typing import Any

from fef.bench.serve import Load, served, started
from fef.measure.program import option, program

__all__ = ["answers", "bodies", "different"]

TEMPERATURES = (0.0, 0.7)
BESIDE = 64


def bodies(count: int, max_tokens: int) -> list[dict[str, Any]]:
    """Requests of several kinds, `count` at each temperature."""
    kinds: list[dict[str, Any]] = [
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
    return [
        Load(max_tokens=max_tokens, temperature=temperature).body(number) | kinds[number % len(kinds)]
        for temperature in TEMPERATURES
        for number in range(count)
    ]


def answers(ask: Callable[[dict[str, Any]], str], asked: Sequence[dict[str, Any]], at_once: int) -> list[str]:
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, asked))


def ways(arguments: Sequence[str], asked: Sequence[dict[str, Any]], router: bool) -> Iterator[tuple[str, list[str]]]:
    """The answers of each way, the first of which is alone."""
    with served(arguments) as asking:
        yield "alone", answers(asking.text, asked, 1)
        yield f"among {BESIDE}", answers(asking.text, asked, BESIDE)
        yield f"streamed among {BESIDE}", answers(lambda body: asking.streamed(body).text, asked, BESIDE)
    with served(arguments) as asking:
        yield f"after a restart, among {BESIDE}, in the other order", answers(asking.text, asked[::-1], BESIDE)[::-1]
    if router:
        with socket() as probe:  # a port that nobody uses now
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with started([*arguments, "--replicas", "2", "--port", str(port)], "behind vllm-router") as [one, other, both]:
            yield "of one replica", answers(one.text, asked, 16)
            yield "of another replica", answers(other.text, asked, 16)
            yield f"through the router, among {BESIDE}", answers(both.text, asked, BESIDE)
            streamed = answers(lambda body: both.streamed(body).text, asked, BESIDE)
            yield f"streamed through the router, among {BESIDE}", streamed


def different(wanted: Sequence[str], found: Sequence[str]) -> list[int]:
    """The requests whose texts are not the same bytes."""
    pairs = zip(wanted, found, strict=True)
    return [number for number, (one, other) in enumerate(pairs) if one.encode() != other.encode()]


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    model: str = "demo"
    device: str = "cpu"
    requests: int = option(200, "at each temperature")
    max_tokens: int = 24
    no_router: bool = option(False, "leave replicas and their router out", action="store_true")


@program(Options, __doc__)
def main(given: Options) -> int:
    asked = bodies(given.requests, given.max_tokens)
    arguments = ["--model", given.model, "--device", given.device, "--max-batch", str(BESIDE)]
    wanted, wrong = list[str](), 0
    for name, found in ways(arguments, asked, not given.no_router):
        wanted = wanted or found
        numbers = different(wanted, found)
        wrong += len(numbers)
        print(
            f"{name}: {len(found)} requests, {len(numbers)} differ{f': {numbers[:10]}' if numbers else ''}", flush=True
        )
    print(f"{len(set(wanted))} different texts among {len(wanted)} requests")
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
