"""Training of an unmasking policy by group-relative policy gradients (GRPO), as in arXiv 2512.09106; the network stays.

Shapes: B rows of a round, S open slots, P problems, G answers to each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.models.unmask_policy import UnmaskPolicy
from fef.training.limits import check_counts

__all__ = ["Decided", "Played", "PolicyTraining", "advantages", "fit_policy", "policy_loss"]


@dataclass(frozen=True)
class Decided:
    """A round: what the policy read, and which slots were committed."""

    read: tuple[Tensor, Tensor, Tensor, Tensor]  # arguments of the policy; the last is real_BS
    taken_BS: Tensor
    row_B: Tensor  # the number of each row among all answers, P x G


@dataclass(frozen=True)
class Played:
    """Answers to some problems: every round, and of every answer whether it is right and its passes."""

    rounds: Sequence[Decided]
    right_PG: Tensor
    passes_PG: Tensor


@dataclass(frozen=True)
class PolicyTraining:
    """Settings of a fit."""

    steps: int = 60
    lr: float = 3e-4
    alpha: float = 3.0  # how much passes count: the reward of a right answer is (1 - passes / longest) to this power
    longest: int = 64  # passes of an answer at one token each
    seed: int = 0

    def __post_init__(self) -> None:
        check_counts(self, ("steps", "longest"))


def advantages(played: Played, alpha: float, longest: int) -> Tensor:
    """[P, G]: rewards less the mean of their group, over its standard deviation; 0 in groups that agree. The reward is a
    product, since a sum is had by committing everything at once."""
    reward_PG = played.right_PG.float() * (1 - played.passes_PG / (longest + 1)).clamp(min=0) ** alpha
    spread_P1 = reward_PG.std(1, keepdim=True)
    centred_PG = reward_PG - reward_PG.mean(1, keepdim=True)
    return torch.where(spread_P1 > 1e-6, centred_PG / spread_P1.clamp(min=1e-6), 0.0)


def policy_loss(policy: UnmaskPolicy, played: Played, advantage_PG: Tensor) -> Tensor:
    """Minus the mean over answers of advantage times log probability of their decisions, each answer's decisions averaged."""
    flat_N = advantage_PG.flatten().to(policy.out.weight.dtype)
    logp_N, count_N = torch.zeros_like(flat_N), torch.zeros_like(flat_N)
    for decided in played.rounds:
        real_BS = decided.read[3]
        logits_BS = policy(*decided.read)
        sign_BS = torch.where(decided.taken_BS, logits_BS, -logits_BS)
        logp_B = torch.nn.functional.logsigmoid(sign_BS).masked_fill(~real_BS, 0.0).sum(1)
        logp_N = logp_N.index_add(0, decided.row_B, logp_B)
        count_N = count_N.index_add(0, decided.row_B, real_BS.sum(1).to(count_N.dtype))
    return -(flat_N * logp_N / count_N.clamp(min=1)).mean()


def fit_policy(
    policy: UnmaskPolicy,
    play: Callable[[UnmaskPolicy, int], Played],
    training: PolicyTraining,
    progress: Callable[[int, float, float], None] | None = None,
) -> UnmaskPolicy:
    """AdamW, one update per batch of answers. play: answers the problems of a step with the policy as it is. progress: takes
    the step, the share of right answers and their mean passes."""
    optimizer = torch.optim.AdamW(policy.parameters(), lr=training.lr, weight_decay=0.01)
    for step in range(training.steps):
        played = play(policy, step)
        loss = policy_loss(policy, played, advantages(played, training.alpha, training.longest))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if progress is not None:
            progress(step + 1, float(played.right_PG.float().mean()), float(played.passes_PG.float().mean()))
    return policy.eval().requires_grad_(False)
