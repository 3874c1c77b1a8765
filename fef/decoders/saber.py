"""Saber (arXiv 2510.18165): a threshold that adapts, and tokens that lose confidence go back.

Shapes: B rows, S candidate slots, C suspects, L canvas length, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ending
from fef.decoding.canvas import put_at
from fef.decoding.network import Network
from fef.decoding.options import number, one_of, whole
from fef.decoding.plan import Plan
from fef.decoding.revoke import Revoke, Suspects
from fef.decoding.transfer import PerRound, TransferSchedule
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule, of_best_tokens
from fef.laws.claim import LawClaim

__all__ = ["SABER", "AboveMeanRevealed", "DropLargestFalls", "DropLeastRisen", "RunningThreshold", "SaberOptions"]

LAST_CONFIDENCE, RISE = "last confidence", "rise"  # what `AboveMeanRevealed` notes for `DropLeastRisen`


@dataclass(frozen=True)
class SaberOptions(Ending):
    """rule: what Saber's released code does, or what its abstract says."""

    tokens_per_step: int = whole(2)
    rate: float = number(8.0, low=1.0)
    rule: Literal["code", "abstract"] = one_of("code", ("code", "abstract"))
    block_length: int | None = whole(32, optional=True)

    def plan(self, name: str, network: Network) -> Plan:
        transfer = PerRound(self.tokens_per_step)
        if self.rule == "abstract":
            rule, revoke = RunningThreshold(transfer), DropLargestFalls(self.rate)
            return Plan(name, rule=rule, revoke=revoke)
        return Plan(
            name,
            stays_open=True,
            rule=AboveMeanRevealed(transfer),
            revoke=DropLeastRisen(self.rate, least=self.tokens_per_step // 2),
        )


@dataclass(frozen=True)
class AboveMeanRevealed(UnmaskRule):
    """Every slot more confident than the positions drawn so far were on average when last drawn, and at least the scheduled
    number (the released code of Saber, 2510.18165). Over the whole request: positions that were taken back count, too.

    Notes for `DropLeastRisen` how far the confidence of each slot rose since the round before; infinitely far where a later
    block was just opened, from zero in the first round of all.
    """

    transfer: TransferSchedule = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        confidence_BS, at_BS = c.confidence_BS, c.slots_BS.clamp(min=0)
        revealed_BL = c.memory.of("revealed at", (c.length,), torch.nan, lasting=True)
        last_BL = c.memory.of(LAST_CONFIDENCE, (c.length,), torch.nan, lasting=True)
        rise_BL = c.memory.of(RISE, (c.length,), torch.nan, lasting=True)
        first_B1 = revealed_BL.isnan().all(1, keepdim=True)
        over_BS = (confidence_BS > revealed_BL.nanmean(1, keepdim=True)) & c.real_BS  # nan at first: none is over
        take_BS = c.or_most_confident(over_BS)
        last_BS = last_BL.gather(1, at_BS)
        last_BS = torch.where(last_BS.isnan(), torch.where(first_B1, 0.0, -torch.inf), last_BS)
        put_at(rise_BL, at_BS, c.real_BS, confidence_BS - last_BS)
        put_at(last_BL, at_BS, c.real_BS, confidence_BS)
        put_at(revealed_BL, at_BS, take_BS, confidence_BS)
        return take_BS

    def claim(self, greedy: bool) -> LawClaim:
        return PRODUCT if greedy else of_best_tokens("Saber")


@dataclass(frozen=True)
class DropLeastRisen(Revoke):
    """Unless nothing is left open, take back the max(least, ceil(new / rate)) tokens, but fewer than were just committed, at
    whose positions the largest probability of any token rose least since the round before: the released code of Saber,
    2510.18165. Tokens of earlier blocks and those just committed are among them; the latter by the look they were drawn from.
    """

    rate: float
    least: int
    fresh = True

    def select(self, s: Suspects) -> Tensor:
        last_BL, rise_BL = s.memory.tensors[LAST_CONFIDENCE], s.memory.tensors[RISE]
        at_BC = s.slots_BC.clamp(min=0)
        now_BC = s.logp_BCV.amax(-1).exp()
        rise_BC = torch.where(s.fresh_BC, rise_BL.gather(1, at_BC), now_BC - last_BL.gather(1, at_BC))
        put_at(last_BL, at_BC, s.real_BC, now_BC)
        asked_B = (s.new_B / self.rate).ceil().long().clamp(min=self.least)
        count_B = torch.minimum(asked_B, s.spare_B).masked_fill(s.open_B == 0, 0)
        return s.worst(-rise_BC, count_B) & rise_BC.isfinite()

    def claim(self) -> LawClaim:
        return LawClaim(
            False,
            "revoke: tokens at whose positions confidence rose least since the round before are redrawn, as in Saber's code, "
            "so it is not value-free",
        )


@dataclass(frozen=True)
class RunningThreshold(UnmaskRule):
    """Every slot at least as confident as the tokens committed so far were on average, and at least the scheduled
    number (Saber, 2510.18165)."""

    transfer: TransferSchedule = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        total_B, count_B = c.memory.of("total", (), 0.0), c.memory.of("count", (), 0.0)
        over_BS = (c.confidence_BS >= (total_B / count_B)[:, None]) & c.real_BS  # nan at first: none is over
        take_BS = c.or_most_confident(over_BS)
        total_B += torch.where(take_BS, c.confidence_BS, 0.0).sum(1)
        count_B += take_BS.sum(1)
        return take_BS

    def claim(self, greedy: bool) -> LawClaim:
        return PRODUCT


@dataclass(frozen=True)
class DropLargestFalls(Revoke):
    """Take back max(1, floor(new / rate)) tokens whose probability fell most since they were committed, but fewer than were
    just committed (the abstract of Saber, 2510.18165)."""

    rate: float

    def select(self, s: Suspects) -> Tensor:
        count_B = torch.minimum((s.new_B / self.rate).long().clamp(min=1), s.spare_B)
        fall_BC = s.committed_BC - s.confidence_BC
        return s.worst(fall_BC, count_B) & (fall_BC > 0)

    def claim(self) -> LawClaim:
        return LawClaim(
            False,
            "revoke: tokens whose probability fell since they were committed are redrawn, as in Saber's abstract, "
            "so it is not value-free",
        )


SABER = Method(
    "saber",
    SaberOptions,
    "a threshold that adapts, and tokens that lose confidence go back",
    "Saber, arXiv 2510.18165",
    "none",
)
