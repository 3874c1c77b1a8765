"""The loop: denoising passes over blocks, rounds inside a pass. It knows parts, not methods.

Shapes: B rows, L canvas length, W drafts, T targets, S slots, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.order import block_mask, block_numbers, decoding_order
from fef.decoding.plan import Plan
from fef.decoding.remask import first_noise, remask
from fef.decoding.score import PackedScorer, RowsScorer, Scorer, Targets
from fef.errors import OptionError
from fef.laws.accept import ACCEPT
from fef.laws.draws import Noise, Purpose, Site, gumbels
from fef.laws.noise import Schedule
from fef.laws.pipeline import Sampling, log_law

__all__ = ["Observer", "Round", "Work", "decode_canvas", "round_of", "slot_law", "start_work"]


@dataclass(frozen=True)
class Round:
    """What one round did, for traces and live views. Tensors hold only the rows that were still active, `rows`.

    slots, tokens [B, T]: attempted positions (-1: none) and the tokens there; written [B, T]: committed ones. drafts
    [B, W] and accepted [B] of a speculative round. ids, pending [B, L]: the canvas after the round.
    """

    step: int
    block: int
    rows: Tensor
    slots: Tensor
    tokens: Tensor
    written: Tensor
    drafts: Tensor | None
    accepted: Tensor | None
    ids: Tensor
    pending: Tensor


Observer = Callable[[Round], None]
SamplingOf = Callable[[int], Sampling]


@dataclass
class Work:
    """The rows being decoded in one pass and everything that goes with them; finished rows are dropped as it goes."""

    rows_B: Tensor
    canvas: Canvas
    noise: Noise
    sampling: Sampling
    scorer: Scorer
    within_BL: Tensor
    masks_B: Tensor
    blocks_B: Tensor
    attempt: int = 0
    carry: tuple[Tensor, Tensor] | None = None
    """Draft logits [B, W, V] from the last pass, and for which rows [B] it made them."""

    def select(self, rows: Tensor) -> None:
        self.rows_B, self.canvas = self.rows_B[rows], self.canvas.select(rows)
        self.noise, self.sampling = self.noise.select(rows), self.sampling.select(rows)
        self.within_BL, self.masks_B, self.blocks_B = self.within_BL[rows], self.masks_B[rows], self.blocks_B[rows]
        self.scorer.select(rows)
        if self.carry is not None:
            self.carry = self.carry[0][rows], self.carry[1][rows]


def decode_canvas(
    network: Network,
    canvas: Canvas,
    plan: Plan,
    noise: Noise,
    sampling: Sampling,
    meter: Meter,
    observe: Observer | None = None,
) -> None:
    """Fill every open slot of `canvas` in place, as `plan` says."""
    plan = dataclasses.replace(plan, window=min(plan.window, canvas.ids_BL.shape[1]))
    canvas.rank_BL = decoding_order(canvas, plan, noise)
    block_BL = block_numbers(canvas, plan.block_length)
    process = type(network.noise)(**(vars(network.noise) | {"schedule": Schedule(plan.schedule)}))
    network.noise = process  # scorers read keep probabilities off the schedule of the plan, too
    for block in range(int(block_BL.max()) + 1):
        within_BL = block_mask(canvas, block_BL, block)
        first_noise(canvas, within_BL, process, noise)
        for k in range(plan.steps, 0, -1):
            hidden_BL = canvas.pending_BL & within_BL
            decode_pass(network, canvas, plan, noise, sampling, meter, within_BL, k, block, observe)
            count_committed(canvas, hidden_BL, sampling.eos_id, meter)
            if k > 1:
                remask(canvas, hidden_BL, within_BL, plan, process, noise, k)


def decode_pass(
    network: Network,
    canvas: Canvas,
    plan: Plan,
    noise: Noise,
    sampling: Sampling,
    meter: Meter,
    within_BL: Tensor,
    k: int,
    block: int,
    observe: Observer | None,
) -> None:
    """One denoising pass: draw every pending slot of the block, each row at its own pace."""
    work = start_work(network, canvas, plan, noise, sampling, meter, within_BL, k / plan.steps)
    active_B = (work.canvas.pending_BL & work.within_BL).any(1)
    while bool(active_B.any()):
        round_of(work, plan, k, meter, observe, block)
        active_B = (work.canvas.pending_BL & work.within_BL).any(1)
        # dropping rows copies caches, so it waits until a quarter of them are done
        if int(active_B.sum()) <= 0.75 * len(active_B):
            canvas.put(work.rows_B, work.canvas)
            work.select(active_B.nonzero()[:, 0])
            active_B = active_B[active_B]
    canvas.put(work.rows_B, work.canvas)


def start_work(
    network: Network,
    canvas: Canvas,
    plan: Plan,
    noise: Noise,
    sampling: Sampling,
    meter: Meter,
    within_BL: Tensor,
    time: float,
) -> Work:
    """Take the rows that have something to draw, and open the pass of noise time `time` on them."""
    if sampling.eos_id is not None:
        EosRule(sampling.eos_id).settle(canvas, within_BL)
    rows_B = (canvas.pending_BL & within_BL).any(1).nonzero()[:, 0]
    scorer_type = PackedScorer if plan.law == "packed" else RowsScorer
    work = Work(
        rows_B,
        canvas.select(rows_B),
        noise.select(rows_B),
        sampling.select(rows_B),
        scorer_type(network, meter, rows_B),
        within_BL[rows_B],
        masks_B=(canvas.pending_BL & within_BL).sum(1)[rows_B],
        blocks_B=(block_numbers(canvas, plan.block_length).amax(1) + 1)[rows_B],
    )
    if len(rows_B):
        reuse = plan.speculate and plan.draft == "reuse"
        slots_BW = work.canvas.next_slots(plan.window if reuse else 0, work.within_BL)
        first_BWV = work.scorer.pass_began(work.canvas, slots_BW, time)
        if reuse and first_BWV is not None:
            work.carry = first_BWV, torch.ones_like(rows_B, dtype=torch.bool)
    return work


def round_of(work: Work, plan: Plan, k: int, meter: Meter, observe: Observer | None = None, block: int = 0) -> None:
    """One round: draft, verify, accept, commit; or, without speculation, draw and commit."""
    attempt_B = torch.full_like(work.rows_B, work.attempt)
    if plan.speculate:
        speculative_round(work, plan, k, attempt_B, meter, observe, block)
    else:
        plain_round(work, plan, k, attempt_B, meter, observe, block)
    work.attempt += 1


def speculative_round(
    work: Work, plan: Plan, k: int, attempt_B: Tensor, meter: Meter, observe: Observer | None, block: int
) -> None:
    canvas, width = work.canvas, plan.window
    count = width + 1 if plan.bonus else width
    ahead = width if plan.draft == "reuse" else 0
    slots_BS = canvas.next_slots(count + ahead, work.within_BL)
    q_logits_BWV, known_B = draft_logits(work, plan, slots_BS[:, :width], attempt_B)
    logq_BWV = slot_law(work, q_logits_BWV, slots_BS[:, :width], None)
    coupled = plan.accept == "coupled"
    draft_site = site(slots_BS[:, :width], k, torch.zeros_like(attempt_B) if coupled else attempt_B)
    draft_BW = work.noise.categorical(logq_BWV, draft_site, Purpose.TOKEN if coupled else Purpose.DRAFT)
    if work.sampling.eos_id is not None:
        slots_BS = EosRule(work.sampling.eos_id).without_certain_tail(canvas, work.within_BL, slots_BS, draft_BW)
    window_BW, slots_BT = slots_BS[:, :width], slots_BS[:, :count]
    width_B, targets_B = (window_BW >= 0).sum(1), (slots_BT >= 0).sum(1)
    targets = verify(work, plan, slots_BS, draft_BW, count, ahead, q_logits_BWV, known_B)
    logp_BTV = slot_law(work, targets.logits_BTV, slots_BT, draft_BW)
    accepted = ACCEPT[plan.accept](
        logp_BTV, logq_BWV, draft_BW, width_B, targets_B, work.noise, site(slots_BT, k, attempt_B)
    )
    take_BT = torch.arange(count, device=slots_BT.device) < accepted.commit_B[:, None]
    commit(work, plan, slots_BT, accepted.tokens_BT, logp_BTV, targets.logits_BTV, take_BT)
    work.scorer.committed(canvas, slots_BT, accepted.accepted_B, accepted.commit_B)
    work.carry = targets.after(accepted.accepted_B, accepted.commit_B)
    meter.rounds[work.rows_B] += (width_B > 0).long()
    meter.drafted[work.rows_B] += width_B
    meter.accepted[work.rows_B] += accepted.accepted_B
    notify(observe, work, plan.steps - k, block, slots_BT, accepted.tokens_BT, take_BT, draft_BW, accepted.accepted_B)


def plain_round(
    work: Work, plan: Plan, k: int, attempt_B: Tensor, meter: Meter, observe: Observer | None, block: int
) -> None:
    canvas = work.canvas
    quota_B = round_quota(work, plan)
    widest = int((canvas.pending_BL & work.within_BL).sum(1).max()) if plan.rank_by_draw else int(quota_B.max())
    slots_BS = canvas.next_slots(widest, work.within_BL)
    logits_BSV = work.scorer.marginals(canvas, slots_BS)
    logp_BSV = slot_law(work, logits_BSV, slots_BS, None)
    # a slot that is drawn once is drawn with the noise that every chain decoder uses there
    draw_site = site(slots_BS, k, attempt_B if plan.rank_by_draw else torch.zeros_like(attempt_B))
    tokens_BS = work.noise.categorical(logp_BSV, draw_site, Purpose.TOKEN)
    if plan.rank_by_draw:
        score_BS = confidence(work, logits_BSV, tokens_BS).masked_fill(slots_BS < 0, -torch.inf)
        order_BS = score_BS.argsort(dim=1, descending=True, stable=True)
        place_BS = torch.empty_like(order_BS).scatter_(
            1, order_BS, torch.arange(widest, device=slots_BS.device).expand_as(order_BS)
        )
    else:
        place_BS = torch.arange(widest, device=slots_BS.device).expand_as(slots_BS)
    take_BS = (place_BS < quota_B[:, None]) & (slots_BS >= 0)
    commit(work, plan, slots_BS, tokens_BS, logp_BSV, logits_BSV, take_BS)
    commit_B = take_BS.sum(1)
    work.scorer.committed(canvas, slots_BS, torch.zeros_like(commit_B), commit_B)
    meter.rounds[work.rows_B] += (commit_B > 0).long()
    notify(observe, work, plan.steps - k, block, slots_BS, tokens_BS, take_BS, None, None)


def draft_logits(work: Work, plan: Plan, window_BW: Tensor, attempt_B: Tensor) -> tuple[Tensor, Tensor]:
    """Draft logits [B, W, V], and the rows [B] where they are the network's own at this very canvas: there the first draft
    has the law of its target."""
    no_row_B = torch.zeros_like(attempt_B, dtype=torch.bool)
    if callable(plan.draft):
        logits_BWV = plan.draft(work.canvas, window_BW)
        return work.scorer.network.check(logits_BWV, window_BW.shape, "drafter"), no_row_B
    if plan.draft == "random":
        return random_logits(work, window_BW, attempt_B), no_row_B
    if work.carry is None:
        # under visible noise a marginal has seen its own site through the network, not through Lemma 1
        own_B = no_row_B if work.scorer.network.visible_noise else ~no_row_B
        return work.scorer.marginals(work.canvas, window_BW), own_B
    carry_BWV, carried_B = work.carry
    asked_BW = window_BW.masked_fill(carried_B[:, None], -1)
    if not bool((asked_BW >= 0).any()):
        return carry_BWV, no_row_B
    fresh_BWV = work.scorer.marginals(work.canvas, asked_BW)
    return torch.where(carried_B[:, None, None], carry_BWV, fresh_BWV), ~carried_B


def random_logits(work: Work, window_BW: Tensor, attempt_B: Tensor) -> Tensor:
    """Logits that know nothing: a fixed function of position and attempt. The law must not notice."""
    count = work.scorer.network.vocab_size
    if count is None:
        raise OptionError('draft="random" needs a denoiser with a vocab_size attribute.')
    seed_B = torch.full_like(attempt_B, 0x5EED)
    places_BW = window_BW.clamp(min=0)
    return 2.0 * gumbels(seed_B, places_BW, step=0, attempt_B=attempt_B, purpose=Purpose.DRAFT, count=count)


def verify(
    work: Work,
    plan: Plan,
    slots_BS: Tensor,
    draft_BW: Tensor,
    count: int,
    ahead: int,
    q_logits_BWV: Tensor,
    known_B: Tensor,
) -> Targets:
    """Targets of a round. Where the first target is known, its row asks for the others only, and for nothing if there are
    none."""
    first_B1V = q_logits_BWV[:, :1]
    alone_B = known_B & ((slots_BS[:, :count] >= 0).sum(1) <= 1)
    slots_BS = slots_BS.masked_fill(alone_B[:, None], -1)
    if not bool((slots_BS >= 0).any()):
        return Targets(torch.nn.functional.pad(first_B1V, (0, 0, 0, count - 1)))
    anchor_BG = None
    if ahead and plan.anchors:
        anchor_BG = likely_ends(work, q_logits_BWV, slots_BS[:, : draft_BW.shape[1]], plan.anchors)
    targets = work.scorer.targets(work.canvas, slots_BS, draft_BW, count, known_B, ahead, anchor_BG)
    known_first_B1V = torch.where(known_B[:, None, None], first_B1V, targets.logits_BTV[:, :1])
    targets.logits_BTV = torch.cat([known_first_B1V, targets.logits_BTV[:, 1:]], dim=1)
    return targets


def likely_ends(work: Work, q_logits_BWV: Tensor, window_BW: Tensor, count: int) -> Tensor:
    """The `count` window places [B, count] where a round most likely meets its first rejection, -1 where there is none.

    From the draft laws alone: the chance that drafts hold up to a place and fail there, with the largest probability of
    each law as its chance to hold. Drawn values are not looked at, so q stays a function of history.
    """
    logits_BWV = q_logits_BWV.double().index_fill(-1, work.sampling.banned, -torch.inf)
    holds_BW = logits_BWV.softmax(-1).amax(-1).masked_fill(window_BW < 0, 1.0)
    reached_BW = torch.nn.functional.pad(holds_BW.cumprod(1), (1, 0), value=1.0)[:, :-1]
    ends_BW = reached_BW * (1 - holds_BW)
    chance_BG, place_BG = ends_BW.topk(min(count, ends_BW.shape[1]), dim=1)
    return torch.where(chance_BG > 0, place_BG, -1)


def slot_law(work: Work, logits_BSV: Tensor, slots_BS: Tensor, draft_BW: Tensor | None) -> Tensor:
    """The law that is sampled at each slot, given what is committed and the drafts before it; [B, S, V] nats."""
    sampling = work.sampling
    if sampling.eos_id is None:
        return log_law(logits_BSV, sampling)
    forced_BS, forbidden_BS = EosRule(sampling.eos_id).at_slots(work.canvas, slots_BS, draft_BW)
    return log_law(logits_BSV, sampling, forced_eos_BS=forced_BS, no_eos_BS=forbidden_BS)


def commit(
    work: Work, plan: Plan, slots_BS: Tensor, tokens_BS: Tensor, logp_BSV: Tensor, logits_BSV: Tensor, take_BS: Tensor
) -> None:
    chosen_BS1 = tokens_BS[..., None]
    logp_BS = logp_BSV.gather(-1, chosen_BS1)[..., 0]
    work.canvas.write(slots_BS, tokens_BS, logp_BS, confidence(work, logits_BSV, tokens_BS), take_BS)
    if work.sampling.eos_id is not None:
        EosRule(work.sampling.eos_id).settle(work.canvas, work.within_BL, finish_only=not plan.rank_by_draw)


def confidence(work: Work, logits_BSV: Tensor, tokens_BS: Tensor) -> Tensor:
    """Probability of tokens at temperature 1, bans applied; [B, S]."""
    logits_BSV = logits_BSV.double().index_fill(-1, work.sampling.banned, -torch.inf)
    return (logits_BSV.gather(-1, tokens_BS[..., None])[..., 0] - logits_BSV.logsumexp(-1)).exp()


def round_quota(work: Work, plan: Plan) -> Tensor:
    """Slots to commit this round without speculation, [B]: the window, or LLaDA's even share of the block's masks over
    its share of `rounds`, remainder first."""
    if plan.rounds is None:
        return torch.full_like(work.masks_B, plan.window)
    rounds_B = torch.minimum((plan.rounds // work.blocks_B).clamp(min=1), work.masks_B)
    return work.masks_B // rounds_B + (work.attempt < work.masks_B % rounds_B).long()


def site(slots_BS: Tensor, k: int, attempt_B: Tensor) -> Site:
    return Site(slots_BS.clamp(min=0), k, attempt_B, slots_BS >= 0)


def count_committed(canvas: Canvas, hidden_BL: Tensor, eos_id: int | None, meter: Meter) -> None:
    if eos_id is None:
        meter.committed += hidden_BL.sum(1)
        return
    first_B, _ = EosRule(eos_id).bounds(canvas)
    index_L = torch.arange(hidden_BL.shape[1], device=hidden_BL.device)
    meter.committed += (hidden_BL & (index_L <= first_B[:, None])).sum(1)


def notify(
    observe: Observer | None,
    work: Work,
    step: int,
    block: int,
    slots: Tensor,
    tokens: Tensor,
    written: Tensor,
    drafts: Tensor | None,
    accepted: Tensor | None,
) -> None:
    if observe is not None:
        canvas = work.canvas
        ids, pending = canvas.ids_BL.clone(), canvas.pending_BL.clone()
        observe(Round(step, block, work.rows_B, slots, tokens, written, drafts, accepted, ids, pending))
