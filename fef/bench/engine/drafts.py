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

from fef.bench.engine.drafts_page import DRAFTS_KIND, RoundRow, ServedRow, ShapeRow, drafts_page
from fef.bench.engine.runs import run_all, tallied, tallies
from fef.bench.engine.serving import draw_problems
from fef.bench.engine.shapes import random_network, shape_config
from fef.bench.engine.single_rounds import extras_of, round_rows
from fef.engine.shape_chooser import ShapeChooser
from fef.errors import OptionError
from fef.files import write_whole
from fef.generation import Model, load
from fef.laws.window import TREE_ANCHORS
from fef.measure.environment import environment
from fef.measure.program import option, program, typed
from fef.measure.record import Key, Record, record_json, resumed
from fef.measure.run import Task, Told, carry_out
from fef.measure.timing import free_memory
from fef.models.device import default_device, from_hopper_on, usable_device
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
class Options:
    """As on the command line; lists have commas. Raises OptionError for values that mean nothing."""

    model: str = "demo"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    tasks: Sequence[str] = option((), "families of held-out problems, in place of --data")
    device: str = default_device()
    dtype: str = "bfloat16"
    problems: int = option(192, "prompts at the largest batch; smaller ones get a share")
    rows: Sequence[str] = option(DEFAULT_KINDS, f"which of {', '.join(KINDS)}")
    runs: int = option(1, "of each row, of which the median counts")
    least: int = option(16, "prompts at any batch size")
    chains: Sequence[int] = option((16,), "drafts; 0 is one token per pass")
    batch: Sequence[int] = (1, 64)
    temperature: Sequence[float] = (0.0, 0.7)
    tree: Sequence[int] = option((32,), "nodes")
    anchors: int | None = option(None, "draft groups besides the first")
    max_new_tokens: int = 192
    shape: str | None = option(None, "8b, 1b, 100m, 10m or tiny: times of single rounds, random weights")
    cached: int = 512
    json: Path | None = None

    def __post_init__(self) -> None:
        if not {*self.rows} <= {*KINDS} or list(self.rows) == ["causal"]:
            given = ",".join(self.rows)
            raise OptionError(
                f"--rows {given!r} is not allowed: give some of {', '.join(KINDS)}, and not causal alone."
            )
        whole_from("--runs", self.runs, 1)
        whole_from("--least", self.least, 1)

    @property
    def setup(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table."""
        data, model = None if self.data is None else str(self.data), self.shape or self.model
        return asdict(replace(self, json=None)) | {
            "model": model,
            "data": data,
            "environment": environment(self.device),
        }

    def rounds(self) -> Iterator[Rounds]:
        """At least one; with the first the others are compared."""
        if SEQUENTIAL in self.rows:
            yield Rounds(SEQUENTIAL, False, {"windows": (0,)}, {"method": "sequential", "verify": "packed"})
        if "chosen" in self.rows:
            yield Rounds(CHOSEN, True, {})
        if "all" in self.rows:
            yield Rounds(OF_ALL, True, {"tree": max(self.tree)})
        if "chains" in self.rows:
            for window in self.chains:
                yield Rounds(RoundShape(window).words, False, {"windows": (window,)})
        if "trees" in self.rows:
            for nodes, head in product(self.tree, (False, True)):
                yield Rounds(f"trees of {nodes}", head, {"tree": (nodes,), "windows": ()})
        if "mixed" in self.rows:
            yield Rounds(MIXED, True, {"tree": max(self.tree)})

    def share(self, batch: int) -> int:
        """Prompts at a batch size."""
        return max(self.least, self.problems * batch // max(self.batch))


def drafts_tasks(model: Model, prompts: Sequence[Prompt], asked: Options) -> Iterator[Task]:
    """A task a row. Raises OptionError for a model without a draft head."""
    extras = model.network.extras
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    first: dict[tuple[float, str, bool], list[Generation]] = {}

    def key(name: str, head: bool) -> Key:
        return f"batch {batch}", f"T={temperature:g}", name, "head" if head else "no head"

    for batch, temperature in product(asked.batch, asked.temperature):
        one = Compared(model, prompts[: asked.share(batch)], batch, temperature, asked, first)
        for rounds in asked.rounds():
            yield Task(key(rounds.name, rounds.head), partial(one.row, rounds))
        if "causal" in asked.rows and model.network.device.type == "cuda":
            yield Task(key(CAUSAL, False), one.causal)


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
    asked: Options
    answers: dict[tuple[float, str, bool], list[Generation]]

    def row(self, rounds: Rounds) -> list[ServedRow]:
        found = self.first if rounds == next(self.asked.rounds()) else self.answered(rounds)
        first, key = self.first[1], (self.temperature, rounds.name, rounds.head)
        row, outs = found
        if key in self.answers:
            row = replace(row, unlike=other_bits(outs, self.answers[key]))
        self.answers.setdefault(key, outs)
        return [replace(row, differ=sum(a.token_ids != b.token_ids for a, b in zip(outs, first, strict=True)))]

    @cached_property
    def first(self) -> tuple[ServedRow, list[Generation]]:
        return self.answered(next(self.asked.rounds()))

    def answered(self, rounds: Rounds) -> tuple[ServedRow, list[Generation]]:
        """What an engine does that knows its costs and has captured its graphs: it answered a few before."""
        model, asked, network = self.model, self.asked, self.model.network
        longest = max(len(model.prompt_ids(prompt)) for prompt in self.prompts) + 1 + asked.max_new_tokens
        sizes = {"max_batch": self.batch, "max_length": longest, "max_new_tokens": asked.max_new_tokens}
        sizes |= {} if asked.anchors is None else {"anchors": asked.anchors}
        settings = {"max_new_tokens": asked.max_new_tokens, "temperature": self.temperature} | rounds.method
        extras, on_cuda = network.extras, network.device.type == "cuda"
        with extras_of(network, extras if rounds.head else replace(extras, draft_head=None)):
            engine = model.engine(**sizes | rounds.options)
            chooser = engine.engine.packed_rounds().chooser
            if rounds.name == MIXED:
                chooser = InTurn(chooser.built, chooser.costs)
                engine.engine.packed_rounds().chooser = chooser
            # on a GPU, those of so many lengths that a context pass of each is captured
            warm_up = self.prompts[: max(_FILLINGS * self.batch, asked.least) if on_cuda else self.batch]
            for _ in range(_WARM_UPS):
                graphs = chooser.graphs
                run_all(engine, warm_up, 0, settings)
                if chooser.graphs == graphs:
                    break
            graphs, before = chooser.graphs, tallies(engine)
            runs = [run_all(engine, self.prompts, 0, settings) for _ in range(asked.runs)]
        cost, rows = chooser.costs.seconds, chooser.priced(self.batch)
        outs = runs[-1].found
        row = ServedRow(
            self.batch,
            self.temperature,
            rounds.name,
            rounds.head,
            requests=len(outs),
            tokens=sum(len(out.token_ids) for out in outs),
            passes=sum(int(out.stats["calls"]) for out in outs),
            seconds=statistics.median(run.seconds for run in runs),
            differ=0,
            captured=len(chooser.graphs - graphs),
            shapes=[
                ShapeRow(t.shape.words, t.rounds, t.rows, t.predicted, t.tokens, cost.get((rows, t.shape)))
                for t in tallied(engine, before)
            ],
            host=statistics.median(run.host for run in runs) if on_cuda else None,
        )
        return row, outs

    def causal(self) -> list[ServedRow]:
        """As many tokens per prompt as the other rows wrote."""
        from fef.bench.engine.causal import CausalDecoder, CausalRequest  # needs Triton

        network, pairs = self.model.network, zip(self.prompts, self.first[1], strict=True)
        requests = [CausalRequest(self.model.prompt_ids(prompt), max(len(out.token_ids), 1)) for prompt, out in pairs]
        longest = max(len(request.prompt) + request.tokens for request in requests)
        overlap = from_hopper_on(network.device)
        decoder = CausalDecoder(network, self.batch, longest, self.temperature, overlap=overlap)
        decoder.run(requests)
        seconds, tokens = decoder.run(requests)
        return [ServedRow(self.batch, self.temperature, CAUSAL, False, len(requests), tokens, tokens, seconds, 0)]


def other_bits(found: Sequence[Generation], expected: Sequence[Generation]) -> int:
    """How many of the answers that both have are not the same to the last bit."""
    return sum((a.token_ids, a.logprobs) != (b.token_ids, b.logprobs) for a, b in zip(found, expected, strict=False))


def prompts_of(given: Options, model: Model) -> list[Prompt]:
    """The first prompts of a file, messages as text where the checkpoint has no chat template; or of held-out problems."""
    if given.tasks:
        return [problem.prompt for problem in draw_problems(given.tasks, given.problems, 0)[: given.problems]]
    if given.data is None:
        raise OptionError("There is nothing to answer: give --data FILE, --tasks NAMES or --shape NAME.")
    found = read_prompts(given.data)[: given.problems]
    return [list(m) if model.template is not None else str(m[-1]["content"]) for m in found]


@program(Options, __doc__)
def main(given: Options) -> None:
    dtype, device = getattr(torch, given.dtype), usable_device(given.device)
    if given.shape is None:
        model = load(given.model, device=given.device, dtype=dtype)
        prompts = prompts_of(given, model)
        tasks = list(drafts_tasks(model, prompts, given))
    else:
        tasks = [Task(("single rounds",), partial(single, given, device, dtype))]
    measure(given, tasks, device)


def single(given: Options, device: torch.device, dtype: torch.dtype) -> Iterator[RoundRow]:
    network = random_network(shape_config(str(given.shape)), device, dtype)
    anchors = TREE_ANCHORS if given.anchors is None else given.anchors
    return round_rows(network, given.cached, given.tree, anchors)


def measure(given: Options, tasks: Sequence[Task], device: torch.device) -> None:
    """Do what the file does not hold yet, and print the page of it all."""
    record = resumed(Record(DRAFTS_KIND, typed("-m", "fef.bench.engine.drafts"), given.setup), given.json)

    def save(record: Record) -> None:
        if given.json is not None:
            write_whole(given.json, record_json(record))

    save(record)
    carry_out(record, tasks, Told(), save, lambda: free_memory(device))
    print(drafts_page("", {"": record})[0])


if __name__ == "__main__":
    main()
