"""`python -m fef.bench.engine.drafts`: what draft heads, trees and the choice among shapes are worth in the engine, on text.

    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --device cuda --json drafts.json
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --problems 1319 --temperature 0 --rows chosen,causal
    python -m fef.bench.engine.drafts --shape 8b --cached 512 --device cuda

Each row answers the same prompts with the same seeds: with shapes chosen by cost, with chains of one length, with trees of
the draft head and of the marginals, and on a GPU by the same weights from left to right, one token per pass. All but the last
give the same texts; a row says in how many it differs from the first (in bfloat16 a few may, where two logits are almost
equal). Below a row stand the shapes of its rounds: predicted and real tokens per request and round, and what one of a full
batch takes. Each batch size answers its share of the prompts. With --json a run that was cut short goes on where it ended.
With --shape: times of single rounds of a network of random weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from fef.bench.engine.shapes import random_network, shape_config
from fef.bench.engine.single_rounds import extras_of, random_head, round_rows
from fef.engine.choice import RoundTally
from fef.engine.graphs import GraphRunner
from fef.engine.packed_rounds import PackedRounds
from fef.errors import OptionError
from fef.generation import Model, load
from fef.measure.program import one_sentence, option, options_of, typed
from fef.measure.record import FORMAT, Key, Record, RecordKind, check_same_setup, read_record, record_json
from fef.measure.run import Task, carry_out
from fef.measure.timing import free_memory
from fef.models.device import default_device
from fef.models.extras import Extras
from fef.models.packed_pass import RoundShape
from fef.text import Generation, Prompt
from fef.training.conversations import read_prompts

__all__ = ["ServedRow", "drafts_tasks"]

CAUSAL, CHOSEN = "left to right", "chosen by cost"
KINDS = ("chosen", "chains", "trees", "causal")
_LEAST = 16  # prompts at any batch size
_FILLINGS = 3  # times that a batch is filled to warm up
_WARM_UPS = 3  # at most, until no graph is new


@dataclass(frozen=True)
class Rounds:
    """What rounds are called, whether a head may draft, and the options of their engine."""

    name: str
    head: bool
    options: dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """What to run. kinds: of `KINDS`. chains, trees: drafts of each. options: of the engine, besides those."""

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

    def rounds(self) -> Iterator[Rounds]:
        """At least one."""
        if "chosen" in self.kinds:
            yield Rounds(CHOSEN, True, {})
        if "chains" in self.kinds:
            for window in self.chains:
                yield Rounds(RoundShape(window).words, False, {"windows": (window,)})
        if "trees" in self.kinds:
            for nodes, head in product(self.trees, (False, True)):
                yield Rounds(f"trees of {nodes}", head, {"tree": (nodes,), "windows": ()})

    def share(self, batch: int) -> int:
        """Prompts at a batch size."""
        return max(_LEAST, self.prompts * batch // max(self.batches))


@dataclass(frozen=True)
class ShapeRow:
    """Rounds of a shape. rows: requests in them. predicted, tokens: as in `RoundTally`. seconds: of a round of a full batch,
    if that is known."""

    shape: str
    rounds: int
    rows: int
    predicted: float
    tokens: int
    seconds: float | None

    @property
    def words(self) -> str:
        cost = "" if self.seconds is None else f", {self.seconds * 1e3:.2f} ms with a full batch"
        if not self.rows:
            return f"    {self.shape}: never{cost}"
        return (
            f"    {self.shape}: {self.rounds} rounds of {self.rows / self.rounds:.1f} requests, tokens predicted "
            f"{self.predicted / self.rows:.2f}, real {self.tokens / self.rows:.2f}{cost}"
        )


@dataclass(frozen=True)
class ServedRow:
    """passes: of any kind, of all requests. differ: texts that are not those of the first row of the same settings. captured:
    graphs that were made while the clock ran."""

    batch: int
    temperature: float
    rounds: str
    head: bool
    requests: int
    tokens: int
    passes: int
    seconds: float
    differ: int
    captured: int = 0
    shapes: Sequence[ShapeRow] = ()

    def __post_init__(self) -> None:
        shapes = [ShapeRow(**shape) if isinstance(shape, dict) else shape for shape in self.shapes]
        object.__setattr__(self, "shapes", shapes)  # in a file they are objects of JSON

    @property
    def words(self) -> str:
        head = "head" if self.head else "no head"
        line = (
            f"batch {self.batch:<3} T={self.temperature:<4g} {self.rounds + ', ' + head:<24} {self.requests} requests, "
            f"{self.tokens} tokens, {self.tokens / self.passes:.2f} per pass, {self.tokens / self.seconds:,.0f}/s"
            + (f", {self.differ} texts differ" if self.differ else "")
            + (f", {self.captured} graphs made meanwhile" if self.captured else "")
        )
        return "\n".join([line, *(shape.words for shape in self.shapes)])


def key_of(batch: int, temperature: float, rounds: str, head: bool) -> Key:
    return f"batch {batch}", f"T={temperature:g}", rounds, "head" if head else "no head"


def older(value: dict[str, Any]) -> dict[str, Any]:
    """The setup was called asked; what was done follows from the rows."""
    done = [key_of(*(row[name] for name in ("batch", "temperature", "rounds", "head"))) for row in value["rows"]]
    header = {"format": FORMAT, "kind": "drafts", "command": "", "setup": value["asked"]}
    return value | header | {"finished": False, "done": done, "failures": []}


DRAFTS_KIND = RecordKind("drafts", "python -m fef.bench.engine.drafts --json", {"rows": ServedRow}, older=older)


def drafts_tasks(model: Model, prompts: Sequence[Prompt], asked: Asked) -> Iterator[Task]:
    """A task a row. Raises OptionError for a model without a draft head."""
    extras = model.network.extras
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    for batch, temperature in product(asked.batches, asked.temperatures):
        one = Compared(model, prompts[: asked.share(batch)], batch, temperature, asked)
        for rounds in asked.rounds():
            yield Task(key_of(batch, temperature, rounds.name, rounds.head), partial(one.row, rounds))
        if "causal" in asked.kinds and model.network.device.type == "cuda":
            yield Task(key_of(batch, temperature, CAUSAL, False), one.causal)


@dataclass(frozen=True)
class Run:
    """Answers, and how an engine came to them."""

    seconds: float
    found: list[Generation]
    captured: int
    shapes: list[ShapeRow]


@dataclass
class Compared:
    """Rows of one batch size and temperature, held against the first of them."""

    model: Model
    prompts: Sequence[Prompt]
    batch: int
    temperature: float
    asked: Asked

    def row(self, rounds: Rounds) -> list[ServedRow]:
        run = self.first if rounds == next(self.asked.rounds()) else self.answered(rounds)
        pairs = zip(run.found, self.first.found, strict=True)
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
        extras = network.extras
        with extras_of(network, extras if rounds.head else replace(extras, draft_head=None)):
            engine = model.engine(**sizes | asked.options | rounds.options)
            packed = engine.engine.packed_rounds()
            runner = packed.built.runner
            graphs = runner.graphs if isinstance(runner, GraphRunner) else {}
            warm_up = self.prompts[: (_FILLINGS if network.device.type == "cuda" else 1) * self.batch]
            for _ in range(_WARM_UPS):
                before = set(graphs)
                engine.generate(warm_up, **settings)
                if set(graphs) == before:
                    break
            before, tallied = set(graphs), {tally.shape: replace(tally) for tally in packed.tallies}
            began = time.perf_counter()
            found = engine.generate(self.prompts, **settings)
            seconds = time.perf_counter() - began
        shapes = packed.built.shapes
        rows = [shape_row(packed, shape, tallied.get(shape, RoundTally(shape)), self.batch) for shape in shapes]
        shown = [row for row in rows if row.rounds or row.seconds is not None]
        return Run(seconds, found, len(set(graphs) - before), shown)

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


def prompts_of(path: Path, model: Model, count: int) -> list[Prompt]:
    """The first prompts of a file; messages as text where the checkpoint has no chat template."""
    found = read_prompts(path)[:count]
    return [list(m) if model.template is not None else str(m[-1]["content"]) for m in found]


@dataclass(frozen=True)
class Options:
    """As on the command line; lists have commas."""

    model: str = "demo"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    device: str = default_device()
    dtype: str = "bfloat16"
    problems: int = option(192, "prompts at the largest batch; smaller ones get a share")
    rows: str = option(",".join(KINDS), f"which of {', '.join(KINDS)}")
    chains: str = option("16", "drafts; 0 is one token per pass")
    batch: str = "1,64"
    temperature: str = "0,0.7"
    tree: str = option("32", "nodes")
    depth: int | None = option(None, "drafts along a path of a tree")
    anchors: int | None = option(None, "draft groups besides the first")
    max_new_tokens: int = 192
    random_head: bool = option(False, "a head of random weights, to try the speed of it", action="store_true")
    shape: str | None = option(None, "8b, 1b, 100m, 10m or tiny: times of single rounds, random weights")
    cached: int = 512
    repeats: int = 20
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
        options = {"depth": self.depth, "anchors": self.anchors}
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
            options={name: value for name, value in options.items() if value is not None},
        )


def main() -> None:
    given = options_of(Options, __doc__)
    dtype, device = getattr(torch, given.dtype), torch.device(given.device)
    with one_sentence():
        asked = given.asked
        if given.shape is None:
            on_text(given, asked, dtype, device)
            return
        network = random_network(shape_config(given.shape), device, dtype)
        anchors = 7 if given.anchors is None else given.anchors
        for row in round_rows(network, given.cached, asked.trees, anchors, given.repeats):
            print(row.words, flush=True)


def on_text(given: Options, asked: Asked, dtype: torch.dtype, device: torch.device) -> None:
    if given.data is None:
        raise OptionError("There is nothing to answer: give --data FILE or --shape NAME.")
    model = load(given.model, device=given.device, dtype=dtype)
    if given.random_head:
        model.network.extras = replace(model.network.extras or Extras(), draft_head=random_head(model.network))
    setup = asdict(asked)
    record = Record(DRAFTS_KIND, typed("fef.bench.engine.drafts"), setup)
    if given.json is not None and given.json.is_file():
        record = read_record(given.json, DRAFTS_KIND)
        check_same_setup(record.setup, setup, given.json)
    record.failures = []
    shown = 0

    def save(record: Record) -> None:
        nonlocal shown
        for row in record.of(ServedRow)[shown:]:
            print(row.words, flush=True)
        shown = len(record.of(ServedRow))
        if given.json is not None:
            given.json.write_text(record_json(record), encoding="utf-8")

    save(record)
    tasks = list(drafts_tasks(model, prompts_of(given.data, model, given.problems), asked))
    carry_out(record, tasks, save=save, fresh=lambda: free_memory(device))
    for failure in record.failures:
        print(f"{failure.words}: {failure.reason}")


if __name__ == "__main__":
    main()
