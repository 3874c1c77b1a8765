"""Requests as rows of a batch, which come and go: numbers, canvases, randomness, sampling settings, counters.

Shapes: B rows, L canvas length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.grammar import GrammarRows, grammar_rows
from fef.decoding.inputs import ENDLESS, Settings, as_list, make_sampling, per_row, read_biases, seeds
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.plan import Plan
from fef.decoding.records import RowRecord
from fef.decoding.requirements import check_grammar
from fef.errors import OptionError
from fef.grammar.compiled import TokenGrammar
from fef.laws.draws import KeyedNoise, Noise
from fef.laws.pipeline import Sampling
from fef.readers import token_id, token_ids

__all__ = ["Requests", "first_end", "first_ends", "other_ends", "padded", "request_rows", "without_ends"]

Positions = Sequence[int] | npt.NDArray[np.int64]


@dataclass
class Requests(RowRecord):
    """number_B: a number that tells each row from others. The other parts have B rows, too. Only keyed noise can be joined,
    as other noise counts its rows, and rows with grammars join with such only."""

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

    def join(self, other: Requests) -> Requests:
        """Both, row behind row."""
        assert isinstance(self.noise, KeyedNoise) and isinstance(other.noise, KeyedNoise), "other noise counts its rows"
        return super().join(other)

    def put(self, rows: Tensor, part: Requests) -> None:
        """Write back what was done to rows that were taken out by `select`."""
        self.canvas.put(rows, part.canvas)
        self.meter.put(rows, part.meter)
        if self.grammar is not None and part.grammar is not None:
            self.grammar.put(rows, part.grammar)


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
    top: int = 0,
) -> Requests:
    """Rows of which nothing is drawn, and whose order is still that of the canvas: canvases, settings, randomness, counters.

    noise: other than that of the seeds. eos_id, banned: what was asked; the plan may ban more ids, or leave the end free.
    grammars: one per row, or none at all. top: how many likeliest tokens are noted beside each one. Raises OptionError for
    settings, ids and seeds that do not fit, and as `check_grammar` and `grammar_rows`.
    """
    if any(grammars):
        check_grammar(plan, network, settings)
    rows, device = len(ids_BL), ids_BL.device
    eos_id = None if eos_id is None else token_id("eos_id", eos_id, network.vocab_size)
    never = [*token_ids("banned", banned), *plan.banned]
    sampling = make_sampling(
        network,
        without_ends(settings, other_ends(network, plan, eos_id, never), rows),
        banned=never,
        eos_id=plan.end_token(eos_id),
        rows=rows,
        device=device,
        first_cut=plan.first_cut,
        keeps_crossing=plan.keeps_crossing,
    )
    index_BL = torch.arange(ids_BL.shape[1], device=device).expand_as(ids_BL)
    canvas = Canvas.start(ids_BL, open_BL, index_BL, lengths_B, top)
    canvas.end_from_B = first_ends(settings, open_BL)
    grammar = grammar_rows(grammars, network, ids_BL, open_BL, lengths_B, plan.end_token(eos_id), never)
    return Requests.start(canvas, KeyedNoise(seeds(seed, rows, device)) if noise is None else noise, sampling, grammar)


def other_ends(network: Network, plan: Plan, eos_id: int | None, banned: Sequence[int]) -> list[int]:
    """Ids at which a text ends, too, but of which "after EOS comes EOS" says nothing. None for texts that have no end."""
    if eos_id is None:
        return []
    return sorted({eos_id, *network.end_ids} - {plan.end_token(eos_id), *banned, *plan.banned})


def without_ends(settings: Settings, ends: Sequence[int], rows: int) -> Settings:
    """The settings with a ban of these ids where a text may not end. Raises OptionError for a text that may end at one of
    them, only not too soon: bans are the same at every position."""
    if not ends or not settings.holds_end_back:
        return settings
    if any(0 < n < ENDLESS for n in as_list(settings.min_tokens)):
        raise OptionError(
            f"min_tokens knows one end token, behind which every token is the end; texts end at {', '.join(map(str, ends))} "
            "here, too. Take ignore_eos, or a method and a model without them."
        )
    least = per_row(settings.min_tokens, "min_tokens", rows)
    bans = dict.fromkeys(ends, -torch.inf)
    biases = zip(per_row(settings.logit_bias, "logit_bias", rows), least, strict=True)
    return replace(settings, logit_bias=[read_biases({**dict(b.pairs), **(bans if n else {})}) for b, n in biases])


def first_ends(settings: Settings, open_BL: Tensor) -> Tensor:
    """The first position of each row where an end token may stand; -1 where it may stand anywhere. Raises OptionError for
    more tokens than a canvas has room for."""
    least = per_row(settings.min_tokens, "min_tokens", len(open_BL))
    if not any(least):
        return open_BL.new_full((len(open_BL),), -1, dtype=torch.int64)
    rooms = open_BL.sum(1).tolist()
    for n, room in zip(least, rooms, strict=True):
        if room < n < ENDLESS:
            raise OptionError(
                f"min_tokens={n} is more than the {room} tokens of the canvas. Ask for less, or for more room."
            )
    places = [open_L.nonzero()[:, 0].tolist() for open_L in open_BL]
    found = [first_end(n, at, open_BL.shape[1]) for n, at in zip(least, places, strict=True)]
    return torch.tensor(found, device=open_BL.device)


def first_end(least: int, places: Positions, length: int) -> int:
    """The position behind the first `least` of these places of a canvas; -1 where least is 0."""
    return -1 if not least else int(places[least]) if least < len(places) else length


def padded(rows: Iterable[tuple[Positions, Positions]], length: int) -> tuple[Tensor, Tensor]:
    """Canvases and their open positions as tensors of one length, on the CPU: ids [B, L], 0 behind each; open [B, L]."""
    rows = list(rows)
    ids_BL = torch.zeros(len(rows), length, dtype=torch.int64)
    open_BL = torch.zeros_like(ids_BL, dtype=torch.bool)
    for row, (ids, places) in enumerate(rows):
        ids_BL[row, : len(ids)] = torch.as_tensor(ids)
        open_BL[row, torch.as_tensor(places)] = True
    return ids_BL, open_BL
