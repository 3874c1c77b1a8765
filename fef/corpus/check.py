"""Whether the sums in a text are right: calculator marks, and equations between plain numbers as a reader sees them."""

from __future__ import annotations

import re

from fef.corpus.expressions import evaluate, parse
from fef.eval.numbers import final_number, same_number

__all__ = ["MARK", "equations_of", "is_worked_out", "wrong_equations"]

_NUMBER = r"\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))"
_SIGNS = "-+*/x\u00d7\u00f7\u2212\u2013"
_OPERATOR = rf"\s?[{_SIGNS}]\s?"
_SIDE = rf"{_NUMBER}(?:{_OPERATOR}{_NUMBER})"
# no part of a longer side, of a percentage or of a number with a unit
_EQUATION = re.compile(
    rf"(?<![\w.,$%)])(?<![\d%)]\s)(?<![{_SIGNS}=]\s)(?<![{_SIGNS}=(])({_SIDE}+)\s?=\s?({_NUMBER})"
    rf"(?![\d,.]*\d)(?!\s?[{_SIGNS}%]\s?[\d$(])(?!\s?%)"
)
_ASCII = str.maketrans({"x": "*", "\u00d7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "$": None, ",": None})
MARK = re.compile(r"<<([^<>=]*)=([^<>=]*)>>")


def wrong_equations(text: str) -> list[str]:
    """The equations of a text that do not hold. Calculator marks count beside what is seen without them."""
    pairs = [*MARK.findall(text), *equations_of(text)]
    return [f"{left}={right}" for left, right in pairs if not holds(left, right)]


def equations_of(text: str) -> list[tuple[str, str]]:
    """Both sides of the equations that a reader sees, as digits and signs."""
    found = (equation.group(1, 2) for equation in _EQUATION.finditer(MARK.sub("", text)))
    return [(left.translate(_ASCII), right.translate(_ASCII)) for left, right in found]


def holds(left: str, right: str) -> bool:
    sides = parse(left), parse(right)
    if sides[0] is None or sides[1] is None:
        return False
    try:
        return evaluate(sides[0]) == evaluate(sides[1])
    except ZeroDivisionError:
        return False


def is_worked_out(solution: str) -> bool:
    """Whether a solution with calculator marks holds: every equation, and the answer is what the last mark gives."""
    results = [right for _, right in MARK.findall(solution)]
    return bool(results) and not wrong_equations(solution) and same_number(final_number(solution), results[-1])
