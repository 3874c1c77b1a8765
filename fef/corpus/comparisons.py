"""Several people or groups of whom each is told in terms of others: more, fewer, times, a part, together; in any order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from fef.corpus.chains import solved, with_numbers, worked
from fef.corpus.example import Solved
from fef.corpus.expressions import operands, parse
from fef.corpus.numerals import Number, plain
from fef.corpus.phrases import cast_of, chosen, number_words, told

__all__ = ["draw"]

_LARGEST = 600
_AVERAGED = 0.15
_SOLD = 0.25


@dataclass(frozen=True)
class Deed:
    """What all of them did: the verb in the past, as it stands behind `did`, and what is counted, in the plural."""

    past: str
    base: str
    unit: str


DEEDS: tuple[Deed, ...] = (
    *(Deed(*words.split()) for words in ("sold sell {u}", "collected collect {u}", "bought buy {u}", "made make {u}")),
    *(Deed(*words.split()) for words in ("had have {u}", "found find {u}", "packed pack {u}", "carried carry {u}")),
    *(
        Deed(*words.split())
        for words in ("read read pages", "scored score points", "ran run miles", "planted plant trees")
    ),
    *(Deed(*words.split()) for words in ("caught catch fish", "picked pick berries", "wrote write letters")),
    *(Deed(*words.split()) for words in ("solved solve problems", "watched watch movies", "earned earn dollars")),
    *(Deed(*words.split()) for words in ("saved save dollars", "built build towers", "drew draw pictures")),
    *(
        Deed(*words.split())
        for words in ("washed wash cars", "fed feed ducks", "baked bake loaves", "sent send messages")
    ),
)
_GROUPS = (
    ("the {red} team", "the {blue} team", "the {green} team", "the other team"),
    ("the first class", "the second class", "the third class", "the fourth class"),
    ("{A}'s family", "{B}'s family", "{C}'s family", "{D}'s family"),
    ("the {place} club", "the {place2} club", "the chess club", "the music club"),
    ("{A}", "{B}", "{C}", "{D}"),
    ("{A}", "{A}'s [brother|cousin|neighbor]", "{A}'s [sister|teacher|best friend]", "{A}'s [mother|father|uncle]"),
)
_PEOPLE = 0.6  # of the stories; the others are about groups, too

# How one is told in terms of another, {y}, or of two, {y} and {z}: the words, and the sum of their amounts.
_SINGLE: tuple[tuple[str, str], ...] = (
    ("{a} more {n} than {y}", "y + a"),
    ("{a} [|{n} ]more than {y}", "y + a"),
    ("{a} fewer {n} than {y}", "y - a"),
    ("{a_times} as many {n} as {y}", "a * y"),
    ("{a_times} as many[| {n}] as {y}[| did]", "a * y"),
    ("half as many {n} as {y}", "y / 2"),
    ("half of what {y} {did}", "y / 2"),
    ("a third as many {n} as {y}", "y / 3"),
    ("a quarter as many {n} as {y}", "y / 4"),
    ("{b} more than {a_times} as many {n} as {y}", "a * y + b"),
    ("{b} fewer than {a_times} as many {n} as {y}", "a * y - b"),
    ("{b} more than half as many {n} as {y}", "y / 2 + b"),
    ("{c}% more {n} than {y}", "y + y * c / 100"),
    ("{c}% fewer {n} than {y}", "y - y * c / 100"),
    ("as many {n} as {y}", "y"),
)
_DOUBLE: tuple[tuple[str, str], ...] = (
    ("as many {n} as {y} and {z} [together|combined]", "y + z"),
    ("{a} more {n} than {y} and {z} [together|combined]", "y + z + a"),
    ("{a} fewer {n} than {y} and {z} [together|combined]", "y + z - a"),
    ("{a_times} as many {n} as {y} and {z} [together|combined]", "( y + z ) * a"),
    ("half as many {n} as {y} and {z} [together|combined]", "( y + z ) / 2"),
)


def draw(rng: random.Random) -> Solved | None:
    """A story with its question and worked answer; None where its numbers do not work out."""
    deed, words = rng.choice(DEEDS), cast_of(rng)
    names = [chosen(name, rng) for name in (_GROUPS[4] if rng.random() < _PEOPLE else rng.choice(_GROUPS))]
    names = [told(name, words, {}, rng) if name[0] == "{" else told(f"X {name}", words, {}, rng)[2:] for name in names]
    count = rng.choice((2, 3, 3, 3, 4))
    unit = words["u"] if deed.unit == "{u}" else deed.unit
    first = rng.randint(4, 60) * rng.choice((1, 1, 2, 4))
    amounts: list[Number] = [first]
    sums: list[str] = []
    sentences = [chosen(f"{names[0]} {deed.past} {first} {unit}[.|.| {rng.choice(_WHEN)}.]", rng)]
    for at in range(1, count):
        found = tell(names, amounts, at, deed, unit, rng)
        if found is None:
            return None
        sentence, formula, amount = found
        if formula != plain(amount, 0):
            sums.append(f"<<{formula}={plain(amount, 0)}>>")
        sentences.append(sentence)
        amounts.append(amount)
    asked, more, answer = ask(names, amounts, deed, unit, rng)
    sentences = arranged(sentences, rng)
    if asked is None or answer is None:
        return None
    told_in_turn = [sentence[0].upper() + sentence[1:] for sentence in sentences]
    return solved([*told_in_turn, asked], needed([*sums, *more]), answer)


_WHEN = ("last week", "last month", "over the summer", "on the weekend", "this year", "in the first round", "today")


def tell(
    names: Sequence[str], amounts: Sequence[Number], at: int, deed: Deed, unit: str, rng: random.Random
) -> tuple[str, str, Number] | None:
    """How the one at a place compares with some before: the sentence, the sum in numbers, and the amount."""
    double = at >= 2 and rng.random() < 0.35
    others = rng.sample(range(at), 2 if double else 1)
    text, formula = rng.choice(_DOUBLE if double else _SINGLE)
    times = rng.choice((2, 2, 3, 3, 4, 5))
    numbers: dict[str, Number] = {"a": times if "a_times" in text else rng.randint(2, 25), "b": rng.randint(2, 15)}
    numbers |= {"c": rng.choice((10, 20, 25, 30, 40, 50, 60, 75)), "y": amounts[others[0]], "z": amounts[others[-1]]}
    amount = worked(with_numbers(formula, numbers))
    if not isinstance(amount, int) or not 2 <= amount <= _LARGEST:
        return None
    words = {"n": unit, "y": names[others[0]], "z": names[others[-1]], "did": deed.past}
    words["a_times"] = number_words(times, rng)
    shown = {name: value for name, value in numbers.items() if name in "abc"}
    comparison = told(f"X {text}", words, shown, rng)[2:]
    return f"{names[at]} {deed.past} {comparison}.", with_numbers(formula, numbers), amount


def arranged(sentences: Sequence[str], rng: random.Random) -> list[str]:
    """In order, or turned around, so that what is known comes last, or in any order."""
    order = list(sentences)
    if rng.random() < 0.3:
        order.reverse()
    elif rng.random() < 0.2:
        rng.shuffle(order)
    return order


def ask(
    names: Sequence[str], amounts: Sequence[Number], deed: Deed, unit: str, rng: random.Random
) -> tuple[str | None, list[str], Number | None]:
    """The question, its sums with calculator marks, and the answer."""
    count, last = len(amounts), len(amounts) - 1
    kind = rng.choice(("all", "all", "all", "two", "one", "difference", "average"))
    if kind == "one" or (kind == "two" and count == 2):
        return f"How many {unit} did {names[last]} {deed.base}?", [], amounts[last]
    if kind == "difference":
        low, high = sorted((rng.randrange(last), last), key=lambda at: amounts[at])
        asked = f"How many more {unit} did {names[high]} {deed.base} than {names[low]}?"
        return asked, *difference(amounts[high], amounts[low])
    group = [rng.randrange(last), last] if kind == "two" else range(count)
    who = (
        " and ".join(names[at] for at in group)
        if len(group) == 2
        else chosen("[they|all of them|the " + _COUNTED[count] + " of them]", rng)
    )
    sums, total = added([amounts[at] for at in group])
    if kind == "average":
        mean = worked(f"{total} / {count}")
        asked = f"What is the average number of {unit} that {who} {deed.past}?"
        return asked, [*sums, f"<<{total}/{count}={mean}>>"], mean if isinstance(mean, int) else None
    if deed.unit == "{u}" and rng.random() < _SOLD:
        price = rng.randint(2, 9)
        whose = "all of them" if who == "they" else who
        asked = f"Each of these {unit} is worth ${price}. How much money are the {unit} of {whose} worth?"
        return asked, [*sums, f"<<{total}*{price}={total * price}>>"], total * price
    return f"How many {unit} did {who} {deed.base} {rng.choice(_TOGETHER)}?", sums, total


def needed(sums: Sequence[str]) -> list[str]:
    """Those, of sums with calculator marks, that lead to the last one."""
    kept: list[str] = []
    wanted: set[Number] = set()
    for step in reversed(sums):
        formula, _, result = step.strip("<>").partition("=")
        expression = parse(formula)
        assert expression is not None
        if not kept or int(result) in wanted:
            kept.append(step)
            wanted |= {*operands(expression)}
    return kept[::-1]


_TOGETHER = ("together", "in total", "altogether", "in all", "combined")
_COUNTED = {2: "two", 3: "three", 4: "four"}


def difference(high: Number, low: Number) -> tuple[list[str], Number | None]:
    return [f"<<{high}-{low}={high - low}>>"], high - low if high > low else None


def added(amounts: Sequence[Number]) -> tuple[list[str], Number]:
    sums, total = [], amounts[0]
    for amount in amounts[1:]:
        sums.append(f"<<{total}+{amount}={total + amount}>>")
        total += amount
    return sums, total
