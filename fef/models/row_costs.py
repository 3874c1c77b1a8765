"""Measuring what a forward pass of several sequences takes, and files of it (see `fef.laws.row_costs`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from fef.errors import OptionError
from fef.laws.row_costs import ACCEPTANCE, RowCosts
from fef.models.costs import Costs, PassCost, check_conditions, costs_json, no_costs, read_costs
from fef.models.device import device_name
from fef.models.transformer import Transformer

__all__ = ["check_row_costs", "load_row_costs", "measure_row_costs", "row_costs_json", "save_row_costs"]

ROWS = (1, 2, 4, 8, 16, 32)


def measure_row_costs(
    network: Transformer,
    length: int,
    *,
    rows: Sequence[int] = ROWS,
    repeats: int = 5,
    acceptance: float = ACCEPTANCE,
) -> RowCosts:
    """Time plain forward passes of `network`, where it is, over `rows` sequences of `length` random tokens.

    Each number is the median of `repeats` passes after one that is not counted; the head runs at one position per sequence.
    rows: ascending from 1, best up to the prompts of a call times (window + 1); the table ends before the first number that
    does not fit into memory. acceptance: goes into the table. Raises OptionError for numbers out of range.
    """
    most = network.config.max_length
    if not 1 <= length <= most:
        raise OptionError(f"length={length!r} is not allowed: {network.name} takes canvases of 1 to {most} positions.")
    if repeats < 1:
        raise OptionError(f"repeats={repeats!r} measures nothing; give at least 1.")

    def table(milliseconds: Sequence[float]) -> RowCosts:
        return RowCosts(
            **conditions_of(network),
            length=length,
            rows=tuple(rows[: len(milliseconds)]),
            milliseconds=tuple(milliseconds),
            acceptance=acceptance,
        )

    table((1.0,) * len(rows))  # refuses what is wrong before it takes time
    ids_RL = torch.randint(network.vocab_size, (max(rows), length), generator=torch.Generator().manual_seed(0))
    ids_RL = ids_RL.to(network.device)
    found: list[float] = []
    for count in rows:
        try:
            pass_milliseconds(network, ids_RL[:count])
            found.append(round(median(pass_milliseconds(network, ids_RL[:count]) for _ in range(repeats)), 4))
        except torch.OutOfMemoryError:
            if not found:
                raise
            break
    return table(found)


@torch.no_grad()
def pass_milliseconds(network: Transformer, ids_RL: Tensor) -> float:
    wait_for(network.device)
    began = time.perf_counter()
    network.logits_at(ids_RL, torch.zeros_like(ids_RL[:, :1]))
    wait_for(network.device)
    return 1000 * (time.perf_counter() - began)


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def row_costs_json(costs: RowCosts) -> str:
    """The text of a table's file (see `fef.models.costs`)."""
    conditions = {name: value for name, value in asdict(costs).items() if name not in ("rows", "milliseconds")}
    passes = [PassCost(rows, ms / 1000) for rows, ms in zip(costs.rows, costs.milliseconds, strict=True)]
    return costs_json(Costs("rows", conditions, passes))


def save_row_costs(costs: RowCosts, file: Path) -> None:
    """Write a table for `load_row_costs`, in milliseconds per pass. Raises OSError where the file cannot be written."""
    file.write_text(row_costs_json(costs), encoding="utf-8")


def load_row_costs(file: Path, network: Transformer) -> RowCosts:
    """The table in a file. Raises InputError for a file that holds none, or one of another network, device or dtype."""
    found = read_costs(file, "rows")
    rows = tuple(cost.rows for cost in found.passes)
    milliseconds = tuple(round(1000 * cost.seconds, 9) for cost in found.passes)  # as they were before the division
    try:
        costs = RowCosts(**found.conditions, rows=rows, milliseconds=milliseconds)
    except (OptionError, TypeError) as error:
        raise no_costs(file, "rows", error) from error
    check_row_costs(costs, network, f"The row costs in {file}")
    return costs


def check_row_costs(costs: RowCosts, network: Transformer, what: str = "The row costs") -> None:
    """Raise InputError, naming the table as `what`, if it is of another network, device or dtype."""
    check_conditions(vars(costs), conditions_of(network), "rows", what)


def conditions_of(network: Transformer) -> dict[str, str]:
    dtype = str(network.embed.weight.dtype).removeprefix("torch.")
    return {"network": network.name, "device": device_name(network.device), "dtype": dtype}
