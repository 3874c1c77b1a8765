"""Logits to the law that is sampled: biases, bans, temperature, top-k and top-p, end-of-sequence rules.

One pipeline makes both p and q, else acceptance is not exact.

Shapes: B rows, S slots, N slots of all rows in one axis (entries), M entries with a cut, V vocabulary including the mask
id. Probabilities float64, natural logs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.errors import DenoiserError, OptionError
from fef.readers import LARGEST, shown

__all__ = [
    "Cut",
    "EntrySettings",
    "LogitBias",
    "Sampling",
    "check_sampling",
    "constrained",
    "cut_off",
    "cutoffs",
    "forbid_end",
    "greedy_tokens",
    "kept_by",
    "log_law",
    "sampled_law",
]

Cut = Literal["top-k", "top-p"]

_REACHED = 1e-12  # a mass this close to top_p has reached it: sums of a few decimals round either way
_CUT_ENTRIES = 1 << 22  # float64 numbers held at once while a law is cut


@dataclass(frozen=True)
class LogitBias:
    """What is added to the logits of K ids in each row, before anything else is done with them; -inf bans an id. Rows with
    fewer ids add 0 to some."""

    id_BK: Tensor  # int64
    bias_BK: Tensor  # float64

    def added_to(self, logits_RSV: Tensor) -> Tensor:
        """Biased logits, at least float32. R: B rows, or several copies of all B, one behind the other."""
        copies, slots = len(logits_RSV) // len(self.id_BK), logits_RSV.shape[1]
        id_RSK, bias_RSK = (
            x_BK.repeat(copies, 1)[:, None].expand(-1, slots, -1) for x_BK in (self.id_BK, self.bias_BK)
        )
        exact = torch.promote_types(logits_RSV.dtype, torch.float32)
        return logits_RSV.to(exact).scatter_add(-1, id_RSK, bias_RSK.to(exact))

    def select(self, rows: Tensor) -> LogitBias:
        return LogitBias(self.id_BK[rows], self.bias_BK[rows])

    def of_width(self, width: int) -> LogitBias:
        """The same with so many ids per row."""
        more = (0, width - self.id_BK.shape[1])
        return LogitBias(pad(self.id_BK, more), pad(self.bias_BK, more))


@dataclass(frozen=True)
class Sampling:
    """Sampling settings, one per row.

    After "top-k" as the first cut the mass of top-p is measured in what is left, as transformers does by default; "top-p" is
    measured in the whole law, as in Dream's own decoder. keeps_crossing: top-p keeps the token with which the mass reaches p,
    as transformers does; else it keeps the most probable tokens whose mass is within p, at least one, as ReMDM's code does.
    """

    temperature_B: Tensor  # float64, 0 is greedy
    top_p_B: Tensor  # float64 in (0, 1], 1 is off
    top_k_B: Tensor  # int64, 0 is off
    banned: Tensor  # int64 [N], ids that never occur: the mask id, the tail of a padded vocabulary
    eos_id: int | None = None  # the end-of-sequence id, if there is one
    first_cut: Cut = "top-k"  # which cut comes first
    keeps_crossing: bool = True  # does top-p keep the token that reaches p?
    bias: LogitBias | None = None  # None where no row has one

    # Read from the device once: after that, plain or greedy decoding neither sorts nor waits.
    @cached_property
    def truncates(self) -> bool:
        """Is a top-k or top-p on in any row that samples?"""
        cut_B = (self.top_k_B > 0) | (self.top_p_B < 1)
        return bool((cut_B & (self.temperature_B > 0)).any())

    @cached_property
    def any_greedy(self) -> bool:
        """Has any row temperature 0?"""
        return bool((self.temperature_B == 0).any())

    @cached_property
    def all_greedy(self) -> bool:
        """Has every row temperature 0?"""
        return bool((self.temperature_B == 0).all())

    @property
    def entries(self) -> EntrySettings:
        """The same, of entries that are rows."""
        return EntrySettings(self.temperature_B, self.top_p_B, self.top_k_B, self.first_cut, self.keeps_crossing)

    def ungreedy(self) -> Sampling:
        """The same settings with temperature 1 in greedy rows."""
        temperature_B = self.temperature_B.masked_fill(self.temperature_B == 0, 1.0)
        return dataclasses.replace(self, temperature_B=temperature_B)

    def select(self, rows: Tensor) -> Sampling:
        """The settings of these rows (an index tensor)."""
        return dataclasses.replace(
            self,
            temperature_B=self.temperature_B[rows],
            top_p_B=self.top_p_B[rows],
            top_k_B=self.top_k_B[rows],
            bias=None if self.bias is None else self.bias.select(rows),
        )

    def join(self, other: Sampling) -> Sampling:
        """The settings of these rows, and of others behind them; bans and end token are those of both."""
        assert self.eos_id == other.eos_id and torch.equal(self.banned, other.banned), "rows of one vocabulary"
        return dataclasses.replace(
            self,
            temperature_B=torch.cat([self.temperature_B, other.temperature_B]),
            top_p_B=torch.cat([self.top_p_B, other.top_p_B]),
            top_k_B=torch.cat([self.top_k_B, other.top_k_B]),
            bias=self.joined_bias(other),
        )

    def joined_bias(self, other: Sampling) -> LogitBias | None:
        if self.bias is None and other.bias is None:
            return None
        both = [settings.some_bias for settings in (self, other)]
        width = max(bias.id_BK.shape[1] for bias in both)
        one, two = (bias.of_width(width) for bias in both)
        return LogitBias(torch.cat([one.id_BK, two.id_BK]), torch.cat([one.bias_BK, two.bias_BK]))

    @property
    def some_bias(self) -> LogitBias:
        """The bias, of no ids where there is none."""
        empty_B0 = self.top_k_B.new_zeros(len(self.top_k_B), 0)
        return self.bias or LogitBias(empty_B0, empty_B0.double())

    def biased(self, logits_RSV: Tensor) -> Tensor:
        """Logits as these settings change them, see `LogitBias.added_to`."""
        return logits_RSV if self.bias is None else self.bias.added_to(logits_RSV)


@dataclass(frozen=True)
class EntrySettings:
    """What `Sampling` says, one per entry: temperatures and cuts."""

    temperature_N: Tensor
    top_p_N: Tensor
    top_k_N: Tensor
    first_cut: Cut = "top-k"
    keeps_crossing: bool = True

    def at(self, entries: Tensor | slice) -> EntrySettings:
        return dataclasses.replace(
            self,
            temperature_N=self.temperature_N[entries],
            top_p_N=self.top_p_N[entries],
            top_k_N=self.top_k_N[entries],
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

    In this order: biases; bans; division by the temperature (0: a point mass on the most probable token, lowest id first);
    top-k; top-p (the smallest set of most probable tokens whose mass reaches p) of the renormalised rest, or of the
    whole law if it is the first cut; renormalisation. Ties go to the lower id.

    forced_eos_BS: slots that hold EOS surely ("after EOS comes EOS"). no_eos_BS: slots where EOS is banned.

    Raises `DenoiserError` for logits that are nan or +inf, or all -inf or banned, at a slot that is not forced.
    """
    logits_NV = _allowed(logits_BSV, sampling, forced_eos_BS, no_eos_BS)
    logp_NV = _law_of_rows(logits_NV, logits_BSV.shape[1], sampling)
    if forced_eos_BS is not None:
        assert sampling.eos_id is not None, "forced EOS without an EOS id"
        eos_N = torch.full_like(logits_NV[:, 0], sampling.eos_id, dtype=torch.int64)
        logp_NV = torch.where(forced_eos_BS.flatten()[:, None], _point_mass(eos_N, logp_NV), logp_NV)
    return logp_NV.view(logits_BSV.shape)


def greedy_tokens(
    logits_BSV: Tensor, sampling: Sampling, *, forced_eos_BS: Tensor | None = None, no_eos_BS: Tensor | None = None
) -> Tensor:
    """The tokens on which `log_law` puts all mass where every row is greedy, without the law; int64 [B, S]. Raises as
    `log_law`."""
    assert sampling.all_greedy, "a law with one token"
    token_BS = _allowed(logits_BSV, sampling, forced_eos_BS, no_eos_BS).argmax(-1).view(logits_BSV.shape[:2])
    if forced_eos_BS is None:
        return token_BS
    assert sampling.eos_id is not None, "forced EOS without an EOS id"
    return token_BS.masked_fill(forced_eos_BS, sampling.eos_id)


def _allowed(logits_BSV: Tensor, sampling: Sampling, forced_eos_BS: Tensor | None, no_eos_BS: Tensor | None) -> Tensor:
    """A copy of the logits [N, V], -inf where banned, of which every entry leaves a token or is forced."""
    logits_NV = sampling.biased(logits_BSV).flatten(0, 1).index_fill(-1, sampling.banned, -torch.inf)
    if no_eos_BS is not None:
        forbid_end(logits_NV, sampling.eos_id, no_eos_BS.flatten())
    # nan and +inf survive the maximum, and a slot with nothing left has maximum -inf: one read tells all.
    valid_BS = logits_NV.amax(-1).isfinite().view(logits_BSV.shape[:2])
    if forced_eos_BS is not None:
        valid_BS = valid_BS | forced_eos_BS
    if not bool(valid_BS.all()):
        raise DenoiserError(_complaint(logits_BSV, valid_BS))
    return logits_NV


def constrained(logits_BSV: Tensor, allowed_BSV: Tensor, banned: Tensor) -> Tensor:
    """Logits under a constraint: -inf at tokens that it does not allow, so that it comes where bans come, before temperature
    and cuts.

    Where it leaves nothing that could be drawn, the slot keeps its own logits, since a slot behind drafts may be one that no
    text gets to; whoever commits a token there has to see that the constraint does not allow it.
    """
    kept_BSV = logits_BSV.masked_fill(~allowed_BSV, -torch.inf).index_fill_(-1, banned, -torch.inf)
    nothing_BS = kept_BSV.amax(-1) == -torch.inf
    kept_BSV[nothing_BS] = logits_BSV[nothing_BS]
    return kept_BSV


def _law_of_rows(logits_NV: Tensor, slots: int, sampling: Sampling) -> Tensor:
    """The law at flat entries, `slots` of them per row, with greedy rows among the others."""
    if sampling.all_greedy:
        return _point_mass(logits_NV.argmax(-1), logits_NV)
    greedy_B = sampling.temperature_B == 0
    settings = EntrySettings(
        sampling.temperature_B.masked_fill(greedy_B, 1.0).repeat_interleave(slots),
        sampling.top_p_B.masked_fill(greedy_B, 1.0).repeat_interleave(slots),
        sampling.top_k_B.masked_fill(greedy_B, 0).repeat_interleave(slots),
        sampling.first_cut,
        sampling.keeps_crossing,
    )
    logp_NV = sampled_law(logits_NV, settings, truncates=sampling.truncates)
    if sampling.any_greedy:
        greedy_N1 = greedy_B.repeat_interleave(slots)[:, None]
        logp_NV = torch.where(greedy_N1, _point_mass(logits_NV.argmax(-1), logits_NV), logp_NV)
    return logp_NV


def forbid_end(logits_NV: Tensor, eos_id: int | None, forbidden_N: Tensor) -> None:
    """Ban the end token at the marked entries, in place."""
    assert eos_id is not None, "banned EOS without an EOS id"
    logits_NV[:, eos_id].masked_fill_(forbidden_N, -torch.inf)


def sampled_law(logits_NV: Tensor, settings: EntrySettings, *, truncates: bool = True) -> Tensor:
    """Normalised log probabilities of entries that are drawn at a temperature above 0; float64 [N, V].

    logits_NV: floats, -inf where banned. truncates: False if no entry has a cut, so that nobody looks.
    """
    if truncates:
        cut_M = ((settings.top_p_N < 1) | (settings.top_k_N > 0)).nonzero()[:, 0]
        if len(cut_M):
            cut_MV = logits_NV[cut_M]
            kept_MV = kept_by(cut_MV, *cutoffs(cut_MV, settings.at(cut_M)))
            logits_NV = logits_NV.index_copy(0, cut_M, cut_MV.masked_fill_(~kept_MV, -torch.inf))
    logits_NV = logits_NV.double()
    # The maximum goes first: a tiny temperature then sends the rest to -inf instead of everything to inf.
    return ((logits_NV - logits_NV.amax(-1, keepdim=True)) / settings.temperature_N[:, None]).log_softmax(-1)


def _point_mass(token_N: Tensor, like_NV: Tensor) -> Tensor:
    return torch.full_like(like_NV, -torch.inf, dtype=torch.float64).scatter_(-1, token_N[:, None], 0.0)


def kept_by(logits_NV: Tensor, value_N: Tensor, last_id_N: Tensor) -> Tensor:
    """The tokens up to the last one that `cutoffs` keeps, by falling probability and rising id; bool [N, V]."""
    id_V = torch.arange(logits_NV.shape[-1], device=logits_NV.device)
    tied_NV = (logits_NV == value_N[:, None]) & (id_V <= last_id_N[:, None])
    return (logits_NV > value_N[:, None]) | tied_NV


def cutoffs(logits_NV: Tensor, settings: EntrySettings) -> tuple[Tensor, Tensor]:
    """The last token that top-k and top-p keep, by falling probability and rising id: its logit [N] and id [N].

    At temperature 0 the result has no meaning. Waits for nothing, so that a CUDA graph can
    hold it. A few entries at a time, so that float64 copies stay small.
    """
    size = max(1, _CUT_ENTRIES // logits_NV.shape[1])
    value_N, last_id_N = torch.empty_like(logits_NV[:, 0]), torch.empty_like(settings.top_k_N)
    for start in range(0, len(logits_NV), size):
        n = slice(start, start + size)
        # A stable sort keeps equal probabilities in id order.
        sorted_nV, id_nV = logits_NV[n].sort(dim=-1, descending=True, stable=True)
        here = settings.at(n)
        warm_n1 = here.temperature_N.masked_fill(here.temperature_N == 0, 1.0)[:, None]
        scaled_nV = (sorted_nV.double() - sorted_nV[:, :1].double()) / warm_n1
        dropped_nV = cut_off(
            scaled_nV, here.top_k_N[:, None], here.top_p_N[:, None], here.first_cut, here.keeps_crossing
        )
        last_n1 = (~dropped_nV).sum(-1, keepdim=True) - 1
        value_N[n] = sorted_nV.gather(1, last_n1)[:, 0]
        last_id_N[n] = id_nV.gather(1, last_n1)[:, 0]
    return value_N, last_id_N


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
