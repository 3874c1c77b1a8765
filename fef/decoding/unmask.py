"""Unmask rules: which candidate slots a round without speculation commits. Each declares what it does to the law.

A rule that reads laws and committed tokens only is adapted: one slot per round is then an exact draw of the chain in that
order (adapted order, docs/laws.md). Several per round are drawn independently, which costs accuracy; some rules bound it.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from fef.decoding.memory import Memory
from fef.decoding.transfer import PerRound, TransferSchedule
from fef.laws.claim import LawClaim
from fef.laws.draws import Noise, Purpose, Site
from fef.laws.law import Law
from fef.laws.ranking import highest

__all__ = [
    "PRODUCT",
    "SCORES",
    "Candidates",
    "InOrder",
    "Score",
    "TopScore",
    "UnmaskRule",
    "of_best_tokens",
    "one_a_round",
]

Score = Literal["drawn", "confidence", "margin", "entropy"]


@dataclass
class Candidates:
    """What a rule may read."""

    slots_BS: Tensor  # positions, -1 where there is none
    tokens_BS: Tensor  # the tokens drawn there, which only rules that declare it may read
    plain: Law  # of the network at temperature 1, bans applied
    sampled: Callable[[], Law]  # gives the law with temperature (1 for greedy rows), top-p and top-k
    count_B: Tensor  # slots to commit at least
    place: Callable[[], Tensor]  # gives the slots of the block before each one [B, S], as a share of the block
    length: int  # L
    noise: Noise  # for rules that draw
    site: Site  # where they draw
    memory: Memory  # what a rule keeps between rounds
    influence: Callable[[], Tensor]  # gives D [B, S, S], the influence of slot i on slot j
    causal: Callable[[], Tensor]  # gives logits [B, S, V] of the causal model, given the tokens drawn before each slot
    redraw: Callable[[Tensor], Tensor]  # gives the tokens that other logits draw with the same noise, bias and bans
    logits_BSV: Tensor | None = None  # as the network said them: no bias, no ban
    ahead_BS: Tensor | None = None  # slots of later blocks, which a rule that looks ahead sees but may not choose

    @property
    def seen_BS(self) -> Tensor:
        return self.slots_BS >= 0

    @cached_property
    def real_BS(self) -> Tensor:
        """Slots that may be chosen."""
        return self.seen_BS if self.ahead_BS is None else self.seen_BS & ~self.ahead_BS

    @cached_property
    def confidence_BS(self) -> Tensor:
        """Largest probability of each law."""
        return self.plain.confidence_BS.masked_fill(~self.real_BS, -torch.inf)

    @cached_property
    def entropy_BS(self) -> Tensor:
        """Entropy of each law, nats; infinite where there is no slot."""
        return entropy(self.plain.logp_BSV).masked_fill(~self.real_BS, torch.inf)

    def best(self, score_BS: Tensor, count_B: Tensor) -> Tensor:
        """The `count` slots of highest score, the first of equals; bool [B, S]."""
        return highest(score_BS, count_B, self.real_BS)

    def or_most_confident(self, sure_BS: Tensor) -> Tensor:
        """These slots, or the scheduled number of most confident ones where they are fewer."""
        enough_B1 = (sure_BS.sum(1) >= self.count_B)[:, None]
        return torch.where(enough_B1, sure_BS, self.best(self.confidence_BS, self.count_B))

    def first_if_opening(self, take_BS: Tensor) -> Tensor:
        """The first slot alone in rows whose block this round opens, these slots elsewhere."""
        first_BS = (torch.arange(take_BS.shape[1], device=take_BS.device) == 0) & self.real_BS
        return torch.where((self.site.attempt_B == 0)[:, None], first_BS, take_BS)


class UnmaskRule:
    """Which candidates a round commits, and what the loop has to know of it. Most rules look at laws, at any slot of the
    block."""

    transfer: TransferSchedule = PerRound(1)  # the counts it works with
    in_order: bool = False  # are only the next slots of the order candidates?
    looks_ahead: bool = False  # does it see the open slots of later blocks, too?
    reads_hidden: bool = False  # does it need the hidden states of the candidates?

    @property
    def reads_tokens(self) -> bool:
        """Does it look at drawn values?"""
        return False

    @property
    def order_words(self) -> str | None:
        """The order that it makes at one slot per round, if it makes one."""
        return None

    def select(self, c: Candidates) -> Tensor:
        """Slots to commit, bool [B, S]."""
        raise NotImplementedError

    def claim(self, greedy: bool) -> LawClaim:
        raise NotImplementedError


SCORES: dict[Score, Callable[[Law, Tensor], Tensor]] = {
    "drawn": lambda law, tokens_BS: law.at(tokens_BS).exp(),
    "confidence": lambda law, _: law.confidence_BS,
    "margin": lambda law, _: margin(law.logp_BSV),
    "entropy": lambda law, _: -entropy(law.logp_BSV),
}


@dataclass(frozen=True)
class InOrder(UnmaskRule):
    """The next slots of the decoding order."""

    transfer: TransferSchedule = PerRound(1)
    in_order = True

    def select(self, c: Candidates) -> Tensor:
        index_S = torch.arange(c.slots_BS.shape[1], device=c.slots_BS.device)
        return (index_S < c.count_B[:, None]) & c.real_BS

    def claim(self, greedy: bool) -> LawClaim:
        return (
            one_a_round("in the order") if self.transfer.one else LawClaim(False, PRODUCT.reason, self.transfer.bound)
        )


@dataclass(frozen=True)
class TopScore(UnmaskRule):
    """The scheduled number of slots of highest score: LLaDA ("drawn"), Dream ("drawn", "margin", "entropy")."""

    score: Score  # of a slot
    transfer: TransferSchedule = PerRound(1)  # how many slots per round
    sampled: bool = False  # score the law with temperature and top-p instead of the network's own
    left_bias: float = 0.0  # off the score per block length of distance from the first open slot (Patel et al.)
    alg_temp: float = 0.0  # draw the slots in proportion to softmax(score / alg_temp) instead (Dream)
    last: tuple[int, ...] = ()  # ids whose slots come last
    renormalized: bool = False  # scores are those of the law without these ids, as in LLaDA's code at temperature 0

    @property
    def order_words(self) -> str:
        names = {
            "drawn": "most-confident",
            "confidence": "most-confident",
            "margin": "largest-margin",
            "entropy": "least-entropy",
        }
        words = names[self.score] + "-first"
        if self.alg_temp:
            words += f" (drawn at temperature {self.alg_temp:g})"
        if self.left_bias:
            words += f" (left bias {self.left_bias:g})"
        return words + (" (end tokens last)" if self.last else "")

    @property
    def reads_tokens(self) -> bool:
        return self.score == "drawn" or bool(self.last)

    def select(self, c: Candidates) -> Tensor:
        law = c.sampled() if self.sampled else c.plain
        if self.renormalized:
            law = law.without(torch.tensor(self.last, device=c.tokens_BS.device))
        score_BS = SCORES[self.score](law, c.tokens_BS)
        if self.left_bias:
            score_BS = score_BS - self.left_bias * c.place()
        if self.alg_temp:
            u_BS = c.noise.uniform(c.site, Purpose.ORDER)
            score_BS = score_BS / self.alg_temp - (-u_BS.log()).log()
        for token in self.last:
            score_BS = score_BS.masked_fill(c.tokens_BS == token, -1e300)  # after every other slot, but before none
        return c.best(score_BS, c.count_B)

    def claim(self, greedy: bool) -> LawClaim:
        if not self.transfer.one:
            return PRODUCT
        if self.reads_tokens and not greedy:
            return LawClaim(
                False, "commit: which token is committed depends on the values drawn, so the order is not adapted"
            )
        return one_a_round(f"the slot of best {self.score} score, chosen before its token counts")


PRODUCT = LawClaim(False, "commit: several tokens of one pass are drawn independently (the product law)")


def of_best_tokens(paper: str) -> LawClaim:
    return LawClaim(
        False, f"{PRODUCT.reason}; confidence is that of the best token, where {paper}'s code reads the drawn one's"
    )


def one_a_round(which: str) -> LawClaim:
    return LawClaim(True, f"commit: one token per pass, drawn from its own conditional; {which}")


def margin(logp_BSV: Tensor) -> Tensor:
    return logp_BSV.exp().topk(2, dim=-1).values @ logp_BSV.new_tensor([1.0, -1.0])


def entropy(logp_BSV: Tensor) -> Tensor:
    return -torch.where(logp_BSV > -torch.inf, logp_BSV.exp() * logp_BSV, 0.0).sum(-1)
