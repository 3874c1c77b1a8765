"""`fef bench`: accuracy and cost of methods on held-out problems."""

from __future__ import annotations

import json as json_module
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.options import DeviceOption, ModelOption, TemperatureOption, TopPOption, load_model
from fef.cli.output import Bar, check_writable, print_table, write_whole
from fef.errors import OptionError, nearest_hint

if TYPE_CHECKING:
    from fef.bench.evaluate import Result, Settings
    from fef.bench.spec import MethodSpec
    from fef.generation import Model
    from fef.tasks import Problem

__all__ = ["EXAMPLE", "bench"]

EXAMPLE = (
    "Example: [bold]fef bench --n 20 --tasks joint --methods fef --methods low-confidence:tokens_per_step=4[/bold]"
    "\n\nExample: [bold]fef bench --n 50 --time-each --methods fef --methods sequential --json times.json[/bold]"
)


def bench(
    context: typer.Context,
    tasks: Annotated[str, typer.Option("--tasks", help="Families of problems, with commas between them.")] = (
        "word-problems,python,joint"
    ),
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "--methods",
            metavar="SPEC",
            help="name, name:option=value,option=value, or label=name:... Repeatable; or several in one, with spaces. "
            "By default the seven of the README.",
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="Problems a family.")] = 500,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Problems decoded together.")] = 32,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the problems and the tokens.")] = 0,
    model: ModelOption = "demo",
    device: DeviceOption = None,
    temperature: TemperatureOption = 0.0,
    top_p: TopPOption = 1.0,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option("--compare", metavar="A B", help="Also count problems on which two methods give the same tokens."),
    ] = None,
    time_each: Annotated[
        bool, typer.Option("--time-each", help="One problem at a time after a warm-up; seconds a problem and ratios.")
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the table to this file.")] = None,
    save_texts: Annotated[bool, typer.Option("--save-texts", help="Put every output in the JSON file.")] = False,
) -> None:
    """Measure accuracy and cost of methods on held-out problems of the built-in families."""
    families = parse_families(tasks)
    if save_texts and json is None:
        raise OptionError("--save-texts adds to the JSON file; give --json FILE too.")
    for path in (json, csv):
        if path is not None:
            check_writable(path)
    loaded = load_model(model, device)
    from fef.bench.evaluate import Settings
    from fef.bench.report import report_json, rows_csv, rows_table, summarize

    specs = parse_specs(methods, compare)
    settings = Settings(1 if time_each else batch_size, max_new_tokens, temperature, top_p, seed)
    check_specs(loaded, specs, settings)
    results = run_all(loaded, families, specs, n, settings, time_each)
    rows = summarize(results, seed)
    comparisons = [] if compare is None else agreements(results, *compare)
    print_table(rows_table(rows, ratios=time_each))
    for line in comparisons:
        typer.echo(
            f"{line['family']}: {line['first']} and {line['second']} agree token for token on "
            f"{line['same']} of {line['problems']} problems"
        )
    if json is not None:
        report = report_json(
            results,
            rows,
            settings,
            model=loaded.name,
            device=str(loaded.network.device),
            command=shlex.join(["fef", *context.meta["fef.arguments"]]),
            comparisons=comparisons,
            texts=save_texts,
        )
        write_whole(json, json_module.dumps(report, ensure_ascii=False, indent=1) + "\n")
    if csv is not None:
        write_whole(csv, rows_csv(rows))


def parse_families(text: str) -> list[str]:
    from fef.tasks import FAMILIES

    families = [name.strip() for name in text.split(",")]
    for name in families:
        if name not in FAMILIES:
            raise OptionError(f"Unknown family {name!r}.{nearest_hint(name, FAMILIES)}")
    return list(dict.fromkeys(families))


def parse_specs(methods: list[str] | None, compare: tuple[str, str] | None) -> list[MethodSpec]:
    """The methods to run, those to compare among them. Raises OptionError for a label with two meanings."""
    from fef.bench.spec import DEFAULT_SPECS, parse_spec

    words = [word for text in methods for word in text.split()] if methods else list(DEFAULT_SPECS)
    found: dict[str, MethodSpec] = {}
    for word in words:
        spec = parse_spec(word)
        if found.setdefault(spec.label, spec) != spec:
            raise OptionError(f"Two methods have the label {spec.label!r}; give them different ones.")
    for word in compare or ():
        if word not in found:
            spec = parse_spec(word)
            found[word] = spec
    return list(found.values())


def check_specs(model: Model, specs: list[MethodSpec], settings: Settings) -> None:
    """Raise OptionError for any method that cannot run, before the first one starts."""
    from fef.api import certify

    for spec in specs:
        certify(
            model.network,
            method=spec.name,
            temperature=settings.temperature,
            top_p=settings.top_p,
            **spec.options,
        )


def run_all(
    model: Model, families: list[str], specs: list[MethodSpec], n: int, settings: Settings, time_each: bool
) -> list[Result]:
    from fef.bench.evaluate import check_fit, evaluate, remembering_judge
    from fef.tasks import generate

    judge = remembering_judge()
    results = []
    with Bar("Drawing problems", len(families) * len(specs) * n) as bar:
        problems: dict[str, list[Problem]] = {f: generate(f, n, settings.seed, split="held-out") for f in families}
        for drawn in problems.values():
            check_fit(model, drawn, settings)
        for family in families:
            for spec in specs:
                bar.label(f"{family}, {spec.label}")
                result = evaluate(
                    model, problems[family], spec, settings, warm_up=time_each, judge=judge, on_done=bar.advance
                )
                results.append(result)
    return results


def agreements(results: list[Result], first: str, second: str) -> list[dict[str, Any]]:
    from fef.bench.evaluate import same_ids

    by_name = {(r.family, r.spec.label): r for r in results}
    families = dict.fromkeys(r.family for r in results)
    return [
        {
            "family": family,
            "first": first,
            "second": second,
            "same": same_ids(by_name[family, first], by_name[family, second]),
            "problems": len(by_name[family, first].answers),
        }
        for family in families
    ]
