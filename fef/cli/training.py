"""What the commands that train share: options, the run under a bar and signals, the words about where it stands."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fef.cli.info import LOG, last_losses
from fef.cli.interrupts import StopSoon
from fef.cli.lock import sole_writer
from fef.cli.output import Bar, print_json, speaks
from fef.errors import InputError, OptionError
from fef.files import check_makeable

if TYPE_CHECKING:
    from fef.models.transformer import Transformer
    from fef.training.processes import Processes
    from fef.training.trainer import Progress

__all__ = [
    "CanvasLengthOption",
    "FormName",
    "FormOption",
    "LogEveryOption",
    "LoraTargetsOption",
    "MaxPromptOption",
    "OutOption",
    "PatternsOption",
    "ReportName",
    "ReportToOption",
    "SaveEveryOption",
    "SaveMinutesOption",
    "SecondsOption",
    "SeedOption",
    "TrainDeviceOption",
    "TrainStepsOption",
    "WarmupOption",
    "carry_out",
    "check_out",
    "pattern_shares",
    "reached",
    "report",
    "reporter",
    "say",
    "shows",
    "shows_and_reports",
]


class ReportName(StrEnum):
    none = "none"
    tensorboard = "tensorboard"
    wandb = "wandb"


class FormName(StrEnum):
    cheap = "cheap"
    strict = "strict"


OutOption = Annotated[Path, typer.Option("--out", help="Directory of the model; a stopped run there goes on.")]
TrainStepsOption = Annotated[int, typer.Option("--steps", help="Optimizer steps in all.")]
CanvasLengthOption = Annotated[
    int | None,
    typer.Option(
        "--canvas-length",
        help="Tokens of an answer's canvas; by default those that the command is for, and no more than half of what the "
        "model reads.",
    ),
]
FormOption = Annotated[FormName, typer.Option("--form", help="Form of the position-conditioned objective.")]
MaxPromptOption = Annotated[int, typer.Option("--max-prompt", min=1, help="Longest prompt kept, in tokens.")]
PatternsOption = Annotated[
    str,
    typer.Option(
        "--patterns",
        metavar="NOISY,PREFIX,FULL",
        help="Shares of answers with random masks, of masks behind a clean prefix, and of masks everywhere; of blocks where "
        "attention is block-causal.",
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same batches.")]
TrainDeviceOption = Annotated[
    str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one.")
]
SecondsOption = Annotated[float, typer.Option("--seconds", min=0, help="Stop, saved, after this time.")]
SaveEveryOption = Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.")]
SaveMinutesOption = Annotated[
    float, typer.Option("--save-minutes", min=0, help="Save also when the last checkpoint is so old.")
]
LogEveryOption = Annotated[int, typer.Option("--log-every", help="Steps between rows of the loss log.")]
LoraTargetsOption = Annotated[
    str, typer.Option("--lora-targets", help="Matrices with factors, with commas between them.")
]
ReportToOption = Annotated[
    ReportName, typer.Option("--report-to", help="Send the loss log to tensorboard (OUT.tensorboard) or wandb, too.")
]
WarmupOption = Annotated[int, typer.Option("--warmup", min=0, help="Steps of rising learning rate.")]
LOSSES = (
    *("loss", "context", "target", "draft", "causal", "held_out_loss", "held_out_tokens_per_pass"),
    *("accepted", "marginals"),
)


@dataclass(frozen=True)
class Carried:
    """A run that came to its end: the network, whether it went on from a stopped one, and how long it took."""

    network: Transformer
    resumed: bool
    seconds: float


Work = Callable[["Progress", Callable[[], bool], "Processes"], "Transformer"]


def carry_out(out: Path, steps: int, saves: str, device: str, work: Work, shows: Callable[[Bar], Progress]) -> Carried:
    """Run `work(progress, stop, processes)` as the only writer of `out`; a signal stops it, saved, and exits with 128 + its
    number, whichever process got it.

    saves: how often checkpoints come, in words.
    """
    from fef.training.processes import joined, started_together

    resumed = (out / "resume").is_dir()
    if resumed:
        at = "" if (step := reached(out)) is None else f" at step {step}"
        say(f"{out} has a stopped run{at}; going on from there.")
    began = time.perf_counter()
    words = "Saving after this step" + ("." if started_together() else "; once more ends it at once.")
    with (
        joined(device) as processes,
        sole_writer_of_all(out, processes),
        StopSoon(words, say, patient=started_together()) as stop,
    ):
        try:
            with Bar("Preparing the examples", steps) as bar:
                network = work(shows(bar), stop, processes)
        except KeyboardInterrupt:
            say(interrupted_words(out, saves))
            raise typer.Exit(128 + (stop.signal or signal.SIGINT)) from None
        number = processes.largest(stop.signal or 0)
    if number and (reached(out) or 0) < steps:
        say(interrupted_words(out, saves))
        raise typer.Exit(128 + number)
    return Carried(network, resumed, time.perf_counter() - began)


@contextmanager
def sole_writer_of_all(out: Path, processes: Processes) -> Iterator[None]:
    """`sole_writer` in the process that writes. Raises in all of them."""
    with ExitStack() as held:
        with processes.together():
            if processes.leads:
                held.enter_context(sole_writer(out))
        yield


def report(out: Path, steps: int, run: Carried, json: bool) -> None:
    """Where the run stands, for a person or as one JSON line."""
    if not speaks():
        return
    losses = last_losses(out / LOG) or {}
    parameters = sum(p.numel() for p in run.network.parameters())
    if json:
        summary: dict[str, Any] = {
            "out": str(out),
            "step": reached(out),
            "parameters": parameters,
            "resumed": run.resumed,
        }
        print_json(summary | {"losses": losses, "seconds": round(run.seconds, 3)})
    else:
        loss = f"loss {losses['loss']:.3f}, " if "loss" in losses else ""  # the first row of the log may be yet to come
        typer.echo(
            f"Wrote {out}: step {reached(out)} of {steps}, {loss}{parameters:,} parameters, {run.seconds:.0f} s."
        )


def check_out(out: Path) -> None:
    """Raise InputError where writing a model would fail or take the place of something else."""
    if out.is_dir():
        if not (out / "resume").is_dir() and any(out.iterdir()):
            what = "a finished model" if (out / "model.safetensors").is_file() else "other files"
            raise InputError(f"{out} holds {what}, which training would replace; give --out a new directory.")
    elif out.exists():
        raise InputError(f"{out} is a file; give --out a new directory.")
    check_makeable(out)


def shows(bar: Bar) -> Progress:
    """The trainer's progress as a bar with its losses."""

    def show(step: int, row: dict[str, float]) -> None:
        words = [f"{name} {row[name]:.3f}" for name in LOSSES if name in row]
        if "tokens_per_second" in row:
            words.append(f"{row['tokens_per_second']:,.0f} tokens/s")
        if "utilization" in row:
            words.append(f"{100 * row['utilization']:.1f} % of the peak")
        bar.update(step, "Training: " + ", ".join(words))

    return show


def shows_and_reports(shows: Callable[[Bar], Progress], sends: Progress | None, bar: Bar) -> Progress:
    """The trainer's progress as `shows` has it, and sent on."""
    show = shows(bar)

    def both(step: int, row: dict[str, float]) -> None:
        if sends is not None:
            sends(step, row)
        show(step, row)

    return both


def reporter(to: ReportName, out: Path) -> Progress | None:
    """What sends rows of the loss log to a program that draws them. Raises OptionError where that is not installed."""
    if to is ReportName.none or not speaks():
        return None
    from fef.training.reports import open_report

    return open_report(to.value, out)


def reached(out: Path) -> int | None:
    from fef.training.resume import reached_step

    return reached_step(out)


def interrupted_words(out: Path, saves: str) -> str:
    if (out / "resume").is_dir():
        return f"Interrupted. {out} holds the whole checkpoint of step {reached(out)}; the same command resumes it."
    return f"Interrupted before the first checkpoint (they come {saves}); nothing was written."


def say(words: str) -> None:
    if speaks():
        typer.echo(words, err=True)


def pattern_shares(text: str) -> tuple[float, float, float]:
    """ "0.35,0.35,0.3" -> three numbers. Raises OptionError."""
    try:
        noisy, prefix, full = (float(share) for share in text.split(","))
    except ValueError:
        raise OptionError(f"--patterns needs three fractions that sum to 1, as 0.35,0.35,0.3; got {text!r}.") from None
    return noisy, prefix, full
