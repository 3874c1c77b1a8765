"""Task files: one JSON object a line, checked, with the line number in every complaint."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fef.errors import InputError, OptionError

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


def parse_mapping(pairs: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
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


def read_examples(path: Path, fields: Sequence[str], names: Mapping[str, str] | None = None) -> list[Example]:
    """Read a task file; blank lines are skipped. `names`: what a field is called in the file, where it differs.

    Raises InputError with the line number for a line that is no JSON object or lacks one of `fields`, and for a file that
    is missing or has no example.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no {path}. Put the file there, or give --data DIR or --file FILE.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"Cannot read {path} ({error}). Give a UTF-8 file with one JSON object a line.") from error
    # not splitlines: U+2028 and the like may stand inside a JSON string
    lines = enumerate(text.split("\n"), start=1)
    examples = [parse_line(line, f"{path}:{n}", fields, names or {}) for n, line in lines if line.strip()]
    if not examples:
        raise InputError(f"{path} has no example; it needs one JSON object a line.")
    return examples


def parse_line(line: str, where: str, fields: Sequence[str], names: Mapping[str, str]) -> Example:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: not JSON ({error}). Fix or remove the line.") from None
    if not isinstance(record, dict):
        raise InputError(f"{where}: {type(record).__name__}, not a JSON object. Fix or remove the line.")
    missing = [names.get(field, field) for field in fields if names.get(field, field) not in record]
    if missing:
        raise InputError(
            f"{where}: no field {', '.join(missing)}; it has {', '.join(record) or 'none'}. Map a field with --field "
            "NAME=FIELD."
        )
    return record | {ours: record[theirs] for ours, theirs in names.items() if theirs in record}
