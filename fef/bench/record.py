"""A benchmark as one JSON value, complete enough to go on from and to make every table, plot and page of."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fef.bench.acceptance import Acceptance
from fef.bench.evaluate import Answer, Result
from fef.bench.spec import MethodSpec
from fef.bench.summary import Refusal, Row, summarize
from fef.decoding.certificate import Certificate
from fef.errors import InputError

__all__ = ["Record", "read_record", "record_json", "rows_csv"]

FORMAT = 1
COLUMNS = tuple(f.name for f in fields(Answer))


@dataclass(frozen=True)
class Record:
    """What a benchmark found so far."""

    command: str  # what was typed
    setup: Mapping[str, Any]  # model, settings, versions and hardware, the same for every result
    results: Sequence[Result]  # one per method and family
    refusals: Sequence[Refusal]  # methods that the model cannot run, and why
    rows: Sequence[Row]  # the summary
    comparisons: Sequence[Mapping[str, Any]]  # of tokens, between two methods
    finished: bool  # nothing that the command asks for is missing


def record_json(record: Record) -> str:
    """The record as JSON text; with the texts of the answers if its setup says so."""
    value = {
        "format": FORMAT,
        "command": record.command,
        "setup": record.setup,
        "finished": record.finished,
        "rows": [asdict(row) for row in record.rows],
        "refusals": [asdict(refusal) for refusal in record.refusals],
        "comparisons": record.comparisons,
        "results": [result_value(result, record.setup["texts"]) for result in record.results],
    }
    return json.dumps(value, ensure_ascii=False) + "\n"


def result_value(result: Result, texts: bool) -> dict[str, Any]:
    """Answers as columns: a list a field, in the order of the problems, takes a third of the space."""
    columns = [name for name in COLUMNS if texts or name != "text"]
    return {
        "family": result.family,
        "spec": {"label": result.spec.label, "name": result.spec.name, "options": dict(result.spec.options)},
        "seconds": result.seconds,
        "certificate": result.certificate.to_dict(),
        "acceptance": asdict(result.acceptance),
        "answers": {name: [getattr(answer, name) for answer in result.answers] for name in columns},
    }


def read_record(path: Path) -> Record:
    """Read what `record_json` wrote; its rows are counted again from its answers.

    Raises InputError for a file that is missing, cut short or something else.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise InputError(f"{path} has format {value['format']}; this version of fef reads {FORMAT}. Run it again.")
        results = [read_result(found) for found in value["results"]]
        return Record(
            command=value["command"],
            setup=value["setup"],
            results=results,
            refusals=[Refusal(**found) for found in value["refusals"]],
            rows=summarize(results, value["setup"]["settings"]["seed"]),
            comparisons=value["comparisons"],
            finished=value["finished"],
        )
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}. Give a file that `fef bench --json` wrote.") from error
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} holds no results of `fef bench --json` ({error!r}).") from error


def read_result(found: Mapping[str, Any]) -> Result:
    columns = found["answers"]
    texts = columns.get("text", [""] * len(columns["right"]))
    kept = [columns[name] if name != "text" else texts for name in COLUMNS]
    certificate = found["certificate"]
    return Result(
        found["family"],
        MethodSpec(**found["spec"]),
        tuple(Answer(*cells) for cells in zip(*kept, strict=True)),
        found["seconds"],
        Certificate(certificate["kind"], certificate["law"], tuple(certificate["reasons"])),
        Acceptance.from_dict(found["acceptance"]),
    )


def rows_csv(rows: Sequence[Row], refusals: Sequence[Refusal]) -> str:
    """The rows as CSV text with a header line; a method that was not run has a `reason` and no numbers."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [*(f.name for f in fields(Row)), "reason"], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([asdict(row) for row in rows] + [asdict(refusal) for refusal in refusals])
    return stream.getvalue()
