"""`python -m fef.corpus.answer`: a causal model answers prompts, and its own words become training examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from fef.cli.options import DeviceOption
from fef.cli.output import Bar, Group
from fef.errors import OptionError
from fef.files import check_writable, write_whole
from fef.laws.pipeline import check_sampling
from fef.models.causal import describe_causal, load_causal
from fef.models.chat import ChatTemplate, Message
from fef.models.checkpoint import CONFIG, load_checkpoint
from fef.models.continuation import continuations
from fef.models.device import default_device
from fef.models.hub import locate
from fef.models.tokenizer import Tokenizer
from fef.models.tokenizer_files import read_json
from fef.models.transformer import Transformer
from fef.readers import whole_from
from fef.training.conversations import Encoder, read_prompts

__all__ = ["Answer", "answers", "load_source", "texts_behind"]

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def answer(
    source: Annotated[
        str,
        typer.Option("--from", help="A causal model: a GGUF file, a directory, or a control of `fef adapt --causal`."),
    ],
    data: Annotated[Path, typer.Option("--data", help='Prompts: JSONL of {"messages": ...} or {"prompt": ...}.')],
    out: Annotated[Path, typer.Option("--out", help="The conversations with an answer each, JSONL of messages.")],
    max_new_tokens: Annotated[int, typer.Option("--max-new-tokens", help="Tokens of an answer with its end.")] = 96,
    temperature: Annotated[float, typer.Option("--temperature", help="0 takes the most probable token.")] = 0.7,
    top_p: Annotated[float, typer.Option("--top-p", help="Keep the likeliest tokens up to this total.")] = 0.9,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Prompts at once.")] = 1024,
    keep_cut: Annotated[
        bool, typer.Option("--keep-cut", help="Keep answers that have no end within --max-new-tokens, too.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the answers.")] = 0,
    device: DeviceOption = None,
) -> None:
    """Answer prompts with a causal model; each answer is the last message of its line."""
    whole_from("max-new-tokens", max_new_tokens, 1)
    whole_from("batch-size", batch_size, 1)
    check_sampling(temperature, top_p)
    check_writable(out, data)
    prompts = read_prompts(data)
    place = device or default_device()
    model, tokenizer, template = load_source(source, place)
    with Bar("Answering", len(prompts)) as bar:
        found = dict(
            answers(
                model,
                tokenizer,
                template,
                prompts,
                max_new_tokens,
                temperature,
                top_p,
                batch_size,
                seed,
                keep_cut,
                bar.advance,
            )
        )
    lines = [
        json.dumps(
            {
                "messages": [*prompts[i], {"role": "assistant", "content": answer.text}],
                "source": "self-text",
                "tokens": answer.tokens,
                "ended": answer.ended,
            }
        )
        for i, answer in sorted(found.items())
    ]
    write_whole(out, "".join(line + "\n" for line in lines))
    typer.echo(f"Wrote {len(lines):,} answers to {len(prompts):,} prompts to {out}.")


@dataclass(frozen=True)
class Answer:
    """What a causal model said."""

    text: str
    tokens: int  # with the end token, if there is one
    ended: bool  # by an end token


def load_source(source: str, device: str) -> tuple[Transformer, Tokenizer, ChatTemplate | None]:
    """A causal model as released or as `fef adapt --causal` writes it. Raises CheckpointError, or OptionError for a model
    that is not causal."""
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    path = locate(source)
    if path.is_dir() and "attention" in read_json(path / CONFIG):
        model, tokenizer = load_checkpoint(path, device, dtype)
        if model.config.attention != "causal":
            raise OptionError(f"{source} is {model.config.attention}, and only causal models answer here.")
        return model, tokenizer, ChatTemplate.load(path)
    return *load_causal(source, device, dtype), describe_causal(path).template


def answers(
    model: Transformer,
    tokenizer: Tokenizer,
    template: ChatTemplate | None,
    prompts: Sequence[Sequence[Message]],
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    batch_size: int,
    seed: int,
    keep_cut: bool = False,
    advance: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[int, Answer]]:
    """Number of a prompt and its answer, of those that hold text and, unless keep_cut, end in time; longer prompts first."""
    ids = Encoder(tokenizer, template, model.config).prompts(prompts)
    found = texts_behind(model, tokenizer, ids, max_new_tokens, temperature, top_p, batch_size, seed, advance)
    yield from ((i, answer) for i, answer in found if answer.text and (answer.ended or keep_cut))


def texts_behind(
    model: Transformer,
    tokenizer: Tokenizer,
    ids: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    batch_size: int,
    seed: int,
    advance: Callable[[float], None] = lambda _: None,
) -> Iterator[tuple[int, Answer]]:
    """Number of a row of ids and what the model says behind it, without control tokens; longer rows first."""
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    controls = {i for i, token in tokenizer.raw.get_added_tokens_decoder().items() if token.special}
    unused = {*tokenizer.holes, *range(tokenizer.vocab_size, model.vocab_size)}
    banned = sorted((controls | unused | {model.mask_id}) - set(model.end_ids))
    generator = torch.Generator(model.device).manual_seed(seed)
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        rows = continuations(
            model,
            [ids[i] for i in part],
            max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            banned=banned,
            generator=generator,
        )
        for i, row in zip(part, rows, strict=True):
            ended = row[-1] in model.end_ids
            yield i, Answer(tokenizer.decode(row[:-1] if ended else row).strip(), len(row), ended)
        advance(len(part))


if __name__ == "__main__":
    app()
