"""Groups and arguments in LaTeX: what stands in boxes, and one way to write the arguments of a command."""

from __future__ import annotations

import re
from collections import deque

__all__ = ["boxes", "with_braces"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
_ARGUMENTS = {"\\frac": 2, "\\binom": 2, "\\sqrt": 1, "^": 1, "_": 1}
_DEEPEST = 50  # groups inside groups; text that nests deeper is no mathematics and stays as it is


def boxes(text: str) -> list[str]:
    """The contents of each `\\boxed{...}` or `\\fbox{...}` that closes, by where they begin; braces inside are balanced. Of
    boxes in boxes, those that no more than 50 braces enclose."""
    begins = {box.end() for box in _BOX.finditer(text)}
    found: dict[int, str] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.end())
        elif brace[0] == "}" and opened:
            begin = opened.pop()
            if begin in begins and len(opened) < _DEEPEST:
                found[begin] = text[begin : brace.start()]
    return [found[begin] for begin in sorted(found)]


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
    if depth == _DEEPEST:
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
