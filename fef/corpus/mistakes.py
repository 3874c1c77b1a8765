"""`python -m fef.corpus.mistakes`: why answers to solved problems are wrong. Reads what `fef eval gsm8k --out` wrote.

A wrong answer is one of four: it has no final number; it has a sum that does not hold; its sums hold, but it computes with a
number that neither the question nor a sum before gives; or it goes another way than the problem asks for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fef.cli.output import Group
from fef.corpus.check import equations_of, wrong_equations
from fef.corpus.sums import is_explained
from fef.errors import InputError
from fef.eval.numbers import final_number
from fef.eval.tasks import TASKS
from fef.measure.answers import Answer
from fef.measure.journal import read_answers

__all__ = ["mistake"]

app = typer.Typer(cls=Group, add_completion=False, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def mistakes(
    file: Annotated[Path, typer.Option("--file", help="The problems, as given to fef eval.")],
    results: Annotated[Path, typer.Option("--results", help="The folder that fef eval --out wrote.")],
    show: Annotated[int, typer.Option("--show", min=0, help="So many answers of each kind.")] = 2,
) -> None:
    """Count the mistakes in answers to solved problems by their kind."""
    problems = TASKS["gsm8k"].read(file)
    records = read_answers(results)
    if not records or max(records) >= len(problems):
        raise InputError(
            f"{results} does not answer the {len(problems)} problems of {file}. Give the file it was made of."
        )
    kinds: dict[str, list[Answer]] = {}
    for index, record in sorted(records.items()):
        kind = "right" if record.right else mistake(problems[index]["question"], record.text)
        kinds.setdefault(kind, []).append(record)
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        typer.echo(f"{kind}: {len(found)} of {len(records)}, {100 * len(found) / len(records):.1f} %")
        for record in found[:show] if kind != "right" else ():
            problem = problems[record.index]
            lines = (f"Q: {problem['question']}", f"A: {record.text}", f"right: {problem['answer']}")
            typer.echo("".join(f"  {'; '.join(line.splitlines())}\n" for line in lines))


def mistake(question: str, answer: str) -> str:
    """The kind of a wrong answer."""
    if final_number(answer) is None:
        return "no number"
    if wrong_equations(answer):
        return "wrong sum"
    equations = [f"{left} = {right}" for left, right in equations_of(answer)]
    return "other way" if is_explained(question, equations, parts=True) else "number from nowhere"


if __name__ == "__main__":
    app(prog_name="python -m fef.corpus.mistakes")
