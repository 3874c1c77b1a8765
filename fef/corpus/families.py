"""The project's own problem families as conversations. Only prompts of their training split are drawn."""

from __future__ import annotations

import random

from fef.corpus.example import CorpusExample, code_block, exchange, maths_example
from fef.tasks import FAMILIES, generate

__all__ = ["draw"]

_SEEDS = 2**62


def draw(source: str, rng: random.Random) -> CorpusExample:
    """One problem of a random family."""
    family = rng.choice(FAMILIES)
    (problem,) = generate(family, 1, seed=rng.randrange(_SEEDS))
    prompt = problem.prompt.strip()
    if family == "word-problems":
        return maths_example(source, prompt, problem.response, rng)
    return exchange(source, prompt, code_block(problem.response) if family == "python" else problem.response)
