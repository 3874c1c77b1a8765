"""How likely a checkpoint finds held-out answers: exact nats per token under its chain law, one JSON line.

    python -m fef.eval.likelihood --model smol --data dialogues.jsonl --max-new-tokens 192

Every answer of a conversation counts, behind all that was said before it, with the token that ends it. The length of the
canvas is a part of the law. Temperature is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fef
from fef.errors import InputError
from fef.generation import Model
from fef.measure.intervals import mean_per_token
from fef.measure.program import option, program, told
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
    mean, error = mean_per_token(nats, tokens)
    return Likelihood(len(tokens), len(answers) - len(tokens), sum(tokens), mean, error)


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    data: Path = option(help="JSONL of messages, or of prompts and responses")
    model: str = option("smol", "a directory, a repository, demo or smol")
    limit: int = option(200, "answers at most")
    max_new_tokens: int = option(192, "length of the canvas")
    verify: str = option("auto", "the law", choices=["auto", "packed", "rows"])
    device: str | None = option(None, "cpu or cuda; by default a GPU if there is one")


@program(Options, __doc__)
def main(given: Options) -> None:
    answers = read_answers(given.data)[: given.limit]
    found = likelihood_of(fef.load(given.model, device=given.device), answers, given.max_new_tokens, given.verify)
    told(model=given.model, verify=given.verify, **asdict(found))


if __name__ == "__main__":
    main()
