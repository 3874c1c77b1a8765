"""A run in one small file: its settings, its figures, and of every problem whether it was answered right."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fef.errors import InputError
from fef.eval.records import Record
from fef.eval.summary import Summary

__all__ = ["DIGITS", "GIVEN", "Outcome", "digests_of", "label_of", "outcome_json", "read_outcome", "rights_of"]

FORMAT = 1
DIGITS = 8
KIND = "eval"
GIVEN = "given answers, one token a pass"
"""Label of answers that were read from a file."""


@dataclass(frozen=True)
class Outcome:
    """A run, as `fef compare` reads it."""

    task: str
    label: str  # the method with its options
    identity: Mapping[str, Any]  # the settings, and the sha256 of the task's file
    environment: Mapping[str, Any]  # versions and hardware
    summary: Summary
    certificate: Mapping[str, Any] | None  # of `Certificate.to_dict`; None where no method of fef decoded
    rights: str  # of each problem in the order of the task's file: 1 if it was answered right, else 0
    digests: str  # of each problem `DIGITS` hexadecimal digits, equal for equal answers


def label_of(method: str, options: Mapping[str, Any], temperature: float = 0.0) -> str:
    """A method with its options, and the temperature where it is not 0, as one word."""
    words = [f"{name}={value}" for name, value in options.items()]
    if temperature:
        words.append(f"temperature={temperature:g}")
    return method + (":" + ",".join(words) if words else "")


def rights_of(records: Sequence[Record]) -> str:
    return "".join("01"[record.right] for record in records)


def outcome_json(outcome: Outcome) -> str:
    return json.dumps({"format": FORMAT, "kind": KIND} | asdict(outcome), ensure_ascii=False, indent=1) + "\n"


def digests_of(records: Sequence[Record]) -> str:
    return "".join(sha256(f"{r.tokens} {r.text}".encode()).hexdigest()[:DIGITS] for r in records)


def read_outcome(path: Path) -> Outcome:
    """Read what `outcome_json` wrote. Raises InputError for a file that is missing, cut short or something else."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if (value.pop("kind"), value.pop("format")) != (KIND, FORMAT):
            raise ValueError("another kind or format")
        outcome = Outcome(**value | {"summary": Summary(**value["summary"])})
        if len(outcome.rights) != outcome.summary.problems or set(outcome.rights) - {"0", "1"}:
            raise ValueError("its rights are not a 0 or 1 for each problem")
        if len(outcome.digests) != DIGITS * outcome.summary.problems:
            raise ValueError("it has not a digest for each problem")
        return outcome
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. Give what `fef eval --save` wrote.") from error
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no result of `fef eval --save` ({error}). Make it again.") from error
