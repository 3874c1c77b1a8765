"""The kinds of functions that are asked for, each composed from tables of building blocks."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from fef.tasks.inventory import ANIMALS, COLOURS, THINGS
from fef.tasks.python_rules import Fixed, Rule, Task

__all__ = ["TASKS"]

# There is more than one right way to write a function: bodies and local names are drawn freely, as a person would.
_NUMBER_NAMES = ("x", "n", "v")
_WORD_NAMES = ("w", "t", "s")
_LIST_NAMES = ("res", "total", "values")

_NOUNS = (*ANIMALS, *COLOURS, *THINGS)
_ONE_TEST = 0.3
_LISTS = ("xs", "nums", "values")
_ALPHABET = "abcdefghiklmnoprstw"


def _small(rng: random.Random) -> int:
    return rng.randint(2, 9)


def _medium(rng: random.Random) -> int:
    return rng.randint(2, 30)


def _three_numbers(rng: random.Random) -> list[int]:
    return sorted(rng.sample(range(1, 21), 3))


def _two_words(rng: random.Random) -> list[str]:
    return rng.sample(_NOUNS, 2)


def _letter(rng: random.Random) -> str:
    return rng.choice(_ALPHABET)


def _mark(rng: random.Random) -> str:
    return rng.choice("-+*/:;!?")


# Two tests of a value come from different tables, so that they do not contradict each other.
_SHAPE_TESTS = (
    Rule("even", "x % 2 == 0", lambda x, _: x % 2 == 0),
    Rule("odd", "x % 2 == 1", lambda x, _: x % 2 != 0),
    Rule("multiples of {k}", "x % {k} == 0", lambda x, k: x % k == 0, lambda rng: rng.randint(3, 12)),
    Rule("in {k}", "x in {k}", lambda x, k: x in k, _three_numbers),
    Rule("not in {k}", "x not in {k}", lambda x, k: x not in k, _three_numbers),
)
_BOUND_TESTS = (
    Rule("positive", "x > 0", lambda x, _: x > 0),
    Rule("negative", "x < 0", lambda x, _: x < 0),
    Rule("greater than {k}", "x > {k}", lambda x, k: x > k, _medium),
    Rule("less than {k}", "x < {k}", lambda x, k: x < k, _medium),
    Rule("at least {k}", "x >= {k}", lambda x, k: x >= k, _medium),
    Rule("at most {k}", "x <= {k}", lambda x, k: x <= k, _medium),
    Rule("not equal to {k}", "x != {k}", lambda x, k: x != k, _medium),
)
_NUMBER_MAPS = (
    Rule("", "x", lambda x, _: x),
    Rule("the squares of ", "x ** 2", lambda x, _: x * x),
    Rule("the cubes of ", "x ** 3", lambda x, _: x * x * x),
    Rule("the doubles of ", "x * 2", lambda x, _: x + x),
    Rule("the negatives of ", "-x", lambda x, _: -x),
    Rule("{k} times ", "x * {k}", lambda x, k: x * k, lambda rng: rng.randint(3, 20)),
    Rule("{k} plus ", "x + {k}", lambda x, k: x + k, _medium),
    Rule("{k} minus ", "{k} - x", lambda x, k: k - x, _medium),
)
# `{g}` is the generator of the chosen values and `{of}` their description.
_NUMBER_RESULTS = (
    Rule("the list of {of}", "[{g}]", lambda xs, _: xs),
    Rule("the sum of {of}", "sum({g})", lambda xs, _: sum(xs)),
    Rule("the sorted list of {of}", "sorted({g})", lambda xs, _: sorted(xs)),
    Rule(
        "the largest of {of}, or {k} if there are none",
        "max(({g}), default={k})",
        lambda xs, k: max(xs, default=k),
        lambda rng: rng.randint(0, 9),
    ),
    Rule(
        "the smallest of {of}, or {k} if there are none",
        "min(({g}), default={k})",
        lambda xs, k: min(xs, default=k),
        lambda rng: rng.randint(0, 9),
    ),
    Rule("the first {k} of {of}", "[{g}][:{k}]", lambda xs, k: xs[:k], _small),
    Rule("the last {k} of {of}", "[{g}][-{k}:]", lambda xs, k: xs[-k:], _small),
)


def _tests(rng: random.Random, first: Sequence[Rule], second: Sequence[Rule]) -> Fixed:
    """A test of a value from one table or one from each, in any order; `k` lists the constants."""
    one, two = (rng.choice(table).fix(rng) for table in rng.sample((first, second), 2))
    if rng.random() < _ONE_TEST:
        return Fixed(one.phrase, one.code, lambda value, _: one(value), [one.k])
    return Fixed(
        phrase=f"{one.phrase} and {two.phrase}",
        code=f"{one.code} and {two.code}",
        rule=lambda value, _: one(value) and two(value),
        k=[one.k, two.k],
    )


def _numbers(rng: random.Random) -> Task:
    """Choose numbers of a list, change each, and sum, sort or list them."""
    test, change = _tests(rng, _SHAPE_TESTS, _BOUND_TESTS), rng.choice(_NUMBER_MAPS).fix(rng)
    result, values = rng.choice(_NUMBER_RESULTS).fix(rng), rng.choice(_LISTS)
    return Task(
        parameter=values,
        returns=result.phrase.replace("{of}", f"{change.phrase}the numbers in {values} that are {test.phrase}"),
        body=_chosen_body(rng, result.code, change.code, test.code, values, "x", _NUMBER_NAMES),
        inputs=_number_lists(test.k),
        reference=lambda xs: result([change(x) for x in xs if test(x)]),
    )


def _number_lists(constants: Sequence[Any]) -> list[list[int]]:
    """An empty list, lists around the constants, where an off-by-one function shows, and mixed ones."""
    edges = [k if isinstance(k, int) else k[1] for k in constants if k is not None] or [5]
    return [
        [],
        edges,
        *([edge + 1, edge, edge - 1] for edge in edges),
        list(range(-6, 26)),
        [3, 12, 3, 8, -5, 40, 6, 31, 0, 19, 24, 2, 36, 27, 18, 33],
        [-7, -2, 50, 50, 11, 1, 15, 60, 20],
    ]


def _chosen_body(
    rng: random.Random, result: str, change: str, test: str, source: str, name: str, names: Sequence[str]
) -> str:
    """A body that takes the changed values of those that pass a test, written in one of three ways.

    `{g}` in `result` is the generator of the values; `name` is the element's name in `change` and `test`.
    """
    kept = rng.choice([n for n in _LIST_NAMES if n != source])
    bodies = (
        f"    return {result.replace('{g}', f'{change} for {name} in {source} if {test}')}",
        f"    {kept} = [{name} for {name} in {source} if {test}]\n"
        f"    return {result.replace('{g}', f'{change} for {name} in {kept}')}",
        f"    {kept} = []\n    for {name} in {source}:\n        if {test}:\n            {kept} += [{change}]\n"
        f"    return {result.replace('{g}', f'{name} for {name} in {kept}')}",
    )
    return _rename(rng.choice(bodies), name, rng.choice(names))


def _rename(body: str, name: str, new: str) -> str:
    return re.sub(rf"(?<![\w\"'])\b{name}\b(?![\w\"'])", new, body)


_LOOPS = (
    Rule("starts at {k} and adds", "+=", lambda total, k: k + total, lambda rng: rng.randint(0, 99)),
    Rule("starts at {k} and takes off", "-=", lambda total, k: k - total, lambda rng: rng.randint(0, 99)),
)


def _loop(rng: random.Random) -> Task:
    """Fold a list into one number with a loop."""
    fold, change = rng.choice(_LOOPS).fix(rng), rng.choice(_NUMBER_MAPS).fix(rng)
    values, total = rng.choice(_LISTS), rng.choice(("total", "res", "s"))
    bodies = (
        f"    {total} = {fold.k}\n    for x in {values}:\n        {total} {fold.code} {change.code}\n    return {total}",
        f"    return {fold.k} {fold.code[0]} sum({change.code} for x in {values})",
        f"    {total} = sum({change.code} for x in {values})\n    return {fold.k} {fold.code[0]} {total}",
    )
    return Task(
        parameter=values,
        returns=f"the total of a loop that {fold.phrase} {change.phrase}the numbers in {values}",
        body=_rename(rng.choice(bodies), "x", rng.choice(_NUMBER_NAMES)),
        inputs=_number_lists([change.k]),
        reference=lambda xs: fold(sum(map(change, xs))),
    )


_OUTCOMES = (
    Rule("x", "x", lambda x, _: x),
    Rule("the square of x", "x ** 2", lambda x, _: x * x),
    Rule("{k} times x", "x * {k}", lambda x, k: x * k, lambda rng: rng.randint(3, 20)),
    Rule("{k} plus x", "x + {k}", lambda x, k: x + k, _medium),
    Rule("{k} minus x", "{k} - x", lambda x, k: k - x, _medium),
    Rule("{k}", "{k}", lambda _, k: k, _medium),
    Rule("{k}", "{k}", lambda _, k: k, lambda rng: rng.choice(_NOUNS)),
)


def _choice(rng: random.Random) -> Task:
    """Return one of two values by a test of a number."""
    test = _tests(rng, _SHAPE_TESTS, _BOUND_TESTS)
    yes, no = (rule.fix(rng) for rule in rng.sample(_OUTCOMES, 2))
    _, edges, *around, every, mixed, others = _number_lists(test.k)
    bodies = (
        f"    if {test.code}:\n        return {yes.code}\n    return {no.code}",
        f"    return {yes.code} if {test.code} else {no.code}",
        f"    res = {no.code}\n    if {test.code}:\n        res = {yes.code}\n    return res",
    )
    return Task(
        parameter="x",
        returns=f"{yes.phrase} if x is {test.phrase.replace('multiples', 'a multiple')}, else {no.phrase}",
        body=rng.choice(bodies),
        inputs=sorted({-9, 0, *edges, *(x for xs in around for x in xs), *every[::5], *mixed[::5], *others[::3]}),
        reference=lambda x: yes(x) if test(x) else no(x),
    )


_LETTER_TESTS = (
    Rule("start with {k}", "w.startswith({k})", lambda w, k: w[: len(k)] == k, _letter),
    Rule("end with {k}", "w.endswith({k})", lambda w, k: w[-len(k) :] == k, _letter),
    Rule("contain {k}", "{k} in w", lambda w, k: w.count(k) > 0, _letter),
    Rule("do not contain {k}", "{k} not in w", lambda w, k: w.count(k) == 0, _letter),
)
_WHOLE_WORD_TESTS = (
    Rule("are longer than {k} letters", "len(w) > {k}", lambda w, k: len(w) > k, _small),
    Rule("are shorter than {k} letters", "len(w) < {k}", lambda w, k: len(w) < k, _small),
    Rule("are not {k}", "w != {k}", lambda w, k: w != k, lambda rng: rng.choice(_NOUNS)),
    Rule("are in {k}", "w in {k}", lambda w, k: w in k, _two_words),
    Rule("are not in {k}", "w not in {k}", lambda w, k: w not in k, _two_words),
)
_WORD_MAPS = (
    Rule("", "w", lambda w, _: w),
    Rule("the lengths of ", "len(w)", lambda w, _: len(w)),
    Rule("the reverses of ", "w[::-1]", lambda w, _: "".join(reversed(w))),
    Rule("the upper case of ", "w.upper()", lambda w, _: w.upper()),
    Rule("the first {k} letters of ", "w[:{k}]", lambda w, k: w[:k], _small),
    Rule("the last {k} letters of ", "w[-{k}:]", lambda w, k: w[-k:], _small),
    Rule("{k} after each of ", "w + {k}", lambda w, k: w + k, _mark),
    Rule("{k} before each of ", "{k} + w", lambda w, k: k + w, _mark),
)
_WORD_RESULTS = (
    Rule("the list of {of}", "[{g}]", lambda ws, _: ws),
    Rule("the sorted list of {of}", "sorted({g})", lambda ws, _: sorted(ws)),
    Rule("the number of different values of {of}", "len(set({g}))", lambda ws, _: len(set(ws))),
    Rule("the text that joins with {k} {of}", "{k}.join({g})", lambda ws, k: k.join(ws), _mark),
    Rule("the first {k} of {of}", "[{g}][:{k}]", lambda ws, k: ws[:k], _small),
)


def _words(rng: random.Random) -> Task:
    """Choose words of a list, change each, and count, join or list them."""
    test, change = _tests(rng, _LETTER_TESTS, _WHOLE_WORD_TESTS), rng.choice(_WORD_MAPS).fix(rng)
    result = rng.choice(_NUMBER_RESULTS if isinstance(change(""), int) else _WORD_RESULTS).fix(rng)
    return Task(
        parameter="words",
        returns=result.phrase.replace("{of}", f"{change.phrase}the words that {test.phrase}"),
        body=_chosen_body(rng, result.code, change.code, test.code, "words", "w", _WORD_NAMES),
        inputs=_word_lists(test.k),
        reference=lambda words: result([change(word) for word in words if test(word)]),
    )


def _word_lists(constants: Sequence[Any]) -> list[list[str]]:
    """An empty list, lists around the constants (a letter, a length, a word or two words), and mixed ones."""
    edges = [word for k in constants for word in _words_around(k)]
    return [
        [],
        edges,
        edges[::-1],
        ["cat", "toads", *edges, "dog", "coins", "a", "horse", "mask"],
        ["big", "spoon", "lemons", "fig", "stamps", "nuts", "rabbits", "keys", "ox", "plates", "hat", "elephants"],
        [f"{letter}u" for letter in _ALPHABET],
        [f"mu{letter}" for letter in _ALPHABET],
    ]


def _words_around(k: Any) -> list[str]:
    if isinstance(k, int):
        return ["hillsidepath"[: k + step] for step in (0, 1, -1)]
    if isinstance(k, str):
        return [k, f"{k}ub", f"bu{k}", f"u{k}t"]
    return [*k, k[0] + "s"]


_TEXT_STEPS = (
    Rule("in upper case", "s.upper()", lambda s, _: s.upper()),
    Rule("reversed", "s[::-1]", lambda s, _: "".join(reversed(s))),
    Rule("without {k}", 's.replace({k}, "")', lambda s, k: "".join(c for c in s if c != k), _letter),
    Rule("with {k} for each space", 's.replace(" ", {k})', lambda s, k: k.join(s.split(" ")), _mark),
    Rule("cut to {k} letters", "s[:{k}]", lambda s, k: s[:k], _medium),
    Rule("without the first {k} letters", "s[{k}:]", lambda s, k: s[k:], _small),
    Rule("with {k} at the end", "s + {k}", lambda s, k: s + k, _mark),
    Rule("with {k} at the start", "{k} + s", lambda s, k: k + s, lambda rng: rng.choice(_NOUNS)),
    Rule("{k} times", "s * {k}", lambda s, k: s * k, _small),
)


def _text(rng: random.Random) -> Task:
    """Change a text in two or three steps."""
    steps = [rule.fix(rng) for rule in rng.sample(_TEXT_STEPS, rng.choice((2, 3, 3)))]

    def reference(text: str) -> str:
        for step in steps:
            text = step(text)
        return text

    return Task(
        parameter="s",
        returns="s " + ", then ".join(step.phrase for step in steps),
        body=rng.choice((_steps_body, _steps_body_short))(steps),
        inputs=[
            "",
            "a",
            "the red fox",
            "a cat and a dog ",
            "coins",
            "Big hats make long shadows in the low sun",
            _ALPHABET,
        ],
        reference=reference,
    )


def _steps_body(steps: Sequence[Fixed]) -> str:
    return "".join(f"    s = {step.code}\n" for step in steps) + "    return s"


def _steps_body_short(steps: Sequence[Fixed]) -> str:
    return "".join(f"    s = {step.code}\n" for step in steps[:-1]) + f"    return {steps[-1].code}"


TASKS: dict[str, Callable[[random.Random], Task]] = {
    "numbers": _numbers,
    "loop": _loop,
    "choice": _choice,
    "words": _words,
    "text": _text,
}
