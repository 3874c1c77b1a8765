"""Keyed random numbers on the device: those of `fef.laws.draws`."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["gumbel", "philox"]


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10 on uint32 words, as `fef.laws.draws.philox4x32`."""
    for _ in tl.static_range(10):
        high0, low0 = tl.umulhi(c0, 0xD2511F53), c0 * 0xD2511F53
        high1, low1 = tl.umulhi(c2, 0xCD9E8D57), c2 * 0xCD9E8D57
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 += 0x9E3779B9
        k1 += 0xBB67AE85
    return c0, c1, c2, c3


@triton.jit
def gumbel(high, low):
    """-log(-log u) of the midpoint u = (2k + 1) / 2^53 of two 32-bit words."""
    k = (high.to(tl.uint64) << 20) | (low >> 12).to(tl.uint64)
    u = (k * 2 + 1).to(tl.float64) * 1.1102230246251565e-16
    return -tl.log(-tl.log(u))
