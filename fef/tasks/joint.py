"""Tasks whose tokens depend on each other: drawing each token on its own gives wrong answers.

`shuffle`, `brackets` and `checksum` have many right answers and the reference is drawn uniformly from them; `reverse`
and `replace` have one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from fef.tasks.inventory import ANIMALS, COLOURS, NAMES, PLACES, THINGS, WORDS
from fef.tasks.problem import Problem

__all__ = ["draw", "score"]

FAMILY = "joint"


def draw(rng: random.Random) -> Problem:
    """Draw one problem of a uniformly drawn task."""
    return rng.choice(_DRAWS)(rng)


def score(problem: Problem, response: str) -> bool:
    """Whether the response is any right answer, apart from white space."""
    return _SCORERS[problem.task](problem.check, response)


_SHUFFLE_ASKS = (
    "Shuffle these words: {words}.",
    "Put these words in another order: {words}.",
    "Write these words in a new order: {words}.",
)


def _shuffle(rng: random.Random) -> Problem:
    words = rng.sample(WORDS, rng.randint(4, 7))
    answer = words
    while answer == words:
        answer = rng.sample(words, len(words))
    prompt = rng.choice(_SHUFFLE_ASKS).format(words=", ".join(words))
    return Problem(FAMILY, "shuffle", prompt, ", ".join(answer), {"words": words})


def _score_shuffle(check: Mapping[str, Any], response: str) -> bool:
    given: list[str] = check["words"]
    words = _listed(response)
    return words != given and sorted(words) == sorted(given)


_REVERSE_ASKS = (
    "Reverse these words: {words}.",
    "Write these words from last to first: {words}.",
    "Put these words in reverse order: {words}.",
)


def _reverse(rng: random.Random) -> Problem:
    words = rng.sample(WORDS, rng.randint(4, 7))
    prompt = rng.choice(_REVERSE_ASKS).format(words=", ".join(words))
    return Problem(FAMILY, "reverse", prompt, ", ".join(words[::-1]), {"words": words})


def _score_reverse(check: Mapping[str, Any], response: str) -> bool:
    given: list[str] = check["words"]
    return _listed(response) == given[::-1]


def _listed(response: str) -> list[str]:
    return [word.strip() for word in response.split(",")]


_REPLACE_ASKS = (
    "Replace {old} with {new}: {sentence}",
    "Write {new} in place of {old}: {sentence}",
    "Change the word {old} to {new}: {sentence}",
)
_SENTENCES = (
    "The {animal} takes {n} {colour} {thing} to the {place}.",
    "At the {place}, a {colour} {animal} finds {n} {thing}.",
    "{name} has a {animal} and {n} {colour} {thing} at the {place}.",
    "A {animal} at the {place} sees {name} with {n} {colour} {thing}.",
    "{name} gives {n} {thing} to the {colour} {animal} at the {place}.",
)
_KINDS: dict[str, Sequence[str]] = {
    "animal": ANIMALS,
    "colour": COLOURS,
    "thing": THINGS,
    "place": PLACES,
}


def _replace(rng: random.Random) -> Problem:
    words = {kind: rng.choice(choices) for kind, choices in _KINDS.items()}
    kind = rng.choice(tuple(_KINDS))
    old, new = words[kind], rng.choice([word for word in _KINDS[kind] if word != words[kind]])
    form, name, n = rng.choice(_SENTENCES), rng.choice(tuple(NAMES)), rng.randint(2, 99)
    prompt = rng.choice(_REPLACE_ASKS).format(old=old, new=new, sentence=form.format(name=name, n=n, **words))
    answer = form.format(name=name, n=n, **{**words, kind: new})
    return Problem(FAMILY, "replace", prompt, answer, {"sentence": answer})


def _score_replace(check: Mapping[str, Any], response: str) -> bool:
    sentence: str = check["sentence"]
    return response.split() == sentence.split()


_PAIRS = {"(": ")", "[": "]", "{": "}"}
_BRACKETS_ASKS = (
    "Complete to {total} balanced brackets: {prefix}",
    "Write {total} balanced brackets that start with: {prefix}",
    "Balance these brackets, {total} in all: {prefix}",
)


def _brackets(rng: random.Random) -> Problem:
    total = rng.choice((8, 10, 12, 14, 16))
    shown = rng.randint(3, total // 2 + 1)
    prefix = _finish_brackets(rng, "", total)[:shown]
    answer = _finish_brackets(rng, prefix, total)
    prompt = rng.choice(_BRACKETS_ASKS).format(total=total, prefix=" ".join(prefix))
    return Problem(FAMILY, "brackets", prompt, " ".join(answer), {"prefix": prefix, "total": total})


def _finish_brackets(rng: random.Random, prefix: str, total: int) -> str:
    """A uniformly drawn balanced string of `total` brackets that starts with `prefix`."""
    text, pending = prefix, _unclosed(prefix) or ""
    while len(text) < total:
        left = total - len(text) - 1
        opening = len(_PAIRS) * _completions(len(pending) + 1, left)
        closing = _completions(len(pending) - 1, left)
        if rng.randrange(opening + closing) < opening:
            bracket = rng.choice(tuple(_PAIRS))
            text, pending = text + bracket, pending + bracket
        else:
            text, pending = text + _PAIRS[pending[-1]], pending[:-1]
    return text


@cache
def _completions(depth: int, left: int) -> int:
    """The number of ways to close `depth` open brackets with exactly `left` more brackets."""
    if depth < 0 or depth > left:
        return 0
    if left == 0:
        return 1
    return len(_PAIRS) * _completions(depth + 1, left - 1) + _completions(depth - 1, left - 1)


def _unclosed(text: str) -> str | None:
    """The opening brackets still open at the text's end; None when a bracket closes nothing or is no bracket."""
    pending = ""
    for bracket in text:
        if bracket in _PAIRS:
            pending += bracket
        elif pending and _PAIRS[pending[-1]] == bracket:
            pending = pending[:-1]
        else:
            return None
    return pending


def _score_brackets(check: Mapping[str, Any], response: str) -> bool:
    text = "".join(response.split())
    return len(text) == check["total"] and text.startswith(check["prefix"]) and _unclosed(text) == ""


_CHECKSUM_ASKS = (
    "Write {n} digits, the first a {first}, with a sum that ends in {d}.",
    "{name} needs {n} digits that start with {first} and have a sum that ends in {d}.",
    "Give {name} {n} digits, the first a {first}, so that the sum ends in {d}.",
    "The code of {name} has {n} digits, starts with {first} and has a sum that ends in {d}. Write the code.",
)


def _checksum(rng: random.Random) -> Problem:
    digits = [rng.randrange(10) for _ in range(3)]
    check = {"n": len(digits), "first": digits[0], "d": sum(digits) % 10}
    # Digits drawn uniformly are, given their number, first digit and sum, uniform among the right answers.
    prompt = rng.choice(_CHECKSUM_ASKS).format(name=rng.choice(tuple(NAMES)), **check)
    return Problem(FAMILY, "checksum", prompt, " ".join(map(str, digits)), check)


def _score_checksum(check: Mapping[str, Any], response: str) -> bool:
    text = "".join(response.split())
    if not (text.isascii() and text.isdigit() and len(text) == check["n"]):
        return False
    digits = [int(digit) for digit in text]
    first: int = check["first"]
    return digits[0] == first and sum(digits) % 10 == check["d"]


_DRAWS: tuple[Callable[[random.Random], Problem], ...] = (_shuffle, _reverse, _replace, _brackets, _checksum)
_SCORERS: dict[str, Callable[[Mapping[str, Any], str], bool]] = {
    "shuffle": _score_shuffle,
    "reverse": _score_reverse,
    "replace": _score_replace,
    "brackets": _score_brackets,
    "checksum": _score_checksum,
}
