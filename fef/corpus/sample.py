"""`python -m fef.corpus.sample`: answers that a model gave to training problems, kept where they are right and new.

Rejection sampling (Yuan et al., 2308.01825): another chain of sums with the right result shows another way. `python -m
fef.corpus.answer` gives the answers, at temperature and as often as wanted, to the prompts of a corpus.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from fef.cli.output import Group
from fef.corpus.check import equations_of, wrong_equations
from fef.corpus.example import CorpusExample
from fef.corpus.self_text import read_conversations
from fef.corpus.sums import is_explained
from fef.errors import InputError
from fef.eval.numbers import final_number, same_number
from fef.eval.tasks import Message
from fef.files import check_writable, write_whole

__all__ = ["kept_solutions"]

SOURCE = "sampled"
app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def sample(
    corpus: Annotated[
        Path, typer.Option("--corpus", help="The examples whose prompts were answered, with their answers.")
    ],
    answers: Annotated[
        list[Path], typer.Option("--answers", help="What python -m fef.corpus.answer wrote. Repeatable.")
    ],
    out: Annotated[
        Path, typer.Option("--out", help="The right and new ones, JSONL of messages, to be trained on as well.")
    ],
) -> None:
    """Keep a model's right and new answers to problems of a corpus."""
    check_writable(out, corpus, *answers)
    given = [conversation for path in answers for conversation in read_conversations(path)]
    kept, dropped = kept_solutions(read_conversations(corpus), given)
    if not kept:
        raise InputError(
            f"None of {len(given)} answers is right and new: {dict(dropped)}. Sample at a higher temperature."
        )
    write_whole(out, "".join(example.line() for example in kept))
    typer.echo(f"Kept {len(kept):,} of {len(given):,} answers in {out}; left out: {dict(dropped)}.")


def kept_solutions(
    solved: Iterable[Sequence[Message]], answered: Iterable[Sequence[Message]]
) -> tuple[list[CorpusExample], Counter[str]]:
    """The answers with the right final number, whose sums hold and come from the question, and whose text is new; how many
    others there are, by the reason."""
    known: dict[str, set[str]] = {}
    for *asked, reply in solved:
        known.setdefault(key_of(asked), set()).add(reply["content"].strip())
    kept: list[CorpusExample] = []
    dropped: Counter[str] = Counter()
    for *asked, reply in answered:
        texts = known.get(key_of(asked))
        reason = "unknown prompt" if texts is None else fault_of(asked[-1]["content"], reply["content"].strip(), texts)
        if texts is None or reason is not None:
            dropped[reason or ""] += 1
            continue
        texts.add(reply["content"].strip())
        kept.append(CorpusExample(SOURCE, (*asked, reply)))
    return kept, dropped


def key_of(messages: Sequence[Message]) -> str:
    return "\n".join(turn["content"].strip() for turn in messages)


def fault_of(question: str, answer: str, known: Iterable[str]) -> str | None:
    """Why an answer is not kept; None for a good one."""
    known = list(known)
    if answer in known:
        return "known"
    number, right = final_number(answer), final_number(known[0])
    if right is None or not same_number(number, right):
        return "wrong"
    equations = [f"{left} = {result}" for left, result in equations_of(answer)]
    if not equations or wrong_equations(answer):
        return "wrong sum"
    return None if is_explained(question, equations, parts=True) else "number from nowhere"


if __name__ == "__main__":
    app(prog_name="python -m fef.corpus.sample")
