"""The final expression of a worked answer in LaTeX, and when two of them are the same (MATH).

The normal form is light: it removes what never carries meaning (spacing, `\\left`, text, units) and writes fractions, roots
and decimals in one way. It does no algebra: `x + 1` and `1 + x` differ.
"""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["final_expression", "normal_form", "same_expression"]

_FINAL = re.compile(r"final answer is:?\s*(.+?)(?:\.\s|\.?$|I hope)", re.IGNORECASE | re.MULTILINE)
_DOLLARS = re.compile(r"\$([^$]+)\$")

_DROPPED = re.compile(
    r"\\left|\\right|(?<!\\)\\[!,;: ]|\\q?quad|\\displaystyle|\\(?:big|Big)[lr]?|\^\{?\\circ\}?|\\degree|\\\$|\$|\\%|%"
    r"|\\(?:mbox|text|textbf|mathrm)\{\s*(?:cm|m|in|inch|inches|ft|feet|units?|degrees?|square|cubic|dollars?|cents?|"
    r"hours?|minutes?|seconds?|days?|miles?|mph|sq)[^{}]*\}(?:\^\{?\d\}?)?"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|mbox|mathrm|mathbf|operatorname)\{([^{}]*)\}")
_SHORT_FRACTION = re.compile(r"\\frac(?:\{([^{}]*)\}|(\w))(?:\{([^{}]*)\}|(\w))")
_SLASH = re.compile(r"(?<!\w)(-?\d+)/(\d+)(?![\w{])")
_SHORT_ROOT = re.compile(r"\\sqrt\s*(\w)")
_LABEL = re.compile(r"^(?:[a-zA-Z]|[a-zA-Z]\([a-zA-Z]\))=(?=.)")
_CHOICE = re.compile(r"^\(([A-Z])\)$")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d*)?|\.\d+)")
_FRACTION = re.compile(r"(-?)\\frac\{(-?\d+)\}\{(-?\d+)\}")


def final_expression(text: str) -> str | None:
    """What stands in the last `\\boxed{}`, after "final answer is", or else between the last dollars; None without any."""
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed
    for pattern in (_FINAL, _DOLLARS):
        found = pattern.findall(text)
        if found:
            return str(found[-1]).strip()
    return None


def last_boxed(text: str) -> str | None:
    """The contents of the last `\\boxed{...}` or `\\fbox{...}`, braces inside it balanced; None where it never closes."""
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth = 1
    for i in range(begin, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[begin:i]
    return None


def same_expression(first: str | None, second: str | None) -> bool:
    """Whether two LaTeX answers have one normal form, or are numbers of one value."""
    if first is None or second is None:
        return False
    a, b = normal_form(first), normal_form(second)
    if a == b:
        return True
    x, y = as_fraction(a), as_fraction(b)
    return x is not None and x == y


def normal_form(text: str) -> str:
    """The expression without what carries no meaning, with fractions, roots and numbers written in one way."""
    text = text.strip().rstrip(".").replace("\n", "")
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\\cfrac", "\\frac")
    text = _DROPPED.sub("", text)
    text = _TEXT.sub(r"\1", text)
    text = re.sub(r"\s+", "", text)
    text = _THOUSANDS.sub("", text) if _NUMBER.fullmatch(text.replace(",", "")) else text
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SHORT_FRACTION.sub(lambda m: f"\\frac{{{m[1] or m[2] or ''}}}{{{m[3] or m[4] or ''}}}", text)
    text = _SLASH.sub(r"\\frac{\1}{\2}", text)
    text = text.replace("\\neq", "\\ne").replace("\\leq", "\\le").replace("\\geq", "\\ge")
    return _CHOICE.sub(r"\1", _LABEL.sub("", text))


def as_fraction(text: str) -> Fraction | None:
    """The value of a plain number or of a `\\frac` of whole numbers."""
    if _NUMBER.fullmatch(text):
        return Fraction(text)
    found = _FRACTION.fullmatch(text)
    if found is None or int(found[3]) == 0:
        return None
    value = Fraction(int(found[2]), int(found[3]))
    return -value if found[1] else value
