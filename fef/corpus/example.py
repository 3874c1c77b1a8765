"""One example of the corpus: a conversation and the source it came from."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from fef.corpus.percentages import by_hundredths
from fef.corpus.sums import as_sums, by_digits
from fef.eval.tasks import TASKS, Message, message

__all__ = ["CorpusExample", "Solved", "code_block", "exchange", "maths_example"]

_AS_EVALUATED = 0.5  # of problems asked in the words of the evaluation; the others stand alone


@dataclass(frozen=True)
class Solved:
    """A question and its solution with calculator marks."""

    question: str
    solution: str


@dataclass(frozen=True)
class CorpusExample:
    """Messages of `user` and `assistant` in turn, the last one the assistant's."""

    source: str
    messages: Sequence[Message]

    def line(self, problem: Solved | None = None) -> str:
        """As JSON; with the fields of a task, by which `fef eval --file` can ask it, where a problem is given."""
        record = {"messages": list(self.messages), "source": self.source}
        if problem is not None:
            record |= {"question": problem.question, "answer": problem.solution}
        return json.dumps(record, ensure_ascii=False) + "\n"


def exchange(source: str, prompt: str, response: str) -> CorpusExample:
    return CorpusExample(source, (message("user", prompt), message("assistant", response)))


def maths_example(source: str, question: str, solution: str, rng: random.Random) -> CorpusExample:
    """A problem with the sums of its solution, a line each, and a line `#### answer`. The solution must be such a chain."""
    sums = as_sums(solution)
    assert sums is not None
    asked = TASKS["gsm8k"].ask({"question": question}) if rng.random() < _AS_EVALUATED else question
    return exchange(source, asked, by_digits(by_hundredths(question, sums)))


def code_block(code: str) -> str:
    """Python in a block, without carriage returns and spaces at the ends of lines."""
    lines = (line.rstrip() for line in code.replace("\t", "    ").splitlines())
    return "```python\n" + "\n".join(lines).strip("\n") + "\n```"
