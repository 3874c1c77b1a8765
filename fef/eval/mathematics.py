"""The final expression of a worked answer in LaTeX, and when two of them are the same (MATH).

The normal form is light: it removes what never carries meaning (spacing, `\\left`, text, units) and writes fractions, roots
and numbers in one way. It does no algebra: `x + 1` and `1 + x` differ.
"""

from __future__ import annotations

import re
from collections import deque

from fef.eval.numbers import DEEPEST, boxes, read_number, same_number

__all__ = ["final_expression", "normal_form", "same_expression"]

_FINAL = re.compile(r"final answer is:?\s*(.+?)(?:\.\s|\.?$|I hope)", re.IGNORECASE | re.MULTILINE)
_DOLLARS = re.compile(r"\$([^$]+)\$")

_UNIT = (
    r"(?:(?:square|cubic|sq)\b\.?\s*)?(?:units?|degrees?|dollars?|cents?|inch(?:es)?|in|feet|foot|ft|yards?|miles?|mi|mph|"
    r"[ckm]?m|(?:centi|milli|kilo)?met(?:er|re)s?|k?g|(?:kilo)?grams?|pounds?|lbs?|seconds?|minutes?|hours?|days?|weeks?|"
    r"months?|years?)\b\.?"
)
_UNITS = rf"\s*{_UNIT}(?:\s*(?:/|per\b)?\s*{_UNIT})*\s*"
_POWER = r"(?:\^\{?\d\}?)?"
_UNIT_TEXT = re.compile(rf"(?<=[\w}}).$\s%])\\(?:mbox|text|textbf|textrm|mathrm)\{{{_UNITS}\}}{_POWER}")
_QUANTITY_TEXT = re.compile(rf"\\(?:mbox|text|textbf|textrm|mathrm)\{{([^{{}}]*\d){_UNITS}\}}{_POWER}")
_DROPPED = re.compile(
    r"\\left(?![A-Za-z])|\\right(?![A-Za-z])|(?<!\\)\\[!,;: ]|\\q?quad|\\displaystyle|\\(?:big|Big)[lr]?(?![A-Za-z])"
    r"|\^\s*\{?\\circ\}?|\\degree|\\\$|\$|\\%|%"
)
_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mbox|mathrm|mathbf|operatorname)\{([^{}]*)\}")
_SLASH = re.compile(r"(?<!\w)(-?\d+)/(\d+)(?![\w{])")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\\!)\s*(?=\d{3}(?!\d))")
_LABEL = re.compile(r"^(?:[a-zA-Z]|[a-zA-Z]\([a-zA-Z]\))=(?=.)")
_CHOICE = re.compile(r"^\(([A-Z])\)$")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
_ARGUMENTS = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1, "^": 1, "_": 1}


def final_expression(text: str) -> str | None:
    """What stands in the last `\\boxed{}` that closes, after "final answer is", or else between the last dollars; or None."""
    found = boxes(text) or [stated.strip() for stated in _FINAL.findall(text) or _DOLLARS.findall(text)]
    return found[-1] if found else None


def same_expression(first: str | None, second: str | None) -> bool:
    """Whether two LaTeX answers have one normal form, or are numbers of one value."""
    if first is None or second is None:
        return False
    a, b = normal_form(first), normal_form(second)
    return a == b or same_number(a, b)


def normal_form(text: str) -> str:
    """The expression without what carries no meaning, with fractions, roots and numbers written in one way."""
    text = text.replace("\u2212", "-").replace("\n", " ").strip()
    text = _THOUSANDS.sub("", text).replace("{,}", ",")
    text = re.sub(r"\\[dtc]frac(?![A-Za-z])", r"\\frac", text)
    text = _QUANTITY_TEXT.sub(r"\1", _UNIT_TEXT.sub("", text))
    text = _TEXT.sub(r"\1", _DROPPED.sub("", text)).strip().rstrip(".")
    text = with_braces(text)
    text = _SLASH.sub(r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\(ne|le|ge)q(?![A-Za-z])", r"\\\1", text)
    text = _CHOICE.sub(r"\1", _LABEL.sub("", text))
    return read_number(text) or text


def with_braces(text: str) -> str:
    """The text without white space, each argument of a fraction, root, exponent or index in braces.

    As in TeX an argument without braces is one character or one command with its own arguments: `\\sqrt[3]2` is
    `\\sqrt[3]{2}`, `\\frac{\\sqrt{3}}2` is `\\frac{\\sqrt{3}}{2}`, and `x^12` is `x^{1}2`.
    """
    tokens = deque(_TOKEN.findall(text))
    written = ""
    while tokens:
        written = joined(written, atom(tokens, 0))
    return written


def atom(tokens: deque[str], depth: int) -> str:
    """Takes one character, or one command with its arguments, from the left."""
    token = tokens.popleft()
    if depth == DEEPEST:
        return token
    if token == "\\sqrt" and tokens and tokens[0] == "[":
        while tokens and not token.endswith("]"):
            token = joined(token, atom(tokens, depth + 1))
        return token + argument(tokens, depth + 1)
    return token + "".join(argument(tokens, depth + 1) for _ in range(_ARGUMENTS.get(token, 0)))


def argument(tokens: deque[str], depth: int) -> str:
    """Takes one argument from the left, and writes it in braces."""
    if not tokens or tokens[0] == "}":
        return "{}"
    if tokens[0] != "{":
        return f"{{{atom(tokens, depth)}}}"
    tokens.popleft()
    written, opened = "", 1
    while tokens:
        opened += (tokens[0] == "{") - (tokens[0] == "}")
        if opened == 0:
            tokens.popleft()
            break
        written = joined(written, atom(tokens, depth))
    return f"{{{written}}}"


def joined(left: str, right: str) -> str:
    """Both in a row; a letter behind a command's name stays apart from it."""
    apart = right[:1].isalpha() and re.search(r"\\[A-Za-z]+$", left) is not None
    return f"{left} {right}" if apart else left + right
