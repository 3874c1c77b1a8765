"""Speculative rounds: draft a window, verify it, commit what the acceptance rule allows (FeF-DLLM, 2605.14305).

Drafts form a tree (`fef.laws.tree`); where there is one candidate per slot, as under grammars, a chain.

Shapes: B rows, D drafted slots (depths of the tree), C candidates of a slot, W drafts (its nodes), X states of the tree, T
targets along a path (D, or D + 1 with a bonus slot), S slots, G groups, V vocabulary.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from fef.decoding.carried import CarriedDrafts
from fef.decoding.draft import Drafts, propose
from fef.decoding.plan import Speculation
from fef.decoding.score import Targets, VerificationRequest
from fef.decoding.session import Session, Tried
from fef.laws.accept import ACCEPT, Accepted, coupled_tree
from fef.laws.growth import Drafted, best_tree
from fef.laws.tree import chances
from fef.laws.window import group_starts

__all__ = ["speculative_round"]


def speculative_round(session: Session, spec: Speculation) -> None:
    commit_known(session, spec)
    canvas, depths = session.canvas, session.window
    count = depths + 1 if spec.bonus else depths
    ahead = depths if spec.draft == "reuse" else 0
    slots_BS = session.next_slots(count + ahead)
    drafts = propose(session, spec, slots_BS[:, :depths])
    if session.eos is not None and not spec.tree:
        there_BW = torch.arange(depths, device=slots_BS.device) < drafts.count_B[:, None]
        token_BW = drafts.tokens_BW.masked_fill(~there_BW, -1)  # no end token where there is no draft
        slots_BS = session.eos.without_certain_tail(canvas, session.within_BL, slots_BS, token_BW)
    slots_BT = slots_BS[:, :count]
    drafted = planned(session, spec, drafts, slots_BS[:, :depths])
    tree, draft_BW = drafted.tree, drafted.token_BW
    deepest_B = torch.where(tree.there_BX, tree.depth_BX, 0).amax(1)
    targets_B = torch.minimum((slots_BT >= 0).sum(1), deepest_B + int(spec.bonus))
    ask = VerificationRequest(slots_BS, draft_BW, tree, count, targets_B, drafts.known_B, ahead)
    targets = verify(session, spec, ask, drafts)
    logits_BXV = targets.logits_BXV[:, : draft_BW.shape[1] + int(spec.bonus)]
    slots_BX = slots_BT.gather(1, tree.depth_BX.clamp(max=count - 1))[:, : logits_BXV.shape[1]]
    logp_BXV = session.law_at_states(logits_BXV, slots_BX, draft_BW, tree)
    accepted = judged(session, spec, ask, drafts, logp_BXV, slots_BX)
    tokens_BT, path_BT1 = accepted.tokens_BT[:, :count], accepted.path_BT[:, :count, None]
    path_BT1 = path_BT1.clamp(max=logits_BXV.shape[1] - 1)

    def along_path(x_BXV: Tensor) -> Tensor:
        return x_BXV.gather(1, path_BT1.expand(-1, -1, x_BXV.shape[-1]))

    def told() -> Tensor:
        return along_path(session.law_at_states(logits_BXV, slots_BX, draft_BW, tree, told=True))

    logp_BTV, logits_BTV = along_path(logp_BXV), along_path(logits_BXV)
    take_BT = torch.arange(count, device=slots_BT.device) < accepted.commit_B[:, None]
    if session.eos is not None:  # what an end token on the path decides is no draw
        taken_BT = slots_BT.masked_fill(~take_BT, -1)
        take_BT = session.eos.without_certain_tail(canvas, session.within_BL, taken_BT, tokens_BT) >= 0
    logp_BT = logp_BTV.gather(-1, tokens_BT[..., None])[..., 0]
    session.commit(slots_BT, tokens_BT, logp_BT, session.plain_law(logits_BTV), take_BT, told, fill=False)
    session.scorer.committed(accepted.commit_B, accepted)
    carry = next_carry(targets, ask, depths, accepted, spec)
    session.carry = None if carry is None else carry.behind(slots_BT, accepted.commit_B)
    nodes_B = tree.nodes_B
    session.meter.rounds += (nodes_B > 0).long()
    session.meter.drafted += nodes_B
    session.meter.accepted += accepted.accepted_B
    session.notify(slots_BT, tokens_BT, take_BT, Tried.of(tree, draft_BW, accepted))


def planned(session: Session, spec: Speculation, drafts: Drafts, window_BD: Tensor) -> Drafted:
    """The tree that is verified."""
    limit_B = torch.minimum((window_BD >= 0).sum(1), drafts.count_B)
    if drafts.grown is not None:
        return replace(drafts.grown, tree=drafts.grown.tree.within(limit_B))
    holds_BDC = chance_to_hold(session, spec, drafts, window_BD)
    depths = window_BD.shape[1]
    nodes = spec.tree or depths
    if holds_BDC.shape[2] == 1:  # a chain has a place for each depth, and as many drafts as the tree would
        nodes, limit_B = depths, limit_B.clamp(max=nodes)
    tree = best_tree(holds_BDC, limit_B, nodes, spec.survival)
    return Drafted(tree, tree.tokens(drafts.tokens_BWC))


def chance_to_hold(session: Session, spec: Speculation, drafts: Drafts, window_BD: Tensor) -> Tensor:
    """Predicted chance [B, D, C] that each candidate holds where the round comes to it.

    "confidence": of a single candidate, the largest probability of its law; of several, `chances`. "influence": one minus the
    influence on it of the slots before it (TV(p, q) is bounded by it). Neither looks at a target, so the window is a function
    of history and the law stays what it is.
    """
    if spec.branching == 1 and not spec.survival and not spec.anchors:
        return torch.ones_like(drafts.scores_BWC)
    if spec.planner == "influence":
        assert drafts.hidden_BWE is not None and session.plan.head is not None, "the preset asks for both"
        moved_BDD: Tensor = session.plan.head(drafts.hidden_BWE, window_BD).double().triu(1)
        return (1 - moved_BDD.sum(1)).clamp(min=0)[..., None]
    own_BDV = drafts.logits_BWV if drafts.legal_BWV is None else drafts.legal_BWV
    mass_BD = session.plain_law(own_BDV).mass_BS(drafts.scores_BWC.shape[2])
    sampled_BD = (session.sampling.temperature_B > 0)[:, None].expand_as(mass_BD)
    return chances(drafts.scores_BWC.flatten(0, 1), mass_BD.flatten(), sampled_BD.flatten()).view(
        drafts.scores_BWC.shape
    )


def judged(
    session: Session,
    spec: Speculation,
    ask: VerificationRequest,
    drafts: Drafts,
    logp_BXV: Tensor,
    slots_BX: Tensor,
) -> Accepted:
    """What the acceptance rule says. All but the coupled one know chains only."""
    site_BX = session.site(slots_BX, session.passes.attempt_B)
    if spec.accept == "coupled":
        return coupled_tree(logp_BXV, ask.tree, ask.draft_BW, ask.targets_B, session.noise, site_BX)
    assert drafts.logq_BWV is not None, "drafts of a head are accepted by coupling"
    width_B = ask.tree.nodes_B
    rule = ACCEPT[spec.accept]
    return rule(logp_BXV, drafts.logq_BWV, ask.draft_BW, width_B, ask.targets_B, session.noise, site_BX)


def commit_known(session: Session, spec: Speculation) -> None:
    """Draw the slots whose targets the context passes have computed."""
    carry = session.carry
    if carry is None or carry.first_B1V is None or carry.known_B is None:
        return
    slots_B1 = session.next_slots(1).masked_fill(~carry.known_B[:, None], -1)
    logp_B1V = session.law(carry.first_B1V, slots_B1)
    zero_B, one_B = torch.zeros_like(slots_B1[:, 0]), (slots_B1[:, 0] >= 0).long()
    site_B1 = session.site(slots_B1, session.passes.attempt_B)
    accept = ACCEPT[spec.accept]
    accepted = accept(logp_B1V, logp_B1V[:, :0], slots_B1[:, :0], zero_B, one_B, session.noise, site_B1)
    take_B1 = one_B[:, None] > 0
    logp_B1 = logp_B1V.gather(-1, accepted.tokens_BT[..., None])[..., 0]
    told = partial(session.law, carry.first_B1V, slots_B1, told=True)
    plain = session.plain_law(carry.first_B1V)
    session.commit(slots_B1, accepted.tokens_BT, logp_B1, plain, take_B1, told, fill=False)
    session.scorer.committed(one_B)
    session.carry = carry.drawn(slots_B1)
    session.notify(slots_B1, accepted.tokens_BT, take_B1)


def next_carry(
    targets: Targets, ask: VerificationRequest, depths: int, accepted: Accepted, spec: Speculation
) -> CarriedDrafts | None:
    """What the next round may draft from, see `Session`: nothing in rows that no pass computed, even where it computed
    others. Without a bonus slot a round without drafts would commit nothing."""
    carry = targets.after(ask.tree, accepted, depths)
    if carry is None:
        return None
    forgotten_B = needs_no_pass(ask)
    return carry.forget(forgotten_B if spec.bonus else forgotten_B | (carry.count_B == 0))


def needs_no_pass(ask: VerificationRequest) -> Tensor:
    """Rows, a mask [B], all of whose targets are known."""
    assert ask.known_B is not None, "a round knows in which rows it drafted from the target"
    return ask.known_B & (ask.targets_B <= 1)


def verify(session: Session, spec: Speculation, ask: VerificationRequest, drafts: Drafts) -> Targets:
    """Targets of a round. Where the first target is known, its row asks for the others only, and for nothing if there are
    none."""
    first_B1V = drafts.logits_BWV[:, :1]
    known_B, alone_B = drafts.known_B, needs_no_pass(ask)
    slots_BS = ask.slots_BS.masked_fill(alone_B[:, None], -1)
    if not bool((slots_BS >= 0).any()):
        return Targets(torch.nn.functional.pad(first_B1V, (0, 0, 0, ask.draft_BW.shape[1])))
    tree = ask.tree.without(alone_B)
    start_BG = None
    if ask.ahead:
        start_BG = group_starts(tree, spec.anchors)
    asked = replace(
        ask, slots_BS=slots_BS, tree=tree, targets_B=ask.targets_B.masked_fill(alone_B, 0), start_BG=start_BG
    )
    targets = session.scorer.targets(session.requests, asked)
    known_first_B1V = torch.where(known_B[:, None, None], first_B1V, targets.logits_BXV[:, :1])
    targets.logits_BXV = torch.cat([known_first_B1V, targets.logits_BXV[:, 1:]], dim=1)
    return targets
