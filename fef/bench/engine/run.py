"""Everything, for every batch size; the record so far is handed over after each."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth, weight_bytes
from fef.bench.engine.passes import FULL, FULL_ONE, engine_passes, live_round, plain_passes, round_of
from fef.bench.engine.profile import profile_pass
from fef.bench.engine.record import EngineRecord, Failure
from fef.bench.engine.rivals import PassCosts, run_rival
from fef.bench.engine.serving import problems_at, reset_peak_memory, serve
from fef.bench.engine.timing import Clock, free_memory
from fef.bench.environment import environment, weights_digest
from fef.bench.evaluate import Answer, Judge, Settings, remembering_judge
from fef.bench.run import Progress
from fef.bench.spec import MethodSpec
from fef.engine.engine import Engine
from fef.engine.packed_rounds import PackedRounds
from fef.engine.text import TextEngine
from fef.errors import EngineError
from fef.generation import Model
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer
from fef.tasks import Problem

__all__ = ["EngineBenchmark", "Questions", "run_engine_benchmark"]


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
    windows: Sequence[int]  # as in `EngineOptions`
    anchors: int  # as in `EngineOptions`
    clock: Clock  # times passes
    round_tokens: int | None = None  # time a round of so many tokens in place of those of `windows`
    questions: Questions | None = None  # None for a network of random weights
    profile: bool = False  # also look where the time of a round goes
    command: str = ""  # what was typed

    @property
    def shapes(self) -> list[RoundShape]:
        """Rounds to time, one token first."""
        if self.round_tokens is not None:
            return [RoundShape(0), round_of(self.round_tokens)]
        return [RoundShape(0), *(RoundShape(w, self.anchors) for w in sorted(set(self.windows)) if w)]

    def engine_options(self, batch: int) -> dict[str, Any]:
        """Of an engine that holds these requests and runs these rounds."""
        windows, anchors = list(self.windows), self.anchors
        if self.round_tokens is not None:
            # the engine makes groups of window + 1 slots, and what it keeps must hold the deepest
            windows, anchors = [max(shape.depth for shape in self.shapes) - 1], 0
        return {
            "max_batch": batch,
            "max_length": len(self.canvas),
            "max_new_tokens": self.opened,
            "windows": windows,
            "anchors": anchors,
        }


def run_engine_benchmark(
    bench: EngineBenchmark, progress: Progress, save: Callable[[EngineRecord], None] | None = None
) -> EngineRecord:
    """What does not fit into memory at a batch size is a failure of the record, and the others go on. `save` gets the record
    so far after each batch size. Raises FefError where the network or the options cannot be run at all."""
    Engine(
        bench.network, **bench.engine_options(1)
    ).packed_rounds()  # refuses what it cannot run before anything is timed
    free_memory(bench.network.device)
    progress.label("copy bandwidth")
    record = EngineRecord(bench.command, setup_of(bench), copy_bandwidth(bench.clock))
    judge = remembering_judge()
    for batch in bench.batches:
        One(bench, record, batch, judge, progress).run()
        if save is not None:
            save(record)
        progress.advance(1)
    record.finished = True
    return record


@dataclass
class One:
    """The measurements of one batch size."""

    bench: EngineBenchmark
    record: EngineRecord
    batch: int
    judge: Judge
    progress: Progress

    def run(self) -> None:
        bench, batch = self.bench, self.batch
        with self.part("plain passes"):
            heads = {FULL: bench.opened} if bench.questions is None else {FULL: bench.opened, FULL_ONE: 1}
            self.record.passes += plain_passes(
                bench.network, batch, bench.canvas, heads, bench.clock, self.record.bandwidth
            )
        if bench.questions is None:
            with self.part("passes of the engine"):
                self.passes(Engine(bench.network, **bench.engine_options(batch)).packed_rounds())
            return
        questions = bench.questions
        problems = problems_at(batch, questions.problems)
        settings = replace(questions.settings, batch_size=batch)
        with self.part("fef in the engine"):
            answers = self.engine(questions, "fef", bench.engine_options(batch), problems, settings)
            self.record.lengths = lengths(questions, problems, answers)
        with self.part("sequential in the engine"):
            one_token = bench.engine_options(batch) | {"windows": (0,), "anchors": 0}
            self.engine(questions, "sequential", one_token, problems, settings)
        for spec in questions.rivals:
            with self.part(f"{spec.label} in the loop"):
                self.record.served.append(
                    run_rival(questions.model, spec, batch, problems, settings, self.judge, self.costs())
                )

    def engine(
        self,
        questions: Questions,
        method: str,
        options: Mapping[str, Any],
        problems: Sequence[Problem],
        settings: Settings,
    ) -> list[Answer]:
        """What a method answers in an engine of its own; for `fef`, its passes are timed before."""
        engine = TextEngine(questions.model, **options)
        if method == "fef":
            self.passes(engine.engine.packed_rounds())
        row, answers = serve(method, self.batch, problems, settings, self.judge, engine)
        self.record.served.append(row)
        return answers

    def passes(self, rounds: PackedRounds) -> None:
        bench, batch = self.bench, self.batch
        order = list(range(len(bench.canvas) - bench.opened, len(bench.canvas)))
        self.record.passes += engine_passes(
            rounds, batch, bench.canvas, order, bench.shapes, bench.clock, self.record.bandwidth
        )
        if bench.profile:
            shape = bench.shapes[-1]
            with torch.no_grad(), live_round(rounds, batch, bench.canvas, order, shape, in_one=True) as (work, restore):
                self.record.profile += profile_pass(batch, shape.window, work, restore, rounds.device)

    def costs(self) -> PassCosts | None:
        """Of plain passes, if they were measured."""
        for row in self.record.passes:
            if (row.batch, row.kind) == (self.batch, FULL_ONE):
                weights = weight_bytes(self.bench.network) / self.record.bandwidth
                return PassCosts(self.batch, row.tokens, row.seconds, weights)
        return None

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the measurements that may fail for itself."""
        device = self.bench.network.device
        self.progress.label(f"batch {self.batch}: {name}")
        free_memory(device)
        reset_peak_memory(device)
        try:
            yield
        except torch.OutOfMemoryError:
            self.record.failures.append(Failure(self.batch, name, "Out of memory."))
        except EngineError as error:
            self.record.failures.append(Failure(self.batch, name, str(error)))
        free_memory(device)


def lengths(questions: Questions, problems: Sequence[Problem], answers: Sequence[Answer]) -> dict[str, float]:
    """Median tokens of prompts and answers."""
    starts = [questions.model.canvas(p.prompt, questions.settings.max_new_tokens, "")[1] for p in problems]
    return {"prompt": statistics.median(starts), "answer": statistics.median(a.tokens for a in answers)}


def setup_of(bench: EngineBenchmark) -> dict[str, Any]:
    network = bench.network
    found: dict[str, Any] = {
        "model": network.name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "weight_bytes": weight_bytes(network),
        "weight_format": network.weight_format,
        "dtype": str(network.embed.weight.dtype).removeprefix("torch."),
        "batches": list(bench.batches),
        "canvas": len(bench.canvas),
        "opened": bench.opened,
        "windows": list(bench.windows),
        "anchors": bench.anchors,
        "round_tokens": bench.round_tokens,
        "repeats": bench.clock.repeats,
        "environment": environment(str(network.device)),
    }
    if bench.questions is not None:
        questions = bench.questions
        found |= {
            "model": questions.model.name,
            "weights": weights_digest(network),
            "families": list(dict.fromkeys(p.family for p in questions.problems)),
            "rivals": [spec.label for spec in questions.rivals],
            "settings": asdict(questions.settings),
        }
    return found
