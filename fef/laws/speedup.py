"""Closed forms of speculative decoding's speed (Leviathan et al. 2023, arXiv 2211.17192; FeF-DLLM, arXiv
2605.14305)."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["re_predictions", "speedup", "tokens_per_round"]


def tokens_per_round(acceptance: float | Sequence[float], window: int, *, bonus: bool, first_free: bool) -> float:
    """Expected tokens that a round commits.

    acceptance: probability 1 - TV(p, q) that a draft is accepted given that all before it were, one number or one per
    slot of the window. bonus: a fully accepted window yields one more token from the target. first_free: the first
    draft comes from the target law itself and is always accepted (its number is ignored).

    The k-th token is committed if and only if the k - 1 drafts before it were accepted:
    E = sum_{k=1}^{window + bonus} prod_{l<k} a_l, for one number (1 - a^{window + bonus}) / (1 - a).
    """
    assert window >= 1, "a round attempts at least one slot"
    rates = [float(acceptance)] * window if isinstance(acceptance, (int, float)) else [float(a) for a in acceptance]
    assert len(rates) == window, "one acceptance probability per slot"
    assert all(0 <= a <= 1 for a in rates), "acceptance is a probability"
    if first_free:
        rates[0] = 1.0
    expected, reached = 0.0, 1.0
    for rate in rates:
        expected += reached
        reached *= rate
    return expected + reached if bonus else expected


def re_predictions(steps: int) -> float:
    """How often each position is predicted in a decode of `steps` passes: sum_{k=1}^{T} k / T = (T + 1) / 2.

    Pass k of T starts with the fraction k / T masked (linear schedule, value-free re-masking).
    """
    assert steps >= 1, "at least one pass"
    return (steps + 1) / 2


def speedup(
    acceptance: float | Sequence[float],
    window: int,
    steps: int,
    *,
    draft_cost: float,
    verify_cost: float,
    sequential_cost: float = 1.0,
    bonus: bool,
    first_free: bool,
) -> float:
    """Expected speed relative to one token per call.

    draft_cost and verify_cost: what drafting a window and verifying it cost; sequential_cost: one call of the
    one-token decoder; all three in one unit (calls, token-forwards, or measured seconds: a verification of many rows
    rarely costs one call). The other arguments are those of `tokens_per_round`; `steps` passes divide the speed by
    `re_predictions(steps)`.
    """
    tokens = tokens_per_round(acceptance, window, bonus=bonus, first_free=first_free)
    return tokens * sequential_cost / (draft_cost + verify_cost) / re_predictions(steps)
