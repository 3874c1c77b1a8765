"""Revoke rules: which committed tokens a later look takes back. All depend on values, so none keeps a law.

Shapes: B rows, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from fef.decoding.choice import LAST_CONFIDENCE, RISE
from fef.decoding.finding import Finding
from fef.decoding.memory import Memory

__all__ = ["DropLargestFalls", "DropLeastRisen", "KeepConfident", "Revoke", "Suspects", "WideOut"]


@dataclass
class Suspects:
    """Committed tokens under another look.

    slots_BC: positions, -1 where there is none. tokens_BC: the tokens there. logp_BCV: the network's law at temperature
    1, with that position masked or not as the rule asks. committed_BC: their probability when they were committed.
    drafted_BCV: the law they were committed from, if the rule asks. fresh_BC: committed in this round, for rules that check
    those. new_B: slots committed in this round. open_B: slots of the pass that are open. memory: what a rule keeps between
    rounds.
    """

    slots_BC: Tensor
    tokens_BC: Tensor
    logp_BCV: Tensor
    committed_BC: Tensor
    drafted_BCV: Tensor | None
    fresh_BC: Tensor
    new_B: Tensor
    open_B: Tensor
    memory: Memory

    @property
    def real_BC(self) -> Tensor:
        return self.slots_BC >= 0

    @property
    def confidence_BC(self) -> Tensor:
        return self.logp_BCV.gather(-1, self.tokens_BC[..., None])[..., 0].exp()

    def worst(self, fault_BC: Tensor, count_B: Tensor) -> Tensor:
        """The `count` suspects of largest fault; bool [B, C]."""
        order_BC = fault_BC.masked_fill(~self.real_BC, -torch.inf).argsort(dim=1, descending=True, stable=True)
        return (order_BC.argsort(dim=1) < count_B[:, None]) & self.real_BC


class Revoke(Protocol):
    """cycle: rounds of a cycle, the last of which looks at the suspects. commits: does that round commit, too. recent: only
    tokens committed in this cycle are suspects, and none is left unchecked. fresh: so are those that the checking round
    commits, as seen before. masked: a suspect is looked at with its own
    position masked. together: by masks that see one another. keeps_laws: the laws that tokens were drawn from are
    remembered."""

    @property
    def cycle(self) -> int: ...
    @property
    def commits(self) -> bool: ...
    @property
    def recent(self) -> bool: ...
    @property
    def fresh(self) -> bool: ...
    @property
    def masked(self) -> bool: ...
    @property
    def together(self) -> bool: ...
    @property
    def keeps_laws(self) -> bool: ...

    def select(self, s: Suspects) -> Tensor:
        """Tokens to take back, bool [B, C]."""
        ...

    def finding(self) -> Finding: ...


@dataclass(frozen=True)
class WideOut:
    """In rounds that commit more than one token, take back tokens of leave-one-out probability below `keep`, fewer than the
    round before committed (30 in the first of a block): the released code of WINO, 2507.18578.

    together: that probability is read from a mask in the shadow of each position of the block, and these masks see one
    another; else from the canvas with that position masked.
    """

    keep: float
    together: bool = True
    cycle = 1
    commits = True
    recent = False
    fresh = False
    masked = True
    keeps_laws = False

    def select(self, s: Suspects) -> Tensor:
        before_B = s.memory.of("committed before", (), 30, torch.int64)
        failed_B = ((s.confidence_BC < self.keep) & s.real_BC).sum(1)
        count_B = torch.minimum(failed_B, before_B - 1).masked_fill(s.new_B <= 1, 0)
        before_B.copy_(torch.where(s.new_B > 0, s.new_B, before_B))
        return s.worst(-s.confidence_BC, count_B)

    def finding(self) -> Finding:
        view = (
            "by masks in the shadow of the block, as in WINO's code"
            if self.together
            else "a row each, not WINO's shadows"
        )
        reason = (
            f"revoke: tokens of low leave-one-out probability ({view}) are redrawn, which depends on values (law 3)"
        )
        return Finding(False, reason)


@dataclass(frozen=True)
class KeepConfident:
    """After each cycle of cheap drafts, one accurate look keeps the tokens it agrees with (DualDiffusion, 2604.05250).

    rule: "confidence" keeps a token of probability at least `limit`, "kl" one whose drafter law is within `limit` nats,
    KL(drafter || verifier). The most confident token of a cycle is always kept, so that each makes progress.
    """

    rule: Literal["confidence", "kl"]
    limit: float
    drafts: int
    commits = False
    recent = True
    fresh = False
    masked = True
    together = False

    @property
    def cycle(self) -> int:
        return self.drafts + 1

    @property
    def keeps_laws(self) -> bool:
        return self.rule == "kl"

    def select(self, s: Suspects) -> Tensor:
        if self.rule == "confidence":
            failed_BC = s.confidence_BC < self.limit
        else:
            assert s.drafted_BCV is not None, "keeps_laws asks for it"
            q_BCV = s.drafted_BCV.exp()
            failed_BC = torch.where(q_BCV > 0, q_BCV * (s.drafted_BCV - s.logp_BCV), 0.0).sum(-1) > self.limit
        best_BC = s.worst(s.confidence_BC, torch.ones_like(s.new_B))
        return failed_BC & ~best_BC & s.real_BC

    def finding(self) -> Finding:
        return Finding(
            False,
            f"revoke: the verifier keeps tokens by {self.rule}, which depends on their values (law 3); our reading of "
            "DualDiffusion, whose rule is not published in full",
        )


@dataclass(frozen=True)
class DropLargestFalls:
    """Take back max(1, floor(new / rate)) tokens whose probability fell most since they were committed, but fewer than were
    just committed (the abstract of Saber, 2510.18165)."""

    rate: float
    cycle = 1
    commits = True
    recent = False
    fresh = False
    masked = False
    together = False
    keeps_laws = False

    def select(self, s: Suspects) -> Tensor:
        count_B = torch.minimum((s.new_B / self.rate).long().clamp(min=1), (s.new_B - 1).clamp(min=0))
        fall_BC = s.committed_BC - s.confidence_BC
        return s.worst(fall_BC, count_B) & (fall_BC > 0)

    def finding(self) -> Finding:
        return Finding(
            False,
            "revoke: tokens whose probability fell since they were committed are redrawn, as in Saber's abstract, which "
            "depends on values (law 3)",
        )


@dataclass(frozen=True)
class DropLeastRisen:
    """Unless nothing is left open, take back the max(least, ceil(new / rate)) tokens, but fewer than were just committed, at
    whose positions the largest probability of any token rose least since the round before: the released code of Saber,
    2510.18165. Tokens of earlier blocks and those just committed are among them; the latter by the look they were drawn from.
    """

    rate: float
    least: int
    cycle = 1
    commits = True
    recent = False
    fresh = True
    masked = False
    together = False
    keeps_laws = False

    def select(self, s: Suspects) -> Tensor:
        last_BL, rise_BL = s.memory.tensors[LAST_CONFIDENCE], s.memory.tensors[RISE]
        at_BC = s.slots_BC.clamp(min=0)
        now_BC = s.logp_BCV.amax(-1).exp()
        rise_BC = torch.where(s.fresh_BC, rise_BL.gather(1, at_BC), now_BC - last_BL.gather(1, at_BC))
        row_N, column_N = s.real_BC.nonzero(as_tuple=True)
        last_BL[row_N, at_BC[row_N, column_N]] = now_BC[row_N, column_N]
        asked_B = (s.new_B / self.rate).ceil().long().clamp(min=self.least)
        count_B = torch.minimum(asked_B, (s.new_B - 1).clamp(min=0)).masked_fill(s.open_B == 0, 0)
        return s.worst(-rise_BC, count_B) & rise_BC.isfinite()

    def finding(self) -> Finding:
        return Finding(
            False,
            "revoke: tokens at whose positions confidence rose least since the round before are redrawn, as in Saber's code, "
            "which depends on values (law 3)",
        )
