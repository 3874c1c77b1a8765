"""How likely a checkpoint finds held-out answers: exact nats per token under its chain law, one JSON line.

    python -m fef.eval.likelihood --model smol --data dialogues.jsonl --max-new-tokens 192

Every answer of a conversation counts, behind all that was said before it, with the token that ends it. The length of the
canvas is a part of the law. Temperature is 1.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fef
from fef.errors import FefError, InputError
from fef.generation import Model
from fef.training.conversations import Answer, read_answers

__all__ = ["Likelihood", "likelihood_of", "main"]


@dataclass(frozen=True)
class Likelihood:
    """nats_per_token: of all tokens; error: its standard error, from answer to answer; left_out: answers that do not fit."""

    answers: int
    left_out: int
    tokens: int
    nats_per_token: float
    error: float


def likelihood_of(model: Model, answers: Sequence[Answer], max_new_tokens: int, verify: str = "auto") -> Likelihood:
    """verify: of the method fef, whose chain law this is.

    Raises InputError where no answer fits, OptionError for a law that the checkpoint does not have.
    """
    nats, tokens = [], []
    for answer in answers:
        prompt = answer.before if model.template is not None else answer.before[-1]["content"]
        try:
            found = model.score(prompt, answer.response, max_new_tokens=max_new_tokens, verify=verify)
        except InputError:
            continue
        nats.append(-sum(found.logprobs))
        tokens.append(len(found.logprobs))
    if not tokens:
        raise InputError(f"None of {len(answers)} answers fits a canvas of {max_new_tokens}; raise --max-new-tokens.")
    rate = sum(nats) / sum(tokens)
    spread = sum((n - rate * t) ** 2 for n, t in zip(nats, tokens, strict=True))  # of a ratio of sums
    return Likelihood(
        answers=len(tokens),
        left_out=len(answers) - len(tokens),
        tokens=sum(tokens),
        nats_per_token=rate,
        error=math.sqrt(spread) / sum(tokens),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Exact nats per token of held-out answers, as one JSON line.")
    parser.add_argument("--model", default="smol", help="a directory, a repository, demo or smol")
    parser.add_argument("--data", type=Path, required=True, help="JSONL of messages, or of prompts and responses")
    parser.add_argument("--limit", type=int, default=200, help="answers at most")
    parser.add_argument("--max-new-tokens", type=int, default=192, help="length of the canvas")
    parser.add_argument("--verify", choices=["auto", "packed", "rows"], default="auto", help="the law")
    parser.add_argument("--device", help="cpu or cuda; by default a GPU if there is one")
    given = parser.parse_args()
    try:
        answers = read_answers(given.data)[: given.limit]
        found = likelihood_of(fef.load(given.model, device=given.device), answers, given.max_new_tokens, given.verify)
    except FefError as error:
        parser.exit(2, f"fef: error: {error}\n")
    print(json.dumps({"model": given.model, "verify": given.verify} | asdict(found)))


if __name__ == "__main__":
    main()
