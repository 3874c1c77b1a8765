"""Drafters: tokens for the slots of a window, and the law that each was drawn from. Any drafter keeps the target's law.

Shapes: B rows, L canvas length, W drafted slots, C candidates of a slot, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from fef.decoding.canvas import put_at
from fef.decoding.carried import ASK_ANEW, CarriedDrafts
from fef.decoding.network import failures_named
from fef.decoding.plan import Speculation
from fef.decoding.score import PredictionRequest, row_lengths
from fef.decoding.session import Session
from fef.laws.draws import Purpose, gumbels
from fef.laws.growth import Drafted
from fef.laws.pipeline import constrained, log_law
from fef.laws.tree import path_states, stem
from fef.models.draft_head import DraftHead
from fef.models.draft_tree import DraftStart, draft_candidates, draft_tree
from fef.models.stale import StaleCache

__all__ = ["Drafts", "carried_logits", "propose"]


@dataclass(frozen=True)
class Drafts:
    """Candidates tokens_BWC of each slot, the first drawn from the law logq_BWV (nats), and their scores, falling: log q plus
    the noise of the slot, log q alone in greedy rows. logits_BWV: before temperature and bans. known_B: rows where these are
    the network's own at this very canvas, so that the first draft has the law of its target. count_B: how many slots have
    drafts, at most W. legal_BWV: logits of what grammars allow behind the drafts before, where rows have some. hidden_BWE:
    final hidden states there, if the planner reads them. grown: the tree that a draft head made, whose likeliest branch the
    candidates then are; no slot has one law for all its states."""

    tokens_BWC: Tensor
    scores_BWC: Tensor
    logq_BWV: Tensor | None
    logits_BWV: Tensor
    known_B: Tensor
    count_B: Tensor
    legal_BWV: Tensor | None = None
    hidden_BWE: Tensor | None = None
    grown: Drafted | None = None

    @property
    def tokens_BW(self) -> Tensor:
        return self.tokens_BWC[..., 0]


def propose(session: Session, spec: Speculation, window_BW: Tensor) -> Drafts:
    if spec.draft == "stale":
        return stale_drafts(session, spec, window_BW)
    if spec.planner == "influence":
        seen = session.scorer.look(session.requests, PredictionRequest(window_BW, hidden=True))
        own_B = torch.full_like(session.active_B, not session.network.visible_noise)
        return dataclasses.replace(drawn(session, spec, seen.logits_BSV, window_BW, own_B), hidden_BWE=seen.hidden_BSE)
    logits_BWV, known_B = draft_logits(session, spec, window_BW)
    count_B = torch.full_like(session.passes.k_B, window_BW.shape[1])
    if spec.draft == "reuse" and session.carry is not None:
        count_B = torch.where(session.carry.count_B == ASK_ANEW, count_B, session.carry.count_B)
        if spec.head is not None and session.grammar is None:
            return drafts_of_head(session, spec, spec.head, session.carry, window_BW)
    return drawn(session, spec, logits_BWV, window_BW, known_B, count_B)


def drawn(
    session: Session,
    spec: Speculation,
    logits_BWV: Tensor,
    window_BW: Tensor,
    known_B: Tensor,
    count_B: Tensor | None = None,
    held_BW: Tensor | None = None,
) -> Drafts:
    """Drafts from these logits, `count_B` of each row. held_BW: places whose token is drawn already, -1 elsewhere."""
    count_B = torch.full_like(session.passes.k_B, window_BW.shape[1]) if count_B is None else count_B
    if session.grammar is not None:
        held_BW = torch.full_like(window_BW, -1) if held_BW is None else held_BW
        return drawn_in_turn(session, spec, logits_BWV, window_BW, known_B, count_B, held_BW)
    logq_BWV = session.law(logits_BWV, window_BW)
    if spec.branching == 1:
        tokens_BWC, scores_BWC = alone(draft_tokens(session, spec, logq_BWV, window_BW))
    else:
        scores_BWC, tokens_BWC = candidates(session, logits_BWV, logq_BWV, window_BW, spec.branching)
    return Drafts(tokens_BWC, scores_BWC, logq_BWV, logits_BWV, known_B, count_B)


def alone(tokens_BW: Tensor) -> tuple[Tensor, Tensor]:
    """Single candidates and their scores, which compare with nothing."""
    return tokens_BW[..., None], torch.zeros_like(tokens_BW, dtype=torch.float64)[..., None]


def draft_tokens(session: Session, spec: Speculation, logq_BSV: Tensor, slots_BS: Tensor) -> Tensor:
    coupled = spec.accept == "coupled"
    site = session.site(slots_BS, None if coupled else session.passes.attempt_B)
    return session.noise.categorical(logq_BSV, site, Purpose.TOKEN if coupled else Purpose.DRAFT)


def candidates(
    session: Session, logits_BWV: Tensor, logq_BWV: Tensor, window_BW: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """Scores and tokens [B, W, C] of a tree of drafts, whose acceptance is coupled. In greedy rows, whose law is a point
    mass, by the law at temperature 1."""
    site = session.site(window_BW, None)
    greedy_B11 = (session.sampling.temperature_B == 0)[:, None, None]
    unsure_BW1 = ~session.ends(window_BW).get("forced_eos_BS", torch.zeros_like(site.active_BS))[..., None]
    unit_BWV = session.unit_law(logits_BWV, window_BW).logp_BSV
    score_BWV = torch.where(greedy_B11 & unsure_BW1, unit_BWV, logq_BWV)
    return session.noise.ranked(score_BWV, site.where(~greedy_B11[..., 0]), Purpose.TOKEN, count)


def drafts_of_head(
    session: Session, spec: Speculation, head: DraftHead, carry: CarriedDrafts, window_BW: Tensor
) -> Drafts:
    """A tree that a draft head grows from what the last round left."""
    network, sampling = session.network.packed, session.sampling
    assert network is not None and carry.hidden_BWD is not None, "the plan asks for a head under the packed law only"
    assert carry.lead_BD is not None and carry.last_B is not None
    marginal_BWV = session.unit_law(carry.logits_BWV, window_BW).logits_BSV
    forced_BW = session.ends(window_BW).get("forced_eos_BS")
    candidates = draft_candidates(head, marginal_BWV, forced_BW, sampling.eos_id)
    window = head.window(carry.hidden_BWD, carry.lead_BD, *candidates)
    site = session.site(window_BW, None).where((sampling.temperature_B > 0)[:, None])
    count_B = torch.minimum((window_BW >= 0).sum(1), carry.count_B).clamp(min=0)
    before_B, last_B = session.canvas.ids_BL.gather(1, torch.stack([carry.last_B - 1, carry.last_B], 1).clamp(min=0)).T
    start = DraftStart(
        window,
        before_B,
        last_B,
        count_B,
        noise_BKC=session.noise.at(window.ids_BKC, site, Purpose.TOKEN),
        settings=sampling.entries,
        cuts=sampling.truncates,
    )
    grown = draft_tree(network, head, start, spec.tree or window_BW.shape[1], spec.branching, spec.survival)
    stem_BW = path_states(grown.tree, stem(grown.tree))[:, 1:]
    tokens_BW = pad(grown.token_BW, (1, 0)).gather(1, stem_BW)
    return Drafts(*alone(tokens_BW), None, carry.logits_BWV, torch.zeros_like(session.active_B), count_B, grown=grown)


def drawn_in_turn(
    session: Session,
    spec: Speculation,
    logits_BWV: Tensor,
    window_BW: Tensor,
    known_B: Tensor,
    count_B: Tensor,
    held_BW: Tensor,
) -> Drafts:
    """Drafts under grammars, one after the other, since what is allowed depends on those before. Where a grammar leaves one
    token only, that one is a draft, whatever the network says, and it stands if those before it do."""
    grammar = session.grammar
    assert grammar is not None, "rows have some"
    grammar.followed(session.canvas)
    eos_id, banned = session.sampling.eos_id, session.sampling.banned
    tokens_BW = held_BW.clamp(min=0)
    laws: list[Tensor] = []
    legal_BWV = logits_BWV.clone()
    width = window_BW.shape[1]
    for w in range(width):
        allowed_BV = grammar.allowed_behind(window_BW[:, w], tokens_BW[:, :w], logits_BWV.shape[-1])
        alone_B = (allowed_BV.sum(1) == 1) & ~allowed_BV[:, eos_id] & (window_BW[:, w] >= 0)
        count_B = torch.where((count_B == w) & alone_B, w + 1, count_B)
        if not bool((count_B > w).any()):
            break
        here_B1 = window_BW[:, w : w + 1]
        legal_BWV[:, w] = constrained(logits_BWV[:, w : w + 1], allowed_BV[:, None], banned)[:, 0]
        logq_B1V = log_law(legal_BWV[:, w : w + 1], session.sampling, **session.ends(here_B1))
        laws.append(logq_B1V)
        new_B = draft_tokens(session, spec, logq_B1V, here_B1)[:, 0]
        tokens_BW[:, w] = torch.where(held_BW[:, w] >= 0, held_BW[:, w], new_B)
    # places that nobody drafts have no law; they are not read
    laws += [logits_BWV.new_zeros(1, 1, 1, dtype=torch.float64).expand_as(logits_BWV[:, :1])] * (width - len(laws))
    return Drafts(*alone(tokens_BW), torch.cat(laws, 1), logits_BWV, known_B, count_B, legal_BWV)


def draft_logits(session: Session, spec: Speculation, window_BW: Tensor) -> tuple[Tensor, Tensor]:
    """Draft logits [B, W, V], and the rows [B] where they are the network's own at this very canvas."""
    no_row_B = torch.zeros_like(session.active_B)
    if callable(spec.draft):
        with failures_named("The drafter failed", session.canvas.ids_BL, session.network.mask_id):
            logits_BWV = spec.draft(session.canvas, window_BW)
        return session.network.check(logits_BWV, window_BW, "drafter"), no_row_B
    if spec.draft == "random":
        return random_logits(session, window_BW), no_row_B
    logits_BWV, fresh_B = carried_logits(session, window_BW)
    # under visible noise a marginal has seen its own site through the network, not through Lemma 1
    return logits_BWV, no_row_B if session.network.visible_noise else fresh_B


def carried_logits(session: Session, slots_BS: Tensor) -> tuple[Tensor, Tensor]:
    """Logits [B, S, V] that the last round left, in other rows those of a pass, which are a mask [B]."""
    carry = session.carry
    if carry is None:
        seen = session.scorer.look(session.requests, PredictionRequest(slots_BS))
        return seen.logits_BSV, torch.ones_like(session.active_B)
    carried_B = carry.count_B != ASK_ANEW
    asked_BS = slots_BS.masked_fill(carried_B[:, None], -1)
    if not bool((asked_BS >= 0).any()):
        return carry.logits_BWV, torch.zeros_like(carried_B)
    seen = session.scorer.look(session.requests, PredictionRequest(asked_BS))
    return torch.where(carried_B[:, None, None], carry.logits_BWV, seen.logits_BSV), ~carried_B


def random_logits(session: Session, window_BW: Tensor) -> Tensor:
    """Logits that know nothing: a fixed function of position and attempt. The law must not notice."""
    count = session.network.vocab_size
    assert count is not None, "the preset asks for it"
    attempt_B = session.passes.attempt_B
    seed_B, step_B = torch.full_like(attempt_B, 0x5EED), torch.zeros_like(attempt_B)
    places_BW = window_BW.clamp(min=0)
    return 2.0 * gumbels(seed_B, places_BW, step_B=step_B, attempt_B=attempt_B, purpose=Purpose.DRAFT, count=count)


def stale_drafts(session: Session, spec: Speculation, window_BW: Tensor) -> Drafts:
    """DualDiffusion's drafter (2604.05250) with its laws recorded: a full pass, then small passes over the window against
    the keys it left, each of which draws an equal share of the slots given the drafts so far."""
    canvas, model = session.canvas, session.network.transformer("the stale drafter")
    real_BW = window_BW >= 0
    meter, lengths_B = session.meter, canvas.lengths_B
    meter.pass_(real_BW.any(1).long(), row_lengths(canvas))
    no_shadow_B0 = window_BW[:, :0]
    seen = session.network.full_pass(canvas.ids_BL, window_BW.clamp(min=0), no_shadow_B0, lengths_B)
    # the plain pass knows no packed law, and no Lemma 1
    own_B = torch.full_like(session.active_B, session.plan.law == "rows" and not session.network.visible_noise)
    found = drawn(session, spec, seen.logits_RSV, window_BW, own_B)
    cache = StaleCache(model, seen.past)
    row_N, column_N = real_BW.nonzero(as_tuple=True)
    at_N = window_BW[row_N, column_N]
    fresh_BL = torch.zeros_like(canvas.pending_BL)
    fresh_BL[row_N, model.reads(at_N)] = True
    fresh_BL[row_N, at_N] = True
    index_W = torch.arange(window_BW.shape[1], device=window_BW.device)
    share_B = -(-row_lengths(canvas).clamp(max=spec.window) // spec.stale_steps)  # of a row, however long others are
    for step in range(1, spec.stale_steps):
        held_BW = real_BW & (index_W < step * share_B[:, None])
        later_BW = window_BW.masked_fill(held_BW, -1)
        if not bool((later_BW >= 0).any()):
            break
        ids_BL = canvas.ids_BL.clone()
        put_at(ids_BL, window_BW, held_BW, found.tokens_BW)
        meter.pass_((later_BW >= 0).any(1).long(), fresh_BL.sum(1))
        logits_BWV = cache.step(
            ids_BL, fresh_BL, window_BW.clamp(min=0), torch.arange(len(ids_BL), device=ids_BL.device), lengths_B
        )
        given_BW = torch.where(held_BW, found.tokens_BW, -1)
        again = drawn(session, spec, logits_BWV, window_BW, found.known_B, held_BW=given_BW)
        assert found.logq_BWV is not None and again.logq_BWV is not None, "drawn from laws of slots"
        found = Drafts(
            torch.where(held_BW[..., None], found.tokens_BWC, again.tokens_BWC),
            again.scores_BWC,
            torch.where(held_BW[..., None], found.logq_BWV, again.logq_BWV),
            torch.where(held_BW[..., None], found.logits_BWV, again.logits_BWV),
            found.known_B,
            found.count_B,
        )
    return found
