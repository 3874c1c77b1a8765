"""Answers of a long run on disk: one JSON line per answer, written as it is scored; resumed, and merged over processes.

A run's folder holds `settings.json`, one `part-R.jsonl` per process, and at the end `results.jsonl`: every answer once, in
the order of the task file, without timings, so that it is the same file however many processes made it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from fef.errors import InputError
from fef.files import write_whole
from fef.measure.answers import Answer
from fef.measure.fields import fitted
from fef.measure.record import Record, RecordKind, resumed
from fef.readers import decode_text, read_file

__all__ = ["begin", "merge", "open_part", "read_answers", "write_answer"]

RESULTS = "results.jsonl"
SETTINGS_KIND = RecordKind("settings", "fef eval --out")


def begin(folder: Path, setup: Mapping[str, Any]) -> None:
    """Make the folder, or check that what it holds was made with the same settings. Raises InputError."""
    path = folder / "settings.json"
    if folder.exists() and not path.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something else; give --out a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.stat().st_size:
        raise InputError(f"{path} is empty: it holds no result of `{SETTINGS_KIND.writer}`; give --out a new folder.")
    resumed(Record(SETTINGS_KIND, SETTINGS_KIND.writer, dict(setup), path=path)).keep()


def open_part(folder: Path, rank: int) -> TextIO:
    """This process's part, to append to. A line that a killed run left unfinished is removed."""
    path = folder / f"part-{rank:05d}.jsonl"
    if path.exists():
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rfind(b"\n") + 1])
    return path.open("a", encoding="utf-8")


def write_answer(part: TextIO, answer: Answer) -> None:
    """Add a line, which is on disk even if the process ends."""
    part.write(json.dumps(asdict(answer)) + "\n")
    part.flush()


def read_answers(folder: Path) -> dict[int, Answer]:
    """Every answer in the parts of a folder by its index; unfinished last lines do not count. Raises InputError."""
    found: dict[int, Answer] = {}
    for path in sorted(folder.glob("part-*.jsonl")):
        *lines, _ = decode_text(read_file(path), str(path)).split("\n")
        for number, line in enumerate(lines, start=1):
            try:
                answer: Answer = fitted(Answer, json.loads(line))
            except (ValueError, RecursionError) as error:
                raise InputError(f"{path}:{number}: no result ({error}). Remove the line to answer it again.") from None
            found.setdefault(answer.index, answer)
    return found


def merge(folder: Path, answers: Iterable[Answer]) -> Path:
    """Write `results.jsonl`; returns its path."""
    path = folder / RESULTS
    values = (asdict(answer) for answer in sorted(answers, key=lambda one: one.index))
    text = "".join(json.dumps({k: v for k, v in value.items() if k != "seconds"}) + "\n" for value in values)
    write_whole(path, text)
    return path
