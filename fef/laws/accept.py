"""Acceptance: how many drafts of a round are committed, and the token that follows them. Three exact rules.

A draft at slot j was drawn from q_j; p_j is the target law at slot j given the drafts before it. Each rule commits
tokens whose joint law is the chain of the p_j, whatever the q_j.

Shapes: B rows, W drafts, T targets (W, or W + 1 with a bonus slot), V vocabulary, X lengths
0 .. W. Log probabilities are float64 and normalised.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.laws.draws import Noise, Purpose, Site
from fef.laws.tree import Tree, given_chain, path_states, walk

__all__ = ["ACCEPT", "AcceptRule", "Accepted", "agreement", "block", "coupled", "coupled_tree", "rejection", "residual"]

_MAX_LOG_RATIO = 700.0  # stands for the ratio p / 0 of a draft its own law excludes: finite, so that sums stay numbers
_ROUNDING = 1e-12  # a quotient of masses below it is one of rounding errors: any number


@dataclass(frozen=True)
class Accepted:
    """What a round commits.

    accepted_B: drafts accepted, 0 .. width. commit_B: tokens to commit, min(accepted + 1, targets): the accepted
    drafts, then a corrected or bonus token. tokens_BT: the tokens, meaningful in the first commit_B columns. path_BT: the
    states of the tree (`fef.laws.tree`) behind the first 0, 1, .. accepted drafts, meaningful in the first accepted_B + 1
    columns. All int64.
    """

    accepted_B: Tensor
    commit_B: Tensor
    tokens_BT: Tensor
    path_BT: Tensor


AcceptRule = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Noise, Site], Accepted]
"""(logp_BTV, logq_BWV, draft_BW, width_B, targets_B, noise, site_BT) -> what is committed.

logp_BTV, logq_BWV: log laws of targets and drafts. draft_BW: drafted tokens, int64. width_B: real drafts of the row, at most
W. targets_B: real targets, width or width + 1. site_BT: where the targets are. What lies past width and targets is ignored
and uses no randomness. Rows without targets commit nothing.
"""


def coupled(
    logp_BTV: Tensor,
    logq_BWV: Tensor,
    draft_BW: Tensor,
    width_B: Tensor,
    targets_B: Tensor,
    noise: Noise,
    site_BT: Site,
) -> Accepted:
    """Drafter-invariant acceptance by common Gumbel noise (Daliri, Musco, Suresh 2024, arXiv 2408.07978).

    The token of a slot is always `argmax(log p + g)`; the draft was `argmax(log q + g)` with the same g (purpose
    TOKEN, attempt 0). Targets are committed up to and including the first that differs from its draft. Later targets
    were conditioned on a draft that is not in the text, and are drawn again with the same noise: the text is a
    function of the seed and of p alone. A draft is accepted with probability at least (1 - TV) / (1 + TV).
    """
    assert logq_BWV.shape[1] == draft_BW.shape[1], "one law per draft"
    tree = given_chain(width_B, draft_BW.shape[1])
    return coupled_tree(logp_BTV, tree, draft_BW, targets_B, noise, site_BT)


def coupled_tree(
    logp_BXV: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor, noise: Noise, site_BX: Site
) -> Accepted:
    """`coupled` on a tree of drafts: laws and sites are those of the states of the tree. Of a chain without a bonus slot, the
    last state may be left out.

    The text is the same function of the seed and of p, whatever the tree.
    """
    W, X = draft_BW.shape[1], logp_BXV.shape[1]
    assert max(W, 1) <= X <= W + 1, "one target per state"
    assert noise.keyed or W == 0, "coupled acceptance needs keyed noise: draft and target must see the same numbers"
    site_BX = dataclasses.replace(site_BX, attempt_B=torch.zeros_like(site_BX.attempt_B))
    asked_BX = (tree.there_BX & (tree.depth_BX < targets_B[:, None]))[:, :X]
    return agreement(noise.categorical(logp_BXV, site_BX.where(asked_BX), Purpose.TOKEN), tree, draft_BW, targets_B)


def agreement(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor) -> Accepted:
    """What `coupled` commits, given the tokens drawn at the states of a tree: those along the path of nodes that agree with
    them, up to the first to which there is no node."""
    on_path_BX = walk(tree, draft_BW, drawn_BX)
    path_BT = path_states(tree, on_path_BX)
    accepted_B = on_path_BX.sum(1) - 1
    behind = drawn_BX.shape[1] - draft_BW.shape[1]  # 0 where the last state is left out
    tokens_BT = drawn_BX.gather(1, path_BT[:, : tree.depths + behind].clamp(max=drawn_BX.shape[1] - 1))
    return Accepted(accepted_B, torch.minimum(accepted_B + 1, targets_B), tokens_BT, path_BT)


def rejection(
    logp_BTV: Tensor,
    logq_BWV: Tensor,
    draft_BW: Tensor,
    width_B: Tensor,
    targets_B: Tensor,
    noise: Noise,
    site_BT: Site,
) -> Accepted:
    """Speculative sampling, draft by draft.

    Leviathan et al. 2023 (arXiv 2211.17192, Algorithm 1); Chen et al. 2023 (arXiv 2302.01318, Algorithm 2). A draft
    is accepted with probability min(1, p / q), so 1 - TV(p, q) in the mean; the first rejected one is replaced by a
    draw from (p - q)_+ normalised. After a full window the bonus token, if there is a target for it, is drawn from p.
    """
    W = draft_BW.shape[1]
    prob_BW = _log_ratio(logp_BTV, logq_BWV, draft_BW).exp().clamp_max(1)
    accept_BW = noise.bernoulli(prob_BW, _drafted(site_BT, width_B, W), Purpose.ACCEPT) & _first(width_B, W)
    accepted_B = _leading(accept_BW)
    scale_B = torch.ones_like(accepted_B, dtype=torch.float64)
    return _finish(accepted_B, scale_B, logp_BTV, logq_BWV, draft_BW, width_B, targets_B, noise, site_BT)


def block(
    logp_BTV: Tensor,
    logq_BWV: Tensor,
    draft_BW: Tensor,
    width_B: Tensor,
    targets_B: Tensor,
    noise: Noise,
    site_BT: Site,
) -> Accepted:
    """Block verification (Sun et al. 2024, arXiv 2403.10444, Algorithm 2): accepts at least as many as `rejection`.

    P_i = min(P_{i-1} p / q, 1) after draft i, P_0 = 1. Each length i is accepted independently with probability h_i,
    and the longest accepted one, n, counts. At the end of the window h_W = P_W; before it h_i = S_i / (S_i + 1 - P_i)
    with S_i = sum_x (P_i p(x) - q(x))_+ at the next slot. The next token is drawn from (P_n p - q)_+ normalised; after
    a full window from p if there is a bonus target, else there is none.
    """
    W = draft_BW.shape[1]
    # log P_i, i = 0 .. W, is a random walk with a ceiling at 0: the walk minus its running maximum.
    walk_BX = pad(_log_ratio(logp_BTV, logq_BWV, draft_BW).cumsum(1), (1, 0))
    scale_BX = (walk_BX - walk_BX.cummax(1).values).exp()

    mass_BW = _excess(logp_BTV[:, 1:W], logq_BWV[:, 1:], scale_BX[:, 1:W, None]).sum(-1)
    mass_BW = pad(mass_BW, (0, W - mass_BW.shape[1]))
    total_BW = mass_BW + (1 - scale_BX[:, 1:])
    # 0 / 0, up to rounding, where P = 1 and p = q at the next slot: whatever is decided, a longer prefix is accepted.
    prob_BW = torch.where(total_BW > _ROUNDING, mass_BW / total_BW, 1.0)
    length_W = torch.arange(1, W + 1, device=width_B.device)
    prob_BW = torch.where(length_W == width_B[:, None], scale_BX[:, 1:], prob_BW)

    accept_BW = noise.bernoulli(prob_BW, _drafted(site_BT, width_B, W), Purpose.ACCEPT) & _first(width_B, W)
    accepted_B = pad(accept_BW * length_W, (1, 0)).amax(1)
    scale_B = scale_BX.gather(1, accepted_B[:, None])[:, 0]
    return _finish(accepted_B, scale_B, logp_BTV, logq_BWV, draft_BW, width_B, targets_B, noise, site_BT)


ACCEPT: dict[str, AcceptRule] = {"coupled": coupled, "rejection": rejection, "block": block}


def residual(logp: Tensor, logq: Tensor, scale: Tensor) -> Tensor:
    """log of (scale p - q)_+ normalised, over the last axis; log p where no mass is left by rounding."""
    excess = _excess(logp, logq, scale)
    mass = excess.sum(-1, keepdim=True)
    return torch.where(mass > 0, (excess / mass).log(), logp)


def _finish(
    accepted_B: Tensor,
    scale_B: Tensor,
    logp_BTV: Tensor,
    logq_BWV: Tensor,
    draft_BW: Tensor,
    width_B: Tensor,
    targets_B: Tensor,
    noise: Noise,
    site_BT: Site,
) -> Accepted:
    """Put the corrected or bonus token behind the accepted drafts."""
    W, T = _shape(logp_BTV, logq_BWV, draft_BW)
    # Only the slot behind the accepted drafts needs its law: [B, 1, V], not [B, W, V].
    next_B1 = accepted_B.clamp_max(T - 1)[:, None]
    logp_B1V = _at(logp_BTV, next_B1)
    if W:
        correct_B11 = (accepted_B < width_B)[:, None, None]
        logq_B1V = _at(logq_BWV, next_B1.clamp_max(W - 1))
        logp_B1V = torch.where(correct_B11, residual(logp_B1V, logq_B1V, scale_B[:, None, None]), logp_B1V)
    site_B1 = site_BT.take(next_B1).where((accepted_B < targets_B)[:, None])
    token_B1 = noise.categorical(logp_B1V, site_B1, Purpose.RESIDUAL)
    tokens_BT = torch.cat([draft_BW, draft_BW.new_zeros(draft_BW.shape[0], T - W)], 1)
    tokens_BT = torch.where(site_B1.active_BS, tokens_BT.scatter(1, next_B1, token_B1), tokens_BT)
    path_BT = torch.arange(W + 1, device=draft_BW.device).expand(len(draft_BW), -1)
    return Accepted(accepted_B, torch.minimum(accepted_B + 1, targets_B), tokens_BT, path_BT)


def _shape(logp_BTV: Tensor, logq_BWV: Tensor, draft_BW: Tensor) -> tuple[int, int]:
    """W and T."""
    W, T = draft_BW.shape[1], logp_BTV.shape[1]
    assert logq_BWV.shape[1] == W, "one law per draft"
    assert max(W, 1) <= T <= W + 1, "one target per draft, and at most one more"
    return W, T


def _log_ratio(logp_BTV: Tensor, logq_BWV: Tensor, draft_BW: Tensor) -> Tensor:
    """log p(draft) - log q(draft); -inf where p = 0, large where only q = 0."""
    W = draft_BW.shape[1]
    logp_BW = logp_BTV[:, :W].gather(-1, draft_BW[..., None])[..., 0]
    logq_BW = logq_BWV.gather(-1, draft_BW[..., None])[..., 0]
    return torch.where(logp_BW == -torch.inf, -torch.inf, (logp_BW - logq_BW).clamp_max(_MAX_LOG_RATIO))


def _excess(logp: Tensor, logq: Tensor, scale: Tensor) -> Tensor:
    return (logp.exp() * scale - logq.exp()).clamp_min_(0)


def _at(x_BTV: Tensor, index_B1: Tensor) -> Tensor:
    return x_BTV.gather(1, index_B1[..., None].expand(-1, -1, x_BTV.shape[-1]))


def _drafted(site_BT: Site, width_B: Tensor, W: int) -> Site:
    site_BW = dataclasses.replace(site_BT, position_BS=site_BT.position_BS[:, :W], active_BS=site_BT.active_BS[:, :W])
    return site_BW.where(_first(width_B, W))


def _first(count_B: Tensor, S: int) -> Tensor:
    """True in the first `count` slots of each row; [B, S]."""
    return torch.arange(S, device=count_B.device) < count_B[:, None]


def _leading(accept_BW: Tensor) -> Tensor:
    """Length of the run of true values that each row starts with; int64 [B]."""
    return accept_BW.long().cumprod(1).sum(1)
