"""Results as table rows, JSON and CSV, with the versions and the hardware they were measured on."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import tokenizers
import torch
from rich.table import Table

import fef
from fef.bench.evaluate import Result, Settings

__all__ = ["Row", "bootstrap_interval", "environment", "report_json", "rows_csv", "rows_table", "summarize"]

RESAMPLES = 10_000


@dataclass(frozen=True)
class Row:
    """One method on one family. accuracy, low and high (a bootstrap 95 % interval) in %; calls, rows and token_forwards
    summed over problems; tokens_per_call: answer tokens with the end token, over calls; seconds_ratio: seconds over
    those of the first method on the same family."""

    family: str
    method: str
    problems: int
    accuracy: float
    low: float
    high: float
    calls: int
    tokens_per_call: float
    rows: int
    token_forwards: int
    seconds: float
    seconds_ratio: float
    certificate: str


def summarize(results: Sequence[Result], seed: int) -> list[Row]:
    """One row a result; the first result of a family is what its ratios refer to."""
    first: dict[str, float] = {}
    for result in results:
        first.setdefault(result.family, result.seconds)
    return [row_of(result, first[result.family], seed) for result in results]


def row_of(result: Result, first_seconds: float, seed: int) -> Row:
    answers = result.answers
    right = sum(a.right for a in answers)
    low, high = bootstrap_interval(right, len(answers), seed)
    calls = total(result, "calls")
    return Row(
        family=result.family,
        method=result.spec.label,
        problems=len(answers),
        accuracy=100 * right / len(answers),
        low=100 * low,
        high=100 * high,
        calls=calls,
        tokens_per_call=sum(a.visible_tokens for a in answers) / max(1, calls),
        rows=total(result, "rows"),
        token_forwards=total(result, "token_forwards"),
        seconds=result.seconds,
        seconds_ratio=result.seconds / first_seconds,
        certificate=result.certificate.kind,
    )


def total(result: Result, counter: str) -> int:
    return int(sum(a.stats[counter] for a in result.answers))


def bootstrap_interval(right: int, count: int, seed: int) -> tuple[float, float]:
    """Percentile bootstrap 95 % interval of the share right / count."""
    # resampling `count` right-or-wrong outcomes with replacement makes the number of right ones binomial
    shares = np.random.default_rng(seed).binomial(count, right / count, RESAMPLES) / count
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def rows_table(rows: Sequence[Row], *, ratios: bool = False) -> Table:
    """A rich table of rows; with `ratios`, also seconds a problem and the ratio to the first method."""
    table = Table(title=None, header_style="bold")
    table.add_column("family")
    table.add_column("method", overflow="fold")
    names = ["accuracy % (95 %)", "calls", "tokens/call", "rows", "token-forwards", "seconds"]
    for name in [*names, *(["s/problem", "x first"] if ratios else [])]:
        table.add_column(name, justify="right")
    table.add_column("law")
    previous = None
    for row in rows:
        cells = [
            f"{row.accuracy:.1f} ({row.low:.1f} to {row.high:.1f})",
            f"{row.calls:,}",
            f"{row.tokens_per_call:.2f}",
            f"{row.rows:,}",
            f"{row.token_forwards:,}",
            f"{row.seconds:.1f}",
        ]
        if ratios:
            cells += [f"{row.seconds / row.problems:.3f}", f"{row.seconds_ratio:.2f}"]
        if previous not in (None, row.family):
            table.add_section()
        table.add_row("" if previous == row.family else row.family, row.method, *cells, row.certificate)
        previous = row.family
    return table


def report_json(
    results: Sequence[Result],
    rows: Sequence[Row],
    settings: Settings,
    *,
    model: str,
    device: str,
    command: str,
    comparisons: Sequence[dict[str, Any]] = (),
    texts: bool = False,
) -> dict[str, Any]:
    """Everything measured, with the command, settings, versions and hardware. texts: add each problem's outputs."""
    report: dict[str, Any] = {
        "command": command,
        "model": model,
        "settings": asdict(settings),
        "environment": environment(device),
        "rows": [asdict(row) for row in rows],
        "certificates": [
            {"family": r.family, "method": r.spec.label, "options": dict(r.spec.options), **r.certificate.to_dict()}
            for r in results
        ],
        "comparisons": list(comparisons),
    }
    if texts:
        report["outputs"] = [output for result in results for output in outputs(result)]
    return report


def outputs(result: Result) -> list[dict[str, Any]]:
    return [
        {
            "family": result.family,
            "method": result.spec.label,
            "problem": i,
            "prompt": a.problem.prompt,
            "text": a.text,
            "token_ids": list(a.token_ids),
            "right": a.right,
            "stats": a.stats,
        }
        for i, a in enumerate(result.answers)
    ]


def rows_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV text with a header line."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [f.name for f in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def environment(device: str) -> dict[str, Any]:
    """Versions and hardware; nothing that names a machine, a person or a place."""
    found: dict[str, Any] = {
        "fef": fef.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
        "tokenizers": tokenizers.__version__,
        "system": platform.system(),
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "device": torch.device(device).type,
    }
    if torch.device(device).type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
        found["cuda"] = torch.version.cuda
    return found


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
