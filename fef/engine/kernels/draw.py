"""The law of a slot and one token of it, from logits, without ever writing the law down.

What `fef.laws.pipeline.log_law` and `KeyedNoise.categorical` (purpose TOKEN, attempt 0) give together: bans, temperature,
truncation, the EOS rules, and argmax(log p + g) with the keyed Gumbel noise g, in float64. A first kernel reduces fixed
chunks of the vocabulary, a second one joins the chunks of a slot in order, so a slot's result does not depend on others.

Within a chunk everything is relative to the chunk's largest logit: with a tiny temperature the other tokens then go to
-inf, and not all of them to inf.

Where drafts branch, each chunk also leaves its best tokens, and the join takes the best of those: `Drawn.draft`, `holds`.

Shapes: N slots, V vocabulary, C chunks of a slot, P pairs of tokens of a chunk (one Philox counter each), F fields, D
drafts of a slot, B rows of equally many slots, X states, W words of 32 bits, one for each of the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from fef.engine.advance import Drawn
from fef.engine.kernels.draw_join import finite, is_unwanted, join_kernel
from fef.engine.kernels.noise import gumbel, philox
from fef.engine.kernels.overlap import wait_for_previous
from fef.engine.kernels.pointers import pointers
from fef.laws.tree import TAU

__all__ = ["AllowedTokens", "draw"]

_CHUNK = 2048
_WARPS = 8


@dataclass(frozen=True)
class AllowedTokens:
    """What grammars allow at the first slots of each row. words_BXW: of at least so many slots; a pinned tensor of the host
    will do. under_B: bool, the rows that are under one. cut_N, cut_id_N: of the law without a grammar, as `draw` has those of
    the law with one."""

    words_BXW: Tensor
    under_B: Tensor
    slots: int
    cut_N: Tensor | None = None
    cut_id_N: Tensor | None = None

    def unpacked(self, size: int) -> Tensor:
        """Bit by bit, on the device; bool [B, slots, V]."""
        assert self.words_BXW.is_contiguous(), "a graph holds copies of such tensors only"
        words_BXW = self.words_BXW.to(self.under_B.device, non_blocking=True)[:, : self.slots]
        bit_32 = torch.arange(32, dtype=torch.int32, device=words_BXW.device)
        return (((words_BXW[..., None] >> bit_32) & 1) != 0).flatten(2)[..., :size]


def draw(
    logits_NV: Tensor,
    *,
    seed_N: Tensor,
    position_N: Tensor,
    step_N: Tensor,
    temperature_N: Tensor,
    forced_N: Tensor,
    forbidden_N: Tensor,
    banned_V: Tensor,
    eos_id: int,
    cut_N: Tensor | None = None,
    cut_id_N: Tensor | None = None,
    wanted_N: Tensor | None = None,
    allowed: AllowedTokens | None = None,
    branching: int = 1,
    overlap: bool = False,
) -> Drawn:
    """Draw one token per slot, and rank `branching` tokens that a draft there may be.

    seed_N, position_N, step_N: int64, the key of the noise (`fef.laws.draws`). temperature_N: float64, 0 is greedy.
    forced_N: bool, EOS is certain. forbidden_N: bool, EOS is impossible. banned_V: bool, ids that never occur. eos_id:
    -1 if there is none. cut_N, cut_id_N: float32 and int64, a truncation worked out before: a token stays iff its logit
    is above the cut, or equal with an id up to `cut_id`; -inf and V keep all, as None does. Greedy slots ignore it.
    wanted_N: bool, the slots to draw at; the others give token 0, zeros, and valid. allowed: ids that it does not allow are
    banned at its slots, and `Drawn.free` is given. Of drafts of equal score the lower id
    comes first.

    Numbers are float64; plain and top of a greedy slot are right to about 1e-6, as its exponentials are float32. A slot is
    not valid where `log_law` would raise: a logit is nan or +inf, or nothing is allowed. Its other numbers mean nothing.
    """
    N, V = logits_NV.shape
    assert logits_NV.stride(1) == 1, "the logits of a slot lie side by side"
    device = logits_NV.device
    chunk = min(_CHUNK, max(16, triton.next_power_of_2(V)))
    chunks = triton.cdiv(V, chunk)
    value_FNC = torch.empty(5 if allowed is None else 7, N, chunks, dtype=torch.float64, device=device)
    whole_FNC = torch.empty(2 if allowed is None else 3, N, chunks, dtype=torch.int32, device=device)
    best_FNCD, best_NCD = None, None
    if branching > 1:
        best_FNCD = torch.empty(2, N, chunks, branching, dtype=torch.float64, device=device)
        best_NCD = torch.empty(N, chunks, branching, dtype=torch.int32, device=device)
    rows = (logits_NV, logits_NV.stride(0), temperature_N, forbidden_N.view(torch.uint8), banned_V.view(torch.uint8))
    wanted = None if wanted_N is None else wanted_N.view(torch.uint8)
    limits, slots, states, words, per_row = None, 0, 0, 0, 1
    if allowed is not None:
        limits, (_, states, words), per_row = pointers(allowed), allowed.words_BXW.shape, N // len(allowed.under_B)
        slots = allowed.slots
        assert allowed.words_BXW.is_contiguous() and words * 32 >= V and slots <= states, "a bit for each id"
    free_cuts = (None, None) if allowed is None else (allowed.cut_N, allowed.cut_id_N)
    outputs, noise = (
        (value_FNC, whole_FNC, best_FNCD, best_NCD),
        (seed_N, position_N, step_N, cut_N, cut_id_N, *free_cuts),
    )
    options: dict[str, Any] = {
        "PAIRS": chunk // 2,
        "DRAFTS": branching,
        "PER_ROW": per_row,
        "STATES": slots,
        "WORDS": words,
        "ROW_WORDS": states * words,
        "OVERLAP": overlap,
        "launch_pdl": overlap,
        "num_warps": _WARPS,
        "enable_fp_fusion": False,
    }
    # Two kernels, each for its slots: what the noise takes of the registers would leave few greedy programs side by side.
    _greedy_kernel[(N, chunks)](*rows, eos_id, wanted, limits, *outputs, N, V, chunks, **options)
    _sampled_kernel[(N, chunks)](*rows, eos_id, wanted, limits, *outputs, *noise, N, V, chunks, **options)
    logp_N, plain_N = torch.empty(2, N, dtype=torch.float64, device=device).unbind(0)
    drawn = Drawn(
        token=torch.empty(N, dtype=torch.int64, device=device),
        logp=logp_N,
        plain=plain_N,
        draft=torch.empty(N, branching, dtype=torch.int64, device=device),
        holds=torch.empty(N, branching, dtype=torch.float64, device=device),
        valid=torch.empty(N, dtype=torch.bool, device=device),
        free=None if allowed is None else torch.empty(N, dtype=torch.float64, device=device),
    )
    join_kernel[(N,)](
        logits_NV,
        logits_NV.stride(0),
        temperature_N,
        forced_N.view(torch.uint8),
        wanted,
        eos_id,
        value_FNC,
        whole_FNC,
        best_FNCD,
        best_NCD,
        pointers(drawn),
        N,
        chunks,
        *free_cuts,
        FREE=allowed is not None,
        TAU=TAU,
        DRAFTS=branching,
        LANES_D=triton.next_power_of_2(branching),
        BLOCK=triton.next_power_of_2(chunks),
        OVERLAP=overlap,
        launch_pdl=overlap,
        num_warps=1,
        enable_fp_fusion=False,
    )
    return drawn


@triton.jit
def _lowest_best(score, ids, V):
    best = tl.max(score)
    return best, tl.min(tl.where((score == best) & (ids < V), ids, 2147483647))


@triton.jit
def _store_best(values, tokens, also, at, score, ids, V, DRAFTS: tl.constexpr):
    """The best of a chunk, falling, and their ids; -inf where there are fewer. also: a second place for the best."""
    for draft in tl.static_range(DRAFTS):
        best, token = _lowest_best(score, ids, V)
        tl.store(values + at * DRAFTS + draft, best.to(tl.float64))
        if also is not None:
            tl.store(also + at * DRAFTS + draft, best.to(tl.float64))
        if tokens is not None:
            tl.store(tokens + at * DRAFTS + draft, token)
        score = tl.where(ids == token, float("-inf"), score)


@triton.jit
def _read(
    logits,
    banned,
    slot,
    limits,
    ids,
    no_eos,
    eos_id,
    V,
    PER_ROW: tl.constexpr,
    STATES: tl.constexpr,
    WORDS: tl.constexpr,
    ROW_WORDS: tl.constexpr,
):
    """Logits, -inf where there is none to speak of; what bans leave; what grammars leave of it; what is allowed; what is nan
    or +inf of that. logits: of the slot."""
    inside = ids < V
    x = tl.load(logits + ids, mask=inside, other=float("-inf")).to(tl.float32)
    free = inside & (tl.load(banned + ids, mask=inside, other=1) == 0)
    plain = free
    if limits is not None:
        row, state = slot // PER_ROW, slot % PER_ROW
        under = (state < STATES) & (tl.load(limits.under + row) != 0)
        words = limits.words + row * ROW_WORDS + state * WORDS
        bits = tl.load(words + (ids >> 5), mask=inside & under, other=-1)
        plain = plain & (((bits >> (ids & 31)) & 1) != 0)
    allowed = plain & ((ids != eos_id) | ~no_eos)
    wrong = allowed & ~(x < float("inf"))
    return tl.where(x < float("inf"), x, float("-inf")), free, plain, allowed, wrong


@triton.jit
def _cut(x, ids, slot, cuts, cut_ids):
    """Logits up to the last one that is kept."""
    cut = tl.load(cuts + slot).to(tl.float64)
    return tl.where((x > cut) | ((x == cut) & (ids <= tl.load(cut_ids + slot))), x, float("-inf"))


@triton.jit
def _store_plain(values, wholes, at, field, x, plain, wrong):
    """Of a chunk: the largest logit that bans leave, the sum of exponentials relative to it, and whether any is wrong."""
    plain_x = tl.where(plain, x, float("-inf"))
    best = tl.max(plain_x)
    tl.store(values + at, best.to(tl.float64))
    tl.store(values + field + at, tl.sum(tl.exp(plain_x - finite(best))).to(tl.float64))
    tl.store(wholes + field + at, tl.max(wrong.to(tl.int32)))


@triton.jit
def _greedy_kernel(
    logits,
    logits_stride,
    temperatures,
    forbidden,
    banned,
    eos_id,
    wanted,
    limits,
    values,
    wholes,
    bests,
    best_tokens,
    N,
    V,
    C,
    PAIRS: tl.constexpr,
    DRAFTS: tl.constexpr,
    PER_ROW: tl.constexpr,
    STATES: tl.constexpr,
    WORDS: tl.constexpr,
    ROW_WORDS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    slot = tl.program_id(0).to(tl.int64)
    if is_unwanted(slot, wanted) | (tl.load(temperatures + slot) > 0):
        return
    chunk = tl.program_id(1)
    field = tl.cast(N, tl.int64) * C
    at = slot * C + chunk
    ids = chunk * (2 * PAIRS) + tl.arange(0, 2 * PAIRS)
    no_eos = tl.load(forbidden + slot) != 0
    x, free, plain, allowed, wrong = _read(
        logits + slot * logits_stride, banned, slot, limits, ids, no_eos, eos_id, V, PER_ROW, STATES, WORDS, ROW_WORDS
    )
    _store_plain(values, wholes, at, field, x, plain, wrong)
    allowed_x = tl.where(allowed, x, float("-inf"))
    best, token = _lowest_best(allowed_x, ids, V)
    tl.store(values + 2 * field + at, best.to(tl.float64))
    tl.store(wholes + at, token)
    if limits is not None:
        best, token = _lowest_best(tl.where(free, x, float("-inf")), ids, V)
        tl.store(values + 5 * field + at, best.to(tl.float64))
        tl.store(wholes + 2 * field + at, token)
    if DRAFTS > 1:
        _store_best(bests, best_tokens, bests + field * DRAFTS, at, allowed_x, ids, V, DRAFTS)
        if no_eos:  # elsewhere the two are the same
            _store_best(bests + field * DRAFTS, None, None, at, tl.where(plain, x, float("-inf")), ids, V, DRAFTS)


@triton.jit
def _sampled_kernel(
    logits,
    logits_stride,
    temperatures,
    forbidden,
    banned,
    eos_id,
    wanted,
    limits,
    values,
    wholes,
    bests,
    best_tokens,
    seeds,
    positions,
    steps,
    cuts,
    cut_ids,
    free_cuts,
    free_cut_ids,
    N,
    V,
    C,
    PAIRS: tl.constexpr,
    DRAFTS: tl.constexpr,
    PER_ROW: tl.constexpr,
    STATES: tl.constexpr,
    WORDS: tl.constexpr,
    ROW_WORDS: tl.constexpr,
    OVERLAP: tl.constexpr,
):
    wait_for_previous(OVERLAP)
    slot = tl.program_id(0).to(tl.int64)
    if is_unwanted(slot, wanted) | (tl.load(temperatures + slot) == 0):
        return
    chunk = tl.program_id(1)
    field = tl.cast(N, tl.int64) * C
    at = slot * C + chunk
    pair = chunk * PAIRS + tl.arange(0, PAIRS)
    ids = 2 * pair[:, None] + tl.arange(0, 2)[None, :]
    no_eos = tl.load(forbidden + slot) != 0
    x, free, plain, allowed, wrong = _read(
        logits + slot * logits_stride, banned, slot, limits, ids, no_eos, eos_id, V, PER_ROW, STATES, WORDS, ROW_WORDS
    )
    x = x.to(tl.float64)
    _store_plain(values, wholes, at, field, x, plain, wrong)
    if DRAFTS > 1:
        _store_best(bests + field * DRAFTS, None, None, at, tl.where(plain, x, float("-inf")), ids, V, DRAFTS)

    temperature = tl.load(temperatures + slot)
    if limits is not None:
        free_x = tl.where(free, x, float("-inf"))
        if free_cuts is not None:
            free_x = _cut(free_x, ids, slot, free_cuts, free_cut_ids)
        best = tl.max(free_x)
        tl.store(values + 5 * field + at, best)
        tl.store(values + 6 * field + at, tl.sum(tl.exp((free_x - finite(best)) / temperature)))
    x = tl.where(allowed, x, float("-inf"))
    if cuts is not None:
        x = _cut(x, ids, slot, cuts, cut_ids)
    best = tl.max(x)
    relative = (x - finite(best)) / temperature
    seed = tl.load(seeds + slot)
    position = tl.load(positions + slot).to(tl.uint32)
    turn = (tl.load(steps + slot) << 16).to(tl.uint32)
    counter = pair.to(tl.uint32)
    still = counter * 0
    w0, w1, w2, w3 = philox(
        counter, still + position, still + turn, still, seed.to(tl.uint32), (seed >> 32).to(tl.uint32)
    )
    noise = gumbel(tl.join(w0, w2), tl.join(w1, w3))
    score, token = _lowest_best(relative + noise, ids, V)
    tl.store(values + 2 * field + at, best)
    tl.store(values + 3 * field + at, tl.sum(tl.exp(relative)))
    tl.store(values + 4 * field + at, score)
    tl.store(wholes + at, token)
    if DRAFTS > 1:
        _store_best(bests, best_tokens, None, at, relative + noise, ids, V, DRAFTS)
