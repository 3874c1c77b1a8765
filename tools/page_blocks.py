"""What stands in the pages: code, commands, links and headings."""

from __future__ import annotations

import ast
import contextlib
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MADE = ("api.md", "model-cards.md")  # by tools/site_pages.py, when the site is built
RESULTS = ROOT / "docs" / "results"
COMMANDS = [
    "fef",
    "make",
    "python",
    "torchrun",
    "accelerate",
    "pip",
    "curl",
    "pytest",
    "cat",
    ".ci/run",
    "FEF_DATA",
    "FEF_SOAK",
]
FENCE = re.compile(r"^( *)```(\w*)$")
QUOTED = re.compile(r"<!-- quoted: (\S+) -->")


@dataclass(frozen=True)
class Block:
    """A block of a page. kind: "python", "bash", "text" or what its fence says. quoted: the file that it is taken from.
    printed: what the page shows behind it as its output, a fenced text."""

    page: Path
    line: int
    kind: str
    text: str
    quoted: str | None = None
    printed: str | None = None


def pages() -> list[Path]:
    """All pages for people, but for those that are made."""
    found = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob("packages/*/*.md"),
    ]
    return sorted(path for path in found if path.name not in MADE)


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks in their order; an indented one within a list is prose."""
    lines = page.read_text("utf-8").split("\n")
    found, i = [], 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if fence:
            end = next(j for j in range(i + 1, len(lines)) if lines[j].strip() == "```")
            before = QUOTED.search(lines[i - 1]) or QUOTED.search(lines[i - 2])
            text = "\n".join(line.removeprefix(fence[1]) for line in lines[i + 1 : end])
            shown = lines[end + 1 : end + 3] == ["", "```text"]
            last = next((j for j in range(end + 3, len(lines)) if lines[j] == "```"), None) if shown else None
            printed = None if last is None else "\n".join(lines[end + 3 : last])
            found.append(Block(page, i + 1, fence[2] or "text", text, before and before[1], printed))
            i = (end if last is None else last) + 1
        elif lines[i].startswith("    ") and not lines[i - 1].strip() and not within_list(lines, i):
            end = next(
                (j for j in range(i, len(lines)) if lines[j].strip() and not lines[j].startswith("    ")), len(lines)
            )
            text = "\n".join(line.removeprefix("    ") for line in lines[i:end]).strip("\n")
            found += [Block(page, i + 1, kind_of(part), part) for part in re.split(r"\n\n+", text)]
            i = end
        else:
            i += 1
    return found


def within_list(lines: list[str], i: int) -> bool:
    above = next((line for line in reversed(lines[:i]) if line.strip()), "")
    return above.startswith(("- ", "  "))


def kind_of(text: str) -> str:
    """Of an indented block: commands where its first word is one, JSON or Python where it can be parsed, else text."""
    if text.split()[0].partition("=")[0].removeprefix(".venv/bin/") in COMMANDS:
        return "bash"
    for kind, parse in (("json", json.loads), ("python", ast.parse)):
        with contextlib.suppress(SyntaxError, ValueError):
            parse(text)
            return kind
    return "text"


def commands(text: str) -> Iterator[list[str]]:
    """The words of each command, without comments and the files that they write to."""
    for line in text.replace("\\\n", " ").split("\n"):
        words = shlex.split(line, comments=True)
        command: list[str] = []
        for word in [*words, "&&"]:
            if word in ("&&", "|"):
                if command:
                    yield command[: command.index(">")] if ">" in command else command
                command = []
            else:
                command.append(word)


def without_code(page: Path) -> str:
    """The text of a page, with nothing in the place of code."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> list[str]:
    """The targets of links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page))


def anchors(page: Path) -> set[str]:
    """What headings are called in links, as the site and repository hosts name them."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    found = set()
    for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        found |= {re.sub(r"[\s-]+", "-", words), re.sub(r"\s", "-", words)}
    return found
