"""Everything for every batch size, as tasks of one record."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fef.bench.engine.bandwidth import copy_bandwidth, weight_bytes
from fef.bench.engine.passes import FULL, FULL_ONE, PassRow, engine_passes, plain_passes
from fef.bench.engine.serving import PassCosts, Served, problems_at, run_rival, serve
from fef.bench.evaluate import Judge, Settings, remembering_judge
from fef.bench.spec import MethodSpec
from fef.engine.build import EngineOptions, shapes_of
from fef.engine.engine import Engine
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.measure.answers import Answer
from fef.measure.environment import environment, reset_peak, weights_digest
from fef.measure.record import Record, RecordKind, resumed
from fef.measure.run import Progress, Task, carry_out
from fef.measure.timing import Clock, free_memory
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer
from fef.tasks import Problem

__all__ = ["ENGINE_KIND", "EngineBenchmark", "Questions", "run_engine_benchmark"]


ENGINE_KIND = RecordKind(
    "engine",
    "fef bench --engine --json",
    {"passes": PassRow, "served": Served},
    ("bandwidth", "lengths"),  # bytes per second that a copy reads and writes; median tokens of prompts and answers
)


@dataclass(frozen=True)
class Questions:
    """Problems that a model answers, mixed, and the decoders of the loop that answer them too."""

    model: Model
    problems: Sequence[Problem]
    rivals: Sequence[MethodSpec]
    settings: Settings


@dataclass(frozen=True)
class EngineBenchmark:
    """What to measure."""

    network: Transformer  # whose passes are timed
    batches: Sequence[int]  # requests at once
    canvas: list[int]  # tokens of a request whose passes are timed
    opened: int  # of its last tokens, how many are to be filled
    windows: Sequence[int] | None  # as in `EngineOptions`
    clock: Clock  # times passes
    questions: Questions | None = None  # None for a network of random weights
    command: str = ""  # what was typed

    @property
    def shapes(self) -> list[RoundShape]:
        """Rounds to time, one token first."""
        options = EngineOptions(windows=self.windows)
        chains = shapes_of(options, [], self.network.config.vocab_size, None)
        return [RoundShape(0), *(shape for shape in chains if shape.window)]

    def engine_options(self, batch: int) -> dict[str, Any]:
        """Of an engine that holds these requests and runs these rounds."""
        sizes: dict[str, Any] = {"max_batch": batch, "max_length": len(self.canvas), "max_new_tokens": self.opened}
        return sizes if self.windows is None else sizes | {"windows": self.windows}

    @property
    def setup(self) -> dict[str, Any]:
        network = self.network
        found: dict[str, Any] = {
            "model": network.name,
            "parameters": sum(p.numel() for p in network.parameters()),
            "weight_bytes": weight_bytes(network),
            "weight_format": network.weight_format,
            "dtype": str(network.embed.weight.dtype).removeprefix("torch."),
            "batches": list(self.batches),
            "canvas": len(self.canvas),
            "opened": self.opened,
            "windows": None if self.windows is None else list(self.windows),
            "repeats": self.clock.repeats,
            "environment": environment(str(network.device)),
        }
        if self.questions is not None:
            found |= {
                "model": self.questions.model.name,
                "weights": weights_digest(network),
                "families": list(dict.fromkeys(p.family for p in self.questions.problems)),
                "rivals": [spec.label for spec in self.questions.rivals],
                "settings": asdict(self.questions.settings),
            }
        return found


def run_engine_benchmark(
    bench: EngineBenchmark,
    progress: Progress,
    save: Callable[[Record], None] = lambda _: None,
    known: Path | None = None,
) -> Record:
    """What does not fit into memory at a batch size is a failure of the record, and the others go on. `save` gets the record
    so far after each part. known: the file of an interrupted run, to go on from. Raises FefError where the network or the
    options cannot be run at all, and as `resumed`."""
    Engine(bench.network, **bench.engine_options(1)).packed_rounds()  # refuses before anything is timed
    device = bench.network.device
    record = resumed(Record(ENGINE_KIND, bench.command, bench.setup, {"lengths": {}}), known)
    free_memory(device)
    progress.label("copy bandwidth")
    if "bandwidth" not in record.facts:
        record.facts["bandwidth"] = copy_bandwidth(bench.clock)

    def fresh() -> None:
        free_memory(device)
        reset_peak(device)

    judge = remembering_judge()
    tasks = [task for batch in bench.batches for task in One(bench, record, batch, judge).tasks()]
    return carry_out(record, tasks, progress, save, fresh)


@dataclass
class One:
    """The measurements of one batch size."""

    bench: EngineBenchmark
    record: Record
    batch: int
    judge: Judge

    def tasks(self) -> list[Task]:
        parts: dict[str, Callable[[], Iterable[Any]]] = {
            "plain passes": self.plain,
            "passes of the engine": self.passes,
        }
        if self.bench.questions is not None:
            rivals = self.bench.questions.rivals
            parts |= {f"{method} in the engine": partial(self.engine, method) for method in METHODS}
            parts |= {f"{spec.label} in the loop": partial(self.rival, spec) for spec in rivals}
        return [Task((f"batch {self.batch}", name), part, 1 / len(parts)) for name, part in parts.items()]

    def plain(self) -> list[PassRow]:
        bench = self.bench
        heads = {FULL: bench.opened} if bench.questions is None else {FULL: bench.opened, FULL_ONE: 1}
        return plain_passes(bench.network, self.batch, bench.canvas, heads, bench.clock, self.record.facts["bandwidth"])

    def passes(self) -> list[PassRow]:
        bench, batch = self.bench, self.batch
        engine = Engine(bench.network, **bench.engine_options(batch))
        order = range(len(bench.canvas) - bench.opened, len(bench.canvas))
        bandwidth = self.record.facts["bandwidth"]
        return engine_passes(engine, batch, bench.canvas, order, [None, *bench.shapes], bench.clock, bandwidth)

    def engine(self, method: str) -> list[Served]:
        """What a method answers in an engine of its own."""
        questions = self.bench.questions
        assert questions is not None, "only a model is asked"
        problems, settings = self.asked(questions)
        engine = TextEngine(questions.model, **self.bench.engine_options(self.batch) | METHODS[method])
        row, answers = serve(method, self.batch, problems, settings, self.judge, engine)
        if method == "fef":
            self.record.facts["lengths"] = lengths(questions, problems, answers)
        return [row]

    def rival(self, spec: MethodSpec) -> list[Served]:
        questions = self.bench.questions
        assert questions is not None, "only a model is asked"
        problems, settings = self.asked(questions)
        return [run_rival(questions.model, spec, self.batch, problems, settings, self.judge, self.costs())]

    def asked(self, questions: Questions) -> tuple[list[Problem], Settings]:
        return problems_at(self.batch, questions.problems), replace(questions.settings, batch_size=self.batch)

    def costs(self) -> PassCosts | None:
        """Of plain passes, if they were measured."""
        for row in self.record.of(PassRow):
            if (row.batch, row.kind) == (self.batch, FULL_ONE):
                weights = weight_bytes(self.bench.network) / self.record.facts["bandwidth"]
                return PassCosts(self.batch, row.tokens, row.seconds, weights)
        return None


METHODS: Mapping[str, dict[str, Any]] = {"fef": {}, "sequential": {"windows": (0,), "anchors": 0}}
"""Of the engine, with its options beside those of the benchmark."""


def lengths(questions: Questions, problems: Sequence[Problem], answers: Sequence[Answer]) -> dict[str, float]:
    """Median tokens of prompts and answers."""
    starts = [questions.model.canvas(p.prompt, questions.settings.max_new_tokens, "")[1] for p in problems]
    return {"prompt": statistics.median(starts), "answer": statistics.median(a.tokens for a in answers)}
