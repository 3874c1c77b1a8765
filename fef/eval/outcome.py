"""A run in one small record: its settings, its figures, and of every problem whether it was answered right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from fef.measure.answers import Answer, Totals, totals
from fef.measure.record import Record, RecordKind, read_record, record_json
from fef.models.hub import is_repository

__all__ = [
    "DIGITS",
    "EVAL_KIND",
    "GIVEN",
    "Outcome",
    "label_of",
    "outcome_json",
    "outcome_of",
    "read_outcome",
    "recorded",
]

DIGITS = 8
GIVEN = "given answers, one token per pass"
"""Label of answers that were read from a file."""

FACTS = ("task", "label", "environment", "summary", "certificate", "rights", "digests")


def check(record: Record) -> None:
    """Raise ValueError for an outcome that is not one of all its problems."""
    problems, rights = record.facts["summary"]["problems"], record.facts["rights"]
    if len(rights) != problems or set(rights) - {"0", "1"}:
        raise ValueError("its rights are not a 0 or 1 for each problem")
    if len(record.facts["digests"]) != DIGITS * problems:
        raise ValueError("it has not a digest for each problem")


EVAL_KIND = RecordKind("eval", "fef eval --save", facts=FACTS, check=check)


@dataclass(frozen=True)
class Outcome:
    """A run, as `fef compare` reads it out of a record."""

    task: str
    label: str  # the method with its options
    identity: Mapping[str, Any]  # the settings, and the sha256 of the task's file: the setup of its record
    environment: Mapping[str, Any]  # versions and hardware
    summary: Totals
    certificate: Mapping[str, Any] | None  # of `Certificate.to_dict`; None where no method of fef decoded
    rights: str  # of each problem in the order of the task's file: 1 if it was answered right, else 0
    digests: str  # of each problem `DIGITS` hexadecimal digits, equal for equal answers


def outcome_of(task: str, label: str, identity: Mapping[str, Any], answers: Sequence[Answer], **more: Any) -> Outcome:
    """more: environment and certificate."""
    rights = "".join("01"[answer.right] for answer in answers)
    digests = "".join(sha256(f"{one.tokens} {one.text}".encode()).hexdigest()[:DIGITS] for one in answers)
    return Outcome(task, label, identity, summary=totals(answers), rights=rights, digests=digests, **more)


def label_of(method: str, options: Mapping[str, Any], temperature: float = 0.0) -> str:
    """A method with its options, files by their names alone, and the temperature where it is not 0, as one word."""

    def word(value: Any) -> Any:
        return PurePath(value).name if isinstance(value, str) and not is_repository(value) else value

    words = [f"{name}={word(value)}" for name, value in options.items()]
    if temperature:
        words.append(f"temperature={temperature:g}")
    return method + (":" + ",".join(words) if words else "")


def outcome_json(outcome: Outcome, command: str = "") -> str:
    facts = {name: value for name, value in asdict(outcome).items() if name in FACTS}
    return record_json(Record(EVAL_KIND, command, dict(outcome.identity), facts, finished=True))


def read_outcome(path: Path) -> Outcome:
    """Raises InputError as `read_record`."""
    return recorded(read_record(path, EVAL_KIND))


def recorded(record: Record) -> Outcome:
    """The run of a record."""
    facts: dict[str, Any] = record.facts | {"summary": Totals(**record.facts["summary"])}
    return Outcome(identity=record.setup, **facts)
