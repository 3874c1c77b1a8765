"""`fef bench --engine`: what passes of the fast engine cost, and what it serves against the decoders of the loop."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fef.cli.options import (
    DeviceOption,
    DtypeOption,
    ModelOption,
    ProblemSeedOption,
    TasksOption,
    TemperatureOption,
    TopPOption,
    WeightsOption,
    check_device,
    dtype_of,
    load_model,
    parse_families,
    typed_options,
)
from fef.cli.output import Bar, print_sheet
from fef.errors import OptionError

if TYPE_CHECKING:
    from fef.bench.engine.run import Questions
    from fef.bench.evaluate import Settings
    from fef.generation import Model
    from fef.models.transformer import Transformer
    from fef.tasks import Problem

__all__ = ["EXAMPLE", "bench_engine"]

EXAMPLE = (
    "Example: [bold]fef bench --engine --json engine.json[/bold]"
    "\n\nExample: [bold]fef bench --engine --shape 8b --cached 512 --windows 4,16 --batches 1,8[/bold]"
)
QUESTION_OPTIONS = ("model", "tasks", "methods", "n", "seed", "temperature", "top_p", "max_new_tokens")
SHAPE_OPTIONS = ("cached",)


def bench_engine(
    context: typer.Context,
    batches: Annotated[str, typer.Option("--batches", help="Requests at once, with commas between.")] = "1,8,32,64",
    windows: Annotated[
        str | None,
        typer.Option("--windows", help="Drafts per round to choose among, with commas; by default the engine's own."),
    ] = None,
    tasks: TasksOption = "word-problems,python,joint",
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="SPEC",
            help="Decoders of the loop to hold it against, as in `fef bench`. By default sequential, low-confidence, "
            "threshold with a cache, and dual.",
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("--n", min=1, help="Problems per family at most; small batches answer the first of them.")
    ] = 100,
    seed: ProblemSeedOption = 0,
    model: ModelOption = "demo",
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", min=2, help="Length of the canvas.")] = 128,
    shape: Annotated[
        str | None,
        typer.Option(
            "--shape", help="8b, 1b, 135m, 100m, 10m or tiny: time passes of a network of random weights, no problems."
        ),
    ] = None,
    cached: Annotated[
        int, typer.Option("--cached", min=2, help="With --shape: tokens of a canvas, cached before a round.")
    ] = 512,
    repeats: Annotated[
        int, typer.Option("--repeats", min=1, help="Runs of each pass, of which the median counts.")
    ] = 20,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write everything measured to this file, after each part.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the JSON file of an interrupted run, if there is one.")
    ] = False,
) -> None:
    """Measure the fast engine: times of its passes, share of bandwidth, tokens per second against other decoders."""
    refuse_mixtures(context, shape is not None)
    if resume and json is None:
        raise OptionError("--resume needs the JSON file; give --json FILE too.")
    batch_list = whole_numbers("batches", batches, 1)
    window_list = None if windows is None else whole_numbers("windows", windows, 0)
    families = parse_families(tasks)
    with Bar("Loading"):
        from fef.bench.engine.page import sheets
        from fef.bench.engine.rows import ENGINE_KIND
        from fef.bench.engine.run import EngineBenchmark, run_engine_benchmark
        from fef.bench.engine.serving import draw_problems
        from fef.bench.evaluate import Settings
        from fef.measure.record import check_kept
        from fef.measure.timing import Clock
    command = shlex.join(["fef", *context.meta["fef.arguments"]])
    check_kept(json, ENGINE_KIND, command)
    questions: Questions | None = None
    if shape is None:
        loaded = load_model(model, device, dtype, weights)
        network = loaded.network
        problems = draw_problems(families, n, seed)
        settings = Settings(1, max_new_tokens, temperature, top_p, seed)
        canvas = max((loaded.canvas(p.prompt, max_new_tokens, "")[0] for p in problems), key=len)
        questions = with_rivals(loaded, problems, methods, settings)
        opened = max_new_tokens
    else:
        network = shaped(shape, device, dtype, weights, cached)
        canvas = [i % network.mask_id for i in range(cached)]
        opened = cached // 2
        canvas[-opened:] = [network.mask_id] * opened
    bench = EngineBenchmark(
        network=network,
        batches=batch_list,
        canvas=canvas,
        opened=opened,
        windows=window_list,
        clock=Clock(network.device, repeats),
        questions=questions,
        command=command,
    )

    with Bar("Measuring", len(batch_list)) as bar:
        record = run_engine_benchmark(bench, bar, json, resume)
    for sheet in sheets(record):
        print_sheet(sheet)


def refuse_mixtures(context: typer.Context, shaped: bool) -> None:
    """Raise OptionError for options that mean nothing together."""
    typed = typed_options(context, QUESTION_OPTIONS if shaped else SHAPE_OPTIONS)
    if typed and shaped:
        raise OptionError(
            f"A --shape has random weights and answers no problems, so it cannot go with {', '.join(typed)}; leave one out."
        )
    if typed:
        raise OptionError(f"{', '.join(typed)} is for a network of random weights; give --shape too, for example 8b.")


def whole_numbers(name: str, text: str, least: int) -> list[int]:
    """`"1,8"` as numbers. Raises OptionError."""
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < least:
        raise OptionError(
            f"--{name} {text!r} is not allowed: give whole numbers of at least {least} with commas between, such as 8,16."
        )
    return list(dict.fromkeys(found))


def shaped(shape: str, device: str | None, dtype: str | None, weights: str | None, cached: int) -> Transformer:
    """A network of random weights. Raises OptionError."""
    import torch

    from fef.bench.engine.shapes import random_network, shape_config
    from fef.models.quantize import check_format

    config = shape_config(shape)
    if cached > config.max_length:
        raise OptionError(f"--cached {cached} is not allowed: a canvas holds {config.max_length} tokens at most.")
    if weights is not None:
        check_format(weights)
    place = torch.device(check_device(device))
    with Bar(f"Drawing weights of {shape}"):
        network = random_network(config, place, dtype_of(dtype) or torch.bfloat16, weights)
    network.name = shape
    return network


def with_rivals(model: Model, problems: Sequence[Problem], methods: list[str] | None, settings: Settings) -> Questions:
    """Raises OptionError for a decoder that the model cannot run."""
    from fef.bench.engine.run import DEFAULT_RIVALS, Questions
    from fef.bench.run import check_specs
    from fef.bench.spec import parse_specs
    from fef.decoders import METHODS

    specs = parse_specs(DEFAULT_RIVALS if methods is None else methods, METHODS)
    for reason in check_specs(model, specs, settings).values():
        raise OptionError(reason)
    return Questions(model, problems, specs, settings)
