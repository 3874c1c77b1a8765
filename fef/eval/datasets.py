"""Task files: one JSON object per line, checked, with the line number in every complaint.

What a field may hold says its reader, which returns the value as tasks use it, or raises ValueError with what is allowed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fef.errors import InputError, OptionError
from fef.readers import decode_text, read_file

__all__ = ["Example", "Reader", "data_directory", "parse_mapping", "read_examples"]

Example = Mapping[str, Any]
Reader = Callable[[Any], Any]


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
    if not path.exists():
        raise InputError(f"There is no {path}. Put the file there, or give --data DIR or --file FILE.")
    examples, text = [], decode_text(read_file(path), str(path))
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


# --- what a field may hold ---


def anything(value: Any) -> Any:
    return value


def reader(allowed: str, fits: Callable[[Any], bool], read: Reader = anything) -> Reader:
    """Of the values that fit."""

    def checked(value: Any) -> Any:
        if not fits(value):
            raise ValueError(allowed)
        return read(value)

    return checked


def of(*kinds: type) -> Callable[[Any], bool]:
    """A boolean is no number."""
    return lambda value: isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


text = reader("a text", of(str))
text_or_number = reader("a text or a number", of(str, int, float), str)
whole_number = reader("a whole number", of(int))
flag = reader("true or false", of(bool))
choice = reader("a letter, or the number of a choice from 0", of(str, int))
texts = reader("a list of at least one text", lambda value: is_texts(value) and len(value) > 0)
lines = reader(
    "a text, a list of texts or null",
    lambda value: value is None or isinstance(value, str) or is_texts(value),
    lambda value: "\n".join(value) if isinstance(value, list) else value or "",
)
messages = reader(
    'a list of at least two messages {"role": ..., "content": ...}',
    lambda value: isinstance(value, list) and len(value) >= 2 and all(map(is_message, value)),
)
