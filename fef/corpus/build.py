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

from fef.corpus.masked import template_key
from fef.corpus.overlap import read_test_items
from fef.corpus.shares import DIALOGUE, SHARES, counts_of
from fef.corpus.sources import Source, Split, read_sources, split_problems
from fef.models.tokenizer import Tokenizer

__all__ = ["Corpus", "Recipe", "Report", "build"]

_CHUNK = 2000  # examples
_RARE = 10  # examples of a template


@dataclass(frozen=True)
class Chunk:
    """The examples `start` to `stop` of a source."""

    source: str
    start: int
    stop: int


@dataclass(frozen=True)
class Report:
    """What a corpus holds.

    examples, distinct, templates, most, rare, left_out: by source. templates: distinct questions but for numbers, names and
    things; most: examples of the one that comes most often; rare: examples of those that come at most ten times; left_out
    counts draws, and items of the training files once. tokens: of all contents, by source, where a tokenizer was given.
    """

    seed: int
    examples: Mapping[str, int]
    distinct: Mapping[str, int]
    templates: Mapping[str, int]
    most: Mapping[str, int]
    rare: Mapping[str, int]
    left_out: Mapping[str, Mapping[str, int]]
    sha256: str
    tokens: Mapping[str, int] | None = None

    def text(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


@dataclass(frozen=True)
class Recipe:
    """What decides every byte of a corpus.

    folder: the training files and the test files that nothing may overlap with; held_out: problems of each file of solved
    problems that are kept apart.
    """

    folder: Path
    count: int
    seed: int
    self_text: Path | None = None
    held_out: int = 0


@dataclass(frozen=True)
class Corpus:
    """The lines to train on as one text, in random order; those held out; the report."""

    text: str
    held_out: str
    report: Report


def build(recipe: Recipe, workers: int, tokenizer: Path | None = None) -> Corpus:
    """tokenizer: a `tokenizer.json`. Raises InputError and CheckpointError."""
    encoder = None if tokenizer is None else Tokenizer.load(tokenizer)
    counts = counts_of(recipe.count, [name for name in SHARES if name != DIALOGUE or recipe.self_text is not None])
    chunks = list(chunks_of(counts))
    lines: dict[str, list[str]] = {name: [] for name in counts}
    templates: dict[str, Counter[int]] = {name: Counter() for name in counts}
    left_out: dict[str, Counter[str]] = {name: Counter() for name in counts}
    # files are read, and problems taken apart, in each process
    for chunk, (made, keys, dropped) in zip(chunks, make_all(recipe, chunks, workers), strict=True):
        lines[chunk.source] += made
        templates[chunk.source].update(keys)
        left_out[chunk.source] += dropped
    everything = [line for made in lines.values() for line in made]
    random.Random(f"{recipe.seed}/order").shuffle(everything)
    text = "".join(everything)
    report = Report(
        recipe.seed,
        counts,
        {name: len(set(made)) for name, made in lines.items()},
        {name: len(found) for name, found in templates.items()},
        {name: max(found.values(), default=0) for name, found in templates.items()},
        {name: sum(n for n in found.values() if n <= _RARE) for name, found in templates.items()},
        {name: dict(sorted(found.items())) for name, found in left_out.items()},
        hashlib.sha256(text.encode()).hexdigest(),
        None if encoder is None else {name: tokens_of(made, encoder) for name, made in lines.items()},
    )
    held_out = split_of(recipe).held_out if recipe.held_out else ()
    return Corpus(text, "".join(example.line(problem) for example, problem in held_out), report)


def chunks_of(counts: Mapping[str, int]) -> Iterator[Chunk]:
    for source, count in counts.items():
        for start in range(0, count, _CHUNK):
            yield Chunk(source, start, min(start + _CHUNK, count))


Made = tuple[list[str], list[int], Counter[str]]


def make_all(recipe: Recipe, chunks: Iterable[Chunk], workers: int) -> Iterable[Made]:
    """The lines of each chunk, the keys of their templates, and what was left out."""
    jobs = [(recipe, chunk) for chunk in chunks]
    if workers == 1:
        return starmap(make, jobs)
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent alone
    with ProcessPoolExecutor(min(workers, max(1, len(jobs))), context, signal.signal, ignore) as pool:
        return list(pool.map(make, *zip(*jobs, strict=True)))


def make(recipe: Recipe, chunk: Chunk) -> Made:
    """A chunk: each example is drawn from a random generator of its own."""
    source = sources_of(recipe)[chunk.source]
    of_files = Counter(source.left_out)
    numbered = (
        (index, random.Random(f"{recipe.seed}/{chunk.source}/{index}")) for index in range(chunk.start, chunk.stop)
    )
    examples = [source.example(index, rng) for index, rng in numbered]
    dropped = source.left_out - of_files
    return (
        [example.line() for example in examples],
        [template_key(example.messages) for example in examples],
        dropped + of_files if chunk.start == 0 else dropped,
    )


@cache
def sources_of(recipe: Recipe) -> Mapping[str, Source]:
    return read_sources(recipe.folder, recipe.self_text, split_of(recipe))


@cache
def split_of(recipe: Recipe) -> Split:
    return split_problems(recipe.folder, read_test_items(recipe.folder), recipe.held_out, recipe.seed)


def tokens_of(lines: Iterable[str], encoder: Tokenizer) -> int:
    contents = [message["content"] for line in lines for message in json.loads(line)["messages"]]
    return sum(map(len, encoder.encode_batch(contents)))
