"""Results on disk: one JSON line an answer, written as it is scored; resumed, and merged over processes.

A run's folder holds `settings.json`, one `part-R.jsonl` a process, and at the end `results.jsonl`: every answer once, in the
order of the task file, without timings, so that it is the same file however many processes made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

from fef.errors import InputError, OptionError

__all__ = ["Record", "check_settings", "merge", "open_part", "read_records", "write_record"]

SETTINGS, RESULTS = "settings.json", "results.jsonl"


@dataclass(frozen=True)
class Record:
    """One answer. The counters are those of `fef.decoding.meter`."""

    index: int  # the example's place among those of the run
    id: str | None  # its name in the file, if it has one
    right: bool  # was it solved?
    extracted: str | None  # what was judged, if it was found
    text: str  # of the answer
    finish_reason: Literal["stop", "length"]  # as in `fef.Generation`
    cut_characters: int  # how much of the prompt's beginning was dropped
    tokens: int  # of the answer, the end token among them
    calls: int  # forward passes
    rows: int  # sequences in them
    token_forwards: int  # tokens in them
    seconds: float  # its share of its batch


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder, or check that what it holds was made with the same settings. Raises OptionError, InputError."""
    path = folder / SETTINGS
    if path.exists():
        old, settings = json.loads(path.read_text(encoding="utf-8")), json.loads(json.dumps(settings))
        names = sorted(n for n in old.keys() | settings.keys() if old.get(n) != settings.get(n))
        if names:
            words = ", ".join(f"{n} {old.get(n)!r}, now {settings.get(n)!r}" for n in names)
            raise OptionError(f"{folder} holds results of other settings ({words}). Give --out another folder.")
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something else; give --out a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")


def open_part(folder: Path, rank: int) -> TextIO:
    """This process's part, to append to. A line that a killed run left unfinished is removed."""
    path = folder / f"part-{rank:05d}.jsonl"
    if path.exists():
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    return path.open("a", encoding="utf-8")


def write_record(part: TextIO, record: Record) -> None:
    part.write(json.dumps(asdict(record)) + "\n")
    part.flush()


def read_records(folder: Path) -> dict[int, Record]:
    """Every answer in the parts of a folder by its index; unfinished last lines do not count. Raises InputError."""
    found: dict[int, Record] = {}
    for path in sorted(folder.glob("part-*.jsonl")):
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                record = Record(**json.loads(line))
            except (ValueError, TypeError) as error:
                raise InputError(f"{path}:{number}: no result ({error}). Remove the line to answer it again.") from None
            found.setdefault(record.index, record)
    return found


def merge(folder: Path, records: Iterable[Record]) -> Path:
    """Write `results.jsonl`; returns its path."""
    path = folder / RESULTS
    lines = (asdict(record) for record in sorted(records, key=lambda r: r.index))
    text = "".join(json.dumps({k: v for k, v in line.items() if k != "seconds"}) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
