"""Requests as rows of a batch, which come and go: numbers, canvases, randomness, sampling settings, counters.

Shapes: B rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.meter import Meter
from fef.laws.draws import KeyedNoise, Noise
from fef.laws.pipeline import Sampling

__all__ = ["Requests"]


@dataclass
class Requests:
    """number_B: a number that tells each row from others. The other parts have B rows, too."""

    number_B: Tensor
    canvas: Canvas
    noise: Noise
    sampling: Sampling
    meter: Meter

    @classmethod
    def start(cls, canvas: Canvas, noise: Noise, sampling: Sampling) -> Requests:
        """Rows numbered 0, 1, .., of which nothing is drawn."""
        number_B = torch.arange(len(canvas.ids_BL), device=canvas.ids_BL.device)
        return cls(number_B, canvas, noise, sampling, Meter.start(len(number_B), number_B.device))

    @property
    def eos(self) -> EosRule | None:
        return None if self.sampling.eos_id is None else EosRule(self.sampling.eos_id)

    def select(self, rows: Tensor) -> Requests:
        return Requests(
            self.number_B[rows],
            self.canvas.select(rows),
            self.noise.select(rows),
            self.sampling.select(rows),
            self.meter.select(rows),
        )

    def put(self, rows: Tensor, part: Requests) -> None:
        """Write back what was done to rows that were taken out by `select`."""
        self.canvas.put(rows, part.canvas)
        self.meter.put(rows, part.meter)

    def join(self, other: Requests) -> Requests:
        """Both, row behind row."""
        assert isinstance(self.noise, KeyedNoise) and isinstance(other.noise, KeyedNoise), "other noise counts its rows"
        return Requests(
            torch.cat([self.number_B, other.number_B]),
            self.canvas.join(other.canvas),
            self.noise.join(other.noise),
            self.sampling.join(other.sampling),
            self.meter.join(other.meter),
        )
