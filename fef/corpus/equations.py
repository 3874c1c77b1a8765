"""Worked answers for problems that come with an equation only (MAWPS, ASDiv): a line for each operation."""

from __future__ import annotations

from fef.corpus.example import Solved
from fef.corpus.expressions import Expression, evaluate, parse
from fef.corpus.numerals import Number, plain
from fef.eval.numbers import same_number

__all__ = ["solved_by_steps", "worked_steps"]

_MOST_DECIMALS = 2


def solved_by_steps(question: str, equation: str, answer: str) -> Solved | None:
    """The problem with its worked answer; None where the equation is unreadable, inexact or not the answer."""
    expression = parse(equation)
    if expression is None:
        return None
    try:
        if not same_number(plain(evaluate(expression), _MOST_DECIMALS), answer):
            return None
        return Solved(question, worked_steps(expression))
    except (ZeroDivisionError, ValueError):
        return None


def worked_steps(expression: Expression) -> str:
    """`( 54 - 18 ) - 26` as `54 - 18 = <<54-18=36>>36`, `36 - 26 = <<36-26=10>>10` and the answer's line.

    Raises ValueError for a result that is not positive or has more than two decimals.
    """
    lines: list[str] = []
    stack: list[Number] = []
    for token in expression:
        if not isinstance(token, str):
            stack.append(token)
            continue
        right, left = stack.pop(), stack.pop()
        stack.append(evaluate((left, right, token)))
        if stack[-1] <= 0:
            raise ValueError("a result that is not positive")
        first, second, result = (plain(value, _MOST_DECIMALS) for value in (left, right, stack[-1]))
        lines.append(f"{first} {token} {second} = <<{first}{token}{second}={result}>>{result}")
    answer = plain(stack[0], _MOST_DECIMALS)
    if not lines:
        raise ValueError("nothing to work out")
    return "\n".join([*lines, f"#### {answer}"])
