"""Logits to the law that is sampled: bans, temperature, top-k and top-p, end-of-sequence rules.

One pipeline makes both p and q, else acceptance is not exact.

Shapes: B rows, S slots, V vocabulary including the mask id. Probabilities float64, natural logs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fef.errors import DenoiserError, OptionError
from fef.readers import LARGEST, shown

__all__ = ["Cut", "Sampling", "check_sampling", "cut_off", "log_law"]

Cut = Literal["top-k", "top-p"]

_REACHED = 1e-12  # a mass this close to top_p has reached it: sums of a few decimals round either way


@dataclass(frozen=True)
class Sampling:
    """Sampling settings, one a row.

    temperature_B: float64, 0 is greedy. top_p_B: float64 in (0, 1], 1 is off. top_k_B: int64, 0 is off. banned: int64
    [N], ids that never occur (the mask id, the tail of a padded vocabulary). eos_id: the end-of-sequence id, if
    there is one. first_cut: which cut comes first. After "top-k" the mass of top-p is measured in what is left, as
    transformers does by default; "top-p" is measured in the whole law, as in Dream's own decoder.
    keeps_crossing: top-p keeps the token with which the mass reaches p, as transformers does; else it keeps the most probable
    tokens whose mass stays within p, at least one, as ReMDM's code does.
    """

    temperature_B: Tensor
    top_p_B: Tensor
    top_k_B: Tensor
    banned: Tensor
    eos_id: int | None = None
    first_cut: Cut = "top-k"
    keeps_crossing: bool = True

    # Read from the device once: after that, plain or greedy decoding neither sorts nor waits.
    @cached_property
    def truncates(self) -> bool:
        """Is a top-k or top-p on in any row that samples?"""
        return bool(self._truncated_B.any())

    @cached_property
    def any_greedy(self) -> bool:
        """Has any row temperature 0?"""
        return bool((self.temperature_B == 0).any())

    @cached_property
    def all_greedy(self) -> bool:
        """Has every row temperature 0?"""
        return bool((self.temperature_B == 0).all())

    @property
    def _truncated_B(self) -> Tensor:
        return ((self.top_k_B > 0) | (self.top_p_B < 1)) & (self.temperature_B > 0)

    def ungreedy(self) -> Sampling:
        """The same settings with temperature 1 in greedy rows."""
        temperature_B = self.temperature_B.masked_fill(self.temperature_B == 0, 1.0)
        return dataclasses.replace(self, temperature_B=temperature_B)

    def select(self, rows: Tensor) -> Sampling:
        """The settings of these rows (an index tensor)."""
        return dataclasses.replace(
            self, temperature_B=self.temperature_B[rows], top_p_B=self.top_p_B[rows], top_k_B=self.top_k_B[rows]
        )

    def join(self, other: Sampling) -> Sampling:
        """The settings of these rows, and of others behind them; bans and end token are those of both."""
        assert self.eos_id == other.eos_id and torch.equal(self.banned, other.banned), "rows of one vocabulary"
        return dataclasses.replace(
            self,
            temperature_B=torch.cat([self.temperature_B, other.temperature_B]),
            top_p_B=torch.cat([self.top_p_B, other.top_p_B]),
            top_k_B=torch.cat([self.top_k_B, other.top_k_B]),
        )


def check_sampling(temperature: float, top_p: float = 1.0, top_k: int = 0) -> None:
    """Raise `OptionError` unless temperature >= 0 and finite, 0 < top_p <= 1 and 0 <= top_k < 2^63."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise OptionError(
            f"temperature={temperature} is not allowed: it must be a finite number >= 0. "
            "Use 0 for greedy decoding, 1 for the model's own law."
        )
    if not 0 < top_p <= 1:
        raise OptionError(
            f"top_p={top_p} is not allowed: it must be in (0, 1]. "
            "Use 1 to keep every token, temperature=0 for greedy decoding."
        )
    if not isinstance(top_k, int) or not 0 <= top_k <= LARGEST:
        raise OptionError(
            f"top_k={shown(top_k)} is not allowed: it must be an integer >= 0 and below 2^63. "
            "Use 0 to keep every token, temperature=0 for greedy decoding."
        )


def log_law(
    logits_BSV: Tensor, sampling: Sampling, *, forced_eos_BS: Tensor | None = None, no_eos_BS: Tensor | None = None
) -> Tensor:
    """Normalised log probabilities of the law that is sampled at each slot; float64 [B, S, V].

    In this order: bans; division by the temperature (0: a point mass on the most probable token, lowest id first);
    top-k; top-p (the smallest set of most probable tokens whose mass reaches p) of the renormalised rest, or of the
    whole law if it is the first cut; renormalisation. Ties go to the lower id.

    forced_eos_BS: slots that hold EOS surely ("after EOS comes EOS"). no_eos_BS: slots where EOS is banned.

    Raises `DenoiserError` for logits that are nan or +inf, or all -inf or banned, at a slot that is not forced.
    """
    logp_BSV = _ban(logits_BSV, sampling, no_eos_BS)
    best_BS1 = logp_BSV.amax(-1, keepdim=True)
    # nan and +inf survive the maximum, and a slot with nothing left has maximum -inf: one read tells all.
    valid_BS = best_BS1[..., 0].isfinite()
    if forced_eos_BS is not None:
        valid_BS = valid_BS | forced_eos_BS
    if not bool(valid_BS.all()):
        raise DenoiserError(_complaint(logits_BSV, valid_BS))

    if sampling.all_greedy:
        logp_BSV = _point_mass(logp_BSV.argmax(-1), logp_BSV)
    else:
        logp_BSV = _sampled_law(logp_BSV, best_BS1, sampling)
    if forced_eos_BS is None:
        return logp_BSV
    assert sampling.eos_id is not None, "forced EOS without an EOS id"
    eos_BS = torch.full_like(forced_eos_BS, sampling.eos_id, dtype=torch.int64)
    return torch.where(forced_eos_BS[..., None], _point_mass(eos_BS, logp_BSV), logp_BSV)


def _sampled_law(logits_BSV: Tensor, best_BS1: Tensor, sampling: Sampling) -> Tensor:
    """Temperature and truncation, with greedy rows among the others."""
    greedy_B11 = (sampling.temperature_B == 0)[:, None, None]
    temperature_B11 = sampling.temperature_B[:, None, None].masked_fill(greedy_B11, 1.0)
    # The maximum goes first: a tiny temperature then sends the rest to -inf instead of everything to inf.
    logp_BSV = ((logits_BSV - best_BS1) / temperature_B11).log_softmax(-1)
    if sampling.truncates:
        logp_BSV = _truncate(logp_BSV, sampling)
    if sampling.any_greedy:
        logp_BSV = torch.where(greedy_B11, _point_mass(logits_BSV.argmax(-1), logits_BSV), logp_BSV)
    return logp_BSV


def _ban(logits_BSV: Tensor, sampling: Sampling, no_eos_BS: Tensor | None) -> Tensor:
    logits_BSV = logits_BSV.to(torch.float64).index_fill(-1, sampling.banned, -torch.inf)
    if no_eos_BS is not None:
        assert sampling.eos_id is not None, "banned EOS without an EOS id"
        eos_BS = logits_BSV[..., sampling.eos_id]
        logits_BSV[..., sampling.eos_id] = eos_BS.masked_fill(no_eos_BS, -torch.inf)
    return logits_BSV


def _point_mass(token_BS: Tensor, like_BSV: Tensor) -> Tensor:
    return torch.full_like(like_BSV, -torch.inf).scatter_(-1, token_BS[..., None], 0.0)


def _truncate(logp_BSV: Tensor, sampling: Sampling) -> Tensor:
    """Top-k and top-p in the rows that ask for them."""
    rows = sampling._truncated_B.nonzero()[:, 0]
    # A stable sort keeps equal probabilities in id order.
    sorted_RSV, id_RSV = logp_BSV[rows].sort(dim=-1, descending=True, stable=True)
    top_k_R11, top_p_R11 = sampling.top_k_B[rows, None, None], sampling.top_p_B[rows, None, None]
    dropped_RSV = cut_off(sorted_RSV, top_k_R11, top_p_R11, sampling.first_cut, sampling.keeps_crossing)
    sorted_RSV = sorted_RSV.masked_fill(dropped_RSV, -torch.inf).log_softmax(-1)
    return logp_BSV.index_copy(0, rows, torch.empty_like(sorted_RSV).scatter_(-1, id_RSV, sorted_RSV))


def cut_off(
    sorted_xV: Tensor, top_k_x1: Tensor, top_p_x1: Tensor, first_cut: Cut, keeps_crossing: bool = True
) -> Tensor:
    """Which tokens top-k and top-p drop; bool [..., V].

    sorted_xV: float64 logits at the temperature, largest first; x stands for the other dimensions. Waits for nothing.
    """
    rank_V = torch.arange(sorted_xV.shape[-1], device=sorted_xV.device)
    beyond_xV = (rank_V >= top_k_x1) & (top_k_x1 > 0)
    # Both keep the first so many, so their order matters only for the law in which the mass of top-p is measured.
    p_xV = (sorted_xV.masked_fill(beyond_xV, -torch.inf) if first_cut == "top-k" else sorted_xV).softmax(-1)
    upto_xV = p_xV.cumsum(-1)
    over_xV = upto_xV - p_xV >= top_p_x1 - _REACHED if keeps_crossing else upto_xV > top_p_x1 + _REACHED
    reached_xV = over_xV & (top_p_x1 < 1) & (rank_V > 0)
    return beyond_xV | reached_xV


def _complaint(logits_BSV: Tensor, valid_BS: Tensor) -> str:
    row, slot = (int(i) for i in (~valid_BS).nonzero()[0])
    logits_V = logits_BSV[row, slot]
    where = f"row {row}, slot {slot}"
    if bool((logits_V.isnan() | logits_V.isposinf()).any()):
        return (
            f"The denoiser returned nan or +inf logits ({where}). Logits must be finite or -inf: "
            "look for an overflow in float16 or for a query that may attend to nothing."
        )
    return (
        f"No token is allowed ({where}): every id is banned or has logit -inf. "
        "Ban fewer tokens, or check the vocabulary size."
    )
