"""Files of what passes cost on a device: one format, whoever measured what.

    {"format": "fef costs", "version": 1, "kind": "rows" or "rounds",
     "conditions": {"network": ..., "device": ..., "dtype": ..., ...},
     "passes": [{"rows": 1, "seconds": 0.002},
                {"rows": 2, "window": 8, "anchors": 0, "depth": 9, "branching": 1, "head": false, "seconds": null}, ...]}

kind: "rows" are plain passes of several sequences (`fef.laws.row_costs`), "rounds" the packed rounds of the engine, each of
which has a shape (`RoundShape`), of whose numbers only the window must be there. conditions: what the numbers hold for.
seconds: null where memory does not suffice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from fef.errors import InputError
from fef.models.packed_pass import RoundShape
from fef.readers import real, shown, whole

__all__ = ["CostKind", "Costs", "PassCost", "check_conditions", "costs_json", "no_costs", "read_costs"]

CostKind = Literal["rows", "rounds"]
FORMAT, VERSION = "fef costs", 1

NAMES: dict[CostKind, str] = {"rows": "row costs", "rounds": "round costs"}
MEASURE: dict[CostKind, str] = {
    "rows": "`fef generate --costs NEW_FILE` measures anew, and so does fef.measure_row_costs",
    "rounds": "Measure anew with Engine.measure().save(FILE), on a CPU after some requests",
}


@dataclass(frozen=True)
class PassCost:
    """rows: sequences of the pass. seconds: inf where memory does not suffice. shape: of a round."""

    rows: int
    seconds: float
    shape: RoundShape | None = None


@dataclass(frozen=True)
class Costs:
    """What a file holds."""

    kind: CostKind
    conditions: dict[str, Any]
    passes: list[PassCost]


def costs_json(costs: Costs) -> str:
    """The text of a file."""
    passes = [
        {"rows": cost.rows}
        | ({} if cost.shape is None else asdict(cost.shape))
        | {"seconds": cost.seconds if math.isfinite(cost.seconds) else None}
        for cost in costs.passes
    ]
    head = {"format": FORMAT, "version": VERSION, "kind": costs.kind, "conditions": costs.conditions}
    return json.dumps(head | {"passes": passes}, indent=1) + "\n"


def read_costs(file: Path, kind: CostKind) -> Costs:
    """The costs in a file. Raises InputError for a file that cannot be read, holds none, or holds those of another kind or
    version."""
    try:
        value = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read {file}: {error.strerror}. {MEASURE[kind]}.") from error
    except (ValueError, RecursionError) as error:
        raise no_costs(file, kind, error) from error
    if not isinstance(value, dict):
        raise no_costs(file, kind, "it is no object of JSON")
    if value.get("format") != FORMAT:
        raise no_costs(file, kind, f"it does not name the format {FORMAT!r}; older versions wrote others")
    if value.get("version") != VERSION:
        raise no_costs(file, kind, f"it is of version {shown(value.get('version'))} and this is {VERSION}")
    if value.get("kind") != kind:
        other = NAMES.get(value["kind"], shown(value["kind"])) if isinstance(value.get("kind"), str) else "no kind"
        raise no_costs(file, kind, f"it holds {other}")
    try:
        return Costs(kind, dict(value["conditions"]), [read_pass(one) for one in value["passes"]])
    except KeyError as error:
        raise no_costs(file, kind, f"{error} is missing in it") from error
    except (TypeError, ValueError) as error:
        raise no_costs(file, kind, error) from error


def read_pass(value: Mapping[str, Any]) -> PassCost:
    """Raises ValueError, KeyError or TypeError for what is none."""
    rows = whole(value["rows"])
    seconds = math.inf if value["seconds"] is None else real(value["seconds"])
    if rows is None or rows < 1 or seconds is None or not seconds > 0:
        raise ValueError(f"{shown(value)} is no cost of a pass")
    return PassCost(rows, seconds, read_shape(value) if "window" in value else None)


def read_shape(value: Mapping[str, Any]) -> RoundShape:
    """Raises ValueError for what is none."""
    names = [field.name for field in fields(RoundShape) if field.name in value]
    numbers = {name: whole(value[name]) for name in names if name != "head"}
    head = value.get("head", False)
    if any(number is None or number < 0 for number in numbers.values()) or not isinstance(head, bool):
        raise ValueError(f"{shown(value)} is no cost of a round")
    return RoundShape(**{name: number for name, number in numbers.items() if number is not None}, head=head)


def no_costs(file: Path, kind: CostKind, reason: object) -> InputError:
    """The refusal of a file."""
    return InputError(f"{file} holds no {NAMES[kind]} ({reason}). {MEASURE[kind]}.")


def check_conditions(found: Mapping[str, Any], wanted: Mapping[str, Any], kind: CostKind, what: str) -> None:
    """Raise InputError, naming the costs as `what`, where they were measured under other conditions than are `wanted`."""
    other = [name for name, value in wanted.items() if found.get(name) != value]
    if other:
        theirs, ours = (", ".join(f"{name} {of.get(name)!r}" for name in other) for of in (found, wanted))
        raise InputError(f"{what} are of {theirs}; this is {ours}. {MEASURE[kind]}.")
