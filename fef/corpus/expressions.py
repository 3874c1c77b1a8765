"""Arithmetic expressions, as calculator marks and answer keys hold them, in exact numbers."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from fractions import Fraction

from fef.corpus.numerals import Number, exact, value_of

__all__ = ["Expression", "evaluate", "operands", "parse"]

# Reverse Polish: "16 - 3 - 4" is (16, 3, "-", 4, "-").
Expression = tuple[Number | str, ...]

_OPERATORS: Mapping[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_PERCENT = re.compile(r"(\d*\.\d+|\d+)\s*%")
_LEADING_ZEROS = re.compile(r"(?<![\d.])0+(?=\d)")


def parse(text: str) -> Expression | None:
    """The expression that a text is; None for any other text. `20%` is 20/100."""
    if not text.isascii():
        return None
    source = _LEADING_ZEROS.sub("", _PERCENT.sub(r"(\1/100)", text.replace(",", "")).strip())
    try:  # not the parser's own numbers, which are floats
        return postfix(ast.parse(source, mode="eval").body, source)
    except (SyntaxError, ValueError):
        return None


def postfix(node: ast.expr, source: str) -> Expression:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return (*postfix(node.left, source), *postfix(node.right, source), _OPERATORS[type(node.op)])
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return (value_of(source[node.col_offset : node.end_col_offset]),)
    raise ValueError("neither a number nor an operation")


def operands(expression: Expression) -> list[Number]:
    return [token for token in expression if not isinstance(token, str)]


def evaluate(expression: Expression, values: Mapping[Number, Number] | None = None) -> Number:
    """The value, of other numbers where `values` is given. Raises ZeroDivisionError."""
    stack: list[Number] = []
    for token in expression:
        if isinstance(token, str):
            right = stack.pop()
            stack.append(_APPLY[token](stack.pop(), right))
        else:
            stack.append(token if values is None else values[token])
    return stack[0]


def divide(left: Number, right: Number) -> Number:
    if isinstance(left, int) and isinstance(right, int) and right and left % right == 0:
        return left // right
    return exact(Fraction(left) / right)


def simplified(apply: Callable[[Number, Number], Number]) -> Callable[[Number, Number], Number]:
    def whole_or_fraction(left: Number, right: Number) -> Number:
        result = apply(left, right)
        return result if isinstance(result, int) else exact(result)

    return whole_or_fraction


_APPLY: Mapping[str, Callable[[Number, Number], Number]] = {
    "+": simplified(operator.add),
    "-": simplified(operator.sub),
    "*": simplified(operator.mul),
    "/": divide,
}
