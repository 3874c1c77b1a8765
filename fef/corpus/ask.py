"""`python -m fef.corpus.ask`: a causal chat model says what its users would ask it, and that becomes prompts.

Behind the opening of a user's turn an instruction-tuned model writes the turns that it was tuned on (Magpie, 2406.08464).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.options import DeviceOption
from fef.cli.output import Bar, Group
from fef.corpus.answer import load_source, texts_behind
from fef.corpus.example import exchange
from fef.corpus.overlap import TestItems, words_of
from fef.corpus.self_text import fault_of
from fef.errors import InputError, OptionError
from fef.eval.tasks import message
from fef.files import check_writable, write_whole
from fef.laws.pipeline import check_sampling
from fef.models.chat import ChatTemplate
from fef.models.device import default_device
from fef.readers import whole_from
from fef.training.conversations import PROBE, read_prompts

__all__ = ["new_questions", "opening"]

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def ask(
    source: Annotated[str, typer.Option("--from", help="A causal chat model: a GGUF file or a directory.")],
    out: Annotated[Path, typer.Option("--out", help="The prompts, JSONL of messages.")],
    count: Annotated[int, typer.Option("--count", help="Turns that are drawn; those that are kept are fewer.")] = 4096,
    apart: Annotated[
        Path | None, typer.Option("--apart", help="Prompts of which none is kept, nor one that shares a run of words.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Tokens of a turn with its end.")] = 48,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the most probable token.")] = 1.0,
    top_p: Annotated[float, typer.Option("--top-p", help="Keep the likeliest tokens up to this total.")] = 0.95,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Turns at once.")] = 1024,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the turns.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Write first turns of users, as a causal chat model imagines them: whole ones of plain text, each once."""
    whole_from("count", count, 1)
    whole_from("max-new-tokens", max_new_tokens, 1)
    whole_from("batch-size", batch_size, 1)
    check_sampling(temperature, top_p)
    check_writable(out, apart)
    others = TestItems.of([str(turns[-1]["content"]) for turns in read_prompts(apart)] if apart else [])
    model, tokenizer, template = load_source(source, device or default_device())
    begun = tokenizer.encode(opening(source, template))
    with Bar("Asking", count) as bar:
        found = texts_behind(
            model, tokenizer, [begun] * count, max_new_tokens, temperature, top_p, batch_size, seed, bar.advance
        )
        kept = list(new_questions((turn.text for _, turn in found if turn.ended), others))
    if not kept:
        raise InputError(f"None of {count} turns is whole, plain and new; raise --max-new-tokens or --count.")
    write_whole(out, "".join(json.dumps({"messages": [message("user", text)]}) + "\n" for text in kept))
    typer.echo(f"Kept {len(kept):,} of {count:,} turns in {out}.")


def opening(source: str, template: ChatTemplate | None) -> str:
    """What stands before a user's first turn. Raises OptionError for a model whose chat template has no such place."""
    shown = "" if template is None else template.render([message("user", PROBE)], add_generation_prompt=False)
    before, found, _ = shown.partition(PROBE)
    if not found:
        raise OptionError(f"{source} has no chat template with turns of users, so it cannot ask; give a chat model.")
    return before


def new_questions(texts: Iterable[str], others: TestItems) -> Iterator[str]:
    """Those that are plain text (`fault_of`) and come for the first time, numbers and marks aside, and share no run of words
    with the others."""
    seen: set[tuple[str, ...]] = set()
    for text in texts:
        words = tuple(words_of(text))
        if words not in seen and fault_of(text) is None and others.overlap(exchange("asked", text, "")) is None:
            seen.add(words)
            yield text


if __name__ == "__main__":
    app(prog_name="python -m fef.corpus.ask")
