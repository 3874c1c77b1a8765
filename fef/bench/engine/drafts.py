"""`python -m fef.bench.engine.drafts`: what draft heads, trees and the choice among shapes are worth in the engine, on text.

    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --device cuda --json drafts.json
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --problems 1319 --temperature 0 --rows chosen,causal
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --dtype float32 --rows sequential,mixed --problems 300
    python -m fef.bench.engine.drafts --model demo --tasks word-problems,python --rows chosen,chains
    python -m fef.bench.engine.drafts --shape 8b --cached 512 --device cuda

Each row answers the same prompts with the same seeds: with shapes chosen by cost (`chosen`: what an engine does by itself;
`all`: trees of up to --tree nodes among them, which half precision has to be asked for), with chains of one length, with
trees of the draft head and of the marginals, with every shape in turn (`mixed`), by the method `sequential`, and on a GPU by
the same weights from left to right, one token per pass (`causal`), the only one to give other texts. The page that is printed
says how to read its tables. Each batch size answers its share of the prompts, or with --tasks of held-out problems. With
--json a run that was cut short goes on where it ended. With --shape: times of single rounds of random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth
from fef.bench.engine.page import engine_page
from fef.bench.engine.passes import extras_of, single_rounds
from fef.bench.engine.rows import ENGINE_KIND, Served
from fef.bench.engine.serving import draw_problems, serve
from fef.bench.engine.shapes import SHAPES, random_network, shape_config
from fef.engine.shape_chooser import ShapeChooser
from fef.errors import InputError, OptionError
from fef.generation import Model, load
from fef.laws.pipeline import check_sampling
from fef.laws.window import TREE_ANCHORS
from fef.measure.environment import environment
from fef.measure.program import option, program, typed
from fef.measure.record import Record, check_kept, resumed
from fef.measure.run import Task, Told, carry_out
from fef.measure.timing import Clock
from fef.models.device import default_device, from_hopper_on, usable_device
from fef.models.packed_pass import RoundShape
from fef.readers import whole_from
from fef.text import Generation, Prompt
from fef.training.conversations import read_prompts

__all__ = ["drafts_tasks"]

CAUSAL, MIXED, SEQUENTIAL = "left to right", "every shape in turn, head", "sequential"
DEFAULT_KINDS = ("chosen", "chains", "trees", "causal")


@dataclass(frozen=True)
class Rounds:
    """What rounds are called, the options of their engine and of the method that is asked for, and may a head grow trees?"""

    label: str
    options: dict[str, Any] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=dict)
    head: bool = True


@dataclass(frozen=True)
class Options:
    """As on the command line; lists have commas. Raises OptionError for values that mean nothing."""

    model: str = "demo"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    tasks: Sequence[str] = option((), "families of held-out problems, in place of --data")
    device: str = default_device()
    dtype: str = option("bfloat16", choices=("bfloat16", "float16", "float32"))
    problems: int = option(192, "prompts at the largest batch; smaller ones get a share")
    rows: Sequence[str] = option(DEFAULT_KINDS, "which of sequential, chosen, all, chains, trees, mixed, causal")
    runs: int = option(1, "of each row, of which the median counts")
    least: int = option(16, "prompts at any batch size")
    chains: Sequence[int] = option((16,), "drafts; 0 is one token per pass")
    batch: Sequence[int] = (1, 64)
    temperature: Sequence[float] = (0.0, 0.7)
    tree: Sequence[int] = option((32,), "nodes")
    anchors: int | None = option(None, "draft groups besides the first")
    max_new_tokens: int = 192
    shape: str | None = option(None, f"{', '.join(SHAPES)}: times of single rounds, random weights")
    cached: int = 512
    json: Path | None = None

    def __post_init__(self) -> None:
        if not {*self.rows} <= {*self.kinds} or list(self.rows) == ["causal"]:
            given = ",".join(self.rows)
            raise OptionError(
                f"--rows {given!r} is not allowed: give some of {', '.join(self.kinds)}, causal beside others only."
            )
        for name, least in (
            ("problems", 1),
            ("runs", 1),
            ("least", 1),
            ("max_new_tokens", 1),
            ("anchors", 0),
            ("cached", 0),
        ):
            if (number := getattr(self, name)) is not None:
                whole_from(f"--{name.replace('_', '-')}", number, least)
        for name, least in (("chains", 0), ("batch", 1), ("tree", 1)):
            for number in getattr(self, name):
                whole_from(f"--{name}", number, least)
        for temperature in self.temperature:
            check_sampling(temperature)

    @property
    def setup(self) -> dict[str, Any]:
        """What must be the same for rows to stand in one table."""
        data, model = None if self.data is None else str(self.data), self.shape or self.model
        return asdict(self) | {"model": model, "data": data, "json": None, "environment": environment(self.device)}

    @property
    def kinds(self) -> dict[str, list[Rounds]]:
        any_tree, heads = {"tree": max(self.tree)}, {"": False, ", head": True}
        trees = [
            Rounds(f"trees of {nodes}{name}", {"tree": (nodes,), "windows": ()}, head=on)
            for nodes, (name, on) in product(self.tree, heads.items())
        ]
        return {
            SEQUENTIAL: [Rounds(SEQUENTIAL, {"windows": (0,)}, {"method": SEQUENTIAL, "verify": "packed"})],
            "chosen": [Rounds("chosen by cost, head")],
            "all": [Rounds("chosen by cost, trees among them, head", any_tree)],
            "chains": [Rounds(RoundShape(window).words, {"windows": (window,)}) for window in self.chains],
            "trees": trees,
            "mixed": [Rounds(MIXED, any_tree)],
            "causal": [Rounds(CAUSAL)],
        }

    @property
    def rounds(self) -> dict[str, Rounds]:
        """By label; with the first the others are compared."""
        return {one.label: one for kind, found in self.kinds.items() if kind in self.rows for one in found}

    def share(self, batch: int) -> int:
        """Prompts at a batch size."""
        return max(self.least, self.problems * batch // max(self.batch))


def drafts_tasks(model: Model, prompts: Sequence[Prompt], asked: Options) -> list[Task]:
    """A task a row. Raises OptionError for a model without a draft head."""
    extras = model.network.extras
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    on_cuda, compared = model.network.device.type == "cuda", Compared(model, prompts, asked)
    return [
        Task((f"batch {batch}", f"T={temperature:g}", label), partial(compared.row, batch, temperature, label))
        for batch, temperature, label in product(asked.batch, asked.temperature, asked.rounds)
        if label != CAUSAL or on_cuda
    ]


class InTurn(ShapeChooser):
    """Every shape in turn, whatever it costs, for two rounds: behind one of another kind a round has no drafts."""

    begun = 0

    def next_shape(self, rows: int) -> RoundShape:
        self.begun += 1
        return self.shapes[self.begun // 2 % len(self.shapes)]


class Compared:
    """Rows, held against the first of their batch size and temperature, and against those of the first batch size."""

    def __init__(self, model: Model, prompts: Sequence[Prompt], asked: Options) -> None:
        self.model, self.prompts, self.asked = model, prompts, asked
        self.answered = cache(self.measured)

    def row(self, batch: int, temperature: float, label: str) -> list[Served]:
        _, first = self.answered(batch, temperature, next(iter(self.asked.rounds)))
        if label == CAUSAL:
            return [self.causal(batch, temperature, first)]
        row, outs = self.answered(batch, temperature, label)
        unlike = None
        if batch != self.asked.batch[0]:
            unlike = other_bits(outs, self.answered(self.asked.batch[0], temperature, label)[1])
        differ = sum(a.token_ids != b.token_ids for a, b in zip(outs, first, strict=True))
        return [replace(row, differ=differ, unlike=unlike)]

    def measured(self, batch: int, temperature: float, label: str) -> tuple[Served, list[Generation]]:
        model, asked, rounds = self.model, self.asked, self.asked.rounds[label]
        prompts = self.prompts[: asked.share(batch)]
        longest = max(len(model.prompt_ids(prompt)) for prompt in prompts) + 1 + asked.max_new_tokens
        sizes = {"max_batch": batch, "max_length": longest, "max_new_tokens": asked.max_new_tokens}
        sizes |= {} if asked.anchors is None else {"anchors": asked.anchors}
        settings = {"max_new_tokens": asked.max_new_tokens, "temperature": temperature} | rounds.method
        extras = model.network.extras
        assert extras is not None, "a draft head is one"
        with extras_of(model.network, extras if rounds.head else replace(extras, draft_head=None)):
            engine = model.engine(**sizes | rounds.options)
            packed = engine.engine.packed_rounds()
            if label == MIXED:
                packed.chooser = InTurn(packed.chooser.built, packed.chooser.costs)
            row, outs = serve(engine, label, batch, prompts, settings, runs=asked.runs)
        return replace(row, temperature=temperature), outs

    def causal(self, batch: int, temperature: float, first: Sequence[Generation]) -> Served:
        """As many tokens per prompt as the first row wrote."""
        from fef.bench.engine.causal import CausalDecoder, CausalRequest  # needs Triton

        network, pairs = self.model.network, zip(self.prompts, first, strict=False)
        requests = [
            CausalRequest(self.model.prompt_ids(prompt), len(out.token_ids) + (out.finish_reason == "stop"))
            for prompt, out in pairs
        ]
        longest = max(len(request.prompt) + request.tokens for request in requests)
        decoder = CausalDecoder(network, batch, longest, temperature, overlap=from_hopper_on(network.device))
        decoder.run(requests)
        seconds, tokens = decoder.run(requests)
        return Served(batch, CAUSAL, "kernels", len(requests), seconds, tokens, tokens, temperature=temperature)


def other_bits(found: Sequence[Generation], expected: Sequence[Generation]) -> int:
    """How many of the answers that both have are not the same to the last bit."""
    return sum((a.token_ids, a.logprobs) != (b.token_ids, b.logprobs) for a, b in zip(found, expected, strict=False))


def prompts_of(model: Model, count: int, data: Path | None, tasks: Sequence[str] = ()) -> list[Prompt]:
    """The first prompts of a file, messages as text where the checkpoint has no chat template; or of held-out problems."""
    if tasks and data is not None:
        raise OptionError("--data and --tasks were both given; give one of them.")
    if tasks:
        return [problem.prompt for problem in draw_problems(tasks, count, 0)[:count]]
    if data is None:
        raise OptionError("There is nothing to answer: give --data FILE, --tasks NAMES or --shape NAME.")
    found = read_prompts(data)[:count]
    if not found:
        raise InputError(f"{data} has no prompt; give a file with one in each line.")
    return [list(m) if model.template is not None else str(m[-1]["content"]) for m in found]


@program(Options, __doc__)
def main(given: Options) -> None:
    command = typed("-m", "fef.bench.engine.drafts")
    facts: dict[str, Any] = {"bandwidth": None}
    check_kept(given.json, ENGINE_KIND, command)
    dtype, device = getattr(torch, given.dtype), usable_device(given.device)
    if given.shape is None:
        model = load(given.model, device=given.device, dtype=dtype)
        tasks = drafts_tasks(model, prompts_of(model, given.problems, given.data, given.tasks), given)
    else:
        network = random_network(shape_config(given.shape), device, dtype)
        anchors = TREE_ANCHORS if given.anchors is None else given.anchors
        clock = Clock(device)
        facts["bandwidth"] = bandwidth = copy_bandwidth(clock)
        rounds = partial(single_rounds, network, given.cached, given.tree, anchors, clock, bandwidth)
        tasks = [Task(("single rounds",), rounds)]
    record = resumed(Record(ENGINE_KIND, command, given.setup, facts, path=given.json))
    record.keep()
    carry_out(record, tasks, Told(), device)
    print(engine_page("drafts", {given.shape or given.model: record})[0])


if __name__ == "__main__":
    main()
