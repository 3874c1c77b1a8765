"""A run in one small record: its settings, its figures, and of every problem whether it was answered right. Of two over the
same problems, whether one is the more accurate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path, PurePath
from typing import Any

from fef.decoding.certificate import Certificate
from fef.errors import OptionError, nearest_hint
from fef.measure.answers import Answer, Totals, totals
from fef.measure.intervals import discordant, mcnemar
from fef.measure.record import Record, RecordKind, read_record, record_json
from fef.models.hub import is_repository

__all__ = [
    "DIGITS",
    "EVAL_KIND",
    "GIVEN",
    "LEVEL",
    "Outcome",
    "Pair",
    "label_of",
    "names_of",
    "outcome_json",
    "outcome_of",
    "pair_of",
    "pairs_of",
    "read_outcome",
    "recorded",
]

DIGITS = 8
GIVEN = "given answers, one token per pass"
"""Label of answers that were read from a file."""

LEVEL = 0.01
"""Of McNemar's test, below which one run is called the more accurate."""

FACTS: dict[str, Any] = {"task": str, "label": str, "environment": dict, "summary": Totals}
FACTS |= {"certificate": Certificate | None, "rights": str, "digests": str}


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


@dataclass(frozen=True)
class Pair:
    """Two runs on the problems that both answered."""

    task: str
    first: str  # label
    second: str  # label
    problems: int  # that both answered
    first_right: int
    second_right: int
    only_first: int  # problems that the second has wrong
    only_second: int  # problems that the first has wrong
    p: float  # of McNemar's exact test, two-sided
    same: int  # problems with equal answers


def pair_of(first: Outcome, second: Outcome) -> Pair:
    """The first problems of the task's file, as many as the shorter run has. Raises OptionError for runs over different
    files."""
    if (first.task, first.identity.get("file")) != (second.task, second.identity.get("file")):
        raise OptionError(
            f"{first.label} answered {first.task} and {second.label} {second.task}, from files that differ; only runs over "
            "the same file can be compared problem by problem."
        )
    both = list(zip(first.rights, second.rights, strict=False))
    rights = [a == "1" for a, _ in both], [b == "1" for _, b in both]
    only_first, only_second = discordant(*rights)
    return Pair(
        task=first.task,
        first=first.label,
        second=second.label,
        problems=len(both),
        first_right=sum(rights[0]),
        second_right=sum(rights[1]),
        only_first=only_first,
        only_second=only_second,
        p=mcnemar(only_first, only_second),
        same=sum(
            first.digests[i : i + DIGITS] == second.digests[i : i + DIGITS]
            for i in range(0, DIGITS * len(both), DIGITS)
        ),
    )


def pairs_of(outcomes: Sequence[Outcome], against: str | None = None) -> list[Pair]:
    """Every two runs of one task, named with their model where several have the same method; against: only those with the run
    of this name. Raises as `pair_of`, and OptionError for a name that no run has."""
    names = names_of(outcomes)
    if against is not None and against not in names:
        raise OptionError(f"No run is called {against!r}.{nearest_hint(against, names)}")
    named = [replace(outcome, label=name) for outcome, name in zip(outcomes, names, strict=True)]
    return [
        pair_of(a, b) for a, b in combinations(named, 2) if a.task == b.task and against in (None, a.label, b.label)
    ]


def names_of(outcomes: Sequence[Outcome]) -> list[str]:
    """What each is called among the others."""
    times = Counter((outcome.task, outcome.label) for outcome in outcomes)
    return [
        f"{outcome.identity.get('model')}: {outcome.label}" if times[outcome.task, outcome.label] > 1 else outcome.label
        for outcome in outcomes
    ]
