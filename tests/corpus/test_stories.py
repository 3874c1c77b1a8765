"""Stories of the grammars: every pattern can be filled, every sum holds, and every number of a sum is in the story."""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction

import pytest

from fef.corpus import chains, comparisons, joined, scenes, two_kinds
from fef.corpus.chain_asks import ASIDES, ASKS
from fef.corpus.chain_moves import MOVES
from fef.corpus.chain_starts import STARTS
from fef.corpus.chains import draw_numbers, named, with_numbers, worked
from fef.corpus.check import is_worked_out
from fef.corpus.example import Solved
from fef.corpus.inventory import NAMES, THINGS, singular
from fef.corpus.masked import template_text
from fef.corpus.move import Move
from fef.corpus.phrases import cast_of, chosen, told
from fef.corpus.problems import variations_of
from fef.corpus.scenes import SCENES
from fef.corpus.sums import as_sums, is_explained

DRAWS: dict[str, Callable[[random.Random], Solved | None]] = {
    "steps": chains.draw,
    "comparison": comparisons.draw,
    "scene": scenes.draw,
    "two kinds": two_kinds.draw,
}
SLOT = re.compile(r"\{(\w+)\}")
SYMBOL = re.compile(r"\b[a-z]\b")


def stories(name: str, count: int = 300) -> list[Solved]:
    found = (DRAWS[name](random.Random(seed)) for seed in range(count))
    return [problem for problem in found if problem is not None]


@pytest.mark.parametrize("name", DRAWS)
def test_stories_are_whole_sentences_whose_sums_hold_and_use_what_is_told(name: str) -> None:
    found = stories(name)
    assert len(found) > 100
    for problem in found:
        sums = as_sums(problem.solution)
        assert sums is not None
        assert is_worked_out(problem.solution)
        counted = " of 2, 3 or 4" if "average" in problem.question else ""  # how many people were named
        assert is_explained(problem.question + counted, sums.splitlines()[:-1]), (problem.question, sums)
        assert not re.search(r"[\[\]{}|]|  | [.,?]|,\.|\.\.|\b(?:a|A) (?!one\b)[aeio]\w", problem.question), (
            problem.question
        )
        assert re.match(r"[A-Z0-9]", problem.question)
        assert problem.question.endswith(("?", "."))


@pytest.mark.parametrize(("name", "least"), [("steps", 0.9), ("comparison", 0.9), ("scene", 0.5)])
def test_most_stories_have_words_of_their_own(name: str, least: float) -> None:
    keys = Counter(template_text(problem.question) for problem in stories(name))
    assert len(keys) > least * keys.total()


def test_no_more_cars_park_in_a_garage_than_there_is_room_for() -> None:
    garage = next(found for found in two_kinds.STORIES if "parking garage" in found.text)
    drawn = [two_kinds.draw_numbers(garage, random.Random(seed)) for seed in range(300)]
    kept = [numbers for numbers in drawn if two_kinds.makes_sense(garage, numbers)]
    assert 20 < len(kept) < len(drawn)
    assert all(numbers["c"] < numbers["a"] * numbers["b"] for numbers in kept)


def moves() -> Iterator[tuple[str, Move]]:
    for table in (STARTS, MOVES, ASKS):
        for kind, found in table.items():
            yield from ((kind, move) for move in found)


def drawn_names(numbers: str) -> set[str]:
    parts = [part.split(":") for part in numbers.split()]
    words = {f"{name}_times" if kind == "times" else name for name, kind in parts}
    return words | {name for name, _ in parts} | ({"p", "q"} if "fraction" in numbers else set())


def test_every_pattern_names_only_what_it_draws_or_the_cast_holds() -> None:
    cast = set(cast_of(random.Random(0)))
    patterns = [(move.text, move.numbers, (move.sum, move.undo)) for _, move in moves()]
    patterns += [(f"{s.text} {asked}", s.numbers, (formula,)) for s in SCENES for asked, formula in s.questions]
    patterns += [(text, "a:3-40 b:3-40", ()) for text in ASIDES]
    for text, numbers, formulas in patterns:
        known = drawn_names(numbers) | {"v"}
        assert {*SLOT.findall(text)} <= known | cast, text
        assert {symbol for formula in formulas for symbol in SYMBOL.findall(formula)} <= known, text
        assert text.count("[") == text.count("]"), text


def test_every_kind_of_amount_can_be_asked_about_and_every_move_leads_to_one() -> None:
    assert {*STARTS} <= {*ASKS}
    assert {move.to for _, move in moves() if move.to} <= {*ASKS}
    assert all(kind in ASKS for kind in MOVES)


def test_what_is_undone_gives_the_amount_before() -> None:
    rng = random.Random(0)
    undone = [move for found in MOVES.values() for move in found if move.undo]
    assert len(undone) > 15
    for move in undone:
        tried = 0
        for value in range(12, 400, 4):
            drawn = draw_numbers(move.numbers, value, rng)
            after = None if drawn is None else worked(with_numbers(move.sum, drawn[0]))
            if drawn is not None and after is not None:
                assert worked(with_numbers(move.undo, {**drawn[0], "v": after})) == value, move.text
                tried += 1
        assert tried > 5, move.text


def test_a_pronoun_becomes_a_name_only_where_none_stands_before_it() -> None:
    assert named("Then {he} lost {his} {u}.") == "Then {A} lost {his} {u}."
    assert named("{His} car needs gas.") == "{A}'s car needs gas."
    assert named("{A} lost {his} {u}.") == "{A} lost {his} {u}."
    assert named("{C} came.") == "{C} came."


def test_patterns_are_filled_with_articles_prices_and_capitals() -> None:
    rng, words = random.Random(0), {"u": "eggs", "u1": "egg", "he": "she"}
    assert told("{he} buys a {u1} for ${a}[ .| .]", words, {"a": Fraction(3, 2)}, rng) == "She buys an egg for $1.50."
    assert told("a {u1} costs ${a}. {he} has a 8 and {b}%.", words, {"a": 2, "b": 5}, rng).endswith("an 8 and 5%.")
    assert {chosen("[x|y[1|2]]", random.Random(seed)) for seed in range(40)} == {"x", "y1", "y2"}


def test_the_inventory_has_singulars_and_pronouns() -> None:
    assert singular("boxes") == "box"
    assert singular("pies") == "pie"
    assert len({singular(thing) for thing in THINGS}) == len(THINGS)
    assert all(len(pronouns) == 3 for pronouns in NAMES.values())


# --- comparisons, solved from their words ---

_WORDS = "zero one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS.split())}


def solve(question: str) -> int | None:
    """The amount of everyone, added up, from the sentences alone; None for a question of another kind."""
    *told_sentences, asked = re.split(r"(?<=[.?]) ", question)
    if not re.search(r"did (?:they|all of them|the \w+ of them) \w+ ", asked):
        return None
    facts = {}
    for sentence in told_sentences:
        name, said = re.match(r"(\w+) \w+ (.*)\.", sentence).groups()  # type: ignore[union-attr]
        facts[name] = re.sub(r"\b\w+\b", lambda word: _NUMBERS.get(word[0], word[0]), said)
    known: dict[str, Fraction] = {}
    while len(known) < len(facts):
        before = len(known)
        for name, said in facts.items():
            others = [other for other in re.findall(r"[A-Z]\w+", said) if other in facts]
            if name not in known and all(other in known for other in others):
                known[name] = amount(said, [known[other] for other in others])
        assert len(known) > before
    return int(sum(known.values()))


def amount(said: str, others: list[Fraction]) -> Fraction:
    base = sum(others, Fraction(0))
    if not others:
        return Fraction(re.match(r"\d+", said)[0])  # type: ignore[index]
    if found := re.match(r"(\d+)% (more|fewer)", said):
        return base + base * Fraction(found[1]) / 100 * (1 if found[2] == "more" else -1)
    times = {"twice": 2, "half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
    factor = next((Fraction(value) for word, value in times.items() if word in said), Fraction(1))
    if found := re.search(r"(\d+) times as many", said):
        factor = Fraction(found[1])
    shift = Fraction(0)
    if found := re.match(r"(\d+) (?:\w+ )?(more|fewer)", said):
        shift = Fraction(found[1]) * (1 if found[2] == "more" else -1)
    return base * factor + shift


def test_comparisons_have_the_answer_that_their_words_give() -> None:
    solved = 0
    for seed in range(3000):
        problem = comparisons.draw(random.Random(seed))
        if problem is None or re.search(r"'s|\b[Tt]he \w+ (?:team|class|club)|On |today\.|worth", problem.question):
            continue
        question = re.sub(
            r" (?:last week|last month|over the summer|on the weekend|this year|in the first round)\.",
            ".",
            problem.question,
        )
        answer = solve(question)
        if answer is not None:
            assert problem.solution.endswith(f"#### {answer}"), (problem.question, answer)
            solved += 1
    assert solved > 150


# --- two problems in one ---

FIRST = Solved("Lucia has 9 apples and 13 pears. How many fruits does Lucia have?", "9 + 13 = <<9+13=22>>22\n#### 22")
SECOND = Solved(
    "Amir has 35 books on a shelf. He buys 14 books more. How many books does Amir have?",
    "35 + 14 = <<35+14=49>>49\n#### 49",
)


def test_a_joined_problem_uses_the_answer_of_the_first_and_hides_its_number() -> None:
    first, second = variations_of([FIRST]), variations_of([SECOND])
    found = [p for seed in range(200) if (p := joined.draw(first, second, random.Random(seed)))]
    assert found
    for problem in found:
        assert "Amir has that many books on a shelf." in problem.question
        a, b = map(int, re.findall(r"Lucia has (\d+) apples and (\d+) pears", problem.question)[0])
        more = int(re.findall(r"buys (\d+) books", problem.question)[0])
        assert (
            as_sums(problem.solution) == f"{a} + {b} = {a + b}\n{a + b} + {more} = {a + b + more}\n#### {a + b + more}"
        )


def test_no_problem_is_joined_where_no_count_stands_in_the_first_sentence() -> None:
    priced = Solved("A book costs $35. Amir buys 14 books. What does he pay?", "35 * 14 = <<35*14=490>>490\n#### 490")
    second = variations_of([priced])
    assert second.templates
    assert all(joined.draw(variations_of([FIRST]), second, random.Random(seed)) is None for seed in range(50))
