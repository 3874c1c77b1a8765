"""`python -m fef.bench.engine.drafts`: what draft heads, trees and the choice among shapes are worth in the engine, on text.

    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --device cuda --json drafts.json
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --problems 1319 --temperature 0 --rows chosen,causal
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --dtype float32 --rows sequential,mixed --problems 300
    python -m fef.bench.engine.drafts --model demo --tasks word-problems,python --rows chosen,chains
    python -m fef.bench.engine.drafts --shape 8b --cached 512 --device cuda

Each row answers the same prompts with the same seeds: with shapes chosen by cost (`chosen`: what an engine does by itself;
`all`: trees of up to --tree nodes among them, which half precision has to be asked for), with chains of one length, with
trees of the draft head and of the marginals, with every shape in turn, by the method `sequential`, and on a GPU by the same
weights from left to right, one token per pass. All but the last give the same texts; a row says in how many it differs from
the first (in bfloat16 a few may, where two logits are almost equal), and how many answers have other bits than at the first
batch size. Below a row stand the shapes of its rounds: predicted and real tokens per request and round, and what one of a
full batch takes. Each batch size answers its share of the prompts, or with --tasks of held-out problems. With --json a run
that was cut short goes on where it ended. With --shape: times of single rounds of a network of random weights.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from fef.bench.engine.draft_rows import DRAFTS_KIND, ServedRow, ShapeRow, key_of
from fef.bench.engine.drafts_page import drafts_page
from fef.bench.engine.serving import draw_problems
from fef.bench.engine.shapes import random_network, shape_config
from fef.bench.engine.single_rounds import RoundRow, extras_of, round_rows
from fef.engine.choice import RoundTally
from fef.engine.packed_rounds import PackedRounds
from fef.engine.shape_chooser import ShapeChooser
from fef.errors import OptionError
from fef.generation import Model, load
from fef.measure.environment import environment
from fef.measure.program import option, program, typed
from fef.measure.record import Record, record_json, resumed
from fef.measure.run import Task, Told, carry_out
from fef.measure.timing import Stopwatch, free_memory
from fef.models.device import default_device, usable_device
from fef.models.packed_pass import RoundShape
from fef.readers import whole_from
from fef.text import Generation, Prompt
from fef.training.conversations import read_prompts

__all__ = ["drafts_tasks"]

CAUSAL, MIXED, SEQUENTIAL = "left to right", "every shape in turn", "sequential"
CHOSEN, OF_ALL = "chosen by cost", "chosen by cost, trees among them"
DEFAULT_KINDS = ("chosen", "chains", "trees", "causal")
KINDS = (SEQUENTIAL, *DEFAULT_KINDS, "all", "mixed")
_FILLINGS = 3  # times that a batch is filled to warm up
_WARM_UPS = 6  # at most, until no graph is new


@dataclass(frozen=True)
class Rounds:
    """What rounds are called, whether a head may draft, the options of their engine, and of the method that is asked for."""

    name: str
    head: bool
    options: dict[str, Any]
    method: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What to run. kinds: of `KINDS`. chains, trees: drafts of each. options: of the engine, besides those. runs: of each
    row, of which the median counts."""

    model: str
    device: str
    dtype: str
    prompts: int
    batches: Sequence[int]
    temperatures: Sequence[float]
    kinds: Sequence[str]
    chains: Sequence[int]
    trees: Sequence[int]
    max_new_tokens: int
    options: dict[str, Any]
    runs: int = 1
    least: int = 16  # prompts at any batch size

    def rounds(self) -> Iterator[Rounds]:
        """At least one; with the first the others are compared."""
        if SEQUENTIAL in self.kinds:
            yield Rounds(SEQUENTIAL, False, {"windows": (0,)}, {"method": "sequential", "verify": "packed"})
        if "chosen" in self.kinds:
            yield Rounds(CHOSEN, True, {})
        if "all" in self.kinds:
            yield Rounds(OF_ALL, True, {"tree": max(self.trees)})
        if "chains" in self.kinds:
            for window in self.chains:
                yield Rounds(RoundShape(window).words, False, {"windows": (window,)})
        if "trees" in self.kinds:
            for nodes, head in product(self.trees, (False, True)):
                yield Rounds(f"trees of {nodes}", head, {"tree": (nodes,), "windows": ()})
        if "mixed" in self.kinds:
            yield Rounds(MIXED, True, {"tree": max(self.trees)})

    def share(self, batch: int) -> int:
        """Prompts at a batch size."""
        return max(self.least, self.prompts * batch // max(self.batches))


def drafts_tasks(model: Model, prompts: Sequence[Prompt], asked: Asked) -> Iterator[Task]:
    """A task a row. Raises OptionError for a model without a draft head."""
    extras = model.network.extras
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    first: dict[tuple[float, str, bool], list[Generation]] = {}
    for batch, temperature in product(asked.batches, asked.temperatures):
        one = Compared(model, prompts[: asked.share(batch)], batch, temperature, asked, first)
        for rounds in asked.rounds():
            yield Task(key_of(batch, temperature, rounds.name, rounds.head), partial(one.row, rounds))
        if "causal" in asked.kinds and model.network.device.type == "cuda":
            yield Task(key_of(batch, temperature, CAUSAL, False), one.causal)


@dataclass(frozen=True)
class Run:
    """Answers, and how an engine came to them. seconds, host, captured: as in `ServedRow`."""

    seconds: float
    host: float | None
    found: list[Generation]
    captured: int
    shapes: list[ShapeRow]


class InTurn(ShapeChooser):
    """Every shape in turn, whatever it costs, for two rounds: behind one of another kind a round has no drafts."""

    begun = 0

    def next_shape(self, rows: int) -> RoundShape:
        self.begun += 1
        return self.shapes[self.begun // 2 % len(self.shapes)]


@dataclass
class Compared:
    """Rows of one batch size and temperature, held against the first of them. answers: of the first batch size, by
    temperature, name and head."""

    model: Model
    prompts: Sequence[Prompt]
    batch: int
    temperature: float
    asked: Asked
    answers: dict[tuple[float, str, bool], list[Generation]]

    def row(self, rounds: Rounds) -> list[ServedRow]:
        run = self.first if rounds == next(self.asked.rounds()) else self.answered(rounds)
        pairs = zip(run.found, self.first.found, strict=True)
        key = self.temperature, rounds.name, rounds.head
        unlike = None if key not in self.answers else other_bits(run.found, self.answers[key])
        self.answers.setdefault(key, run.found)
        return [
            ServedRow(
                self.batch,
                self.temperature,
                rounds.name,
                rounds.head,
                requests=len(run.found),
                tokens=sum(len(out.token_ids) for out in run.found),
                passes=sum(int(out.stats["calls"]) for out in run.found),
                seconds=run.seconds,
                differ=sum(out.token_ids != first.token_ids for out, first in pairs),
                captured=run.captured,
                shapes=run.shapes,
                host=run.host,
                unlike=unlike,
            )
        ]

    @cached_property
    def first(self) -> Run:
        return self.answered(next(self.asked.rounds()))

    def answered(self, rounds: Rounds) -> Run:
        """The answers of an engine that knows its costs and has captured its graphs: it answered a few before."""
        model, asked, network = self.model, self.asked, self.model.network
        longest = max(len(model.prompt_ids(prompt)) for prompt in self.prompts) + 1 + asked.max_new_tokens
        sizes = {"max_batch": self.batch, "max_length": longest, "max_new_tokens": asked.max_new_tokens}
        settings: dict[str, Any] = {"max_new_tokens": asked.max_new_tokens, "temperature": self.temperature}
        settings |= rounds.method
        extras = network.extras
        with extras_of(network, extras if rounds.head else replace(extras, draft_head=None)):
            engine = model.engine(**sizes | asked.options | rounds.options)
            packed = engine.engine.packed_rounds()
            if rounds.name == MIXED:
                packed.chooser = InTurn(packed.built, packed.chooser.costs)
            on_cuda = network.device.type == "cuda"

            def answer(prompts: Sequence[Prompt]) -> tuple[float, float, list[Generation]]:
                """Seconds of a run, those without waits, and answers."""
                watch, waited = Stopwatch(), packed.waited
                found = engine.generate(prompts, **settings)
                seconds = watch.seconds
                return seconds, seconds - (packed.waited - waited), found

            # on a GPU, those of so many lengths that a context pass of each is captured
            warm_up = self.prompts[: max(_FILLINGS * self.batch, asked.least) if on_cuda else self.batch]
            for _ in range(_WARM_UPS):
                before = packed.chooser.graphs
                answer(warm_up)
                if packed.chooser.graphs == before:
                    break
            before, tallied = packed.chooser.graphs, {tally.shape: replace(tally) for tally in packed.tallies}
            seconds, host, found = zip(*(answer(self.prompts) for _ in range(asked.runs)), strict=True)
        all_host = statistics.median(host) if on_cuda else None
        rows = [
            shape_row(packed, shape, tallied.get(shape, RoundTally(shape)), self.batch)
            for shape in packed.chooser.shapes
        ]
        shown = [row for row in rows if row.rounds or row.seconds is not None]
        return Run(statistics.median(seconds), all_host, found[-1], len(packed.chooser.graphs - before), shown)

    def causal(self) -> list[ServedRow]:
        """As many tokens per prompt as the other rows wrote."""
        from fef.bench.engine.causal import CausalDecoder, CausalRequest  # needs Triton

        network, pairs = self.model.network, zip(self.prompts, self.first.found, strict=True)
        requests = [CausalRequest(self.model.prompt_ids(prompt), max(len(out.token_ids), 1)) for prompt, out in pairs]
        longest = max(len(request.prompt) + request.tokens for request in requests)
        overlap = torch.cuda.get_device_capability(network.device) >= (9, 0)
        decoder = CausalDecoder(network, self.batch, longest, self.temperature, overlap=overlap)
        decoder.run(requests)
        seconds, tokens = decoder.run(requests)
        return [ServedRow(self.batch, self.temperature, CAUSAL, False, len(requests), tokens, tokens, seconds, 0)]


def other_bits(found: Sequence[Generation], expected: Sequence[Generation]) -> int:
    """How many of the answers that both have are not the same to the last bit."""
    return sum((a.token_ids, a.logprobs) != (b.token_ids, b.logprobs) for a, b in zip(found, expected, strict=False))


def shape_row(packed: PackedRounds, shape: RoundShape, before: RoundTally, batch: int) -> ShapeRow:
    """What rounds of a shape did since then."""
    now = packed.chooser.calibration.tallies[shape]
    return ShapeRow(
        shape.words,
        now.rounds - before.rounds,
        now.rows - before.rows,
        now.predicted - before.predicted,
        now.tokens - before.tokens,
        packed.chooser.costs.seconds.get((packed.chooser.priced(batch), shape)),
    )


def prompts_of(given: Options, model: Model) -> list[Prompt]:
    """The first prompts of a file, messages as text where the checkpoint has no chat template; or of held-out problems."""
    if given.tasks is not None:
        families = given.tasks.split(",")
        return [problem.prompt for problem in draw_problems(families, given.problems, 0)[: given.problems]]
    if given.data is None:
        raise OptionError("There is nothing to answer: give --data FILE, --tasks NAMES or --shape NAME.")
    found = read_prompts(given.data)[: given.problems]
    return [list(m) if model.template is not None else str(m[-1]["content"]) for m in found]


@dataclass(frozen=True)
class Options:
    """As on the command line; lists have commas."""

    model: str = "demo"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    tasks: str | None = option(None, "families of held-out problems, in place of --data")
    device: str = default_device()
    dtype: str = "bfloat16"
    problems: int = option(192, "prompts at the largest batch; smaller ones get a share")
    rows: str = option(",".join(DEFAULT_KINDS), f"which of {', '.join(KINDS)}")
    runs: int = option(1, "of each row, of which the median counts")
    least: int = option(16, "prompts at any batch size")
    chains: str = option("16", "drafts; 0 is one token per pass")
    batch: str = "1,64"
    temperature: str = "0,0.7"
    tree: str = option("32", "nodes")
    anchors: int | None = option(None, "draft groups besides the first")
    max_new_tokens: int = 192
    shape: str | None = option(None, "8b, 1b, 100m, 10m or tiny: times of single rounds, random weights")
    cached: int = 512
    json: Path | None = None

    @property
    def kinds(self) -> list[str]:
        kinds = self.rows.split(",")
        if not set(kinds) <= set(KINDS) or kinds == ["causal"]:
            raise OptionError(
                f"--rows {self.rows!r} is not allowed: give some of {', '.join(KINDS)}, and not causal alone."
            )
        return kinds

    @property
    def asked(self) -> Asked:
        return Asked(
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            prompts=self.problems,
            batches=[int(part) for part in self.batch.split(",")],
            temperatures=[float(part) for part in self.temperature.split(",")],
            kinds=self.kinds,
            chains=[int(part) for part in self.chains.split(",")],
            trees=[int(part) for part in self.tree.split(",")],
            max_new_tokens=self.max_new_tokens,
            options={} if self.anchors is None else {"anchors": self.anchors},
            runs=whole_from("--runs", self.runs, 1),
            least=whole_from("--least", self.least, 1),
        )


@program(Options, __doc__)
def main(given: Options) -> None:
    dtype, device = getattr(torch, given.dtype), usable_device(given.device)
    setup = asdict(given.asked) | {"environment": environment(given.device)}
    if given.shape is None:
        model = load(given.model, device=given.device, dtype=dtype)
        prompts = prompts_of(given, model)
        tasks = list(drafts_tasks(model, prompts, given.asked))
    else:
        setup |= {"model": given.shape, "cached": given.cached}
        tasks = [Task(("single rounds",), partial(single, given, device, dtype))]
    measure(given.json, setup, tasks, device)


def single(given: Options, device: torch.device, dtype: torch.dtype) -> Iterator[RoundRow]:
    network = random_network(shape_config(str(given.shape)), device, dtype)
    anchors = 7 if given.anchors is None else given.anchors
    return round_rows(network, given.cached, given.asked.trees, anchors)


def measure(path: Path | None, setup: dict[str, Any], tasks: Sequence[Task], device: torch.device) -> None:
    """Do what the file does not hold yet, and print the page of it all."""
    record = resumed(Record(DRAFTS_KIND, typed("fef.bench.engine.drafts"), setup), path)

    def save(record: Record) -> None:
        if path is not None:
            path.write_text(record_json(record), encoding="utf-8")

    save(record)
    carry_out(record, tasks, Told(), save, lambda: free_memory(device))
    print(drafts_page("", {"": record})[0])


if __name__ == "__main__":
    main()
