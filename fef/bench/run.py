"""Every method on every family, as tasks of one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fef.api import certify
from fef.bench.evaluate import Result, Settings, evaluate
from fef.bench.spec import MethodSpec
from fef.decoders import read_given
from fef.errors import OptionError
from fef.generation import Model
from fef.measure.environment import ENVIRONMENT, environment, weights_digest
from fef.measure.record import Failure, Record, RecordKind, resumed
from fef.measure.run import Progress, Task, carry_out, check_asked
from fef.tasks import generate

__all__ = ["METHODS_KIND", "Benchmark", "check_specs", "run"]


def check(record: Record) -> None:
    """Raise ValueError for a failure that is not one of a method on a family."""
    if any(len(failure.task) != 2 for failure in record.failures):
        raise ValueError("a failure must have a family and a method")


METHODS_KIND = RecordKind(
    "methods",
    "fef bench --json",
    {"results": Result},
    setup={"model": str, "settings": dict, "environment": ENVIRONMENT},
    check=check,
)


@dataclass(frozen=True)
class Benchmark:
    """Every spec on held-out problems of every family."""

    model: Model  # who answers
    families: Sequence[str]  # of problems
    specs: Sequence[MethodSpec]  # the methods
    count: int  # problems per family
    settings: Settings  # of decoding
    time_each: bool = False  # measure seconds, after a warm-up of each method
    command: str = ""  # what was typed

    @property
    def setup(self) -> dict[str, Any]:
        """What must be the same for results to stand in one table."""
        network = self.model.network
        return {
            "model": self.model.name,
            "weights": weights_digest(network),
            "weight_format": network.weight_format,
            "problems": self.count,
            "settings": asdict(self.settings),
            "time_each": self.time_each,
            "environment": environment(str(network.device)),
        }


def run(bench: Benchmark, progress: Progress, path: Path | None = None, resume: bool = False) -> Record:
    """path: where the record is kept; resume: goes on from what is there.

    A method that the model cannot run is a failure with the reason, and the others go on. Raises OptionError or InputError
    before the first forward pass for unknown names, problems that do not fit and a file of another setup; OptionError where
    no method can be run.
    """
    record = Record(METHODS_KIND, bench.command, bench.setup, path=path)
    record = resumed(record, resume)
    refused = check_specs(bench.model, bench.specs, bench.settings)
    record.failures = [Failure((family, label), why) for family in bench.families for label, why in refused.items()]
    tasks = [task for family in bench.families for task in tasks_of(bench, family, progress)]
    check_asked(record, tasks)
    carry_out(record, tasks, progress)
    if not record.done:
        raise OptionError(f"No method could be run: {record.failures[0].reason}")
    order = [task.key for task in tasks]
    record.of(Result).sort(key=lambda result: order.index(result.key))
    record.keep()
    return record


def tasks_of(bench: Benchmark, family: str, progress: Progress) -> list[Task]:
    """A task a method. Raises InputError or OptionError for a problem that does not fit the model."""
    model, settings = bench.model, bench.settings
    problems = generate(family, bench.count, settings.seed, split="held-out")
    for problem in problems:
        model.canvas(problem.prompt, settings.max_new_tokens, "")

    def measured(spec: MethodSpec) -> list[Result]:
        return [evaluate(model, problems, spec, settings, warm_up=bench.time_each, on_done=progress.advance)]

    return [Task((family, spec.label), partial(measured, spec), bench.count, tells=True) for spec in bench.specs]


def check_specs(model: Model, specs: Sequence[MethodSpec], settings: Settings) -> dict[str, str]:
    """Why the model cannot run a method, by label, for each that it cannot. Runs no forward pass.

    Raises OptionError for an unknown method or option, and where no method is left.
    """
    refused: dict[str, str] = {}
    for spec in specs:
        read_given(spec.name, spec.options)
    for spec in specs:
        try:
            certify(model.network, method=spec.name, **settings.sampling, **spec.options)
        except OptionError as error:
            refused[spec.label] = str(error)
            if len(refused) == len(specs):
                raise
    return refused
