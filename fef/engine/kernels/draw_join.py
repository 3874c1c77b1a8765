"""The second kernel of `draw`: joins the chunks of a slot, in their order.

Shapes: as in `draw`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fef.engine.kernels.overlap import wait_for_previous

__all__ = ["finite", "is_unwanted", "join_kernel"]


@triton.jit
def finite(x):
    """x, or 0 where nothing was there to take a maximum of."""
    return tl.where(x == float("-inf"), 0.0, x)


@triton.jit
def is_unwanted(slot, wanted):
    unwanted = slot < 0
    if wanted is not None:
        unwanted = tl.load(wanted + slot) == 0
    return unwanted


@triton.jit
def _best_of_chunks(score, tokens, DRAFTS: tl.constexpr, LANES_D: tl.constexpr):
    """The best of all chunks, falling, and their ids [LANES_D]."""
    lane = tl.arange(0, LANES_D)
    scores = tl.full((LANES_D,), float("-inf"), tl.float64)
    chosen = lane * 0
    for draft in tl.static_range(DRAFTS):
        best = tl.max(score)
        token = tl.min(tl.where(score == best, tokens, 2147483647))
        scores = tl.where(lane == draft, best, scores)
        chosen = tl.where(lane == draft, token, chosen)
        score = tl.where(tokens == token, float("-inf"), score)
    return scores, chosen


@triton.jit
def join_kernel(
    logits,
    logits_stride,
    temperatures,
    forced,
    wanted,
    eos_id,
    values,
    wholes,
    bests,
    best_tokens,
    drawn,
    N,
    C,
    free_cuts,
    free_cut_ids,
    FREE: tl.constexpr,
    TAU: tl.constexpr,
    DRAFTS: tl.constexpr,
    LANES_D: tl.constexpr,
    BLOCK: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    slot = tl.program_id(0).to(tl.int64)
    d = tl.arange(0, LANES_D)
    at_drafts, is_draft = slot * DRAFTS + d, d < DRAFTS
    if is_unwanted(slot, wanted):
        tl.store(drawn.token + slot, 0)
        tl.store(drawn.logp + slot, 0.0)
        tl.store(drawn.plain + slot, 0.0)
        tl.store(drawn.draft + at_drafts, d.to(tl.int64) * 0, mask=is_draft)
        tl.store(drawn.holds + at_drafts, d.to(tl.float64) * 0, mask=is_draft)
        tl.store(drawn.valid + slot, 1)
        if FREE:
            tl.store(drawn.free + slot, 0.0)
        return
    chunk = tl.arange(0, BLOCK)
    there = chunk < C
    at = slot * C + chunk
    field = tl.cast(N, tl.int64) * C

    plain_best_C = tl.load(values + at, mask=there, other=float("-inf"))
    plain_best = tl.max(plain_best_C)
    plain_mass_C = tl.load(values + field + at, mask=there, other=0.0)
    plain_mass = tl.sum(plain_mass_C * tl.exp(plain_best_C - finite(plain_best)))

    best_C = tl.load(values + 2 * field + at, mask=there, other=float("-inf"))
    token_C = tl.load(wholes + at, mask=there, other=2147483647)
    best = tl.max(best_C)
    temperature = tl.load(temperatures + slot)
    if temperature > 0:
        behind_C = (best_C - finite(best)) / temperature
        mass = tl.sum(tl.load(values + 3 * field + at, mask=there, other=0.0) * tl.exp(behind_C))
        score_C = tl.load(values + 4 * field + at, mask=there, other=float("-inf")) + behind_C
        token = tl.min(tl.where(score_C == tl.max(score_C), token_C, 2147483647))
        x = tl.load(logits + slot * logits_stride + token).to(tl.float64)
        logp = (x - best) / temperature - tl.log(mass)
    else:
        token = tl.min(tl.where(best_C == best, token_C, 2147483647))
        logp = best * 0.0
    is_forced = tl.load(forced + slot) != 0
    token = tl.where(is_forced, eos_id, token)
    x = tl.load(logits + slot * logits_stride + token).to(tl.float64)
    if FREE:  # of the token, under the law without a grammar
        free_best_C = tl.load(values + 5 * field + at, mask=there, other=float("-inf"))
        free_best = tl.max(free_best_C)
        if temperature > 0:
            free_behind_C = (free_best_C - finite(free_best)) / temperature
            free_mass = tl.sum(tl.load(values + 6 * field + at, mask=there, other=0.0) * tl.exp(free_behind_C))
            free = (x - free_best) / temperature - tl.log(free_mass)
            if free_cuts is not None:
                cut = tl.load(free_cuts + slot).to(tl.float64)
                kept = (x > cut) | ((x == cut) & (token <= tl.load(free_cut_ids + slot)))
                free = tl.where(kept, free, float("-inf"))
        else:
            free_token_C = tl.load(wholes + 2 * field + at, mask=there, other=2147483647)
            free_token = tl.min(tl.where(free_best_C == free_best, free_token_C, 2147483647))
            free = tl.where(token == free_token, 0.0, float("-inf")) + free_best * 0.0
        tl.store(drawn.free + slot, free)
    wrong = tl.max(tl.load(wholes + field + at, mask=there, other=0)) != 0
    valid = is_forced | (~wrong & (best > float("-inf")))
    tl.store(drawn.token + slot, token.to(tl.int64))
    tl.store(drawn.logp + slot, tl.where(is_forced, 0.0, logp))
    tl.store(drawn.plain + slot, x - plain_best - tl.log(plain_mass))
    if DRAFTS == 1:
        drafts, holds = d * 0 + token, d * 0.0 + 1.0 / plain_mass
    else:
        pair = at[:, None] * DRAFTS + d[None, :]
        known = there[:, None] & is_draft[None, :]
        plain_score = tl.load(bests + field * DRAFTS + pair, mask=known, other=float("-inf"))
        # ids do not matter here: the number of a candidate stands for it
        plain_scores, _ = _best_of_chunks(plain_score, chunk[:, None] * DRAFTS + d[None, :], DRAFTS, LANES_D)
        share = tl.minimum(tl.sum(tl.exp(plain_scores - finite(plain_best))) / plain_mass, 1.0)
        score = tl.load(bests + pair, mask=known, other=float("-inf"))
        if temperature > 0:
            score += ((best_C - finite(best)) / temperature)[:, None]
        tokens = tl.load(best_tokens + pair, mask=known, other=2147483647)
        scores, drafts = _best_of_chunks(score, tokens, DRAFTS, LANES_D)
        behind = scores - finite(tl.max(scores))
        weight = tl.exp(tl.where(temperature > 0, behind / TAU, behind))
        drafts = tl.where(is_forced & (d == 0), eos_id, drafts)
        weight = tl.where(is_forced, (d == 0).to(tl.float64), weight)
        holds = share * (weight / tl.maximum(tl.sum(weight), 1e-300))
    tl.store(drawn.draft + at_drafts, drafts.to(tl.int64), mask=is_draft)
    tl.store(drawn.holds + at_drafts, holds, mask=is_draft)
    tl.store(drawn.valid + slot, valid.to(tl.uint8))
