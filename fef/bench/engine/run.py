"""Everything for every batch size, as tasks of one record."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from fef.bench.engine.bandwidth import copy_bandwidth, weight_bytes
from fef.bench.engine.passes import engine_passes
from fef.bench.engine.plain import plain_passes
from fef.bench.engine.rows import ENGINE_KIND, FULL, FULL_ONE, LOOP, PassRow, Served
from fef.bench.engine.serving import ideal_seconds, problems_at, serve, served
from fef.bench.evaluate import Settings, evaluate
from fef.bench.spec import MethodSpec
from fef.engine.engine import Engine
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.measure.environment import environment, peak_bytes, weights_digest
from fef.measure.record import Record, resumed
from fef.measure.run import Progress, Task, carry_out
from fef.measure.timing import Clock, free_memory
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer
from fef.tasks import Problem, score

__all__ = ["DEFAULT_RIVALS", "EngineBenchmark", "Questions", "run_engine_benchmark"]

DEFAULT_RIVALS = ("sequential", "low-confidence", "threshold:cache=dual,block_length=32", "dual")
METHODS: Mapping[str, dict[str, Any]] = {"fef": {}, "sequential": {"windows": (0,)}}
"""Of the engine, with its options beside those of the benchmark."""
_RUNS = 3  # on a GPU, where a run takes a second or two


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
    windows: Sequence[int] | None  # as in `Engine`
    clock: Clock  # times passes
    questions: Questions | None = None  # None for a network of random weights
    command: str = ""  # what was typed

    def engine_options(self, batch: int) -> dict[str, Any]:
        """Of an engine that holds these requests and runs these rounds."""
        sizes: dict[str, Any] = {"max_batch": batch, "max_length": len(self.canvas), "max_new_tokens": self.opened}
        return sizes if self.windows is None else sizes | {"windows": self.windows}

    @property
    def setup(self) -> dict[str, Any]:
        network, asked = self.network, self.questions
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
        if asked is None:
            return found
        starts = [asked.model.canvas(p.prompt, self.opened, "")[1] for p in asked.problems]
        return found | {
            "model": asked.model.name,
            "weights": weights_digest(network),
            "families": list(dict.fromkeys(p.family for p in asked.problems)),
            "rivals": [spec.label for spec in asked.rivals],
            "settings": asdict(asked.settings),
            "prompt_tokens": statistics.median(starts),
        }


def run_engine_benchmark(
    bench: EngineBenchmark,
    progress: Progress,
    path: Path | None = None,
    resume: bool = False,
) -> Record:
    """What does not fit into memory at a batch size is a failure of the record, and the others go on. path: where the
    record is kept; resume: goes on from what is there. Raises FefError where the network or the options cannot be run at all,
    and as `resumed`."""
    Engine(bench.network, **bench.engine_options(1)).packed_rounds()  # refuses before anything is timed
    device = bench.network.device
    record = Record(ENGINE_KIND, bench.command, bench.setup, path=path)
    record = resumed(record, resume)
    free_memory(device)
    progress.label("copy bandwidth")
    if record.facts.get("bandwidth") is None:
        record.facts["bandwidth"] = copy_bandwidth(bench.clock)

    tasks = [task for batch in bench.batches for task in tasks_of(bench, record, batch)]
    return carry_out(record, tasks, progress, device)


def tasks_of(bench: EngineBenchmark, record: Record, batch: int) -> Iterator[Task]:
    """The measurements of one batch size."""
    bandwidth, asked = record.facts["bandwidth"], bench.questions
    heads = {FULL: bench.opened} if asked is None else {FULL: bench.opened, FULL_ONE: 1}
    plain = partial(plain_passes, bench.network, batch, bench.canvas, heads, bench.clock, bandwidth)

    def passes() -> list[PassRow]:
        engine = Engine(bench.network, **bench.engine_options(batch))
        chains = [shape for shape in engine.shapes if shape.window and shape.branching == 1]
        shapes = [None, RoundShape(0), *chains]
        return engine_passes(engine, batch, bench.canvas, bench.opened, shapes, bench.clock, bandwidth)

    parts: dict[str, Callable[[], Iterable[Any]]] = {"plain passes": plain, "passes of the engine": passes}
    if asked is not None:
        problems = problems_at(batch, asked.problems)
        asked = replace(asked, problems=problems, settings=replace(asked.settings, batch_size=batch))
        options = bench.engine_options(batch)
        parts |= {f"{name} in the engine": partial(in_engine, asked, name, options) for name in METHODS}
        parts |= {f"{spec.label} in the loop": partial(in_loop, asked, spec, record) for spec in asked.rivals}
    return (Task((f"batch {batch}", name), part, 1 / len(parts)) for name, part in parts.items())


def in_engine(asked: Questions, method: str, options: dict[str, Any]) -> list[Served]:
    """What a method answers in an engine of its own."""
    engine, settings = TextEngine(asked.model, **options | METHODS[method]), asked.settings
    on_cuda = engine.engine.device.type == "cuda"
    if on_cuda:
        engine.engine.measure()
    prompts, said = [p.prompt for p in asked.problems], settings.asked(method, {"verify": "packed"})
    row, outs = serve(engine, method, settings.batch_size, prompts, said, settings.seed, _RUNS if on_cuda else 1)
    right = sum(score(problem, out.text) for problem, out in zip(asked.problems, outs, strict=True))
    return [replace(row, right=right)]


def in_loop(asked: Questions, spec: MethodSpec, record: Record) -> list[Served]:
    """What a rival answers in the loop. Idealised only where the plain pass was measured."""
    model, batch = asked.model, asked.settings.batch_size
    answers = evaluate(model, asked.problems, spec, asked.settings, warm_up=True).answers
    plain = [row for row in record.of(PassRow) if (row.batch, row.kind) == (batch, FULL_ONE)]
    seconds, right = sum(answer.seconds for answer in answers), sum(answer.right for answer in answers)
    more: dict[str, Any] = {"right": right, "memory": peak_bytes(model.network.device)}
    ideal = ideal_seconds(answers, plain[0]) if plain else None
    return [served(batch, spec.label, LOOP, answers, seconds, ideal_seconds=ideal, **more)]
