"""The rows of a loss log, sent to programs that draw them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fef.errors import OptionError
from fef.training.trainer import Progress

__all__ = ["open_report"]


def open_report(to: str, out: Path) -> Progress:
    """A listener of training, which sends to "tensorboard" (events in `out`.tensorboard: `out` itself is replaced as a whole)
    or "wandb". Raises OptionError where that is not installed."""
    try:
        if to == "tensorboard":
            writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter(f"{out}.tensorboard")
            return lambda step, row: send_scalars(writer, step, row)
        wandb = importlib.import_module("wandb")
    except ImportError as error:
        raise OptionError(
            f"--report-to {to} needs the package {to}; install it with `pip install {to}`, or leave the option out."
        ) from error
    run = wandb.init(project="fef", name=out.name, id=out.name, resume="allow")
    return lambda step, row: run.log(row, step=step)


def send_scalars(writer: Any, step: int, row: dict[str, float]) -> None:
    for name, value in row.items():
        if name != "step":
            writer.add_scalar(name, value, step)
    writer.flush()
