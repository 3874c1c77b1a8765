"""Revoke rules: which committed tokens a later look takes back. All depend on values, so none keeps a law.

Shapes: B rows, C suspects, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fef.decoding.memory import Memory
from fef.laws.claim import LawClaim
from fef.laws.ranking import highest

__all__ = ["Revoke", "Suspects"]


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


class Revoke:
    """Which tokens are taken back, and what the loop has to know of it: most rules look at the tokens of the block in every
    round, which commits, too."""

    commits: bool = True  # does the round that looks at suspects commit, too?
    recent: bool = False  # are only tokens committed in this cycle suspects, and none left unchecked?
    fresh: bool = False  # are those suspects, too, that the checking round commits, as seen before?
    masked: bool = False  # is a suspect looked at with its own position masked?
    together: bool = False  # by masks that see one another?

    @property
    def cycle(self) -> int:
        """Rounds of a cycle, the last of which looks at the suspects."""
        return 1

    @property
    def keeps_laws(self) -> bool:
        """Are the laws that tokens were drawn from remembered?"""
        return False

    def select(self, s: Suspects) -> Tensor:
        """Tokens to take back, bool [B, C]."""
        raise NotImplementedError

    def claim(self) -> LawClaim:
        raise NotImplementedError
