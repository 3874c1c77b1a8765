"""A page of results in Markdown. Every sentence about who wins is computed; only remarks are written by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fef.measure.record import Record

__all__ = ["PageMaker", "Section", "device_words", "introduction", "results_page", "setup_lines", "version_words"]

Section = tuple[str, str]  # a title and a text
PageMaker = Callable[[str, Mapping[str, Record], str], tuple[str, bytes | None]]
"""Makes a page in Markdown, and its picture if it has one, `NAME.png` beside it: of the page's name; of its records, by the
names of their files; and of remarks, what the author makes of the results, the one part that is not computed. Raises
InputError for records that do not make a page."""


def results_page(title: str, begin: str, sections: Iterable[Section], how_to_read: str, remarks: str = "") -> str:
    """A section without a title goes on with the one before."""
    said = [("Remarks", remarks.strip())] if remarks.strip() else []
    parts = [f"# {title}", begin]
    for name, text in [*said, *sections, ("How to read this", how_to_read.rstrip())]:
        parts += [f"## {name}", text] if name else [text]
    return "\n\n".join(parts) + "\n"


def introduction(records: Sequence[Record], lines: Iterable[str], missing: str) -> str:
    """What was typed, and how it was measured; missing: what an interrupted run lacks."""
    commands = list(dict.fromkeys(record.command or record.kind.writer for record in records))
    typed, run = ("this command", "the run") if len(commands) == 1 else ("these commands", "a run")
    parts = [
        f"Made by `fef report` from the results of {typed}; only the remarks are written by hand.",
        *(f"```\n{command}\n```" for command in commands),
    ]
    if said := "\n".join(f"- {line}" for line in lines):
        parts.append(said)
    if not all(record.finished for record in records):
        parts.append(f"**Unfinished**: {run} was interrupted, so {missing} are missing.")
    return "\n\n".join(parts)


def setup_lines(setup: Mapping[str, Any]) -> Iterator[str]:
    """What was the same for all of it: settings that are set, the device and the versions."""
    if said := [f"{name.replace('_', ' ')} {value}" for name, value in settings_of(setup)]:
        yield f"Settings: {'; '.join(said)}."
    environment = setup["environment"]
    yield f"Device: {device_words(environment)}. Versions: {version_words(environment)}."


def settings_of(setup: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Those of parts of it, too."""
    for name, value in setup.items():
        if isinstance(value, Mapping):
            yield from settings_of(value) if name != "environment" else ()
        elif isinstance(value, int) and not isinstance(value, bool):
            yield name, f"{value:,}"
        elif value or isinstance(value, float):
            yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def device_words(environment: Mapping[str, Any]) -> str:
    """The device of an environment (`fef.measure.environment`), and what it is called."""
    found = environment.get("gpu") or f"{environment['cpu']}, {environment['threads']} threads"
    return f"{environment['device']} ({found})"


def version_words(environment: Mapping[str, Any]) -> str:
    """The versions that figures may depend on."""
    return ", ".join(f"{name} {environment[name]}" for name in ("fef", "torch", "python"))
