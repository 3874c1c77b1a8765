"""What every command shares on its way out: errors and exit codes, JSON, and late progress bars."""

from __future__ import annotations

import json
import os
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from fef.errors import CheckpointError, FefError, InputError, OptionError

if TYPE_CHECKING:
    from fef.measure.table import Sheet

__all__ = [
    "Bar",
    "Group",
    "error_line",
    "print_json",
    "print_sheet",
    "print_table",
    "speaks",
    "stderr",
]

PATIENCE = 2.0  # seconds of silence before a bar appears
BAD_INPUT = (OptionError, InputError, CheckpointError)


class Group(typer.core.TyperGroup):
    """The root command: turns errors meant for people into one sentence and an exit code."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what was typed in `ctx.meta`, for reports that name their command."""
        ctx.meta["fef.arguments"] = list(args)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A command named `bench --engine` is what `fef bench` is where that flag is among its arguments."""
        for name in self.list_commands(ctx):
            command, _, flag = name.partition(" ")
            if flag and args[0] == command and flag in args[1:]:
                return name, self.get_command(ctx, name), [arg for arg in args[1:] if arg != flag]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command; exits with 2 for bad input and refused access, 1 for a failure, 130 for Ctrl-C."""
        try:
            return super().invoke(ctx)
        except FefError as error:
            error_line(str(error))
            raise typer.Exit(2 if isinstance(error, BAD_INPUT) else 1) from None
        except BrokenPipeError:
            raise
        except OSError as error:
            error_line(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}.")
            raise typer.Exit(2 if isinstance(error, PermissionError) else 1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def error_line(message: str) -> None:
    if speaks():
        typer.echo(f"fef: error: {message}", err=True)


def speaks() -> bool:
    """Whether this process is the one, of those that torchrun may have started, that talks to people."""
    return os.environ.get("RANK", "0") == "0"


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """One JSON value on one line of standard output, in ASCII, so that any terminal or pipe can carry it."""
    typer.echo(json.dumps(value))


def print_table(table: Table) -> None:
    """A table on standard output: as wide as the terminal, or as wide as it needs where there is none."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(80, Console(width=10_000).measure(table).maximum))
    console.print(table)


def print_sheet(sheet: Sheet) -> None:
    """A table in words on standard output, as `print_table` has it."""
    from fef.measure.table import terminal

    print_table(terminal(sheet))


class Bar:
    """A progress bar on standard error, shown once its work has taken two seconds, and only on a terminal.

    Without a `total` it is a spinner. Used in a `with` statement.
    """

    def __init__(self, label: str, total: float | None = None, console: Console | None = None) -> None:
        columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn()]
        if total is not None:
            columns += [MofNCompleteColumn(), TimeRemainingColumn()]
        self.progress = Progress(*columns, TimeElapsedColumn(), console=console or stderr(), transient=True)
        self.task = self.progress.add_task(label, total=total)
        self.timer = threading.Timer(PATIENCE, self.show)
        self.timer.daemon = True
        self.lock = threading.Lock()
        self.over = False

    def show(self) -> None:
        with self.lock:
            if not self.over:
                self.progress.start()

    def update(self, completed: float, label: str | None = None) -> None:
        self.progress.update(self.task, completed=completed, description=label)

    def label(self, label: str) -> None:
        self.progress.update(self.task, description=label)

    def advance(self, count: float) -> None:
        self.progress.advance(self.task, count)

    def __enter__(self) -> Bar:
        if self.progress.console.is_terminal and speaks():
            self.timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.timer.cancel()
        with self.lock:
            self.over = True
        if self.progress.live.is_started:
            self.progress.stop()
