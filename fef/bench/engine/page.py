"""The page of the engine's benchmark: a record as Markdown, with every sentence about who wins computed from it."""

from __future__ import annotations

from collections.abc import Sequence

from fef.bench.engine.record import EngineRecord
from fef.bench.engine.serving import LOOP
from fef.bench.engine.summary import MARGIN, fastest, our_row, title
from fef.bench.engine.table import Sheet, sheets

__all__ = ["engine_page"]

HOW_TO_READ = f"""\
- *ms*: the median, between events around the replay of the CUDA graph of a pass; on a CPU, by the clock around it. Every row
  is live, in the middle of its answer, and has a full window.
- *context*: the pass over the canvas that a request begins with, of as many requests as the engine admits at once. *round*:
  verifies a window of drafts and drafts the next one. *full*: a plain pass over whole canvases, what a decoder of one token a
  pass pays for each; in plain torch or in the engine's kernels, whichever is faster, without drawing or committing.
- *GB read*: what must be read, once each: the weights of all blocks and of the head (a quantized one in its own size, with
  scales), and in a round the keys and values of the canvas of every row. *share of copy bandwidth*: reading that, over
  the time of the pass, against a large copy on the device in the same run (bytes read and written). A network that fits into
  the cache of the chip can exceed 100 %; a pass of many tokens is bound by arithmetic, and its share says nothing.
- *engine*: all problems submitted at once; seconds of the whole, on the clock of the host. *{LOOP}*: `Model.generate` in
  batches. *tokens/s*: tokens of the answers up to and including the end token. *passes*: of any kind, per problem.
- *first token*: median time from submission to the first committed token, of a full batch that arrives at once.
- *idealised*: a decoder of the loop with a full batch in every pass, where a pass takes what the full pass with the head at
  one slot takes as a bare graph, a pass of fewer tokens (a cache) its share of that by tokens, but no less than the
  weights take to be read at copy bandwidth; nothing is drawn, chosen, committed or copied. That favours the decoder: the
  engine's time is that on the wall.
- *peak GB*: of tensors on a GPU; on a CPU, the most that the process ever had resident, which never falls.
"""

_ONE_TOKEN = (
    "Decoding as many tokens as the canvas has. A plain decoder pays a full pass per token, with the head at half the slots, "
    "which is the mean while the canvas fills: the measured time of one, times the tokens. *full pass / round*: tokens a "
    "second over those of that decoder for a round that commits one token; times the tokens per round, for more."
)


def engine_page(record: EngineRecord, picture: str, remarks: str = "") -> str:
    """The page as Markdown. picture: the name of its picture file, without `.png`. remarks: what the author makes of the
    results; the one part that is not computed."""
    parts = [f"# The engine on `{record.setup['model']}`", introduction(record)]
    if record.served:
        parts += ["## The fastest decoder as accurate", verdicts(record)]
    if remarks.strip():
        parts += ["## Remarks", remarks.strip()]
    parts += [f"![Tokens per second and share of bandwidth]({picture}.png)"]
    for sheet in sheets(record):
        parts.append(f"## {sheet.title}")
        if sheet.title == "One token per pass":
            parts.append(_ONE_TOKEN)
        parts.append(markdown(sheet))
    parts += ["## How to read this", HOW_TO_READ.rstrip()]
    return "\n\n".join(parts) + "\n"


def introduction(record: EngineRecord) -> str:
    setup, environment = record.setup, record.setup["environment"]
    device = environment.get("gpu", f"{environment['cpu']}, {environment['threads']} threads")
    versions = ", ".join(f"{name} {environment[name]}" for name in ("fef", "torch", "python"))
    rounded = f", rounded to {setup['weight_format']}" if setup["weight_format"] else ""
    lines = [
        f"- Network: {setup['parameters'] / 1e6:,.0f} million parameters in {setup['dtype']}{rounded}; a pass reads "
        f"{setup['weight_bytes'] / 1e9:.3g} GB of weights. "
        + (f"Weights: `{setup['weights']}` (digest)." if "weights" in setup else "Random weights."),
        f"- Device: {environment['device']} ({device}), which copies {record.bandwidth / 1e9:,.0f} GB/s, bytes read and "
        f"written. Versions: {versions}.",
        f"- Passes: canvas of {setup['canvas']} tokens, {setup['opened']} of them to fill; medians of {setup['repeats']}.",
    ]
    if "settings" in setup:
        settings = setup["settings"]
        lines.append(
            f"- Problems: held-out ones of {', '.join(setup['families'])}, mixed, drawn with seed {settings['seed']}; "
            f"temperature {settings['temperature']}, top-p {settings['top_p']}, {settings['max_new_tokens']} tokens to fill."
        )
    if record.lengths:
        lines.append(
            f"- Median lengths: prompts of {record.lengths['prompt']:g} tokens, answers of {record.lengths['answer']:g}."
        )
    head = "Made by `fef report` from the results of this command; only the remarks are written by hand."
    parts = [head, f"```\n{record.command}\n```", "\n".join(lines)]
    if not record.finished:
        parts.append("**Unfinished**: the run was interrupted, so batch sizes are missing.")
    return "\n\n".join(parts)


def verdicts(record: EngineRecord) -> str:
    words = f"Among decoders at most {MARGIN:g} point of accuracy below `fef` in the engine, the idealised ones too:"
    return words + "\n\n" + "\n".join(verdict(record, batch) for batch in record.setup["batches"])


def verdict(record: EngineRecord, batch: int) -> str:
    ours, best = our_row(record, batch), fastest(record, batch)
    if ours is None:
        return f"- batch {batch}: `fef` was not measured in the engine."
    if best is None:
        return f"- batch {batch}: `fef` in the engine, {ours.rate:,.0f} tokens/s; no other one is as accurate."
    run = f"{best.rate:,.0f} tokens/s (`fef` is {ours.rate / best.rate:.1f} times as fast)"
    if best.ideal_rate is not None:
        run += f", idealised {best.ideal_rate:,.0f} ({ours.rate / best.ideal_rate:.2f} times)"
    return (
        f"- batch {batch}: `fef` in the engine, {ours.rate:,.0f} tokens/s; the fastest other is `{title(best)}`, {run}."
    )


def markdown(sheet: Sheet) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

    return "\n".join(map(line, [sheet.header, ["---"] * len(sheet.header), *sheet.lines]))
