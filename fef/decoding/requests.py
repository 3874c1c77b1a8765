"""Requests as rows of a batch, which come and go: numbers, canvases, randomness, sampling settings, counters.

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.grammar import GrammarRows, grammar_rows
from fef.decoding.inputs import Settings, make_sampling, seeds
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.grammar.compiled import TokenGrammar
from fef.laws.draws import KeyedNoise, Noise
from fef.laws.pipeline import Sampling
from fef.readers import token_id, token_ids

__all__ = ["Requests", "padded", "request_rows"]

Positions = Sequence[int] | npt.NDArray[np.int64]


@dataclass
class Requests:
    """number_B: a number that tells each row from others. The other parts have B rows, too."""

    number_B: Tensor
    canvas: Canvas
    noise: Noise
    sampling: Sampling
    meter: Meter
    grammar: GrammarRows | None = None

    @classmethod
    def start(cls, canvas: Canvas, noise: Noise, sampling: Sampling, grammar: GrammarRows | None = None) -> Requests:
        """Rows numbered 0, 1, .., of which nothing is drawn."""
        number_B = torch.arange(len(canvas.ids_BL), device=canvas.ids_BL.device)
        return cls(number_B, canvas, noise, sampling, Meter.start(len(number_B), number_B.device), grammar)

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
            None if self.grammar is None else self.grammar.select(rows),
        )

    def put(self, rows: Tensor, part: Requests) -> None:
        """Write back what was done to rows that were taken out by `select`."""
        self.canvas.put(rows, part.canvas)
        self.meter.put(rows, part.meter)
        if self.grammar is not None and part.grammar is not None:
            self.grammar.put(rows, part.grammar)

    def join(self, other: Requests) -> Requests:
        """Both, row behind row."""
        assert isinstance(self.noise, KeyedNoise) and isinstance(other.noise, KeyedNoise), "other noise counts its rows"
        assert (self.grammar is None) == (other.grammar is None), "rows with grammars share sessions with such only"
        return Requests(
            torch.cat([self.number_B, other.number_B]),
            self.canvas.join(other.canvas),
            self.noise.join(other.noise),
            self.sampling.join(other.sampling),
            self.meter.join(other.meter),
            None if self.grammar is None or other.grammar is None else self.grammar.join(other.grammar),
        )


def request_rows(
    network: Network,
    plan: Plan,
    ids_BL: Tensor,
    open_BL: Tensor,
    settings: Settings,
    *,
    seed: int | Sequence[int] = 0,
    noise: Noise | None = None,
    eos_id: int | None = None,
    banned: Sequence[int] = (),
    lengths_B: Tensor | None = None,
    grammars: Sequence[TokenGrammar | None] = (),
) -> Requests:
    """Rows of which nothing is drawn, and whose order is still that of the canvas: canvases, settings, randomness, counters.

    noise: other than that of the seeds. eos_id, banned: what was asked; the plan may ban more ids, or leave the end free.
    grammars: one per row, or none at all. Raises OptionError for settings, ids and seeds that do not fit, and as
    `grammar_rows`.
    """
    rows, device = len(ids_BL), ids_BL.device
    eos_id = None if eos_id is None else token_id("eos_id", eos_id, network.vocab_size)
    never = [*token_ids("banned", banned), *plan.banned]
    sampling = make_sampling(
        network,
        settings,
        banned=never,
        eos_id=plan.end_token(eos_id),
        rows=rows,
        device=device,
        first_cut=plan.first_cut,
        keeps_crossing=plan.keeps_crossing,
    )
    index_BL = torch.arange(ids_BL.shape[1], device=device).expand_as(ids_BL)
    canvas = Canvas.start(ids_BL, open_BL, index_BL, lengths_B)
    grammar = grammar_rows(grammars, network, ids_BL, open_BL, lengths_B, plan.end_token(eos_id), never)
    return Requests.start(canvas, KeyedNoise(seeds(seed, rows, device)) if noise is None else noise, sampling, grammar)


def padded(rows: Iterable[tuple[Positions, Positions]], length: int) -> tuple[Tensor, Tensor]:
    """Canvases and their open positions as tensors of one length, on the CPU: ids [B, L], 0 behind each; open [B, L]."""
    rows = list(rows)
    ids_BL = torch.zeros(len(rows), length, dtype=torch.int64)
    open_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for row, (ids, places) in enumerate(rows):
        ids_BL[row, : len(ids)] = torch.as_tensor(ids)
        open_BL[row, torch.as_tensor(places)] = True
    return ids_BL, open_BL
