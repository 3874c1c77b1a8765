"""`fef doctor`: is this installation sound, and what on this machine would be slow?"""

from __future__ import annotations

import platform
import time
from dataclasses import asdict, dataclass
from importlib import metadata

import typer
from rich.markup import escape
from rich.table import Table

from fef.cli.machine import Machine, extras_of, look_around, packages, slow_parts
from fef.cli.options import QUESTION, JsonOption
from fef.cli.output import Bar, print_json, print_table
from fef.cli.version import version_words
from fef.errors import CheckpointError, FefError

__all__ = ["EXAMPLE", "doctor"]

EXAMPLE = "Example: [bold]fef doctor --json[/bold]"
ANSWER = "#### 30"  # of QUESTION


@dataclass(frozen=True)
class Trial:
    """What came of one question to the shipped checkpoint, through the engine."""

    right: bool
    seconds: float  # the first answer, with what it builds and compiles
    again: float  # the second one
    notes: list[str]  # what the engine did otherwise than asked
    error: str | None = None


def doctor(json: JsonOption = False) -> None:
    """Show versions, devices and kernels, answer one question, and say what would be slow here and why."""
    with Bar("Looking around"):
        machine, trial = look_around(), try_engine()
    extras, slow = extras_of(own_requirements()), slow_parts(machine)
    if json:
        facts = {"fef": version_words(), "python": platform.python_version(), "packages": packages(), "missing": extras}
        print_json(facts | {"machine": asdict(machine), "trial": asdict(trial), "slow": slow})
    else:
        print_table(doctor_table(machine, extras, trial))
        for sentence in slow:
            typer.echo(f"- {sentence}")
    if not trial.right:
        raise typer.Exit(1)


def own_requirements() -> list[str] | None:
    """Of fef with all its extras; None where it runs without having been installed."""
    try:
        return metadata.requires("fef")
    except metadata.PackageNotFoundError:
        return None


def try_engine(model: str = "demo") -> Trial:
    """Ask the engine one question twice."""
    import fef

    began = time.perf_counter()
    try:
        engine = fef.load(model).engine(max_batch=1)
        [first] = engine.generate([QUESTION])
        middle = time.perf_counter()
        engine.generate([QUESTION])
    except (FefError, RuntimeError, OSError) as error:  # whatever is broken here is what is asked for
        return Trial(False, time.perf_counter() - began, 0.0, [], str(error).partition("\n")[0])
    return Trial(first.text.endswith(ANSWER), middle - began, time.perf_counter() - middle, engine.notes)


def doctor_table(machine: Machine, extras: dict[str, list[str]], trial: Trial) -> Table:
    table = Table(show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, words in rows(machine, extras, trial).items():
        table.add_row(name, escape(words))
    return table


def rows(machine: Machine, extras: dict[str, list[str]], trial: Trial) -> dict[str, str]:
    """The lines of the table by name."""
    major, minor = machine.capability
    gpu = "none that torch can use"
    if machine.gpu is not None:
        gpu = f"{machine.gpu}, compute capability {major}.{minor}"
    kernels = "Triton under CUDA graphs" if machine.gpu is not None and machine.triton else "plain torch"
    products = ", ".join(f"{dtype} {ms:.2f} ms" for dtype, ms in machine.product_ms.items())
    return {
        "fef": version_words(),
        "python": f"{platform.python_version()} on {platform.system()}",
        "packages": ", ".join(f"{name} {version or 'missing'}" for name, version in packages().items()),
        "extras": extra_words(extras),
        "CPU": f"{machine.cpu}, {machine.cores} cores, torch on {machine.threads} threads",
        "GPU": gpu,
        "free memory": f"{machine.memory_gb:.1f} GB",
        "matrix product": products,
        "engine's passes": kernels,
        "trial": trial_words(trial),
        "base of smol": "here" if smol_is_here() else "not here: make smol, or python -m fef.models.smol_base",
    }


def extra_words(extras: dict[str, list[str]]) -> str:
    if not extras:
        return "unknown: fef is not installed but found on the path"
    words = [f"{name} (missing: {', '.join(lacks)})" if lacks else name for name, lacks in extras.items()]
    return ", ".join(words)


def trial_words(trial: Trial) -> str:
    if trial.error is not None:
        return f"failed: {trial.error}"
    said = "answers right" if trial.right else "answers wrong"
    notes = "".join(f"; {note}" for note in trial.notes)
    return f"demo {said}, first in {trial.seconds:.1f} s, then in {trial.again:.2f} s{notes}"


def smol_is_here() -> bool:
    from fef.models.smol_base import find_base

    try:
        find_base()
    except CheckpointError:
        return False
    return True
