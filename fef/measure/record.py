"""What a measurement found so far, as one JSON value: enough to go on from, and to make every table, picture and page of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from textwrap import shorten
from types import GenericAlias
from typing import Any, TypeVar

from fef.errors import InputError
from fef.files import check_writable, write_whole
from fef.measure.fields import fitted
from fef.readers import shown

__all__ = [
    "FORMAT",
    "Failure",
    "Key",
    "Record",
    "RecordKind",
    "check_kept",
    "read_record",
    "record_json",
    "resumed",
]

FORMAT = 2
MOST = 3  # settings that a message shows
Row = TypeVar("Row")
Key = tuple[str, ...]  # names a task in its record
Value = dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """What could not be measured, and why."""

    task: Key
    reason: str

    @property
    def words(self) -> str:
        return ", ".join(self.task)


@dataclass(frozen=True)
class RecordKind:
    """What records of one measurement are made of."""

    name: str  # in their files
    writer: str  # the command that writes them
    tables: Mapping[str, type[Any]] = field(default_factory=dict)  # by their names, the class of their rows
    facts: Mapping[str, Any] = field(default_factory=dict)  # by their names, the types of single values beside the rows
    setup: Mapping[str, Any] = field(default_factory=dict)  # what pages need of a setup, as `fitted` takes types
    check: Callable[[Record], None] = lambda _: None  # raises ValueError where a record does not go together


@dataclass
class Record:
    """What was found so far."""

    kind: RecordKind
    command: str  # what was typed
    setup: Value  # settings, versions, hardware: what is the same for every result
    facts: Value = field(default_factory=dict)  # single values
    rows: dict[type[Any], list[Any]] = field(default_factory=dict)  # by their class
    done: list[Key] = field(default_factory=list)  # tasks
    failures: list[Failure] = field(default_factory=list)  # tasks that could not be done
    finished: bool = False  # nothing that was asked for is missing
    path: Path | None = field(default=None, compare=False)  # the file that it is kept in, if it is

    def __post_init__(self) -> None:
        self.rows = {row: self.rows.get(row, []) for row in self.kind.tables.values()}

    def of(self, row: type[Row]) -> list[Row]:
        """The rows of this class."""
        return self.rows[row]

    def add(self, rows: Iterable[Any]) -> None:
        for row in rows:
            self.rows[type(row)].append(row)

    def keep(self) -> None:
        """Write it to its file, if it has one."""
        if self.path is not None:
            write_whole(self.path, record_json(self))


def record_json(record: Record) -> str:
    """The record as JSON text, a line per row."""
    value: Value = {"format": FORMAT, "kind": record.kind.name, "command": record.command, "setup": record.setup}
    value |= {"finished": record.finished, "done": record.done} | record.facts
    value |= {name: [as_value(row) for row in record.of(kind)] for name, kind in record.kind.tables.items()}
    value["failures"] = [asdict(failure) for failure in record.failures]
    return "{\n" + ",\n".join(f" {json.dumps(name)}: {lines(part)}" for name, part in value.items()) + "\n}\n"


def lines(part: Any) -> str:
    if not isinstance(part, list) or not part:
        return json.dumps(part, ensure_ascii=False)
    return "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in part) + "\n ]"


def as_value(row: Any) -> Value:
    """A row in JSON: by a method of its own, or by its fields."""
    return row.to_dict() if hasattr(row, "to_dict") else asdict(row)


def read_record(path: Path, *kinds: RecordKind) -> Record:
    """Read what `record_json` wrote of a record of one of these kinds. Raises InputError for a file that is missing, cut
    short or something else, and for a record that was changed to one of which no page can be made."""
    writers = " or ".join(f"`{kind.writer}`" for kind in kinds)
    try:
        value = json_of(path)
        head = fitted({"format": int, "kind": str}, value)
        if head["format"] != FORMAT:
            raise ValueError(f"it has format {head['format']}; this version of fef reads {FORMAT}")
        kind = next((kind for kind in kinds if kind.name == head["kind"]), None)
        if kind is None:
            raise ValueError(f"its kind is {shorten(head['kind'], 60)}")
        writers = f"`{kind.writer}`"
        record = record_of(kind, value)
        kind.check(record)
        return record
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. Give a file that {writers} wrote.") from error
    except ValueError as error:
        raise InputError(f"{path} holds no result of {writers}: {error}. Run it again, or give another file.") from None


def json_of(path: Path) -> Any:
    """Raises OSError, and ValueError in plain words."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))  # editors on Windows begin a text with a mark
        json.dumps(value, ensure_ascii=False).encode()  # half a character is none
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    return value


def record_of(kind: RecordKind, value: Value) -> Record:
    """Raises ValueError in plain words."""
    parts: Value = {"command": str, "setup": kind.setup, "finished": bool, "done": list[Key], "failures": list[Failure]}
    tables = {name: GenericAlias(list, (row,)) for name, row in kind.tables.items()}
    found = fitted(parts | dict(kind.facts) | tables, value)
    rows = {row: found[name] for name, row in kind.tables.items()}
    return Record(kind, rows=rows, facts={name: value[name] for name in kind.facts}, **{p: found[p] for p in parts})


def check_kept(path: Path | None, kind: RecordKind, command: str, *read: Path | None) -> None:
    """Raise InputError, before long work, where no record could be written, as `check_writable`, and for a file that holds
    something else than a record of the same program."""
    if path is None:
        return
    check_writable(path, *read)
    if not path.exists() or not path.stat().st_size:
        return
    try:
        found = fitted({"kind": str, "command": str}, json_of(path))
    except ValueError as error:
        raise InputError(f"{path} holds no result of `{kind.writer}`: {error}. Give another file.") from None
    programs = [program_of(typed or kind.writer) for typed in (found["command"], command)]
    if found["kind"] != kind.name or programs[0] != programs[1]:
        by = shorten(found["command"] or found["kind"], 60)
        raise InputError(f"{path} holds what another program wrote, `{by}`; give another file.")


def program_of(command: str) -> list[str]:
    """The words before its options."""
    words = command.split()
    return words[: 3 if "-m" in words[:2] else 2]


def resumed(record: Record, resume: bool = True) -> Record:
    """What its file holds of this record, to go on from as the record's command says; failures are tried again. The record
    itself where there is no file or an empty one, or without `resume`. Raises InputError as `check_kept`, and for another
    setup."""
    check_kept(record.path, record.kind, record.command)
    if not resume or record.path is None or not record.path.exists() or not record.path.stat().st_size:
        return record
    found = read_record(record.path, record.kind)
    now = json.loads(json.dumps(record.setup))  # a tuple is a list in JSON
    if other := [f"{name} {shown(a, 30)}, now {shown(b, 30)}" for name, a, b in differences(found.setup, now)]:
        more = f"; and {len(other) - MOST} others" if len(other) > MOST else ""
        raise InputError(
            f"The results in {record.path} have {'; '.join(other[:MOST])}{more}. Go on with the command and on the machine "
            "that made them, or give another file or another folder."
        )
    return replace(found, command=record.command, finished=False, failures=[], path=record.path)


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in sorted({*first, *second}):
        a, b = first.get(name), second.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from differences(a, b)
        elif a != b:
            yield name, a, b
