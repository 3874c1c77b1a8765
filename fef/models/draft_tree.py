"""Trees of drafts that a draft head grows, from what a round leaves behind its last committed token.

Under coupled acceptance the text does not depend on them (`docs/laws.md`, "Draft and verify"). The noise with which a slot
will be drawn is known beforehand, so that drafts are ranked as the target will rank them: by log q + g.

Shapes: B rows, K slots behind the committed tokens, C candidates of a slot, F frontier states; V, D as in `transformer`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fef.laws.growth import Drafted, Expand, child_chances, grow
from fef.laws.pipeline import EntrySettings, cutoffs, kept_by, sampled_law
from fef.models.draft_head import DraftHead, DraftWindow, top_candidates
from fef.models.transformer import Transformer

__all__ = ["FRONTIER", "DraftStart", "draft_candidates", "draft_children", "draft_law", "draft_tree", "expansion"]

FRONTIER = 16  # states of a depth that are continued


@dataclass(frozen=True)
class DraftStart:
    """Where drafts begin. before_B, last_B: the two tokens before. limit_B: slots that may have drafts. noise_BKC: Gumbel
    numbers of the slots at the candidates, 0 in greedy rows. settings: of each row; cuts: may one have top-p or top-k on?"""

    window: DraftWindow
    before_B: Tensor
    last_B: Tensor
    limit_B: Tensor
    noise_BKC: Tensor
    settings: EntrySettings
    cuts: bool = False


def draft_candidates(
    head: DraftHead, logits_BKV: Tensor, forced_BK: Tensor | None = None, eos_id: int | None = None
) -> tuple[Tensor, Tensor]:
    """Ids and marginal logits [B, K, C] of the candidates of each slot, by rising id, so that of equals the lower id comes
    first, as in a draw. logits_BKV: -inf where a token never occurs. forced_BK: slots whose token is the end token for
    certain."""
    ids_BKC, _ = top_candidates(logits_BKV, head.sizes.candidates)[0].sort(-1)
    logits_BKC = logits_BKV.gather(-1, ids_BKC)
    if forced_BK is not None:
        assert eos_id is not None, "an end that is certain"
        first_C = torch.arange(ids_BKC.shape[-1], device=ids_BKC.device) == 0
        ids_BKC = torch.where(forced_BK[..., None] & first_C, eos_id, ids_BKC)
        logits_BKC = torch.where(forced_BK[..., None], torch.where(first_C, 0.0, -torch.inf), logits_BKC)
    return ids_BKC, logits_BKC


def draft_tree(
    network: Transformer,
    head: DraftHead | None,
    start: DraftStart,
    nodes: int,
    branching: int,
    survival: float = 0.0,
    frontier: int = FRONTIER,
) -> Drafted:
    """The tree of at most `nodes` nodes over the slots of the window; without a head, of the marginals. Of one branch: a
    chain. survival: see `grow`."""
    depths = start.window.logits_BKC.shape[1]
    width = 1 if branching == 1 else min(frontier, nodes)
    expand = expansion(network, head, start, branching)
    drafted = grow(expand, start.last_B, start.limit_B, min(depths, nodes), nodes, width, survival)
    return replace(drafted, tree=replace(drafted.tree, depths=depths))


def expansion(network: Transformer, head: DraftHead | None, start: DraftStart, branching: int) -> Expand:
    """How trees grow from here."""
    window = start.window
    path = None if head is None else head.root(start.before_B)

    def expand(depth: int, parent_BF: Tensor, token_BF: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal path
        if head is None or path is None:
            logits_BFC = window.logits_BKC[:, depth, None].float().expand(-1, token_BF.shape[1], -1)
        else:
            logits_BFC, path = head.step(network, window, path, parent_BF, token_BF)
        return draft_children(logits_BFC, start, depth, branching)

    return expand


def draft_children(logits_BFC: Tensor, start: DraftStart, depth: int, branching: int) -> tuple[Tensor, Tensor]:
    """Chances and tokens [B, F, branching] of the likeliest children of states of a depth, the likeliest first. logits_BFC:
    the draft logits of the candidates of their slot."""
    logp_BFC = draft_law(logits_BFC, start.settings, start.cuts)
    noise_BFC, sampled_B = start.noise_BKC[:, depth, None], start.settings.temperature_N > 0
    chance_BFC, candidate_BFC = child_chances(logp_BFC, noise_BFC, sampled_B, branching)
    ids_BFC = start.window.ids_BKC[:, depth, None].expand(-1, logits_BFC.shape[1], -1)
    return chance_BFC, ids_BFC.gather(2, candidate_BFC)


def draft_law(logits_BFC: Tensor, settings: EntrySettings, cuts: bool = False) -> Tensor:
    """log q [B, F, C] on the candidates of a slot, float64, nats; of greedy rows that at temperature 1."""
    greedy_B = settings.temperature_N == 0
    per_row = replace(
        settings,
        temperature_N=settings.temperature_N.masked_fill(greedy_B, 1.0),
        top_p_N=settings.top_p_N.masked_fill(greedy_B, 1.0),
        top_k_N=settings.top_k_N.masked_fill(greedy_B, 0),
    )
    row_N = torch.arange(len(logits_BFC), device=logits_BFC.device).repeat_interleave(logits_BFC.shape[1])
    per_state, logits_NC = per_row.at(row_N), logits_BFC.flatten(0, 1)
    if cuts:
        logits_NC = logits_NC.masked_fill(~kept_by(logits_NC, *cutoffs(logits_NC, per_state)), -torch.inf)
    return sampled_law(logits_NC, per_state, truncates=False).view(logits_BFC.shape)
