"""`fef train --objective ssmd` and `adjust`: a layer on the hidden states of a network that stays as it is."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fef.cli.output import Bar, print_json
from fef.errors import OptionError

if TYPE_CHECKING:
    from fef.models.joint_layer import JointLayer
    from fef.models.order_block import OrderBlock
    from fef.tasks import Split
    from fef.training.data import Examples
    from fef.training.run import DataOptions

__all__ = ["train_layer"]

HELD_OUT, BATCHES = 2000, 8  # generated examples that are held out, and batches whose losses are told


def train_layer(
    objective: str,
    out: Path,
    source: Path | None,
    data: DataOptions,
    settings: dict[str, Any],
    device: str,
    json: bool,
) -> None:
    """Fit a layer on a network that stays as it is, and write it into a new directory."""
    if source is None:
        raise OptionError(
            f"--objective {objective} trains a layer on a network that stays as it is; give that with --init demo."
        )
    with Bar("Loading"):
        from fef.models.hidden_layer import save_layer
        from fef.models.joint_layer import JointLayer
        from fef.models.order_block import OrderBlock
        from fef.models.sources import describe_source, load_source, template_of
        from fef.training.demask import split_examples
        from fef.training.hidden_layer import LayerOptions, fit_layer, mean_losses
        from fef.training.joint_layer import joint_loss
        from fef.training.order_block import order_loss
    options = LayerOptions(**settings)
    network, tokenizer = load_source(source, device)
    template = template_of(source, describe_source(source))

    def examples_of(split: Split, most: int) -> Examples:
        some = replace(data, count=min(data.count, most))
        length, seed = options.canvas_length, options.seed
        return split_examples(some, network.config, tokenizer, length, seed, split, template).to(network.device)

    began = time.perf_counter()
    with Bar("Preparing the examples", options.steps) as bar:
        examples, held_out = examples_of("train", data.count), examples_of("held-out", HELD_OUT)

        def show(step: int, loss: float) -> None:
            bar.update(step, f"Training: loss {loss:.3f}")

        layer: OrderBlock | JointLayer
        if objective == "ssmd":
            layer = fit_layer(network, OrderBlock, order_loss, examples, options, show)
            losses = mean_losses(network, layer, order_loss, held_out, options, BATCHES)
        else:
            layer = fit_layer(network, JointLayer, joint_loss, examples, options, show)
            losses = mean_losses(network, layer, joint_loss, held_out, options, BATCHES)
    out.mkdir(parents=True, exist_ok=True)
    path = out / layer.file()
    save_layer(path, layer, network)
    parameters, seconds = sum(p.numel() for p in layer.parameters()), time.perf_counter() - began
    if json:
        told = {"held_out_without": losses[0], "held_out_with": losses[1], "seconds": round(seconds, 3)}
        print_json({"out": str(path), "parameters": parameters} | told)
    else:
        typer.echo(
            f"Wrote {path}: {parameters:,} parameters, {seconds:.0f} s; on held-out texts {losses[0]:.3f} nats per token "
            f"without the layer, {losses[1]:.3f} with it."
        )
