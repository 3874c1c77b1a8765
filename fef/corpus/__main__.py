"""`python -m fef.corpus`: build the training corpus, or write the prompts that a model answers for it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.output import Group, stderr
from fef.corpus.build import Recipe, build
from fef.corpus.dialogue import prompts
from fef.corpus.shares import DEFAULT_COUNT
from fef.errors import OptionError
from fef.eval.datasets import data_directory
from fef.files import check_writable, write_whole
from fef.readers import whole_from

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def corpus(
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of training and test files; else FEF_DATA.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The corpus, JSONL of messages; a report lies beside it.")
    ] = None,
    count: Annotated[int, typer.Option("--count", help="Examples in all.")] = DEFAULT_COUNT,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and files give the same corpus.")] = 0,
    held_out: Annotated[
        int,
        typer.Option(
            "--held-out", help="Problems of each file kept apart with all that is like them, in FILE.held-out.jsonl."
        ),
    ] = 0,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; one per core if not given.")] = None,
    self_text: Annotated[
        Path | None, typer.Option("--self-text", help="A model's answers to the prompts, JSONL of messages.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option("--tokenizer", help="A tokenizer.json: the report counts tokens with it.")
    ] = None,
    prompts_file: Annotated[
        Path | None, typer.Option("--prompts", help="Write the prompts of conversations to this file, and stop.")
    ] = None,
) -> None:
    """Build the training corpus of the checkpoint `smol`."""
    if (prompts_file is None) == (out is None):
        raise OptionError("Give either --out FILE for the corpus or --prompts FILE for the prompts of conversations.")
    if prompts_file is not None:
        check_writable(prompts_file)
        found = prompts()
        write_whole(
            prompts_file, "".join(json.dumps({"messages": turns}, ensure_ascii=False) + "\n" for turns in found)
        )
        stderr().print(f"{prompts_file}: {len(found)} prompts.")
    if out is not None:
        check_writable(out, self_text, tokenizer)
        processes = whole_from("--workers", os.cpu_count() or 1 if workers is None else workers, 1)
        recipe = Recipe(
            data_directory(data),
            whole_from("--count", count, 1),
            seed,
            self_text,
            whole_from("--held-out", held_out, 0),
        )
        made = build(recipe, processes, tokenizer)
        write_whole(out, made.text)
        write_whole(out.with_suffix(".report.json"), made.report.text())
        if held_out:
            write_whole(out.with_suffix(".held-out.jsonl"), made.held_out)
        left_out = "" if self_text else " without dialogue, for which --self-text FILE is needed"
        stderr().print(f"{out}: {count} examples{left_out}; sha256 {made.report.sha256}.")


if __name__ == "__main__":
    app(prog_name="python -m fef.corpus")
