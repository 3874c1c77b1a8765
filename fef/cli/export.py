"""`fef export`: a model with its adapter, as one directory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fef.cli.options import MODEL_HELP
from fef.cli.output import Bar
from fef.errors import InputError
from fef.files import check_makeable

__all__ = ["EXAMPLE", "export"]

EXAMPLE = (
    "Example: [bold]fef export --model GSAI-ML/LLaDA-8B-Instruct --adapter tuned --out merged[/bold] (what `fef train --lora "
    "16` wrote)"
)


def export(
    model: Annotated[str, typer.Option("--model", help=MODEL_HELP)],
    out: Annotated[Path, typer.Option("--out", help="A new directory.")],
    adapter: Annotated[Path | None, typer.Option("--adapter", help="LoRA factors to add to the weights.")] = None,
    mask_id: Annotated[int | None, typer.Option("--mask-id", help="For a release that does not say it.")] = None,
) -> None:
    """Write a model, with an adapter merged into it, in the layout that it has; the official code of a release loads it."""
    if out.exists():
        raise InputError(f"{out} is there already; give --out a new directory.")
    check_makeable(out)
    with Bar("Loading"):
        import torch

        from fef.models.adapter import apply_adapter
        from fef.models.checkpoint import replace_directory, require_tokenizer, write_checkpoint, write_released
        from fef.models.families import NATIVE
        from fef.models.hub import download_weights, locate
        from fef.models.sources import describe_source, network_of, template_of
        from fef.models.weights import common_dtype
        from fef.training.adapt import write_template
    path = locate(model)
    described = describe_source(path, mask_id)
    download_weights(model, path)
    native = described.family is NATIVE
    network = network_of(path, described, "cpu", torch.float32 if native else common_dtype(path))
    network.name = model
    if adapter is not None:
        apply_adapter(network, described.family, adapter)
    with replace_directory(out) as fresh:
        if native:
            write_checkpoint(fresh, network, require_tokenizer(path, described))
            write_template(fresh, template_of(path, described))
        else:
            write_released(fresh, network, path, described.family)
    typer.echo(f"Wrote {out}: {sum(p.numel() for p in network.parameters()):,} parameters.")
