"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown_table"]


def markdown_table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table whose first column holds names of methods."""
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    named = [[f"`{line[0]}`", *line[1:]] for line in escaped]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *named])
