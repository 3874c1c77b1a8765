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


def read_examples(
    path: Path,
    fields: Mapping[str, Reader],
    names: Mapping[str, str] | None = None,
    complaint: Callable[[Example], str | None] = lambda _: None,
) -> list[Example]:
    """Read a task file; blank lines are skipped. `names`: what a field is called in the file, where it differs.

    complaint: what is wrong with an example whose fields cannot go together. Raises InputError with the line number for a
    line that is no JSON object, lacks one of `fields`, or holds in one what its reader does not take, and for a file that is
    missing or has no example.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no {path}. Put the file there, or give --data DIR or --file FILE.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path} ({error}). Give a UTF-8 file with one JSON object per line.") from error
    examples = []
    for number, line in enumerate(text.split("\n"), start=1):  # U+2028 and the like may stand inside a JSON string
        if not line.strip():
            continue
        try:
            examples.append(parsed(line, fields, names or {}))
            if wrong := complaint(examples[-1]):
                raise ValueError(f"{wrong}. Fix or remove the line.")
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from None
    if not examples:
        raise InputError(f"{path} has no example; it needs one JSON object per line.")
    return examples


def parsed(line: str, fields: Mapping[str, Reader], names: Mapping[str, str]) -> Example:
    """The example of a line. Raises ValueError, in whole sentences."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON ({error}). Fix or remove the line.") from None
    if not isinstance(record, dict):
        raise ValueError(f"{type(record).__name__}, not a JSON object. Fix or remove the line.")
    named = {field: names.get(field, field) for field in fields}
    if missing := [name for name in named.values() if name not in record]:
        there = ", ".join(record) or "none"
        raise ValueError(f"no field {', '.join(missing)}; it has {there}. Map a field with --field NAME=FIELD.")
    found = {}
    for field, name in named.items():
        try:
            found[field] = fields[field](record[name])
        except ValueError as error:
            kind = "null" if record[name] is None else type(record[name]).__name__
            other = f"map another field with --field {field}=FIELD"
            raise ValueError(f"the field {name} must be {error}, not {kind}. Fix the line, or {other}.") from None
    return record | found
