"""`fef eval`: a published row, or a task under any method, measured on local files."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import asdict, replace
from enum import StrEnum
from json import dumps as json_of
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.options import (
    MODEL_HELP,
    DeviceOption,
    DtypeOption,
    SetOption,
    StepsOption,
    VerifyOption,
    WeightsOption,
    WindowOption,
    check_decoding,
    check_device,
    load_model,
    method_options,
)
from fef.cli.output import Bar, print_json, print_sheet
from fef.errors import OptionError
from fef.files import check_writable, write_whole

if TYPE_CHECKING:
    from fef.decoding.certificate import Certificate
    from fef.eval.outcome import Outcome
    from fef.eval.presets import Preset, Settings
    from fef.eval.tasks import Task
    from fef.measure.answers import Totals
    from fef.measure.table import Sheet

__all__ = ["EXAMPLE", "evaluate"]

EXAMPLE = (
    "Example: [bold]fef eval gsm8k --model demo --data data --limit 20 --max-new-tokens 64 --long-prompts cut[/bold]\n\n"
    "Example: [bold]fef eval llada-8b-instruct/gsm8k --data data --out runs/gsm8k[/bold]\n\n"
    "Example: [bold]torchrun --nproc-per-node 8 -m fef eval llada-8b-instruct/math --data data --out runs/math[/bold]"
)


BATCH_SIZE, ENGINE_BATCH_SIZE = 8, 256


class LongPromptsChoice(StrEnum):
    refuse = "refuse"
    cut = "cut"


def evaluate(
    context: typer.Context,
    what: Annotated[
        str | None, typer.Argument(help="A preset or a task; --list shows both.", show_default=False)
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List presets and tasks, and stop.")] = False,
    model: Annotated[str | None, typer.Option("--model", help=f"{MODEL_HELP} Default: the preset's, or demo.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of task files. Default: FEF_DATA, or ./data.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", help="JSON lines in place of the task's file.")] = None,
    field: Annotated[
        list[str] | None,
        typer.Option("--field", metavar="NAME=FIELD", help="What --file calls a field of the task. Repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the first N examples.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for results as they come; the same command goes on there.")
    ] = None,
    method: Annotated[str | None, typer.Option("--method", help="Default: the preset's, or fef.")] = None,
    set_: SetOption = None,
    window: WindowOption = None,
    steps: StepsOption = None,
    verify: VerifyOption = None,
    max_new_tokens: Annotated[
        int | None, typer.Option("--max-new-tokens", min=1, help="Length of the canvas. Default: the preset's.")
    ] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Default: the preset's, or 0.")] = None,
    top_p: Annotated[float | None, typer.Option("--top-p", help="Default: the preset's, or 1.")] = None,
    shots: Annotated[int | None, typer.Option("--shots", min=0, help="Default: the preset's, or 0.")] = None,
    chat: Annotated[
        bool | None,
        typer.Option("--chat/--no-chat", help="Ask in messages. Default: where the model has a chat template."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Example i has seed + i.")] = 0,
    dtype: DtypeOption = None,
    weights: WeightsOption = None,
    engine: Annotated[
        bool, typer.Option("--engine/--no-engine", help="Give all prompts to the engine at once: far faster on a GPU.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help=f"Prompts decoded together; by default {BATCH_SIZE}, in the engine {ENGINE_BATCH_SIZE}.",
        ),
    ] = None,
    long_prompts: Annotated[
        LongPromptsChoice,
        typer.Option(
            "--long-prompts", help="Refuse prompts that leave no room for the canvas, or cut their beginning."
        ),
    ] = LongPromptsChoice.refuse,
    allow_weak_sandbox: Annotated[
        bool, typer.Option("--allow-weak-sandbox", help="Run the model's programs even without namespaces.")
    ] = False,
    device: DeviceOption = None,
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="Write the prompts as JSON lines of messages, and stop.")
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            "--answers", help="Score what python -m fef.corpus.answer wrote to --prompts; nothing is decoded."
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write figures and right or wrong a problem, for fef compare.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")] = False,
) -> None:
    """Measure a published setting or any method on GSM8K, SVAMP, MATH, HumanEval, MBPP or MMLU, beside published figures."""
    from fef.eval.outcome import EVAL_KIND, GIVEN, label_of, outcome_json, outcome_of
    from fef.eval.presets import preset_of, settings_for
    from fef.eval.runner import prompt_lines, run, score_answers
    from fef.eval.tasks import TASKS, shots_for
    from fef.measure.record import check_kept
    from fef.tasks.sandbox import check_isolation

    if list_:
        show_list(json)
        return
    if what is None:
        raise OptionError("Give a preset or a task; `fef eval --list` shows them.")
    preset = preset_of(what)
    command = shlex.join(["fef", *context.meta["fef.arguments"]])
    changes = {
        **{
            "method": method,
            "max_new_tokens": max_new_tokens,
            "temperature": temperature,
            "top_p": top_p,
            "chat": chat,
        },
        **{"shots": shots, "seed": seed, "long_prompts": long_prompts.value, "engine": engine},
        "batch_size": batch_size or (ENGINE_BATCH_SIZE if engine else BATCH_SIZE),
    }
    settings = settings_for(what, changes, method_options(set_, window, steps, verify))
    check_decoding(settings.method, settings.options, temperature=settings.temperature, top_p=settings.top_p, seed=seed)
    task = TASKS[settings.task]
    path = file or data_folder(data) / task.file
    check_kept(save, EVAL_KIND, command, path, answers)
    if prompts is not None:
        check_writable(prompts, path, answers)
    sandbox = check_isolation(allow_weak_sandbox) if task.runs_code else None
    examples = read_task(task, path, field or [], limit)
    worked = shots_for(task, data_folder(data), settings.shots) if settings.shots else []
    if prompts is not None:
        write_whole(prompts, prompt_lines(task, examples, worked, settings.shots))
        typer.echo(f"Wrote {len(examples):,} prompts to {prompts}.")
        return
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if answers is not None:
        records = score_answers(task, examples, worked, settings.shots, answers)
        facts = {"model": model, "task": task.name, "shots": settings.shots, "examples": len(examples)}
        facts |= {"max_new_tokens": max_new_tokens, "file": digest, "sandbox": sandbox}
        show_outcome(
            outcome_of(task.name, GIVEN, facts, records, environment={}, certificate=None), command, save, json
        )
        return
    with Bar("Loading"):
        from fef.api import certify
        from fef.measure.environment import environment
        from fef.models.adapter import base_digest
        from fef.training.processes import DAY, joined
    with joined(check_device(device), DAY) as processes:
        loaded = load_model(model or (preset.model if preset else "demo"), processes.device, dtype, weights)
        if chat is None and preset is None:
            settings = replace(settings, chat=loaded.template is not None)
        certificate = certify(
            loaded.network,
            method=settings.method,
            temperature=settings.temperature,
            top_p=settings.top_p,
            **settings.options,
        )
        identity = {
            **{"model": loaded.name, **asdict(settings), "examples": len(examples)},
            **{"file": digest, "read": digest_of([examples, worked]), "sandbox": sandbox},
            **{
                "weights": base_digest(loaded.network.named_parameters()),
                "weight_format": weights,
                "dtype": str(loaded.network.embed.weight.dtype).removeprefix("torch."),
            },
        }
        with Bar(f"{what}, {settings.method}", len(examples) // processes.size) as bar:
            records = run(
                loaded,
                task,
                examples,
                worked,
                settings,
                allow_weak_sandbox=allow_weak_sandbox,
                out=out,
                identity=identity,
                processes=processes,
                on_done=bar.advance,
                note=lambda remark: typer.echo(f"Engine: {remark}.", err=True),
            )
    if not processes.leads:
        return
    outcome = outcome_of(
        settings.task,
        label_of(settings.method, settings.options, settings.temperature),
        identity,
        records,
        environment=environment(str(loaded.network.device)) | {"dtype": identity["dtype"]},
        certificate=certificate.to_dict(),
    )
    summary = outcome.summary
    if save is not None:
        write_whole(save, outcome_json(outcome, command))
    notes = remarks(preset, settings, summary, loaded.name, weights, sandbox)
    if json:
        print_json(
            {
                **{"what": what, "summary": asdict(summary), "identity": identity, "notes": notes},
                "published": [asdict(figure) for figure in preset.published] if preset else [],
                "certificate": certificate.to_dict(),
            }
        )
        return
    print_sheet(summary_sheet(what, settings, summary, certificate, preset))
    for note in notes:
        typer.echo(note)


def show_outcome(outcome: Outcome, command: str, save: Path | None, json: bool) -> None:
    from fef.eval.outcome import outcome_json
    from fef.eval.page import outcomes_sheet

    if save is not None:
        write_whole(save, outcome_json(outcome, command))
    if json:
        print_json(asdict(outcome))
    else:
        print_sheet(outcomes_sheet([outcome]))


def data_folder(data: Path | None) -> Path:
    from fef.eval.datasets import data_directory

    return data_directory(data)


def read_task(task: Task, path: Path, fields: Sequence[str], limit: int | None) -> list[Any]:
    """The examples of its test set in a file."""
    from fef.eval.datasets import parse_mapping

    examples = task.read(path, parse_mapping(fields, task.fields))
    chosen = [example for example in examples if task.select(example)][:limit]
    if not chosen:
        raise OptionError(f"{path} has no example of the test set of {task.name}.")
    return chosen


def digest_of(read: Any) -> str:
    """A sha256 of examples as they were read: of one file the fields to read may be others."""
    return hashlib.sha256(json_of(read, default=str).encode()).hexdigest()


def remarks(
    preset: Preset | None, settings: Settings, summary: Totals, model: str, weights: str | None, sandbox: str | None
) -> list[str]:
    """What a reader must know beside the figures."""
    from fef.eval.presets import differences
    from fef.eval.tasks import TASKS

    notes = []
    if summary.cut:
        notes.append(f"{summary.cut} of {summary.problems} prompts lost their beginning to fit {model}.")
    if sandbox:
        notes.append(f"Programs ran in a sandbox of the level {sandbox}.")
    if preset is not None:
        changed = differences(preset, settings, model)
        if weights is not None:
            changed.append(f"{weights} weights, not those of the checkpoint")
        problems = TASKS[settings.task].problems
        if summary.problems != problems:
            changed.append(f"{summary.problems} problems, not {problems}")
        if changed:
            notes.append(f"Not the published setting: {'; '.join(changed)}.")
        notes.append(
            "Prompts, shots and scoring are those of fef, not of the toolkit that published (docs/evaluation.md)."
        )
        for figure in preset.published:
            inside = "inside" if summary.low <= figure.accuracy <= summary.high else "outside"
            notes.append(f"Published ({figure.toolkit}, {preset.source}): {figure.accuracy}, {inside} the interval.")
    return notes


def summary_sheet(
    what: str, settings: Settings, summary: Totals, certificate: Certificate, preset: Preset | None
) -> Sheet:
    from fef.measure.table import Sheet, interval_words

    words = ("run", "method", "law")
    numbers = ("problems", "right % (95 %)", "published %", "tokens/pass", "tokens/s", "seconds")
    line = [
        what,
        settings.method,
        certificate.kind,
        str(summary.problems),
        interval_words(summary.accuracy, summary.low, summary.high),
        " / ".join(str(figure.accuracy) for figure in preset.published) if preset else "-",
        f"{summary.tokens_per_call:.2f}",
        f"{summary.tokens_per_second:.1f}",
        f"{summary.seconds:.1f}",
    ]
    return Sheet((*words, *numbers), [line], words=words)


def show_list(json: bool) -> None:
    from fef.eval.presets import PRESETS
    from fef.eval.tasks import TASKS
    from fef.measure.table import Sheet

    if json:
        presets = [
            {"name": preset.name, "model": preset.model, "source": preset.source}
            | vars(preset.settings)
            | {"options": dict(preset.settings.options), "published": [asdict(p) for p in preset.published]}
            for preset in PRESETS.values()
        ]
        print_json({"presets": presets, "tasks": {name: task.file for name, task in TASKS.items()}})
        return
    lines = [
        [
            preset.name,
            preset.model,
            preset.settings.method,
            ", ".join(f"{name}={value}" for name, value in preset.settings.options.items()),
            " / ".join(str(figure.accuracy) for figure in preset.published),
            str(preset.settings.max_new_tokens),
            str(preset.settings.shots),
        ]
        for preset in PRESETS.values()
    ]
    words = ("preset", "model", "method", "options", "published %")
    print_sheet(Sheet((*words, "length", "shots"), lines, "Presets", words=words))
    typer.echo("Tasks (any model, any method): " + ", ".join(f"{name} ({task.file})" for name, task in TASKS.items()))
