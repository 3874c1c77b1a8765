"""The page of how likely models find the same answers, each beside the first of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fef.errors import InputError
from fef.eval.likelihood import AnswerNats, mean_nats
from fef.measure.intervals import mean_per_token
from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.record import Record
from fef.measure.table import markdown, sheet_of

__all__ = ["likelihood_page"]

HOW_TO_READ = """\
- *nats per token*: exact -log p at temperature 1 of the answers with their ends, per token; its standard error is from answer
  to answer. A *causal* law is that of the model which the checkpoint was adapted from.
- *more than the first*: the difference from the first line on the answers that both scored, with its own standard error."""


@dataclass(frozen=True)
class Line:
    """A record beside the first. more: nats per token above it, and the standard error; None of the first itself."""

    record: Record
    answers: list[AnswerNats]
    more: tuple[float, float] | None


COLUMNS: Mapping[str, Callable[[Line], str]] = {
    "model": lambda line: str(line.record.setup["model"]),
    "law": lambda line: str(line.record.setup["law"]),
    "answers": lambda line: str(len(line.answers)),
    "left out": lambda line: str(line.record.facts["left_out"]),
    "tokens": lambda line: f"{sum(one.tokens for one in line.answers):,}",
    "nats per token": lambda line: with_error(*mean_nats(line.answers)),
    "more than the first": lambda line: "" if line.more is None else with_error(*line.more),
}


def likelihood_page(name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`, of records in the order of their names; those of one file of answers share a table."""
    found = list(records.values())
    shared = found[0].setup
    for each in found:
        if any(each.setup[part] != shared[part] for part in ("max_new_tokens", "environment")):
            raise InputError(f"{name} is to be made of several canvases or devices; give records of one.")
    sections = []
    for data in dict.fromkeys(each.setup["data"] for each in found):
        some = [each for each in found if each.setup["data"] == data]
        lines = [Line(each, each.of(AnswerNats), None if each is some[0] else above(each, some[0])) for each in some]
        sections.append((data, markdown(sheet_of(lines, COLUMNS))))
    environment = shared["environment"]
    said = [
        f"Canvas of {shared['max_new_tokens']} tokens, temperature 1, {environment['dtype']}.",
        f"Device: {device_words(environment)}. Versions: {version_words(environment)}.",
    ]
    title = name.replace("-", " ").capitalize()
    return results_page(title, introduction(found, said, "answers"), sections, HOW_TO_READ, remarks), None


def above(record: Record, first: Record) -> tuple[float, float]:
    """Nats per token more than of the first record, on the answers of both, and the standard error from answer to answer."""
    if record.setup["file"] != first.setup["file"]:
        raise InputError(f"There are two files {first.setup['data']}; give records of the same answers.")
    begun = {one.line: one for one in first.of(AnswerNats)}
    both = [(one, begun[one.line]) for one in record.of(AnswerNats) if one.line in begun]
    return mean_per_token([one.nats - other.nats for one, other in both], [one.tokens for one, _ in both])


def with_error(mean: float, error: float) -> str:
    return f"{mean:.2f} (± {error:.2f})"
