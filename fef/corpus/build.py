"""The corpus: the same lines for the same seed and files, whatever the number of processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import random
import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from itertools import starmap
from pathlib import Path

from fef.corpus.overlap import read_test_items
from fef.corpus.shares import DIALOGUE, SHARES, counts_of
from fef.corpus.sources import Source, read_sources
from fef.models.tokenizer import Tokenizer

__all__ = ["Report", "build"]

_CHUNK = 2000  # examples


@dataclass(frozen=True)
class Chunk:
    """The examples `start` to `stop` of a source."""

    source: str
    start: int
    stop: int


@dataclass(frozen=True)
class Report:
    """What a corpus holds.

    examples, distinct, left_out: by source; left_out counts draws, and items of the training files once. tokens: of all
    contents, by source, where a tokenizer was given.
    """

    seed: int
    examples: Mapping[str, int]
    distinct: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]
    sha256: str
    tokens: Mapping[str, int] | None = None

    def text(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def build(
    folder: Path, count: int, seed: int, workers: int, self_text: Path | None = None, tokenizer: Path | None = None
) -> tuple[str, Report]:
    """The lines of the corpus as one text, in random order, and the report.

    folder: the training files and the test files that nothing may overlap with; tokenizer: a `tokenizer.json`. Raises
    InputError and CheckpointError.
    """
    encoder = None if tokenizer is None else Tokenizer.load(tokenizer)
    counts = counts_of(count, [name for name in SHARES if name != DIALOGUE or self_text is not None])
    chunks = list(chunks_of(counts))
    lines: dict[str, list[str]] = {name: [] for name in counts}
    left_out: dict[str, Counter[str]] = {name: Counter() for name in counts}
    # files are read, and problems taken apart, in each process
    for chunk, (made, dropped) in zip(chunks, make_all(folder, self_text, seed, chunks, workers), strict=True):
        lines[chunk.source] += made
        left_out[chunk.source] += dropped
    everything = [line for made in lines.values() for line in made]
    random.Random(f"{seed}/order").shuffle(everything)
    text = "".join(everything)
    return text, Report(
        seed,
        counts,
        {name: len(set(made)) for name, made in lines.items()},
        {name: dict(sorted(found.items())) for name, found in left_out.items()},
        hashlib.sha256(text.encode()).hexdigest(),
        None if encoder is None else {name: tokens_of(made, encoder) for name, made in lines.items()},
    )


def chunks_of(counts: Mapping[str, int]) -> Iterator[Chunk]:
    for source, count in counts.items():
        for start in range(0, count, _CHUNK):
            yield Chunk(source, start, min(start + _CHUNK, count))


def make_all(
    folder: Path, self_text: Path | None, seed: int, chunks: Iterable[Chunk], workers: int
) -> Iterable[tuple[list[str], Counter[str]]]:
    """The lines of each chunk, and what was left out of it."""
    jobs = [(folder, self_text, seed, chunk) for chunk in chunks]
    if workers == 1:
        return starmap(make, jobs)
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent alone
    with ProcessPoolExecutor(min(workers, max(1, len(jobs))), context, signal.signal, ignore) as pool:
        return list(pool.map(make, *zip(*jobs, strict=True)))


def make(folder: Path, self_text: Path | None, seed: int, chunk: Chunk) -> tuple[list[str], Counter[str]]:
    """The lines of a chunk: each example is drawn from a random generator of its own."""
    source = sources_of(folder, self_text)[chunk.source]
    of_files = Counter(source.left_out)
    numbered = ((index, random.Random(f"{seed}/{chunk.source}/{index}")) for index in range(chunk.start, chunk.stop))
    lines = [source.example(index, rng).line() for index, rng in numbered]
    dropped = source.left_out - of_files
    return lines, dropped + of_files if chunk.start == 0 else dropped


@cache
def sources_of(folder: Path, self_text: Path | None) -> Mapping[str, Source]:
    return read_sources(folder, self_text, read_test_items(folder))


def tokens_of(lines: Iterable[str], encoder: Tokenizer) -> int:
    contents = [message["content"] for line in lines for message in json.loads(line)["messages"]]
    return sum(map(len, encoder.encode_batch(contents)))
