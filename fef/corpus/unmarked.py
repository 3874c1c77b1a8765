"""Solutions that leave some of their steps without a calculator mark: the marks are put in where a reader sees the sum."""

from __future__ import annotations

import re

from fef.corpus.check import MARK, holds

__all__ = ["with_all_marks"]

_NUMBER = r"(?:\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))%?)"
_SIGN = r"(?:[-+*/\u00d7\u00f7\u2212\u2013]|x(?=[\s\d$(.]))"
_UNIT = r"(?:\s?/?\s?[A-Za-z][A-Za-z']*){0,4}?"  # `hours`, `dollars/hour`, `square feet`
_TERM = rf"[([]*{_NUMBER}{_UNIT}[)\]]*"
_SUM = re.compile(
    rf"(?<![\w.,$%)/])(?P<left>{_TERM}(?:\s?{_SIGN}\s?{_TERM}|\({_NUMBER}\))+)\s?=\s?\$?"
    rf"(?P<mark><<[^>]*>>)?(?P<right>{_NUMBER})(?![\d,.]*\d)(?!\s?{_SIGN}\s?[\d$(]|[nxyz]\b)"
)
_AFTER_SIGN = re.compile(rf"{_SIGN}\s?$")
_UNIT_WORD = re.compile(r"\s?/?\s?[A-WYZa-wyz][A-Za-z']*|\s?/?\s?[xX](?=[A-Za-z'])[A-Za-z']*")
_ASCII = str.maketrans(
    {"x": "*", "\u00d7": "*", "\u00f7": "/", "\u2212": "-", "\u2013": "-", "[": "(", "]": ")", "$": None, ",": None}
)
_TIMES_UNSAID = re.compile(r"(?<=[\d)])\s?\(")


def with_all_marks(solution: str) -> str:
    """The solution with a mark, `<<40*12=480>>480`, at each sum that holds and has none, whatever units it is told in.

    A mark without an operation, `<<38=38>>`, gives way to the sum that stands before it.
    """
    return "\n".join(_SUM.sub(marked, line) for line in solution.split("\n"))


def marked(found: re.Match[str]) -> str:
    mark = found["mark"]
    if (mark and has_operation(mark)) or _AFTER_SIGN.search(found.string[: found.start()]):
        return found[0]
    left, right = plain_sum(found["left"]), found["right"].translate(_ASCII)
    if right.endswith("%"):  # 100% - 72% = 28%
        left, right = left.replace("%", ""), right[:-1]
    if not holds(left, right):
        return found[0]
    start = found.start("mark" if mark else "right") - found.start()
    end = found.start("right") - found.start()
    return f"{found[0][:start]}<<{left}={right}>>{found[0][end:]}"


def has_operation(mark: str) -> bool:
    (sides,) = MARK.findall(mark) or [("", "")]
    return re.search(r"\d\s*[-+*/]", sides[0]) is not None


def plain_sum(left: str) -> str:
    """`$1,440/week * 4 weeks` as `1440*4`, `9+2(8)` as `9+2*(8)`."""
    return _TIMES_UNSAID.sub("*(", _UNIT_WORD.sub("", left).translate(_ASCII)).replace(" ", "")
