"""Every method on every family; the record so far is handed over after each, so that a run can be gone on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from fef.api import certify
from fef.bench.environment import environment, weights_digest
from fef.bench.evaluate import Result, Settings, check_fit, evaluate, remembering_judge, same_ids
from fef.bench.record import Record
from fef.bench.spec import MethodSpec
from fef.bench.summary import Refusal, summarize
from fef.decoders import read_given
from fef.errors import FefError, InputError, OptionError
from fef.generation import Model
from fef.tasks import Problem, generate

__all__ = ["Benchmark", "Progress", "run"]

Key = tuple[str, str]  # family, label


class Progress(Protocol):
    def label(self, label: str) -> None: ...
    def advance(self, count: float) -> None: ...


@dataclass(frozen=True)
class Benchmark:
    """Every spec on held-out problems of every family."""

    model: Model  # who answers
    families: Sequence[str]  # of problems
    specs: Sequence[MethodSpec]  # the methods
    count: int  # problems per family
    settings: Settings  # of decoding
    time_each: bool = False  # measure seconds, after a warm-up of each method
    compare: tuple[str, str] | None = None  # labels of two methods whose tokens are compared
    texts: bool = False  # keep the outputs in the record
    command: str = ""  # what was typed


def run(
    bench: Benchmark, progress: Progress, known: Record | None = None, save: Callable[[Record], None] | None = None
) -> Record:
    """Run what `known` does not hold yet; `save` gets the record so far after each result.

    A method that the model cannot run is refused with the reason, and the others go on. Raises OptionError or InputError
    before the first forward pass for unknown names, problems that do not fit and a `known` of another setup; OptionError
    where no method can be run.
    """
    setup = setup_of(bench)
    refused = refused_specs(bench)
    found = {} if known is None else resumed(bench, setup, known)
    problems = draw(bench)
    judge = remembering_judge()
    for family, spec in wanted(bench):
        key = family, spec.label
        progress.label(f"{family}, {spec.label}")
        if key in found or key in refused:
            progress.advance(bench.count)
            continue
        try:
            found[key] = evaluate(
                bench.model,
                problems[family],
                spec,
                bench.settings,
                warm_up=bench.time_each,
                judge=judge,
                on_done=progress.advance,
            )
        except FefError as error:
            refused[key] = str(error)
        if save is not None:
            save(record_of(bench, setup, found, refused))
    if not found:
        raise OptionError(f"No method could be run: {next(iter(refused.values()))}")
    return record_of(bench, setup, found, refused)


def setup_of(bench: Benchmark) -> dict[str, Any]:
    """What must be the same for results to stand in one table."""
    network = bench.model.network
    return {
        "model": bench.model.name,
        "weights": weights_digest(network),
        "weight_format": network.weight_format,
        "problems": bench.count,
        "settings": asdict(bench.settings),
        "time_each": bench.time_each,
        "texts": bench.texts,
        "environment": environment(str(network.device)),
    }


def wanted(bench: Benchmark) -> list[tuple[str, MethodSpec]]:
    return [(family, spec) for family in bench.families for spec in bench.specs]


def refused_specs(bench: Benchmark) -> dict[Key, str]:
    """Why the model cannot run a method, for each that it cannot. Runs no forward pass.

    Raises OptionError for an unknown method or option, and where no method is left.
    """
    settings = bench.settings
    refused: dict[str, str] = {}
    for spec in bench.specs:
        read_given(spec.name, spec.options)
    for spec in bench.specs:
        try:
            certify(
                bench.model.network,
                method=spec.name,
                temperature=settings.temperature,
                top_p=settings.top_p,
                **spec.options,
            )
        except OptionError as error:
            refused[spec.label] = str(error)
            if len(refused) == len(bench.specs):
                raise
    return {(family, label): reason for family in bench.families for label, reason in refused.items()}


def resumed(bench: Benchmark, setup: Mapping[str, Any], known: Record) -> dict[Key, Result]:
    """The results of `known`. Raises InputError where they cannot stand in one table with those of `bench`."""
    for name, asked, there in differences(setup, known.setup):
        raise InputError(
            f"The results to resume have {name} {there!r}; this run has {asked!r}. Resume with the command and on the "
            "machine that made them, or write to another file."
        )
    for result in known.results:
        if (result.family, result.spec) not in wanted(bench):
            raise InputError(
                f"The results to resume hold {result.spec.label} on {result.family}, which this run does not ask for. "
                "Ask for it too, or write to another file."
            )
    return {(r.family, r.spec.label): r for r in known.results}


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b)
        elif a != b:
            yield name, a, b


def draw(bench: Benchmark) -> dict[str, list[Problem]]:
    """The problems of each family, by the seed. Raises InputError or OptionError for one that does not fit the model."""
    drawn = {family: generate(family, bench.count, bench.settings.seed, split="held-out") for family in bench.families}
    for problems in drawn.values():
        check_fit(bench.model, problems, bench.settings)
    return drawn


def record_of(
    bench: Benchmark, setup: Mapping[str, Any], found: Mapping[Key, Result], refused: Mapping[Key, str]
) -> Record:
    keys = [(family, spec.label) for family, spec in wanted(bench)]
    results = [found[key] for key in keys if key in found]
    return Record(
        command=bench.command,
        setup=setup,
        results=results,
        refusals=[Refusal(*key, refused[key]) for key in keys if key in refused],
        rows=summarize(results, bench.settings.seed),
        comparisons=[] if bench.compare is None else agreements(results, *bench.compare),
        finished=all(key in found or key in refused for key in keys),
    )


def agreements(results: Sequence[Result], first: str, second: str) -> list[dict[str, Any]]:
    """Problems on which two methods gave the same tokens, a family that both have answered."""
    by_name = {(r.family, r.spec.label): r for r in results}
    return [
        {
            "family": family,
            "first": first,
            "second": second,
            "same": same_ids(by_name[family, first], by_name[family, second]),
            "problems": len(by_name[family, first].answers),
        }
        for family in dict.fromkeys(r.family for r in results)
        if {(family, first), (family, second)} <= by_name.keys()
    ]
