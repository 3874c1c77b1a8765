"""`python -m fef.corpus.own`: texts that a network draws itself, on which draft heads are trained and measured."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from fef.cli.options import DeviceOption, DtypeOption, ModelOption, load_model
from fef.cli.output import Bar, Group
from fef.cli.train import data_options
from fef.errors import InputError, OptionError, nearest_hint
from fef.files import check_writable, write_whole
from fef.generation import Model
from fef.laws.pipeline import check_sampling
from fef.models.continuation import up_to_end
from fef.readers import whole_from
from fef.tasks.splits import SPLITS, Split
from fef.text import Prompt
from fef.training.conversations import read_prompts
from fef.training.data import task_texts
from fef.training.own_text import OwnText, own_text_line

__all__ = ["example_lines", "fitting", "own_texts"]

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def own(
    out: Annotated[Path, typer.Option("--out", help="The texts: JSONL of token ids, or of words.")],
    model: ModelOption = "demo",
    data: Annotated[
        Path | None, typer.Option("--data", help='Prompts: JSONL of {"messages": ...} or {"prompt": ...}.')
    ] = None,
    tasks: Annotated[
        str | None, typer.Option("--tasks", help="Built-in families with their shares: word-problems:0.5,joint:0.5")
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Of the built-in families: train or held-out.")] = "train",
    count: Annotated[int, typer.Option("--count", help="Prompts, drawn from the file or the families.")] = 2000,
    temperatures: Annotated[
        str, typer.Option("--temperatures", help="Every prompt is answered at each of them.")
    ] = "0,0.7",
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Length of the canvas.")] = 128,
    words: Annotated[
        bool, typer.Option("--words", help="Messages of the texts that end, as examples for fef train.")
    ] = False,
    max_batch: Annotated[int, typer.Option("--max-batch", help="Prompts at once.")] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the prompts and the texts.")] = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
) -> None:
    """Answer prompts with a network of the packed law, in the engine, and keep the tokens."""
    whole_from("count", count, 1)
    heats = temperatures_of(temperatures)
    check_writable(out, data)
    options = data_options(tasks, data, count, 1)
    if options.tasks is not None:
        prompts: Sequence[Prompt] = [prompt for prompt, _ in task_texts(options.tasks, count, seed, split_of(split))]
    else:
        assert options.jsonl is not None, "tasks or a file"
        prompts = read_prompts(options.jsonl)
    loaded = load_model(model, device, dtype, head="none")
    prompts = random.Random(seed).sample(prompts, min(count, len(prompts)))
    with Bar("Answering", len(prompts) * len(heats)) as bar:
        texts = own_texts(loaded, prompts, heats, max_new_tokens, max_batch, seed, bar.advance)
    lines = example_lines(loaded, texts) if words else [own_text_line(text) for _, text in texts]
    write_whole(out, "".join(lines))
    tokens = sum(len(text.response) for _, text in texts)
    kept = f"{len(lines):,} of {len(texts):,}" if words else f"{len(texts):,}"
    typer.echo(f"Wrote {kept} texts of {tokens:,} tokens to {out}; {len(prompts):,} prompts were drawn.")


def temperatures_of(text: str) -> list[float]:
    """Raises OptionError for what is no list of temperatures."""
    try:
        heats = [float(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(f"--temperatures got {text!r}; write numbers with commas, for example 0,0.7.") from None
    for heat in heats:
        check_sampling(heat)
    return heats


def split_of(name: str) -> Split:
    """Raises OptionError for no split."""
    if name not in SPLITS:
        raise OptionError(f"--split got {name!r}.{nearest_hint(name, SPLITS)}")
    return cast(Split, name)


def own_texts(
    model: Model,
    prompts: Sequence[Prompt],
    temperatures: Sequence[float],
    max_new_tokens: int,
    max_batch: int,
    seed: int,
    advance: Any = lambda _: None,
) -> list[tuple[Prompt, OwnText]]:
    """The texts of every prompt at every temperature, with it; text i has the seed `seed + i`. Prompts too long for the
    canvas are left out. Raises InputError if none is left, OptionError for a network without the packed law."""
    config = model.network.config
    if not config.packed or config.eos_id is None:
        raise OptionError(f"{model.name} was not trained for the packed law, or has no end token; give one that was.")
    whole_from("max_new_tokens", max_new_tokens, 1, config.max_length - 1)
    mark = [] if config.answer_id is None else [config.answer_id]
    asked = [fitting(prompt, model) for prompt in prompts]
    before = [(prompt, model.prompt_ids(prompt) + mark) for prompt in asked]
    before = [(prompt, ids) for prompt, ids in before if len(ids) + max_new_tokens <= config.max_length]
    if not before:
        raise InputError(f"No prompt fits beside a canvas of {max_new_tokens} tokens; lower --max-new-tokens.")
    longest = max(len(ids) for _, ids in before) + max_new_tokens
    engine = model.engine(max_batch=max_batch, max_length=longest, max_new_tokens=max_new_tokens).engine
    drawn = [(prompt, ids, heat) for prompt, ids in before for heat in temperatures]
    jobs = [
        engine.submit(
            [*ids, *[config.mask_id] * max_new_tokens],
            range(len(ids), len(ids) + max_new_tokens),
            temperature=heat,
            seed=seed + number,
        )
        for number, (_, ids, heat) in enumerate(drawn)
    ]
    waiting = list(jobs)
    while waiting:
        engine.step()
        left = [job for job in waiting if not job.finished]
        advance(len(waiting) - len(left))
        waiting = left
    responses = [up_to_end(job.result().tokens, [config.eos_id]) for job in jobs]
    return [
        (prompt, OwnText(ids, response, max_new_tokens, heat, seed + number))
        for number, ((prompt, ids, heat), response) in enumerate(zip(drawn, responses, strict=True))
    ]


def example_lines(model: Model, texts: Sequence[tuple[Prompt, OwnText]]) -> list[str]:
    """What was said to the end, as JSON lines of examples."""
    lines = []
    for prompt, text in texts:
        said = model.tokenizer.decode(text.response[:-1])
        if text.response[-1] == model.network.config.eos_id and said.strip():
            asked = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
            lines.append(json.dumps({"messages": [*asked, {"role": "assistant", "content": said}]}) + "\n")
    return lines


def fitting(prompt: Prompt, model: Model) -> Prompt:
    """A text as the only message where a checkpoint has a chat template, a single message as text where it has none."""
    if isinstance(prompt, str):
        return prompt if model.template is None else [{"role": "user", "content": prompt}]
    return prompt if model.template is not None or len(prompt) != 1 else str(prompt[0]["content"])


if __name__ == "__main__":
    app(prog_name="python -m fef.corpus.own")
