"""How much of the corpus comes from each source."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["DEFAULT_COUNT", "DIALOGUE", "SHARES", "counts_of"]

DEFAULT_COUNT = 400_000
DIALOGUE = "dialogue"

SHARES: Mapping[str, float] = {
    "gsm8k": 0.12,
    "gsm8k-variation": 0.16,
    "mawps-asdiv": 0.06,
    "mawps-asdiv-variation": 0.08,
    "distractor": 0.07,
    "joined": 0.04,
    "two-kinds": 0.14,
    "story-steps": 0.10,
    "story-comparison": 0.05,
    "story-scene": 0.02,
    "arithmetic": 0.08,
    "families": 0.01,
    "mbpp": 0.02,  # of 350 tasks, so each comes back often
    DIALOGUE: 0.05,
}


def counts_of(count: int, names: Collection[str]) -> dict[str, int]:
    """The number of examples of each of these sources, in proportion to their shares; they sum to `count`."""
    total = sum(SHARES[name] for name in names)
    ends, upto = [0], 0.0
    for name in names:
        upto += SHARES[name]
        ends.append(round(count * upto / total))
    return {name: end - start for name, start, end in zip(names, ends, ends[1:], strict=False)}
