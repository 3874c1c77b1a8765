"""Task files: one JSON object per line, checked, with the line number in every complaint."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fef.errors import InputError, OptionError
from fef.eval.fields import Reader

__all__ = ["Example", "data_directory", "parse_mapping", "read_examples"]

Example = Mapping[str, Any]


def data_directory(given: Path | None) -> Path:
    """The folder of task files: the one given, else the environment's FEF_DATA, else ./data. Raises InputError."""
    folder = given or Path(os.environ.get("FEF_DATA") or "data")
    if not folder.is_dir():
        raise InputError(
            f"{folder} is no folder of task files. Give --data DIR or set FEF_DATA; docs/evaluation.md lists the files and "
            "where they come from."
        )
    return folder


def parse_mapping(pairs: Sequence[str], allowed: Iterable[str]) -> dict[str, str]:
    """`["question=prompt"]`: the task's field and the name it has in the file. Raises OptionError."""
    names = {}
    for pair in pairs:
        ours, equals, theirs = pair.partition("=")
        if not equals or not theirs or ours not in allowed:
            raise OptionError(
                f"--field {pair!r} is no mapping; write NAME=FIELD with NAME one of {', '.join(allowed)}."
            )
        names[ours] = theirs
    return names


def accept(_: Example) -> None:
    """Takes every example."""


def read_examples(
    path: Path,
    fields: Mapping[str, Reader],
    names: Mapping[str, str] | None = None,
    check: Callable[[Example], None] = accept,
) -> list[Example]:
    """Read a task file; blank lines are skipped. `names`: what a field is called in the file, where it differs.

    check: raises ValueError, saying what is wrong, for an example whose fields cannot go together. Raises InputError with
    the line number for a line that is no JSON object, lacks one of `fields`, or holds in one what its reader does not take,
    and for a file that is missing or has no example.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no {path}. Put the file there, or give --data DIR or --file FILE.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path} ({error}). Give a UTF-8 file with one JSON object per line.") from error
    # not splitlines: U+2028 and the like may stand inside a JSON string
    lines = [(f"{path}:{n}", line) for n, line in enumerate(text.split("\n"), start=1) if line.strip()]
    examples = [parse_line(line, where, fields, names or {}) for where, line in lines]
    if not examples:
        raise InputError(f"{path} has no example; it needs one JSON object per line.")
    for (where, _), example in zip(lines, examples, strict=True):
        try:
            check(example)
        except ValueError as error:
            raise InputError(f"{where}: {error}. Fix or remove the line.") from None
    return examples


def parse_line(line: str, where: str, fields: Mapping[str, Reader], names: Mapping[str, str]) -> Example:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}). Fix or remove the line.") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: {type(record).__name__}, not a JSON object. Fix or remove the line.")
    missing = [names.get(field, field) for field in fields if names.get(field, field) not in record]
    if missing:
        raise InputError(
            f"{where}: no field {', '.join(missing)}; it has {', '.join(record) or 'none'}. Map a field with --field "
            "NAME=FIELD."
        )
    found = {}
    for field, read in fields.items():
        name = names.get(field, field)
        try:
            found[field] = read(record[name])
        except ValueError as error:
            kind = "null" if record[name] is None else type(record[name]).__name__
            raise InputError(
                f"{where}: the field {name} must be {error}, not {kind}. Fix the line, or map another field with --field "
                f"{field}=FIELD."
            ) from None
    return record | found
