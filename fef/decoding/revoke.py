"""Revoke rules: which committed tokens a later look takes back. All depend on values, so none keeps a law.

Shapes: B rows, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from fef.decoding.memory import Memory
from fef.laws.claim import LawClaim
from fef.laws.ranking import highest

__all__ = ["EveryRound", "Revoke", "Suspects"]


@dataclass
class Suspects:
    """Committed tokens under another look."""

    slots_BC: Tensor  # positions, -1 where there is none
    tokens_BC: Tensor  # the tokens there
    logp_BCV: Tensor  # the network's law at temperature 1, with that position masked or not as the rule asks
    committed_BC: Tensor  # their probability when they were committed
    drafted_BCV: Tensor | None  # the law they were committed from, if the rule asks
    fresh_BC: Tensor  # committed in this round, for rules that check those
    new_B: Tensor  # slots committed in this round
    open_B: Tensor  # slots of the pass that are open
    memory: Memory  # what a rule keeps between rounds

    @property
    def real_BC(self) -> Tensor:
        return self.slots_BC >= 0

    @property
    def confidence_BC(self) -> Tensor:
        return self.logp_BCV.gather(-1, self.tokens_BC[..., None])[..., 0].exp()

    @property
    def spare_B(self) -> Tensor:
        """How many may go so that the round still commits one."""
        return (self.new_B - 1).clamp(min=0)

    def worst(self, fault_BC: Tensor, count_B: Tensor) -> Tensor:
        """The `count` suspects of largest fault; bool [B, C]."""
        return highest(fault_BC, count_B, self.real_BC)


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

    def claim(self) -> LawClaim: ...


class EveryRound:
    """What most rules declare: every round looks at the tokens of the block, commits too, and asks for nothing else."""

    cycle = 1
    commits = True
    recent = False
    fresh = False
    masked = False
    together = False
    keeps_laws = False
