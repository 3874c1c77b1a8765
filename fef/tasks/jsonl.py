"""Problems as JSON lines on disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path

from fef.errors import InputError
from fef.files import write_whole
from fef.tasks.problem import Problem

__all__ = ["read_jsonl", "write_jsonl"]

_FIELDS = {field.name for field in fields(Problem)}


def write_jsonl(path: str | os.PathLike[str], problems: Iterable[Problem]) -> None:
    """Write one problem per line; readers see the old file or the whole new one, never a part."""
    write_whole(Path(path), "".join(json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in problems))


def read_jsonl(path: str | os.PathLike[str]) -> list[Problem]:
    """Read what `write_jsonl` wrote; blank lines are skipped.

    Raises `fef.errors.InputError` with the line number for a line that is not a problem.
    """
    problems = []
    with open(path, encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                problems.append(_parse(line, f"{os.fspath(path)}:{number}"))
    return problems


def _parse(line: str, where: str) -> Problem:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not JSON ({error}).") from None
    if not isinstance(record, dict) or record.keys() != _FIELDS:
        raise InputError(f"{where}: a problem has exactly the fields {', '.join(sorted(_FIELDS))}.")
    if not isinstance(record["check"], dict) or not all(isinstance(record[name], str) for name in _FIELDS - {"check"}):
        raise InputError(f"{where}: `check` must be an object and every other field a string.")
    return Problem(**record)
