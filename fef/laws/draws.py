"""Counter-based randomness keyed by (seed, position, step, attempt, purpose).

Every number is a pure function of its key: it does not depend on the batch, on the slot layout or on the order of
calls. Uniform numbers are the same on every device, Gumbel numbers up to the device's rounding of log. The generator is
Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC'11).

Shapes: B rows (requests), S slots, V vocabulary, N slots of all rows in one axis, M counters of a slot, or slots that need
noise, P distinct keys, C tokens that are ranked or asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

import torch
from torch import Tensor

__all__ = [
    "KeyedNoise",
    "Noise",
    "Purpose",
    "Site",
    "gumbels",
    "gumbels_at",
    "keyed_ranked",
    "largest",
    "philox4x32",
    "uniforms",
]

_WORD = 0xFFFFFFFF
_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_CPU_COUNTERS = 1 << 16  # 512 KiB a temporary: measured fastest on one core
_DEVICE_COUNTERS = 1 << 22  # enough to fill an accelerator, 32 MiB a temporary
_CATEGORICAL_ENTRIES = 1 << 22  # entries of logp + noise held at once


class Purpose(IntEnum):
    """What a number decides; numbers of different purposes are independent."""

    TOKEN = 0
    ACCEPT = 1
    RESIDUAL = 2
    REMASK = 3
    ORDER = 4
    PRIOR = 5
    DRAFT = 6


@dataclass(frozen=True)
class Site:
    """Where random numbers are used.

    position_BS: canvas positions, int64 in [0, 2^32). step_B: denoising pass of the row, attempt_B: how often the row drew
    in it before; int64 in [0, 2^16) both. active_BS: bool, the slots that really take part; the result at the others is
    arbitrary.
    """

    position_BS: Tensor
    step_B: Tensor
    attempt_B: Tensor
    active_BS: Tensor

    def take(self, index_B1: Tensor) -> Site:
        """The site of one slot per row."""
        position_B1 = self.position_BS.gather(1, index_B1)
        return dataclasses.replace(self, position_BS=position_B1, active_BS=self.active_BS.gather(1, index_B1))

    def where(self, mask_BS: Tensor) -> Site:
        """The same site with only those slots active that are active and in the mask."""
        return dataclasses.replace(self, active_BS=self.active_BS & mask_BS)


class Noise(Protocol):
    """A source of random decisions. Everything random in decoding goes through one of these methods."""

    @property
    def keyed(self) -> bool:
        """Does the same site and purpose always see the same noise? Coupled acceptance needs it."""
        ...

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        """One token per slot from normalised log probabilities; int64 [B, S]."""
        ...

    def ranked(self, logp_BSV: Tensor, site: Site, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        """`count` tokens per slot, the first the one that `categorical` draws, the others those that would be drawn if it
        were not there, and so on: scores, falling, and tokens, [B, S, C] each. The likeliest at slots that are not
        active."""
        ...

    def at(self, token_BSC: Tensor, site: Site, purpose: Purpose) -> Tensor:
        """What `categorical` adds to the log p of these tokens before it takes the largest; float64 [B, S, C]. 0 at slots
        that are not active, and from noise that adds no such numbers."""
        ...

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        """One decision per slot, true with the given probability; bool [B, S]."""
        ...

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        """One number in (0, 1) a slot; float64 [B, S]."""
        ...

    def select(self, rows: Tensor) -> Noise:
        """The noise of these rows (an index tensor)."""
        ...


class KeyedNoise(Noise):
    """Noise that is a function of (seed, position, step, attempt, purpose) alone.

    A token is `argmax(log p + Gumbel)` in float64, so two laws drawn at one site and purpose are coupled: they agree
    with probability at least (1 - TV) / (1 + TV) (Daliri, Musco, Suresh 2024, arXiv 2408.07978).
    """

    def __init__(self, seed_B: Tensor) -> None:
        assert seed_B.dim() == 1, "one seed per row"
        assert seed_B.dtype == torch.int64, "seeds are int64"
        self.seed_B = seed_B

    @property
    def keyed(self) -> bool:
        return True

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.ranked(logp_BSV, site, purpose, 1)[1][..., 0]

    def ranked(self, logp_BSV: Tensor, site: Site, purpose: Purpose, count: int) -> tuple[Tensor, Tensor]:
        """By log p + Gumbel, which orders tokens as draws without replacement would."""

        def flat(x_BS: Tensor) -> Tensor:
            return x_BS.expand(logp_BSV.shape[:2]).flatten()

        score_NC, token_NC = keyed_ranked(
            logp_BSV.flatten(0, 1),
            flat(self.seed_B[:, None]),
            flat(site.position_BS),
            flat(site.step_B[:, None]),
            flat(site.attempt_B[:, None]),
            purpose,
            count,
            active_N=flat(site.active_BS),
        )
        shape = (*logp_BSV.shape[:2], -1)
        return score_NC.view(shape), token_NC.view(shape)

    def at(self, token_BSC: Tensor, site: Site, purpose: Purpose) -> Tensor:
        noise_BSC = gumbels_at(
            token_BSC,
            self.seed_B,
            site.position_BS,
            step_B=site.step_B,
            attempt_B=site.attempt_B,
            purpose=purpose,
        )
        return torch.where(site.active_BS[..., None], noise_BSC, 0.0)

    def bernoulli(self, prob_BS: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return self.uniform(site, purpose) < prob_BS

    def uniform(self, site: Site, purpose: Purpose) -> Tensor:
        u_BS1 = uniforms(
            self.seed_B, site.position_BS, step_B=site.step_B, attempt_B=site.attempt_B, purpose=purpose, count=1
        )
        return u_BS1[..., 0]

    def select(self, rows: Tensor) -> KeyedNoise:
        return type(self)(self.seed_B[rows])

    def join(self, other: KeyedNoise) -> KeyedNoise:
        """The noise of these rows, and of others behind them."""
        return type(self)(torch.cat([self.seed_B, other.seed_B]))


def keyed_ranked(
    logp_NV: Tensor,
    seed_N: Tensor,
    position_N: Tensor,
    step_N: Tensor,
    attempt_N: Tensor,
    purpose: Purpose,
    count: int,
    *,
    active_N: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The `count` largest of log p + Gumbel of an entry, with the noise of the entry's key, falling, and their tokens;
    [N, C] each.

    logp_NV: normalised log probabilities. Ranges are those of `Site`. active_N: entries that really take part, by default
    all; for the others there is no noise. The noise of entries of equal key is computed once.
    """
    score_NC, token_NC = largest(logp_NV, count)
    # A point mass needs no noise: greedy rows and slots after EOS cost one maximum.
    random_N = score_NC[:, 0] < 0
    entry_M = (random_N if active_N is None else random_N & active_N).nonzero()[:, 0]
    if not len(entry_M):
        return score_NC, token_NC
    key_M, order_M = _key_numbers(seed_N[entry_M], position_N[entry_M], step_N[entry_M], attempt_N[entry_M]).sort()
    for m in _chunks(len(entry_M), max(1, _CATEGORICAL_ENTRIES // logp_NV.shape[-1])):
        entry_m = entry_M[order_M[m]]
        _, key_of_m, count_P = torch.unique_consecutive(key_M[m], return_inverse=True, return_counts=True)
        one_P = entry_m[count_P.cumsum(0) - count_P]  # any entry with the key
        noise_PV = gumbels(
            seed_N[one_P],
            position_N[one_P, None],
            step_B=step_N[one_P],
            attempt_B=attempt_N[one_P],
            purpose=purpose,
            count=logp_NV.shape[-1],
        )[:, 0]
        score_NC[entry_m], token_NC[entry_m] = largest(noise_PV[key_of_m].add_(logp_NV[entry_m]), count)
    return score_NC, token_NC


def largest(x_NV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest numbers of each row, falling, and where they stand; [N, C] each, fewer where a row has fewer."""
    return x_NV.max(-1, keepdim=True) if count == 1 else x_NV.topk(min(count, x_NV.shape[-1]))


def _key_numbers(seed_N: Tensor, position_N: Tensor, step_N: Tensor, attempt_N: Tensor) -> Tensor:
    """A number [N] that is the same for entries of the same key and for no others."""
    place_N = position_N << 32 | step_N << 16 | attempt_N
    seed_number_N: Tensor = torch.unique(seed_N, return_inverse=True)[1]
    place_number_N: Tensor = torch.unique(place_N, return_inverse=True)[1]
    return seed_number_N * len(seed_N) + place_number_N


def gumbels(
    seed_B: Tensor, position_BS: Tensor, *, step_B: Tensor, attempt_B: Tensor, purpose: Purpose, count: int
) -> Tensor:
    """Standard Gumbel numbers, `-log(-log u)` of `uniforms`; float64 [B, S, count].

    They lie in (-3.61, 36.74), and the tail is right down to probabilities of 2^-52: a float32 uniform has no value
    between 1 - 2^-24 and 1, so its Gumbel number cannot exceed 16.6 and rare tokens of a large vocabulary are drawn
    too seldom.
    """
    return _draw(seed_B, position_BS, step_B, attempt_B, purpose, count, gumbel=True)


def gumbels_at(
    token_BSC: Tensor, seed_B: Tensor, position_BS: Tensor, *, step_B: Tensor, attempt_B: Tensor, purpose: Purpose
) -> Tensor:
    """The numbers of `gumbels` at these tokens alone; float64 [B, S, C]."""
    key = ((seed_B & _WORD)[:, None, None], ((seed_B >> 32) & _WORD)[:, None, None])
    turn_B11 = (attempt_B | step_B << 16)[:, None, None]
    purpose_1 = torch.full((1,), int(purpose), dtype=torch.int64, device=token_BSC.device)
    words = philox4x32((token_BSC >> 1, position_BS[..., None], turn_B11, purpose_1), key)
    odd_BSC = (token_BSC & 1) == 1
    high_BSC, low_BSC = torch.where(odd_BSC, words[2], words[0]), torch.where(odd_BSC, words[3], words[1])
    return _midpoint(high_BSC, low_BSC).log_().neg_().log_().neg_()


def uniforms(
    seed_B: Tensor, position_BS: Tensor, *, step_B: Tensor, attempt_B: Tensor, purpose: Purpose, count: int
) -> Tensor:
    """Uniform numbers in the open interval (0, 1); float64 [B, S, count].

    Each is an odd multiple of 2^-53, made from 52 random bits: the midpoint of a cell, exact in float64, so neither 0
    nor 1 occurs. Number `i` of a slot uses the counter (i // 2, position, step << 16 | attempt, purpose) and the seed
    as key.
    """
    return _draw(seed_B, position_BS, step_B, attempt_B, purpose, count, gumbel=False)


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10: four counter words and two key words to four words, all int64 in [0, 2^32) and broadcastable."""
    c0, c1, c2, c3 = counter
    # the keys of all rounds at once: where there are few counters, the number of operations is what counts
    for k0, k1 in zip(*(_round_keys(k, step) for k, step in zip(key, _WEYL, strict=True)), strict=True):
        # int64 products wrap, which keeps all 64 bits; the low words are cut to 32 bits only where they are used next.
        product0, product1 = c0 * _MULTIPLIER[0], c2 * _MULTIPLIER[1]
        c0 = ((product1 >> 32) ^ (c1 ^ k0)).bitwise_and_(_WORD)
        c2 = ((product0 >> 32) ^ (c3 ^ k1)).bitwise_and_(_WORD)
        c1, c3 = product1, product0
    return c0, c1 & _WORD, c2, c3 & _WORD


def _round_keys(key: Tensor, step: int) -> tuple[Tensor, ...]:
    round_R = torch.arange(_ROUNDS, device=key.device).view(-1, *[1] * key.ndim)
    return ((round_R * step + key) & _WORD).unbind()


def _draw(
    seed_B: Tensor,
    position_BS: Tensor,
    step_B: Tensor,
    attempt_B: Tensor,
    purpose: Purpose,
    count: int,
    *,
    gumbel: bool,
) -> Tensor:
    B, S = position_BS.shape
    assert seed_B.shape == step_B.shape == attempt_B.shape == (B,), "one seed, step and attempt per row"
    # Asynchronous on an accelerator: the check does not wait for the device.
    torch._assert_async(((step_B | attempt_B) >> 16 == 0).all(), "step or attempt outside [0, 2^16)")
    torch._assert_async((position_BS >> 32 == 0).all(), "position outside [0, 2^32)")

    def flat(x: Tensor) -> Tensor:
        return x.expand(B, S).reshape(B * S, 1)

    position_N1 = flat(position_BS)
    key = (flat((seed_B & _WORD)[:, None]), flat(((seed_B >> 32) & _WORD)[:, None]))
    round_N1 = flat((attempt_B | step_B << 16)[:, None])
    purpose_11 = torch.full((1, 1), int(purpose), dtype=torch.int64, device=position_BS.device)

    M = (count + 1) // 2
    pair_M = torch.arange(M, device=position_BS.device)
    out_NM2 = torch.empty(B * S, M, 2, dtype=torch.float64, device=position_BS.device)
    budget = _CPU_COUNTERS if position_BS.device.type == "cpu" else _DEVICE_COUNTERS
    for m in _chunks(M, budget):
        for n in _chunks(B * S, max(1, budget // max(1, min(M, budget)))):
            counter = (pair_M[None, m], position_N1[n], round_N1[n], purpose_11)
            w0, w1, w2, w3 = philox4x32(counter, (key[0][n], key[1][n]))
            u_nm2 = out_NM2[n, m]
            u_nm2[..., 0] = _midpoint(w0, w1)
            u_nm2[..., 1] = _midpoint(w2, w3)
            if gumbel:
                u_nm2.log_().neg_().log_().neg_()
    return out_NM2.view(B, S, 2 * M)[..., :count]


def _midpoint(high: Tensor, low: Tensor) -> Tensor:
    """(2k + 1) / 2^53 for the 52-bit number k of two 32-bit words."""
    k = (high << 20) | (low >> 12)
    return k.mul_(2).add_(1).to(torch.float64).mul_(2.0**-53)


def _chunks(total: int, size: int) -> Iterator[slice]:
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
