"""Choice rules: which candidate slots a round without speculation commits. Each declares what it does to the law.

A rule that reads laws and committed tokens only is adapted: one slot a round is then an exact draw of the chain in that
order (methods.md 0.4, law 2). Several slots a round are drawn independently, which costs accuracy; some rules bound it.

Shapes: B rows, S candidate slots, L canvas length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import torch
from torch import Tensor

from fef.decoding.finding import Finding
from fef.decoding.memory import Memory
from fef.decoding.quota import PerRound, Quota
from fef.laws.draws import Noise, Purpose, Site

__all__ = [
    "LAST_CONFIDENCE",
    "RISE",
    "SCORES",
    "AboveMeanRevealed",
    "Candidates",
    "Choice",
    "EntropyBound",
    "Factor",
    "FirstSlotFirst",
    "InOrder",
    "LowInfluence",
    "PacedThreshold",
    "RunningThreshold",
    "Score",
    "Stable",
    "Threshold",
    "TopScore",
    "WideIn",
]

Score = Literal["drawn", "confidence", "margin", "entropy"]


@dataclass
class Candidates:
    """What a rule may read.

    slots_BS: positions, -1 where there is none. tokens_BS: the tokens drawn there, which only rules that declare it may
    read. logp_BSV: law of the network at temperature 1, bans applied. sampled_law: gives the law with temperature (1 for
    greedy rows), top-p and top-k. quota_B: slots to commit at least. place_BS: slots of the block before each one, as a
    share of the block. length: L. memory: what a rule keeps between rounds. influence: gives
    D [B, S, S], the influence of slot i on slot j. ahead_BS: slots of later blocks, which a rule that looks ahead sees but
    may not choose.
    """

    slots_BS: Tensor
    tokens_BS: Tensor
    logp_BSV: Tensor
    sampled_law: Callable[[], Tensor]
    quota_B: Tensor
    place_BS: Tensor
    length: int
    noise: Noise
    site: Site
    memory: Memory
    influence: Callable[[], Tensor]
    ahead_BS: Tensor | None = None

    @property
    def seen_BS(self) -> Tensor:
        return self.slots_BS >= 0

    @property
    def real_BS(self) -> Tensor:
        """Slots that may be chosen."""
        return self.seen_BS if self.ahead_BS is None else self.seen_BS & ~self.ahead_BS

    @cached_property
    def confidence_BS(self) -> Tensor:
        """Largest probability of each law."""
        return self.logp_BSV.amax(-1).exp().masked_fill(~self.real_BS, -torch.inf)

    @cached_property
    def entropy_BS(self) -> Tensor:
        """Entropy of each law, nats; infinite where there is no slot."""
        return entropy(self.logp_BSV).masked_fill(~self.real_BS, torch.inf)

    def best(self, score_BS: Tensor, count_B: Tensor) -> Tensor:
        """The `count` slots of highest score, the first of equals; bool [B, S]."""
        order_BS = score_BS.masked_fill(~self.real_BS, -torch.inf).argsort(dim=1, descending=True, stable=True)
        return (order_BS.argsort(dim=1) < count_B[:, None]) & self.real_BS


class Choice(Protocol):
    """quota: the counts it works with. in_order: only the next slots of the order are candidates. order_words: the order that
    it makes at one slot a round, if it makes one. reads_tokens: looks at drawn values. looks_ahead: sees the open slots of
    later blocks, too."""

    @property
    def quota(self) -> Quota: ...
    @property
    def in_order(self) -> bool: ...
    @property
    def order_words(self) -> str | None: ...
    @property
    def reads_tokens(self) -> bool: ...
    @property
    def looks_ahead(self) -> bool: ...

    def select(self, c: Candidates) -> Tensor:
        """Slots to commit, bool [B, S]."""
        ...

    def finding(self, greedy: bool) -> Finding: ...


class Adapted:
    """What most rules declare: any slot of the block may be chosen, no order is made, no drawn token is read."""

    in_order = False
    order_words: str | None = None
    reads_tokens = False
    looks_ahead = False


SCORES: dict[Score, Callable[[Tensor, Tensor], Tensor]] = {
    "drawn": lambda logp_BSV, tokens_BS: logp_BSV.gather(-1, tokens_BS[..., None])[..., 0].exp(),
    "confidence": lambda logp_BSV, _: logp_BSV.amax(-1).exp(),
    "margin": lambda logp_BSV, _: logp_BSV.exp().topk(2, dim=-1).values @ logp_BSV.new_tensor([1.0, -1.0]),
    "entropy": lambda logp_BSV, _: -entropy(logp_BSV),
}


@dataclass(frozen=True)
class InOrder:
    """The next slots of the decoding order."""

    quota: Quota = PerRound(1)
    in_order = True
    order_words = None
    reads_tokens = False
    looks_ahead = False

    def select(self, c: Candidates) -> Tensor:
        index_S = torch.arange(c.slots_BS.shape[1], device=c.slots_BS.device)
        return (index_S < c.quota_B[:, None]) & c.real_BS

    def finding(self, greedy: bool) -> Finding:
        return one_a_round("in the order") if self.quota.one else Finding(False, PRODUCT.reason, self.quota.bound)


@dataclass(frozen=True)
class TopScore:
    """The quota of slots of highest score: LLaDA ("drawn"), Dream ("drawn", "margin", "entropy").

    sampled: score the law with temperature and top-p instead of the network's own. left_bias: taken from the score for
    each block length of distance from the first open slot (Patel et al., soft left-to-right bias). alg_temp: draw the
    slots in proportion to softmax(score / alg_temp) instead (Dream). last: ids whose slots come last. renormalized: the
    scores are then those of the law without these ids, as in LLaDA's code at temperature 0.
    """

    score: Score
    quota: Quota = PerRound(1)
    sampled: bool = False
    left_bias: float = 0.0
    alg_temp: float = 0.0
    last: tuple[int, ...] = ()
    renormalized: bool = False
    in_order = False
    looks_ahead = False

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
        law_BSV = c.sampled_law() if self.sampled else c.logp_BSV
        if self.renormalized:
            without = torch.tensor(self.last, device=law_BSV.device)
            law_BSV = law_BSV.index_fill(-1, without, -torch.inf).log_softmax(-1)
        score_BS = SCORES[self.score](law_BSV, c.tokens_BS)
        score_BS = score_BS - self.left_bias * c.place_BS
        if self.alg_temp:
            u_BS = c.noise.uniform(c.site, Purpose.ORDER)
            score_BS = score_BS / self.alg_temp - (-u_BS.log()).log()
        for token in self.last:
            score_BS = score_BS.masked_fill(c.tokens_BS == token, -1e300)  # after every other slot, but before none
        return c.best(score_BS, c.quota_B)

    def finding(self, greedy: bool) -> Finding:
        if not self.quota.one:
            return PRODUCT
        if self.reads_tokens and not greedy:
            return Finding(False, "commit: which token is committed depends on the values drawn (law 2)")
        return one_a_round(f"the slot of best {self.score} score, chosen before its token counts")


@dataclass(frozen=True)
class Threshold(Adapted):
    """Every slot of confidence at least `threshold` (strict: above it), and at least the quota (Fast-dLLM, 2505.22618; with
    a larger quota LLaDA2 and SDAR)."""

    threshold: float
    quota: Quota = PerRound(1)
    strict: bool = False

    def select(self, c: Candidates) -> Tensor:
        over_BS = c.confidence_BS > self.threshold if self.strict else c.confidence_BS >= self.threshold
        enough_B1 = (over_BS.sum(1) >= c.quota_B)[:, None]
        return torch.where(enough_B1, over_BS, c.best(c.confidence_BS, c.quota_B))

    def finding(self, greedy: bool) -> Finding:
        # both laws give the joint mode at least 1 - sum of (1 - confidence)
        stated = self.quota.one and self.threshold > 0
        bound = f"TV <= {1 - self.threshold:.3g} n for n tokens" if stated else None
        return Finding(False, PRODUCT.reason, bound)


@dataclass(frozen=True)
class PacedThreshold(Adapted):
    """Of the quota of most confident slots those of confidence at least `threshold`, and at least one (Fast-dLLM for Dream;
    the quota is what an even pace still allows)."""

    threshold: float
    quota: Quota

    def select(self, c: Candidates) -> Tensor:
        allowed_BS = c.best(c.confidence_BS, c.quota_B) & (c.confidence_BS >= self.threshold)
        return allowed_BS | c.best(c.confidence_BS, torch.ones_like(c.quota_B))

    def finding(self, greedy: bool) -> Finding:
        return PRODUCT


@dataclass(frozen=True)
class FirstSlotFirst:
    """In the round that opens a block its first slot alone, then what `rule` says (Fast-dLLM for Dream: with shifted logits,
    the first slot of a block is read outside it)."""

    rule: Choice
    in_order = False
    looks_ahead = False

    @property
    def order_words(self) -> str | None:
        return None if self.rule.order_words is None else f"first-slot-of-a-block-first, then {self.rule.order_words}"

    @property
    def quota(self) -> Quota:
        return self.rule.quota

    @property
    def reads_tokens(self) -> bool:
        return self.rule.reads_tokens

    def select(self, c: Candidates) -> Tensor:
        first_BS = (torch.arange(c.slots_BS.shape[1], device=c.slots_BS.device) == 0) & c.real_BS
        return torch.where((c.site.attempt_B == 0)[:, None], first_BS, self.rule.select(c))

    def finding(self, greedy: bool) -> Finding:
        return self.rule.finding(greedy)


@dataclass(frozen=True)
class Factor(Adapted):
    """The n most confident slots, n the largest with (n + 1) (1 - c_n) < factor, c_n the confidence of the n-th (Fast-dLLM).

    For factor <= 1 the committed modes are the mode of the joint law (its Theorem 1), and TV(joint, product) < factor,
    since both give that mode at least 1 - n (1 - c_n). and_last: if only the least confident slot of all fails, it is
    committed too, as in the released code, and no bound holds.
    """

    factor: float
    quota: Quota = PerRound(1)
    and_last: bool = False

    def select(self, c: Candidates) -> Tensor:
        sorted_BS = c.confidence_BS.sort(dim=1, descending=True).values
        n_S = torch.arange(1, sorted_BS.shape[1] + 1, device=sorted_BS.device)
        count_B = ((n_S + 1) * (1 - sorted_BS) < self.factor).long().cumprod(1).sum(1)
        if self.and_last:
            count_B = count_B.clamp(min=1) + (count_B.clamp(min=1) == c.real_BS.sum(1) - 1)
        return c.best(c.confidence_BS, count_B.clamp(min=1))

    def finding(self, greedy: bool) -> Finding:
        mode = ", and the modes are the joint mode (Theorem 1)" if greedy else ""
        return (
            PRODUCT
            if self.and_last or self.factor > 1
            else Finding(False, PRODUCT.reason, f"TV <= {self.factor:g}{mode}")
        )


@dataclass(frozen=True)
class EntropyBound(Adapted):
    """The k slots of least entropy, k the largest with sum - max of their entropies <= gamma (EB-Sampler, 2505.24857): that
    difference bounds KL(joint || product)."""

    gamma: float
    quota: Quota = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        sorted_BS = c.entropy_BS.sort(dim=1, stable=True).values
        excess_BS = torch.nn.functional.pad(
            sorted_BS.cumsum(1)[:, :-1], (1, 0)
        )  # ascending, so the maximum is the last
        count_B = ((excess_BS <= self.gamma) & sorted_BS.isfinite()).long().cumprod(1).sum(1)
        return c.best(-c.entropy_BS, count_B.clamp(min=1))

    def finding(self, greedy: bool) -> Finding:
        return Finding(False, PRODUCT.reason, f"KL(joint || product) <= {self.gamma:g} nats")


@dataclass(frozen=True)
class Stable(Adapted):
    """Slots of confidence above `threshold` whose law moved by less than `epsilon` nats of KL in each of the last `history`
    rounds of the block; if there are none, the quota of most confident ones (KLASS, 2511.05664).

    across_blocks: a block's first round is compared with the last round of the block before, as in the released code, so
    that every open slot is looked at in every round; else its first round is compared with nothing.
    """

    threshold: float
    epsilon: float
    history: int
    across_blocks: bool = True
    quota: Quota = PerRound(1)

    @property
    def looks_ahead(self) -> bool:  # type: ignore[override]
        return self.across_blocks

    def select(self, c: Candidates) -> Tensor:
        at_BS = c.slots_BS.clamp(min=0)
        V = c.logp_BSV.shape[-1]
        before_BLV = c.memory.of("law", (c.length, V), torch.nan, lasting=self.across_blocks)
        calm_BL = c.memory.of("calm", (c.length,), 0, torch.int64, lasting=self.across_blocks)
        before_BSV = before_BLV.gather(1, at_BS[..., None].expand(-1, -1, V))
        p_BSV = c.logp_BSV.exp()
        kl_BS = torch.where(p_BSV > 0, p_BSV * (c.logp_BSV - before_BSV), 0.0).sum(
            -1
        )  # nan in the first round: not calm
        calm_BS = torch.where(kl_BS < self.epsilon, calm_BL.gather(1, at_BS) + 1, 0)
        row_N, column_N = c.seen_BS.nonzero(as_tuple=True)
        place_N = at_BS[row_N, column_N]
        before_BLV[row_N, place_N] = c.logp_BSV[row_N, column_N]
        calm_BL[row_N, place_N] = calm_BS[row_N, column_N]
        long_enough_B1 = (c.site.attempt_B >= self.history - 1)[:, None]
        ready_BS = long_enough_B1 & (calm_BS >= self.history) & (c.confidence_BS > self.threshold) & c.real_BS
        return torch.where(ready_BS.any(1, keepdim=True), ready_BS, c.best(c.confidence_BS, c.quota_B))

    def finding(self, greedy: bool) -> Finding:
        kept = (
            "kept from block to block, as in KLASS's code"
            if self.across_blocks
            else "of the block alone, unlike KLASS's code"
        )
        noise = "" if greedy else ", and laws are scored without the noise of the draw, which that code scores with it"
        return Finding(False, f"{PRODUCT.reason}; the history of laws is {kept}{noise}")


@dataclass(frozen=True)
class LowInfluence(Adapted):
    """DEMASK (2604.02560): slots by falling confidence, each taken if the influence on it of those taken before still fits
    under `tau`. For the true influences, sub-additive ones, TV(joint, product) <= tau."""

    tau: float
    source: Literal["head", "probe"]
    quota: Quota = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        influence_BSS = c.influence()
        order_BS = c.confidence_BS.argsort(dim=1, descending=True, stable=True)
        taken_BS = torch.zeros_like(c.real_BS)
        spent_B = torch.zeros_like(c.confidence_BS[:, 0])
        row_B = torch.arange(len(order_BS), device=order_BS.device)
        for next_B in order_BS.unbind(1):
            cost_B = (influence_BSS[row_B, :, next_B] * taken_BS).sum(1)
            fits_B = (spent_B + cost_B <= self.tau) & c.real_BS[row_B, next_B]
            taken_BS[row_B, next_B] = fits_B
            spent_B = spent_B + torch.where(fits_B, cost_B, 0.0)
        return taken_BS

    def finding(self, greedy: bool) -> Finding:
        if_ = "the head predicts influences right and they are" if self.source == "head" else "influences are"
        return Finding(False, PRODUCT.reason, f"TV <= {self.tau:g} if {if_} sub-additive")


@dataclass(frozen=True)
class WideIn(Adapted):
    """Every slot of confidence above `threshold`, at least one and at most min(max(0.7 n, 5), 20) of the n open ones
    (WINO, 2507.18578)."""

    threshold: float
    quota: Quota = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        most_B = (0.7 * c.real_BS.sum(1)).long().clamp(5, 20)
        over_B = (c.confidence_BS > self.threshold).sum(1)
        return c.best(c.confidence_BS, torch.minimum(over_B, most_B).clamp(min=1))

    def finding(self, greedy: bool) -> Finding:
        return PRODUCT if greedy else of_best_tokens("WINO")


@dataclass(frozen=True)
class RunningThreshold(Adapted):
    """Every slot at least as confident as the tokens committed so far were on average, and at least the quota (Saber,
    2510.18165)."""

    quota: Quota = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        total_B, count_B = c.memory.of("total", (), 0.0), c.memory.of("count", (), 0.0)
        over_BS = (c.confidence_BS >= (total_B / count_B)[:, None]) & c.real_BS  # nan at first: none is over
        enough_B1 = (over_BS.sum(1) >= c.quota_B)[:, None]
        take_BS = torch.where(enough_B1, over_BS, c.best(c.confidence_BS, c.quota_B))
        total_B += torch.where(take_BS, c.confidence_BS, 0.0).sum(1)
        count_B += take_BS.sum(1)
        return take_BS

    def finding(self, greedy: bool) -> Finding:
        return PRODUCT


@dataclass(frozen=True)
class AboveMeanRevealed(Adapted):
    """Every slot more confident than the positions drawn so far were on average when last drawn, and at least the quota (the
    released code of Saber, 2510.18165). Over the whole request: positions that were taken back count, too.

    Notes for `DropLeastRisen` how far the confidence of each slot rose since the round before; infinitely far where a later
    block was just opened, from zero in the first round of all.
    """

    quota: Quota = PerRound(1)

    def select(self, c: Candidates) -> Tensor:
        confidence_BS, at_BS = c.confidence_BS, c.slots_BS.clamp(min=0)
        revealed_BL = c.memory.of("revealed at", (c.length,), torch.nan, lasting=True)
        last_BL = c.memory.of(LAST_CONFIDENCE, (c.length,), torch.nan, lasting=True)
        rise_BL = c.memory.of(RISE, (c.length,), torch.nan, lasting=True)
        first_B1 = revealed_BL.isnan().all(1, keepdim=True)
        over_BS = (confidence_BS > revealed_BL.nanmean(1, keepdim=True)) & c.real_BS  # nan at first: none is over
        enough_B1 = (over_BS.sum(1) >= c.quota_B)[:, None]
        take_BS = torch.where(enough_B1, over_BS, c.best(confidence_BS, c.quota_B))
        last_BS = last_BL.gather(1, at_BS)
        last_BS = torch.where(last_BS.isnan(), torch.where(first_B1, 0.0, -torch.inf), last_BS)
        row_N, column_N = c.real_BS.nonzero(as_tuple=True)
        place_N = at_BS[row_N, column_N]
        rise_BL[row_N, place_N] = (confidence_BS - last_BS)[row_N, column_N]
        last_BL[row_N, place_N] = confidence_BS[row_N, column_N]
        row_N, column_N = take_BS.nonzero(as_tuple=True)
        revealed_BL[row_N, at_BS[row_N, column_N]] = confidence_BS[row_N, column_N]
        return take_BS

    def finding(self, greedy: bool) -> Finding:
        return PRODUCT if greedy else of_best_tokens("Saber")


LAST_CONFIDENCE, RISE = "last confidence", "rise"  # what `AboveMeanRevealed` notes for `DropLeastRisen`
PRODUCT = Finding(False, "commit: several tokens of one pass are drawn independently (the product law)")


def of_best_tokens(paper: str) -> Finding:
    return Finding(
        False, f"{PRODUCT.reason}; confidence is that of the best token, where {paper}'s code reads the drawn one's"
    )


def one_a_round(which: str) -> Finding:
    return Finding(True, f"commit: one token a pass, drawn from its own conditional; {which}")


def entropy(logp_BSV: Tensor) -> Tensor:
    return -torch.where(logp_BSV > -torch.inf, logp_BSV.exp() * logp_BSV, 0.0).sum(-1)
