"""The page of passes and requests at the sizes of released networks, which `benchmarks/released_networks.py` measures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.record import Record, RecordKind
from fef.measure.table import markdown, sheet_of

__all__ = ["ANSWER", "PROMPT", "RELEASED_KIND", "PassTime", "Rate", "released_page"]

PROMPT, ANSWER = 256, 256  # tokens of a prompt, and to fill
_PEAK = 989e12  # products in bfloat16 of an H100 or H200, operations per second, by its maker


@dataclass(frozen=True)
class PassTime:
    """tokens: computed, of a row. read_gb: what must be read once. share: of the copy bandwidth. tflop: what must be computed
    (`operations`)."""

    network: str
    batch: int
    kind: str
    tokens: int
    milliseconds: float
    read_gb: float
    share: float
    tflop: float = 0.0

    @property
    def compute_share(self) -> float:
        """Of the peak of an H100 or H200."""
        return self.tflop * 1e12 / (self.milliseconds / 1e3) / _PEAK


@dataclass(frozen=True)
class Rate:
    """Requests of one method, all at once. tokens: committed in those seconds; rate: tokens per second."""

    network: str
    batch: int
    method: str
    tokens: int
    seconds: float
    rate: float
    note: str = ""


RELEASED_KIND = RecordKind(
    "released",
    "python benchmarks/released_networks.py --json FILE",
    {"passes": PassTime, "rates": Rate},
    ("bandwidth",),  # bytes per second that a copy reads and writes
)


HOW_TO_READ = """\
- *ms*: the median of replays of the CUDA graph of a pass. *GB to read*: what must be read, once each: weights, of a mixture
  those of the experts that the tokens choose, and kept keys and values. *share of copy bandwidth*: reading that, over the
  time of the pass, against a large copy on the device. *TFLOP*: what must be computed; *share of bf16 peak*: by the maker of
  the device, 989 TFLOP/s.
- *tokens*: committed in those seconds by all requests of a batch, which were asked for at once; measuring stops after 5 s.
  Random weights are never confident, so rules that wait for confidence are at their worst.
"""


def released_page(_name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`, of records of one device."""
    passes: dict[str, Callable[[PassTime], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "pass": lambda row: row.kind,
        "tokens of a row": lambda row: str(row.tokens),
        "ms": lambda row: f"{row.milliseconds:.3g}",
        "GB to read": lambda row: f"{row.read_gb:.3g}",
        "share of copy bandwidth": lambda row: f"{row.share:.0%}",
        "TFLOP": lambda row: f"{row.tflop:.3g}" if row.tflop else "",
        "share of bf16 peak": lambda row: f"{row.compute_share:.0%}" if row.tflop else "",
    }
    rates: dict[str, Callable[[Rate], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "method": lambda row: row.method,
        "tokens": lambda row: str(row.tokens),
        "seconds": lambda row: f"{row.seconds:.2f}",
        "tokens/s": lambda row: f"{row.rate:,.0f}",
        "note": lambda row: row.note,
    }
    found = list(records.values())
    timed = [row for record in found for row in record.of(PassTime)]
    served = [row for record in found for row in record.of(Rate)]
    if not any(row.note for row in served):
        del rates["note"]
    sections = [("Passes", markdown(sheet_of(timed, passes))), ("Whole requests", markdown(sheet_of(served, rates)))]
    failures = [f"- {failure.words}: {failure.reason}" for record in found for failure in record.failures]
    if failures:
        sections.append(("Not measured", "\n".join(failures)))
    setup, bandwidth = found[0].setup, found[0].facts["bandwidth"]
    lines = [
        "Sessions on a GPU: passes under CUDA graphs, over kept keys where a method has a cache. Random weights in the sizes "
        f"of released checkpoints, bfloat16, prompts of {PROMPT} tokens and {ANSWER} to fill; medians of "
        f"{setup.get('repeats', 20)}.",
        f"Device: {device_words(setup['environment'])}, which copies {bandwidth / 1e9:,.0f} GB/s, bytes read and written. "
        f"Versions: {version_words(setup['environment'])}.",
    ]
    begin = introduction(found, lines, "networks")
    return results_page("The engine on released shapes", begin, sections, HOW_TO_READ, remarks), None
