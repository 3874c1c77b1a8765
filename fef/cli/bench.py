"""`fef bench`: accuracy and cost of methods on held-out problems."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.options import (
    DeviceOption,
    ModelOption,
    ProblemSeedOption,
    TasksOption,
    TemperatureOption,
    TopPOption,
    WeightsOption,
    check_decoding,
    load_model,
    parse_families,
    typed_options,
)
from fef.cli.output import Bar, print_sheet
from fef.errors import OptionError

__all__ = ["EXAMPLE", "bench"]

EXAMPLE = (
    "Example: [bold]fef bench --n 20 --tasks joint --methods fef --methods low-confidence:tokens_per_step=4[/bold]"
    "\n\nExample: [bold]fef bench --n 50 --time-each --methods fef --methods sequential --json times.json[/bold]"
    "\n\nExample: [bold]fef bench --n 100 --methods all --json results.json --resume[/bold]"
    "\n\nExample: [bold]fef bench --grammar --model smol[/bold]"
    "\n\nThe fast engine: [bold]fef bench --engine --help[/bold]"
)

GRAMMAR_REQUESTS = 4  # for each grammar, unless --n says otherwise


def bench(
    context: typer.Context,
    tasks: TasksOption = "word-problems,python,joint",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="SPEC",
            help="name, name:option=value,option=value, or label=name:... Repeatable; or several in one, with spaces. "
            "all: every method, with its defaults. By default fef and sequential in both laws, and low-confidence in three "
            "ways.",
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Problems per family.")] = 500,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Problems decoded together; by default 8 on a CPU, else 32."),
    ] = None,
    seed: ProblemSeedOption = 0,
    model: ModelOption = "demo",
    device: DeviceOption = None,
    weights: WeightsOption = None,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Also count problems on which two methods give the same tokens."),
    ] = None,
    time_each: Annotated[bool, typer.Option("--time-each", help="One problem at a time after a warm-up.")] = False,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file, after each method.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the JSON file of an interrupted run, if there is one.")
    ] = False,
    grammar: Annotated[
        bool,
        typer.Option(
            "--grammar", help="Only measure what grammars cost per round of the engine, one request at a time."
        ),
    ] = False,
) -> None:
    """Measure accuracy and cost of methods on held-out problems of the built-in families."""
    check_decoding("fef", {}, temperature=temperature, top_p=top_p, seed=seed, max_new_tokens=max_new_tokens)
    if grammar:
        read = ("model", "device", "weights", "n", "temperature", "max_new_tokens")
        refuse_other_options(context, read)
        from fef.bench.grammar import grammar_costs
        from fef.measure.table import Sheet

        requests = n if typed_options(context, ["n"]) else GRAMMAR_REQUESTS
        measured = load_model(model, device, weights=weights)
        costs = list(grammar_costs(measured, requests, temperature, max_new_tokens))
        print_sheet(Sheet([*costs[0]], [[*line.values()] for line in costs], words=("grammar", "run by")))
        return
    families = parse_families(tasks)
    if json is None and resume:
        raise OptionError("--resume needs the JSON file; give --json FILE too.")
    with Bar("Loading"):
        from fef.bench.evaluate import Result, Settings
        from fef.bench.page import pairs_on, rows_sheet
        from fef.bench.run import METHODS_KIND, Benchmark, run
        from fef.bench.spec import parse_specs
        from fef.bench.summary import summarize
        from fef.decoders import METHODS
        from fef.measure.record import check_kept
    command = shlex.join(["fef", *context.meta["fef.arguments"]])
    check_kept(json, METHODS_KIND, command)
    specs = parse_specs(methods, METHODS, compare)
    loaded = load_model(model, device, weights=weights)
    on_cpu = loaded.network.device.type == "cpu"
    size = 1 if time_each else batch_size or (8 if on_cpu else 32)
    settings = Settings(size, max_new_tokens, temperature, top_p, seed)
    benchmark = Benchmark(
        model=loaded,
        families=families,
        specs=specs,
        count=n,
        settings=settings,
        time_each=time_each,
        command=command,
    )

    with Bar("Drawing problems", len(families) * len(specs) * n) as bar:
        record = run(benchmark, bar, json, resume)
    print_sheet(rows_sheet(summarize(record.of(Result), seed), record.failures))
    for pair in pairs_on(record, families, *compare) if compare else []:
        typer.echo(
            f"{pair.task}: {pair.first} and {pair.second} agree token for token on {pair.same} of {pair.problems} problems"
        )


def refuse_other_options(context: typer.Context, read: Sequence[str]) -> None:
    """Raise OptionError for options beside --grammar that it does not read."""
    others = typed_options(context, context.params.keys() - {"grammar", *read})
    if others:
        raise OptionError(f"--grammar answers no problems, so it cannot go with {', '.join(others)}; give it without.")
