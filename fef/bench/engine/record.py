"""What `fef bench --engine` measured, as one JSON value that tables, plot and page are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fef.bench.engine.passes import PassRow
from fef.bench.engine.profile import ProfileRow
from fef.bench.engine.serving import Served
from fef.errors import InputError

__all__ = ["EngineRecord", "Failure", "engine_record_json", "is_engine_record", "read_engine_record"]

FORMAT = 1
KIND = "engine"


@dataclass(frozen=True)
class Failure:
    """What could not be measured at a batch size, and why."""

    batch: int
    part: str
    reason: str


@dataclass
class EngineRecord:
    """What a benchmark of the engine found so far."""

    command: str  # what was typed
    setup: Mapping[str, Any]  # network, sizes, settings, versions and hardware
    bandwidth: float  # bytes per second that a copy reads and writes
    passes: list[PassRow] = field(default_factory=list)  # one per kind of pass and batch size
    served: list[Served] = field(default_factory=list)  # one per method and batch size
    lengths: dict[str, float] = field(default_factory=dict)  # median tokens of prompts and answers
    profile: list[ProfileRow] = field(default_factory=list)  # where the time of a round goes
    failures: list[Failure] = field(default_factory=list)  # what could not be measured, and why
    finished: bool = False  # nothing is missing


def engine_record_json(record: EngineRecord) -> str:
    return json.dumps({"format": FORMAT, "kind": KIND} | asdict(record), ensure_ascii=False, indent=1) + "\n"


def is_engine_record(path: Path) -> bool:
    """Did `fef bench --engine` write this? False also for what cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and value.get("kind") == KIND


def read_engine_record(path: Path) -> EngineRecord:
    """Read what `engine_record_json` wrote. Raises InputError for a file that is missing, cut short or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if (value["kind"], value["format"]) != (KIND, FORMAT):
            raise InputError(
                f"{path} has another format than this version of fef reads. Run `fef bench --engine` again."
            )
        return EngineRecord(
            command=value["command"],
            setup=value["setup"],
            bandwidth=value["bandwidth"],
            passes=[PassRow(**row) for row in value["passes"]],
            served=[Served(**row) for row in value["served"]],
            lengths=value["lengths"],
            profile=[ProfileRow(**row) for row in value["profile"]],
            failures=[Failure(**row) for row in value["failures"]],
            finished=value["finished"],
        )
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}. Give what `fef bench --engine --json` wrote."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds no results of `fef bench --engine --json` ({error!r}).") from error
