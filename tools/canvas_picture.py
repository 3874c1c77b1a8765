"""The picture of filling canvases in the README: `python tools/canvas_picture.py docs/canvas.svg`.

The shipped checkpoint answers one question by three methods, and the picture shows each answer token by token, one clock
for all: a forward pass takes a quarter of a second. Without motion it shows the whole answers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import fef

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"
RIGHT = "#### 30"
# Title, drafts per round in the engine (0: one token per pass), and what is asked.
DECODERS: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("fef: up to 16 drafts are verified in each pass", 16, {"method": "fef"}),
    ("one token per pass", 0, {"method": "sequential", "verify": "packed"}),
    ("four tokens per pass, drawn apart from each other", 16, {"method": "low-confidence", "tokens_per_step": 4}),
)
# Fill and edge by how a token came about; Okabe and Ito's colours, lightened.
COLORS = {
    "accepted": ("#cdeee2", "#009e73"),
    "corrected": ("#cfe6f5", "#0072b2"),
    "drawn": ("#fbe6c4", "#e69f00"),
}
WORDS = {
    "accepted": "a draft that held",
    "corrected": "what replaced a draft",
    "drawn": "drawn without a draft",
}

SECONDS_PER_PASS, REST = 0.25, 3.0  # and before the picture begins again
WIDTH, LEFT, CELL, LINE, GAP = 600, 20, 7.9, 26, 4  # pixels; CELL: the width of a letter


@dataclass(frozen=True)
class Cell:
    """A token of an answer: its text, the pass that filled it, and how."""

    text: str
    passes: int
    how: str


@dataclass(frozen=True)
class Answer:
    """One method's answer, token by token."""

    title: str
    cells: list[Cell]
    passes: int
    right: bool


def answer(model: fef.Model, title: str, window: int, asked: dict[str, Any]) -> Answer:
    job = model.engine(max_batch=1, windows=(window,)).submit(QUESTION, watch=True, **asked)
    out = job.result()
    assert job.job.watched is not None, "a job that is watched"
    filled: dict[int, Cell] = {}
    for round_ in job.job.watched.take():
        for each in round_.filled:
            filled[each.place] = Cell(model.tokenizer.decode([each.token]), round_.passes, each.how)
    cells = [filled[place] for place in sorted(filled)][: len(out.token_ids)]
    return Answer(title, cells, int(out.stats["calls"]), out.text.endswith(RIGHT))


def picture(answers: list[Answer]) -> str:
    """The SVG. The same answers give the same text."""
    parts, top, seconds = [], 16.0, max(a.passes for a in answers) * SECONDS_PER_PASS + REST
    for each in answers:
        drawn, top = panel(each, top)
        parts += drawn
    words, height = legend(top + 6)
    parts += words
    moments = sorted({c.passes for a in answers for c in a.cells} | {n + 1 for a in answers for n in range(a.passes)})
    rules = [f".p{n}{{animation:k{n} {seconds:g}s step-end infinite}}" for n in moments]
    frames = [
        f"@keyframes k{n}{{0%{{opacity:0}}{100 * n * SECONDS_PER_PASS / seconds:.2f}%{{opacity:1}}}}" for n in moments
    ]
    size = f'viewBox="0 0 {WIDTH} {height:g}" width="{WIDTH}" height="{height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
            f"<title>{escape(description(answers))}</title>",
            "<style>text{font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1b1f24}",
            ".h{font-weight:bold}.s{fill:#57606a}@media (prefers-reduced-motion:no-preference){",
            *rules,
            "}",
            *frames,
            "</style>",
            f'<rect width="{WIDTH}" height="{height:g}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
            *parts,
            "</svg>\n",
        ]
    )


def description(answers: list[Answer]) -> str:
    return "; ".join(f"{a.title}: {a.passes} passes, {verdict(a)}" for a in answers)


def verdict(given: Answer) -> str:
    return "right" if given.right else "wrong"


def panel(given: Answer, top: float) -> tuple[list[str], float]:
    """The parts of one answer from `top` on, and where it ends."""
    cost = f"{given.passes} passes, {verdict(given)}"
    parts = [
        f'<text class="h" x="{LEFT}" y="{top + 12:g}">{escape(given.title)}</text>',
        f'<text class="s" x="{WIDTH - LEFT}" y="{top + 12:g}" text-anchor="end">{cost}</text>',
    ]
    for n in range(given.passes):
        parts.append(
            f'<rect class="p{n + 1}" x="{LEFT + 9 * n}" y="{top + 20:g}" width="7" height="7" fill="#57606a"/>'
        )
    x, y = float(LEFT), top + 36
    for cell in given.cells:
        shown = cell.text.replace("\n", "↵").strip() or "␣"
        wide = len(shown) * CELL + 8
        if x + wide > WIDTH - LEFT:
            x, y = float(LEFT), y + LINE
        fill, edge = COLORS[cell.how]
        box = f'x="{x:.1f}" y="{y:g}" width="{wide:.1f}" height="{LINE - GAP}" rx="3"'
        parts.append(f'<rect {box} fill="#eaeef2"/>')
        parts.append(
            f'<g class="p{cell.passes}"><rect {box} fill="{fill}" stroke="{edge}"/>'
            f'<text x="{x + wide / 2:.1f}" y="{y + 15:g}" text-anchor="middle">{escape(shown)}</text></g>'
        )
        x += wide + GAP
    return parts, y + LINE + 14


def legend(top: float) -> tuple[list[str], float]:
    """What the colours mean, from `top` on, and where it ends."""
    parts, x = [], float(LEFT)
    entries = [("#eaeef2", "none", "masked")] + [(*COLORS[how], words) for how, words in WORDS.items()]
    for fill, edge, words in entries:
        wide = 20 + len(words) * CELL + 24
        if x + wide > WIDTH - LEFT:
            x, top = float(LEFT), top + LINE - GAP
        parts.append(f'<rect x="{x:g}" y="{top:g}" width="14" height="14" rx="3" fill="{fill}" stroke="{edge}"/>')
        parts.append(f'<text class="s" x="{x + 20:g}" y="{top + 11:g}">{words}</text>')
        x += wide
    return parts, top + 28


def main(path: str) -> None:
    model = fef.load("demo", device="cpu")
    Path(path).write_text(picture([answer(model, *decoder) for decoder in DECODERS]), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
