"""The Python program of an answer, in Markdown fences, between [BEGIN] and [DONE] or amid prose, and whether it passes the
tests of HumanEval or MBPP in `fef.tasks.sandbox`."""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Collection, Sequence
from itertools import dropwhile, takewhile

from fef.tasks.sandbox import run_python

__all__ = ["called_names", "defined_names", "humaneval_program", "mbpp_program", "passes", "python_code"]

# Markers of MBPP's prompts: at the beginning or end of a line, or behind the quote that closes the program.
_BEGIN = re.compile(r"^[ \t]*\[BEGIN\]|\[BEGIN\][ \t]*$", re.MULTILINE)
_DONE = re.compile(r"""^[ \t]*\[DONE\]|(?<=['"`])[ \t]*\[DONE\](?!['"`])|(?<![=(,\[] )\[DONE\][ \t]*$""", re.MULTILINE)
_QUOTES = ("'''", '"""', "'", '"', "`")

_FENCE = re.compile(r"(?P<indent>[ \t]*)(?P<fence>`{3,}|~{3,})[{.\s]*(?P<language>[\w+#]*)[^`]*")
_PYTHON = ("python", "python3", "py", "py3")
_START = re.compile(r"(?P<indent>[ \t]*)(?:(?:(?:async[ \t]+)?def|class|import|from)[ \t]|@\w)")
_SETUP = re.compile(r"[A-Za-z_][\w, ]*=[^=]|#|[ \t]*$")
_DEFINITION = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+(\w+)", re.MULTILINE)

SECONDS = 10.0
MEMORY_MIB = 1024

# What a continuation of a function starts when it goes on behind the function's end.
_NEXT = re.compile(r"\n(?:def |class |if |print|assert |from |import |@|#|```|<\|)")


Block = tuple[str, str]
"""A fenced piece of an answer: the language that its fence names, in lower case, "" for none; and its code."""


def python_code(response: str, wanted: Collection[str] = ()) -> str:
    """The program of an answer that should define the `wanted` names.

    Among its Python and unnamed blocks, and the code outside of fences, it is the last that defines the most of them. Where
    none does: the first Python block, else the first unnamed one, else the code outside of fences if no name is wanted, else
    the whole answer, which may be the rest of a function.
    """
    text = without_markers(response.replace("\r\n", "\n").replace("\r", "\n"))
    if is_program(text):
        return text
    blocks, loose = split_blocks(text.split("\n"))
    # a block without a name may be the rest of a function
    blocks = [(name, code) for name, code in blocks if name in _PYTHON or (not name and parsed(textwrap.dedent(code)))]
    sources = [loose, *(code for _, code in blocks)]
    best = max(reversed(sources), key=lambda source: len(defined_names(source) & set(wanted)))
    if defined_names(best) & set(wanted):
        return best
    if blocks:
        return min(blocks, key=lambda block: not block[0])[1]
    return loose if loose and not wanted else text


def defined_names(code: str) -> set[str]:
    """The functions, classes and variables of a module; of one that does not parse, its `def` and `class` lines."""
    tree = parsed(code)
    if tree is None:
        return set(_DEFINITION.findall(code))
    found: set[str] = set()
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(statement.name)
        elif isinstance(statement, ast.Assign):
            found |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return found


def parsed(code: str) -> ast.Module | None:
    try:
        return parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def parse(code: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of what a model wrote; nobody here can mend it
        return ast.parse(code)


def without_markers(text: str) -> str:
    """What stands between [BEGIN] and [DONE], where one of them is, without quotes around it that are not its own."""
    done = _DONE.search(text)
    region = text if done is None else text[: done.start()]
    region = _BEGIN.split(region)[-1]
    return unquoted(text if region == text else region.strip("\n").rstrip())


def unquoted(code: str) -> str:
    """The code without one pair of quotes, or one quote that has no partner, where only that makes it a program."""
    if is_program(code):
        return code
    bare = code.strip()
    for quote in _QUOTES:
        both = bare.removeprefix(quote).removesuffix(quote)
        for candidate in (both, bare.removeprefix(quote), bare.removesuffix(quote)):
            if candidate != bare and is_program(candidate):
                return candidate.strip("\n")
    return code


def is_program(code: str) -> bool:
    """Whether the code parses, and neither to texts alone nor with words among its statements."""
    tree = parsed(code)
    if tree is None or any(map(is_word, tree.body)):
        return False
    return not all(isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant) for s in tree.body)


def split_blocks(lines: list[str]) -> tuple[list[Block], str]:
    """The fenced blocks of a text, and its code outside of them.

    Code outside of fences goes on from a definition or an import, with the assignments and comments above it, as far as it
    parses; a fence inside one of its docstrings opens no block.
    """
    blocks: list[Block] = []
    loose: list[str] = []
    at = done = 0
    while at < len(lines):
        fence, start = _FENCE.fullmatch(lines[at]), _START.match(lines[at])
        if fence is not None:
            block, length = fenced_block(lines[at:], fence)
            blocks.append(block)
            at = done = at + length
        elif start is not None and (code := longest_program(lines[at:], start["indent"])):
            end = at + code.count("\n") + 1
            above = takewhile(lambda i: _SETUP.match(lines[i]), range(at - 1, done - 1, -1))
            tops = [at, *(i for i in above if parsed(dedented(lines[i:end], start["indent"])) is not None)]
            loose.append(dedented(lines[tops[-1] : end], start["indent"]).strip("\n"))
            at = done = end
        else:
            at += 1
    return blocks, "\n".join(loose)


def fenced_block(lines: list[str], fence: re.Match[str]) -> tuple[Block, int]:
    """The block that the first line opens, and how many lines it takes.

    It ends at the first closing fence behind which it parses (fences inside its docstrings do not close it), else at the
    first closing fence, else with the text.
    """
    closing = re.compile(rf"\s*{fence['fence']}{fence['fence'][0]}*\s*")
    ends = [i for i in range(1, len(lines)) if closing.fullmatch(lines[i])] or [len(lines)]
    end = next((end for end in ends if parsed(dedented(lines[1:end], fence["indent"])) is not None), ends[0])
    return (fence["language"].lower(), dedented(lines[1:end], fence["indent"])), end + 1


def dedented(lines: list[str], indent: str) -> str:
    return "\n".join(line.removeprefix(indent) for line in lines)


def longest_program(lines: list[str], indent: str) -> str:
    """The most lines from the first on, without their indent, that parse, less prose that parses by chance; "" for none."""
    lines = [
        line.removeprefix(indent) for line in takewhile(lambda line: not line.strip() or line.startswith(indent), lines)
    ]
    end = len(lines)
    while end > 0:
        try:
            statements = parse("\n".join(lines[:end])).body
        except SyntaxError as error:
            end = min(end - 1, (error.lineno or end) - 1)
        except (ValueError, RecursionError, MemoryError):
            return ""
        else:
            kept = [*dropwhile(is_word, reversed(statements))]
            if len(kept) < len(statements):
                end = (kept[0].end_lineno or 0) if kept else 0
            return "\n".join(lines[:end]).rstrip()
    return ""


def is_word(statement: ast.stmt) -> bool:
    """Whether a statement is a name, names in a row or `Name: name`, as prose may be."""
    if isinstance(statement, ast.AnnAssign):
        return statement.value is None
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name | ast.Tuple | ast.Attribute)


def humaneval_program(prompt: str, entry_point: str, test: str, code: str) -> str:
    """The program that tests the code of an answer to a HumanEval prompt: a whole function, or the rest of the one begun.

    A whole function gets the imports and helpers that stand above it in the prompt.
    """
    if entry_point in defined_names(code):
        program = prompt[: prompt.rindex(f"def {entry_point}(")] + code
    else:
        program = prompt + _NEXT.split("\n" + code, maxsplit=1)[0].removeprefix("\n")
    return f"{program}\n{test}\ncheck({entry_point})\n"


def mbpp_program(setup: str, tests: Sequence[str], code: str) -> str:
    """The program that tests the code of an answer to an MBPP prompt."""
    return "\n".join([code, setup, *tests]) + "\n"


def called_names(setup: str, tests: Sequence[str]) -> Collection[str]:
    """What the tests of an MBPP task call and neither they nor Python define: the names that an answer should define."""
    source = "\n".join([setup, *tests])
    tree = parsed(source)
    nodes = [] if tree is None else ast.walk(tree)
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    return called - defined_names(source) - set(dir(builtins))


def passes(program: str) -> bool:
    """Whether a program runs to its end within the time (10 s) and memory (1 GiB) of the sandbox."""
    return run_python(program, timeout=SECONDS, memory_mib=MEMORY_MIB).ok
