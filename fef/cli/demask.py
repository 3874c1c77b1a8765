"""`fef train-demask` and `fef demask-report`: the dependency head of a network, and how far to trust it."""

from __future__ import annotations

import json as json_module
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from fef.cli.options import DeviceOption, JsonOption, ModelOption, load_model
from fef.cli.output import Bar, print_json, print_table
from fef.cli.train import data_options
from fef.cli.training import CanvasLengthOption
from fef.files import check_writable, write_whole
from fef.training.limits import canvas_for

if TYPE_CHECKING:
    from fef.generation import Model
    from fef.tasks import Split
    from fef.training.data import Examples
    from fef.training.influence_targets import Teacher
    from fef.training.run import DataOptions

__all__ = ["REPORT_EXAMPLE", "TRAIN_EXAMPLE", "demask_report", "train_demask"]

TRAIN_EXAMPLE = (
    "Example: [bold]fef train-demask --out demask.safetensors --tasks joint --states 64 --steps 200[/bold]\n\n"
    "Example: [bold]fef train-demask --model my-model --out my-model/demask.safetensors --data examples.jsonl[/bold]"
)
REPORT_EXAMPLE = (
    "Example: [bold]fef demask-report --tasks word-problems --states 8 --slots 6 --values 4 --json report.json[/bold]"
)

TasksOption = Annotated[
    str | None, typer.Option("--tasks", help="Built-in families with their shares: word-problems:0.5,joint:0.5")
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help='A JSONL file of {"prompt", "response"}, for checkpoints with a chat template also of {"messages"}; its last '
        "tenth is held out.",
    ),
]
USUAL_CANVAS = 128
MaxPromptOption = Annotated[int, typer.Option("--max-prompt", min=1, help="Longest prompt kept, in tokens.")]


def train_demask(
    out: Annotated[Path, typer.Option("--out", help="File of the head; DEMASK looks in the model's directory.")],
    model: ModelOption = "demo",
    tasks: TasksOption = None,
    data: DataOption = None,
    states: Annotated[int, typer.Option("--states", help="Partly masked texts to measure.")] = 1920,
    sources: Annotated[int, typer.Option("--sources", help="Probed slots per state.")] = 6,
    draws: Annotated[int, typer.Option("--draws", help="Sampled values per source.")] = 2,
    slots: Annotated[int, typer.Option("--slots", help="Slots per state whose change is recorded.")] = 64,
    steps: Annotated[int, typer.Option("--steps", help="Optimizer steps of the fit.")] = 600,
    batch_size: Annotated[int, typer.Option("--batch-size", help="States per step of the fit.")] = 32,
    lr: Annotated[float, typer.Option("--lr", min=0, help="Learning rate.")] = 3e-3,
    under_weight: Annotated[
        float, typer.Option("--under-weight", help="Weight of predictions that are too small; 1 is none extra.")
    ] = 4.0,
    width: Annotated[int, typer.Option("--width", help="Features of a slot.")] = 256,
    rank: Annotated[int, typer.Option("--rank", help="Size of queries and keys.")] = 64,
    temperature: Annotated[float, typer.Option("--temperature", help="Of the laws whose influence is learned.")] = 1.0,
    canvas_length: CanvasLengthOption = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Generated examples.")] = 20_000,
    max_prompt: MaxPromptOption = 112,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same head.")] = 0,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Train the head that predicts which slots depend on which, by probing a frozen model (DEMASK)."""
    check_writable(out, data)
    options_of_data = data_options(tasks, data, count, max_prompt)
    from fef.laws.pipeline import check_sampling
    from fef.models.demask import save_head
    from fef.training.demask import HeadOptions, fit_head, measure
    from fef.training.demask_report import sampled_report

    check_sampling(temperature)
    options = HeadOptions(
        states=states,
        sources=sources,
        draws=draws,
        slots=slots,
        canvas_length=USUAL_CANVAS if canvas_length is None else canvas_length,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        under_weight=under_weight,
        width=width,
        rank=rank,
        seed=seed,
    )
    loaded = load_model(model, device)
    network = loaded.network
    began = time.perf_counter()
    canvas = canvas_for(canvas_length, network.config.max_length, USUAL_CANVAS)
    options = replace(options, canvas_length=canvas)
    unseen = replace(options, states=max(8, states // 10))
    options_of_unseen = data_options(tasks, data, 10 * unseen.states, max_prompt)
    with Bar("Preparing the examples", states + unseen.states) as bar:
        examples = encoded(loaded, options_of_data, canvas, seed, "train")
        unseen_examples = encoded(loaded, options_of_unseen, canvas, seed, "held-out")
        teacher = teacher_of(loaded, temperature)
        targets = measure(teacher, examples, options, lambda done: bar.update(done, "Measuring influences"))
        unseen_targets = measure(teacher, unseen_examples, unseen, lambda done: bar.update(states + done))
    measured = time.perf_counter()
    with Bar("Fitting", steps) as bar:
        head = fit_head(
            targets, temperature, options, lambda step, loss: bar.update(step, f"Fitting: error {loss:.5f}")
        )
    save_head(out, head, network)
    held_out = sampled_report(head, unseen_targets, under_weight)
    parameters = sum(p.numel() for p in head.parameters())
    seconds = {"measuring": round(measured - began, 3), "fitting": round(time.perf_counter() - measured, 3)}
    if json:
        summary = {"out": str(out), "states": states, "steps": steps, "parameters": parameters}
        print_json(summary | {"seconds": seconds, "held_out": {"states": unseen.states} | held_out})
    else:
        typer.echo(
            f"Wrote {out}: {parameters:,} parameters, {seconds['measuring']:.0f} s of measuring "
            f"{states:,} states, {seconds['fitting']:.0f} s of fitting. On {unseen.states:,} held-out states: "
            f"{calibration_words(held_out)}."
        )
    if (words := doubt(held_out["gain"])) is not None:
        typer.echo(f"fef: warning: {words}", err=True)


def doubt(gain: float | None) -> str | None:
    """Why a head whose gain on held-out states (`fef.training.demask_report.gain`) is this one may be useless."""
    if gain is None:
        return "the influences of the held-out states hardly vary, so whether the head learned anything is not known."
    if gain <= 0:
        return (
            f"on held-out states the head is no better than a constant (gain {gain:.3f}, at least 0 for one of use), so "
            "`demask` would not see which slots depend on which. Give more --states and --steps, or a smaller --lr."
        )
    return None


def demask_report(
    head: Annotated[
        Path | None, typer.Option("--head", help="File of the head; by default the one in the model's directory.")
    ] = None,
    model: ModelOption = "demo",
    tasks: TasksOption = None,
    data: DataOption = None,
    states: Annotated[int, typer.Option("--states", min=1, help="Held-out states.")] = 100,
    slots: Annotated[int, typer.Option("--slots", min=3, help="Slots per state, each a source and a target.")] = 12,
    values: Annotated[int, typer.Option("--values", min=1, help="The most probable values tried of a slot.")] = 8,
    tau: Annotated[float, typer.Option("--tau", min=0, help="Budget of the sets that count as allowed.")] = 0.1,
    canvas_length: CanvasLengthOption = None,
    max_prompt: MaxPromptOption = 112,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the states.")] = 0,
    device: DeviceOption = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write everything measured to this file.")] = None,
) -> None:
    """Measure a dependency head on held-out states: calibration, sub-additivity, and the bound on committed sets."""
    if json is not None:
        check_writable(json, data, head)
    options_of_data = data_options(tasks, data, 10 * states, max_prompt)
    loaded = load_model(model, device)
    network = loaded.network
    from fef.models.demask import DEMASK, load_head
    from fef.models.hub import locate
    from fef.training.demask_report import ReportOptions, head_report

    directory = locate(model)
    found = load_head(head or directory / DEMASK, network)
    canvas = canvas_for(canvas_length, network.config.max_length, USUAL_CANVAS)
    options = ReportOptions(states=states, slots=slots, values=values, tau=tau, canvas_length=canvas, seed=seed)
    examples = encoded(loaded, options_of_data, canvas, seed, "held-out")
    with Bar("Probing held-out states", states) as bar:
        teacher = teacher_of(loaded, found.temperature)
        report = head_report(teacher, found, examples, options, bar.update)
    for table in tables(report):
        print_table(table)
    if json is not None:
        write_whole(json, json_module.dumps(report, indent=1) + "\n")


def encoded(model: Model, data: DataOptions, canvas_length: int, seed: int, split: Split) -> Examples:
    from fef.training.demask import split_examples

    network = model.network
    examples = split_examples(data, network.config, model.tokenizer, canvas_length, seed, split, model.template)
    return examples.to(network.device)


def teacher_of(model: Model, temperature: float) -> Teacher:
    import torch

    from fef.training.influence_targets import Teacher

    banned = [model.network.mask_id, *model.special_ids()]
    return Teacher(model.network, torch.tensor(banned, device=model.network.device), temperature)


def tables(report: dict[str, Any]) -> list[Table]:
    """Calibration by bins of the prediction; bounds on sets of slots."""
    pairs = report["calibration"]
    bins = Table("predicted influence", "pairs", "mean predicted", "mean true", "under %", "under by 0.05 %")
    for row in [*pairs["bins"], pairs]:
        name = f"{row['from']:g} to {row['to']:g}" if "from" in row else "all"
        shares = [f"{100 * row[key]:.1f}" for key in ("under", "under_by_0.05")]
        bins.add_row(name, f"{row['pairs']:,}", f"{row['predicted']:.3f}", f"{row['true']:.3f}", *shares)
    bins.caption = calibration_words(pairs)
    sets = Table("sets", "count", "sub-additive %", "TV", "true bound", "violated %", "predicted bound", "violated %")
    for kind, row in report["triples"].items():
        share = [f"{100 * row[key]:.1f}" for key in ("sub_additive", "over_true_bound", "over_predicted_bound")]
        means = [f"{row[key]:.3f}" for key in ("tv", "true_bound", "predicted_bound")]
        cells = [share[0], means[0], means[1], share[1], means[2], share[2]]
        sets.add_row(f"{kind} triples", f"{row['sets']:,}", *cells)
    random, parity = report["tables"], report["parity"]
    for kind, row, count in (("random tables of 4", random, random["laws"]), ("parity of 3 bits", parity, 1)):
        share = [f"{100 * row[key]:.1f}" for key in ("sub_additive", "violated")]
        sets.add_row(kind, f"{count:,}", share[0], f"{row['tv']:.3f}", f"{row['bound']:.3f}", share[1], "", "")
    sets.caption = "; ".join(
        f"{kind} triples allowed at tau {row['tau']:g}: {100 * row['allowed']['share']:.0f} %, "
        f"{100 * row['allowed']['over_tau']:.1f} % of them over it"
        for kind, row in report["triples"].items()
    )
    return [bins, sets]


def calibration_words(pairs: dict[str, Any]) -> str:
    words = f"root mean square error {pairs['error']:.3f}"
    if pairs["explained_variance"] is None:
        return (
            f"{words}; the true influences of these states hardly vary (standard deviation {pairs['deviation']:.4f}), so "
            "there is nothing to explain: take more states, or other tasks"
        )
    if pairs["correlation"] is None:
        return f"{words}, all predictions equal, explained variance {pairs['explained_variance']:.3f}"
    return (
        f"{words}, correlation {pairs['correlation']:.3f} (of ranks {pairs['rank_correlation']:.3f}), explained variance "
        f"{pairs['explained_variance']:.3f}"
    )
