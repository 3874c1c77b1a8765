"""`fef delta`: what adaptation changed, as a file small enough to be shipped without its base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fef.cli.options import JsonOption, check_device
from fef.cli.output import Bar, print_json
from fef.files import check_writable

__all__ = ["EXAMPLE", "delta"]

EXAMPLE = (
    "Example: [bold]fef delta --base base.gguf --model diffusion --out delta.safetensors --data held-out.jsonl[/bold]"
)


def delta(
    base: Annotated[
        str, typer.Option("--base", help="The causal model that was adapted, as given to `fef adapt --from`.")
    ],
    model: Annotated[Path, typer.Option("--model", help="The directory that `fef adapt` wrote.")],
    out: Annotated[Path, typer.Option("--out", help="The delta, a safetensors file.")],
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Largest size; sets the rank.")] = 12 * 2**20,
    data: Annotated[
        Path | None, typer.Option("--data", help="Examples, JSONL: compare the losses with and without the rounding.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write what `fef adapt` changed of a causal model: low-rank differences in int8, norms, and the mask's embedding."""
    check_writable(out, data)
    place = check_device(device)
    with Bar("Comparing"):
        from fef.models.delta import merge, write_delta
        from fef.models.hub import locate
        from fef.training.conversations import read_answers
        from fef.training.difference import difference, held_out_loss

        if data is not None:
            read_answers(data)  # what is wrong with them is said before anything is written
        made = difference(base, model, max_bytes, place)
        write_delta(out, made)
    facts = {"out": str(out), "bytes": out.stat().st_size, "rank": made.facts["rank"], "kept": made.facts["kept"]}
    if data is not None:
        with Bar("Measuring the losses"):
            import torch

            from fef.models.causal import describe_causal
            from fef.models.checkpoint import load_checkpoint
            from fef.models.delta import read_delta

            path = locate(base)
            described = describe_causal(path)
            network = merge(path, described, read_delta(out), place, torch.float32)
            examples = (described.tokenizer, described.template, data)
            facts["loss"] = held_out_loss(load_checkpoint(model, place)[0], *examples)
            facts["loss_with_delta"] = held_out_loss(network, *examples)
    if json:
        print_json(facts)
    else:
        losses = f"; loss {facts['loss']:.4f}, with the delta {facts['loss_with_delta']:.4f}" if data else ""
        typer.echo(
            f"Wrote {out}: {facts['bytes']:,} bytes, rank {facts['rank']}, {100 * made.facts['kept']:.2f} % of the squared "
            f"change{losses}."
        )
