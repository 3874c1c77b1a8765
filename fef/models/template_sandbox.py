"""A Jinja sandbox for templates of strangers: they see no Python, and their work and memory are bounded.

Every loop, call, filter and operator spends from one budget, counted in characters that it makes, so that a template
either always renders the same messages or never does, however slow the machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from typing import Any, cast

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, LoopContext, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

__all__ = ["BoundedSandbox", "budget"]

BUDGET = 1 << 27  # characters made, all steps together: half a million steps of a loop, seconds of work, 0.5 GB at most
STEP = 256  # the price of a step, whatever it does
CALL = 1024  # and of a call on top of it
READ_PER_CHARACTER = 16  # characters read for the price of one that is made
ITEM = 16  # an item of a collection that is made, or walked through by a filter that does not know it without
KNOWING = {"count", "d", "default", "first", "last", "length"}
SLOW = {"striptags", "title", "urlize", "wordcount", "wordwrap"}  # they take long over each character
MULTIPLYING = {"replace", "join", "indent", "expandtabs", "format", "format_map", "translate"}
MOST_BITS = 1 << 12  # of a product or power
LEFT: ContextVar[list[int]] = ContextVar("LEFT")


@contextmanager
def budget() -> Iterator[None]:
    """Templates run inside of this; each time has a fresh budget."""
    token = LEFT.set([BUDGET])
    try:
        yield
    finally:
        LEFT.reset(token)


def spend(count: int) -> None:
    """Raises TemplateError when the budget is spent; outside of one nothing may run, and no constant is computed early."""
    left = LEFT.get(None)
    if left is None:
        raise nodes.Impossible
    left[0] -= count
    if left[0] < 0:
        raise TemplateError(f"it loops too often or makes too long a text (over {BUDGET} steps and characters)")


class Generation(Extension):
    """`{% generation %}` marks what a model is trained on; it renders its body."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class BoundedSandbox(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation], finalize=bounded_output
        )
        del self.globals["lipsum"]
        self.filters = {name: bounded_filter(name, f) for name, f in self.filters.items()}
        self.filters |= {"(loop)": bounded_loop, "(concat)": bounded_concat}

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        self.filters[name] = bounded_filter(name, function)

    def compiled(self, source: str) -> Template:
        """The template of a source. Raises TemplateError and whatever Python's compiler does."""
        tree = self.parse(source)
        for loop in list(tree.find_all(nodes.For)):
            literal = sum(len(part.data) for part in loop.find_all(nodes.TemplateData))
            loop.iter = filtered(cast(nodes.Expr, loop.iter), "(loop)", nodes.Const(STEP + literal))
        replace_concats(tree)
        tree.set_environment(self)
        return self.from_string(tree)

    def call(self, context: Context, obj: Any, /, *args: Any, **options: Any) -> Any:
        args = tuple(map(settled, args))
        receiver = getattr(obj, "__self__", None)
        name = getattr(obj, "__name__", "") if isinstance(receiver, str) else ""
        spend(CALL)
        spend_on_arguments(name, ([receiver] if name else []) + [*args, *options.values()])
        return spend_on_result(super().call(context, obj, *args, **options))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None

        def bounded(*args: Any, **options: Any) -> str:
            spend_on_arguments("format", [value.__self__, *args, *options.values()])
            return str(wrapped(*args, **options))

        return bounded

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator in ("*", "**") and isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > MOST_BITS:
                raise TemplateError("it makes too large a number")
        elif operator == "*":
            spend(STEP + weight(left) * weight(right))
        elif operator == "%" and isinstance(left, str):
            spend_on_arguments("format", [left, *(right if isinstance(right, tuple) else [right])])
        return spend_on_result(super().call_binop(context, operator, left, right))


def filtered(value: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(value, name, list(args), [], None, None, lineno=value.lineno)


def replace_concats(node: nodes.Node) -> None:
    """`a ~ b` becomes a filter, since Jinja lets no one watch it otherwise."""
    for name, value in list(node.iter_fields()):
        if isinstance(value, nodes.Node):
            replace_concats(value)
            setattr(node, name, without_concat(value))
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, nodes.Node):
                    replace_concats(part)
            setattr(node, name, [without_concat(part) for part in value])


def without_concat(value: Any) -> Any:
    if not isinstance(value, nodes.Concat):
        return value
    return filtered(nodes.List(value.nodes, lineno=value.lineno), "(concat)")


def bounded_loop(items: Any, price: int) -> Any:
    if items is None or isinstance(items, Undefined):
        return items
    items = settled(items)
    spend(price * length(items))
    return items


def settled(value: Any) -> Any:
    """What comes piece by piece as a list, so that its length is known."""
    lazy = isinstance(value, Iterator) and not isinstance(value, LoopContext)
    return list(islice(value, BUDGET // STEP)) if lazy else value


def bounded_concat(parts: list[Any]) -> str:
    return "".join(str(bounded_output(part)) for part in parts)


def bounded_output(value: Any) -> Any:
    spend(text_size(value))
    return value


def bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # with the mark of those that take the context first
    def bounded(*args: Any, **options: Any) -> Any:
        args = tuple(map(settled, args))
        given = args[1:] if hasattr(function, "jinja_pass_arg") else args
        spend_on_arguments(name, [*given, *options.values()])
        if name in ("string", "tojson", "pprint", "join", "escape", "e", "urlencode", "xmlattr"):
            spend(text_size(given[0]) if given else 0)
        if name in SLOW:
            spend(ITEM * text_size(given[0]) if given else 0)
        if name not in KNOWING:
            spend(ITEM * sum(length(value) for value in given if not isinstance(value, str)))
        return spend_on_result(function(*args, **options))

    return bounded


def spend_on_arguments(name: str, values: list[Any]) -> None:
    """The price of reading them, and of what a function of that name can make of them."""
    spend(STEP + sum(len(v) // READ_PER_CHARACTER if isinstance(v, str) else length(v) for v in values))
    first, *rest = [weight(v) for v in values] or [0]
    if name in MULTIPLYING and rest:
        if name in ("format", "format_map"):
            first *= max([1, *(int(digits[:12]) for digits in re.findall(r"\d+", str(values[0])))])
        if (1 + first) * (1 + sum(rest)) > BUDGET:
            raise TemplateError(f"its {name} could make too long a text")
    elif any(isinstance(v, int) and abs(v) > BUDGET for v in values):
        raise TemplateError("it calls a function with too large a number")


def spend_on_result(value: Any) -> Any:
    spend(len(value) if isinstance(value, str) else STEP + ITEM * length(value))
    return value


def weight(value: Any) -> int:
    """What a value can multiply a text by: a number by itself, others by their length."""
    return (
        abs(int(value)) if isinstance(value, int | float) and abs(value) < 1 << 62 else max(1, text_size(value) - STEP)
    )


def length(value: Any) -> int:
    return len(value) if isinstance(value, Sized) and not isinstance(value, Undefined) else 0


def text_size(value: Any) -> int:
    """The number of characters of `str(value)`, with the steps to make it; at most a little more than the budget."""
    total, left = 0, [value]
    while left and total <= BUDGET:
        part = left.pop()
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, int):
            total += part.bit_length()
        elif isinstance(part, Mapping):
            left += [*part.keys(), *part.values()]
        elif isinstance(part, Collection):
            left += part
        total += STEP
    return total
