"""Losses on examples that are kept apart from training, on the same canvases and masks at every look, and the best weights.

Training losses fall for ever where a corpus is learnt by heart; these rise again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from fef.models.transformer import Transformer

__all__ = ["Best", "HeldOut", "best_in_place", "read_best", "restore", "trained", "write_best"]

PREFIX = "held_out_"
BEST = "best.safetensors"
WORK = ("rows", "tokens", "flops")  # parts of an objective that are no losses


@dataclass(frozen=True)
class HeldOut:
    """What is measured beside training.

    objective: the losses of a pass, a function of its number; passes: how many, numbered -1, -2, ..., which no training step
    is; every: steps between looks; keep_best: whether the model written is the one of the lowest loss.
    """

    objective: Callable[[Transformer, int], tuple[Tensor, dict[str, Any]]]
    passes: int
    every: int
    keep_best: bool

    def due(self, step: int, steps: int) -> bool:
        return step % self.every == 0 or step == steps

    def losses(self, model: Transformer) -> dict[str, float]:
        """The mean of each loss over the passes, nats per token, by its name with `held_out_` before it; so is
        "tokens_per_pass", where the objective tells it.

        Gradients are not switched off: blocks compiled for training would be compiled again.
        """
        device = model.device.type
        sums: dict[str, float] = {}
        for number in range(1, self.passes + 1):
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                _, parts = self.objective(model, -number)
            for name, value in parts.items():
                if name not in WORK:
                    sums[PREFIX + name] = sums.get(PREFIX + name, 0.0) + float(value) / self.passes
        return sums


@dataclass(frozen=True)
class Best:
    """Trained weights, on the CPU, of the step with the lowest held-out loss so far."""

    loss: float
    step: int
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, model: Transformer, step: int, losses: dict[str, float]) -> Best:
        weights = {name: p.detach().cpu().clone() for name, p in trained(model).items()}
        return cls(losses[PREFIX + "loss"], step, weights)


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def restore(parameters: dict[str, nn.Parameter], stored: dict[str, Tensor]) -> None:
    """Raises ValueError for other names or shapes than those of `parameters`."""
    if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in parameters.items()}:
        raise ValueError("it trained other parameters, or of other shapes")
    for name, parameter in parameters.items():
        parameter.copy_(stored[name])


@contextmanager
def best_in_place(model: Transformer, best: Best | None) -> Iterator[None]:
    """The model with the best weights, for as long as the body runs."""
    if best is None:
        yield
        return
    parameters = trained(model)
    now = {name: p.detach().clone() for name, p in parameters.items()}
    restore(parameters, best.weights)
    try:
        yield
    finally:
        restore(parameters, now)


def write_best(directory: Path, best: Best) -> None:
    save_file(best.weights, directory / BEST, metadata={"loss": repr(best.loss), "step": str(best.step)})


def read_best(directory: Path) -> Best | None:
    """The best of a stopped run; None where it kept none."""
    if not (directory / BEST).is_file():
        return None
    with safe_open(directory / BEST, "pt") as file:
        facts = file.metadata()
        return Best(float(facts["loss"]), int(facts["step"]), {k: file.get_tensor(k) for k in file.keys()})  # noqa: SIM118
