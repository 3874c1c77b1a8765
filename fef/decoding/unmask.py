"""Unmask rules: which candidate slots a round without speculation commits. Each declares what it does to the law.

A rule that reads laws and committed tokens only is adapted: one slot per round is then an exact draw of the chain in that
order (adapted order, docs/laws.md). Several per round are drawn independently, which costs accuracy; some rules bound it.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

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
    "Adapted",
    "Candidates",
    "FirstSlotFirst",
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
    redraw: Callable[[Tensor], Tensor]  # gives the tokens that other logits draw with the same noise
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


class UnmaskRule(Protocol):
    """transfer: the counts it works with. in_order: only the next slots of the order are candidates. order_words: the order
    that it makes at one slot per round, if it makes one. reads_tokens: looks at drawn values. looks_ahead: sees the open
    slots of later blocks, too. reads_hidden: needs the hidden states of the candidates."""

    @property
    def transfer(self) -> TransferSchedule: ...
    @property
    def in_order(self) -> bool: ...
    @property
    def order_words(self) -> str | None: ...
    @property
    def reads_tokens(self) -> bool: ...
    @property
    def looks_ahead(self) -> bool: ...
    @property
    def reads_hidden(self) -> bool: ...

    def select(self, c: Candidates) -> Tensor:
        """Slots to commit, bool [B, S]."""
        ...

    def claim(self, greedy: bool) -> LawClaim: ...


class Adapted:
    """What most rules declare: any slot of the block may be chosen, no order is made, no drawn token is read."""

    in_order = False
    order_words: str | None = None
    reads_tokens = False
    looks_ahead = False
    reads_hidden = False


SCORES: dict[Score, Callable[[Law, Tensor], Tensor]] = {
    "drawn": lambda law, tokens_BS: law.at(tokens_BS).exp(),
    "confidence": lambda law, _: law.confidence_BS,
    "margin": lambda law, _: margin(law.logp_BSV),
    "entropy": lambda law, _: -entropy(law.logp_BSV),
}


@dataclass(frozen=True)
class InOrder(Adapted):
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
class TopScore:
    """The scheduled number of slots of highest score: LLaDA ("drawn"), Dream ("drawn", "margin", "entropy")."""

    score: Score  # of a slot
    transfer: TransferSchedule = PerRound(1)  # how many slots per round
    sampled: bool = False  # score the law with temperature and top-p instead of the network's own
    left_bias: float = 0.0  # off the score per block length of distance from the first open slot (Patel et al.)
    alg_temp: float = 0.0  # draw the slots in proportion to softmax(score / alg_temp) instead (Dream)
    last: tuple[int, ...] = ()  # ids whose slots come last
    renormalized: bool = False  # scores are those of the law without these ids, as in LLaDA's code at temperature 0
    in_order = False
    looks_ahead = False
    reads_hidden = False

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


@dataclass(frozen=True)
class FirstSlotFirst:
    """In the round that opens a block its first slot alone, then what `rule` says (Fast-dLLM for Dream: with shifted logits,
    the first slot of a block is read outside it)."""

    rule: UnmaskRule
    in_order = False
    looks_ahead = False

    @property
    def order_words(self) -> str | None:
        return None if self.rule.order_words is None else f"first-slot-of-a-block-first, then {self.rule.order_words}"

    @property
    def transfer(self) -> TransferSchedule:
        return self.rule.transfer

    @property
    def reads_tokens(self) -> bool:
        return self.rule.reads_tokens

    @property
    def reads_hidden(self) -> bool:
        return self.rule.reads_hidden

    def select(self, c: Candidates) -> Tensor:
        first_BS = (torch.arange(c.slots_BS.shape[1], device=c.slots_BS.device) == 0) & c.real_BS
        return torch.where((c.site.attempt_B == 0)[:, None], first_BS, self.rule.select(c))

    def claim(self, greedy: bool) -> LawClaim:
        return self.rule.claim(greedy)


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
