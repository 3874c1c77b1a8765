"""Worked answers for problems that come with an equation only (MAWPS, ASDiv): a line for each operation."""

from __future__ import annotations

import re

from fef.corpus.expressions import Expression, evaluate, parse
from fef.corpus.numerals import Number, plain
from fef.corpus.problems import Solved
from fef.eval.numbers import same_number

__all__ = ["solved_by_steps", "worked_steps"]

_MOST_DECIMALS = 2
_UNIT = re.compile(
    r"\bhow many (?:more |fewer |less |total |extra |other |of the |of his |of her )*((?:[a-z-]+ ){0,2}?[a-z-]+)"
    r"(?= (?:did|does|do|is|are|was|were|has|have|had|will|would|can|could|should|must|may|in|on|of|to|per|left|altogether"
    r"|total|more|fewer|less|remain(?:ed)?|she|he|they|i|you|we|than|for|at|each|all|there|that|with|from)\b|\s?\?)",
    re.IGNORECASE,
)
_MONEY = re.compile(r"\bhow much\b.*\b(?:cost|money|spend|spent|pay|paid|earn|earned|owe|price|worth)\b", re.IGNORECASE)


def solved_by_steps(question: str, equation: str, answer: str) -> Solved | None:
    """The problem with its worked answer; None where the equation is unreadable, inexact or not the answer."""
    expression = parse(equation)
    if expression is None:
        return None
    try:
        if not same_number(plain(evaluate(expression), _MOST_DECIMALS), answer):
            return None
        return Solved(question, worked_steps(expression, *wrapping(question)))
    except (ZeroDivisionError, ValueError):
        return None


def worked_steps(expression: Expression, currency: str = "", unit: str = "") -> str:
    """`( 54 - 18 ) - 26` as `54 - 18 = <<54-18=36>>36`, `36 - 26 = <<36-26=10>>10 children` and the answer's line.

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
    head, mark, end = lines[-1].rpartition(">>")
    lines[-1] = f"{head}{mark}{end}{unit}" if not currency else f"{head.replace('<<', currency + '<<')}{mark}{end}"
    return "\n".join([*lines, f"#### {answer}"])


def wrapping(question: str) -> tuple[str, str]:
    """What stands before and behind the last result: a dollar sign, or the unit that the question asks for."""
    if "$" in question and _MONEY.search(question):
        return "$", ""
    found = _UNIT.search(question)
    plural = found is not None and found[1].lower().endswith("s")
    return "", f" {found[1].lower()}" if found and plural else ""
