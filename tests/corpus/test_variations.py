"""Problems with other numbers, held against Python's arithmetic and against their own text."""

import random
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import CLIPS, DISCOUNT, ROWS

from fef.corpus.check import is_worked_out, wrong_equations
from fef.corpus.example import Solved
from fef.corpus.problems import variations_of
from fef.corpus.template import Refused, template_of
from fef.corpus.variation import draw_values, original_values, written

_MARK = re.compile(r"<<(.*?)=(.*?)>>")


def python_holds(left: str, right: str) -> bool:
    exact = re.sub(r"\d*\.?\d+", lambda found: f"Fraction('{found[0]}')", left)
    return bool(eval(exact, {"Fraction": Fraction}) == Fraction(right))


@st.composite
def solved_problems(draw: st.DrawFn) -> Solved:
    """A purchase of several kinds of things, with what is left in the end shared by some people."""
    kinds = draw(st.integers(1, 3))
    counts = [draw(st.integers(3, 40)) for _ in range(kinds)]
    prices = [draw(st.integers(3, 40)) for _ in range(kinds)]
    costs = [count * price for count, price in zip(counts, prices, strict=True)]
    left, people = draw(st.integers(1, 60)), draw(st.integers(2, 9))
    money = sum(costs) + left * people
    things = ("lamps", "chairs", "rugs")
    bought = ", ".join(f"{c} {thing} for ${p} each" for c, p, thing in zip(counts, prices, things, strict=False))
    question = (
        f"A shop has ${money} and buys {bought}. Its {people} owners share what is left. What does each owner get?"
    )
    steps = [
        f"The {t} cost {c} * {p} = $<<{c}*{p}={s}>>{s}."
        for t, c, p, s in zip(things, counts, prices, costs, strict=False)
    ]
    rest = money
    for cost in costs:
        steps.append(f"Then {rest} - {cost} = $<<{rest}-{cost}={rest - cost}>>{rest - cost} are left.")
        rest -= cost
    steps.append(f"Each owner gets {rest} / {people} = $<<{rest}/{people}={left}>>{left}.")
    return Solved(question, "\n".join([*steps, f"#### {left}"]))


@given(solved_problems(), st.integers(0, 10**6))
def test_variations_hold_stay_whole_and_change_only_numbers(problem: Solved, seed: int) -> None:
    try:
        template = template_of(problem.question, problem.solution)
    except Refused:
        return
    assert written(template, original_values(template)) == (problem.question, problem.solution)
    values = draw_values(template, random.Random(seed))
    if values is None:
        return
    question, solution = written(template, values)
    assert question != problem.question
    assert re.sub(r"[\d,]+", "#", question + solution) == re.sub(r"[\d,]+", "#", problem.question + problem.solution)
    marks = _MARK.findall(solution)
    assert all(python_holds(left, right) for left, right in marks)
    assert all(right.isdigit() and int(right) > 0 for _, right in marks)
    assert solution.endswith(f"#### {marks[-1][1]}")
    # what the question gives is what the solution starts from
    asked = set(re.findall(r"\d+", question))
    results = {right for _, right in marks}
    assert set(re.findall(r"\d+", " ".join(left for left, _ in marks))) <= asked | results


@pytest.mark.parametrize("problem", [CLIPS, DISCOUNT, ROWS], ids=["clips", "discount", "rows"])
def test_a_hand_made_problem_gives_itself_and_many_others(problem: dict[str, str]) -> None:
    template = template_of(problem["question"], problem["answer"])
    assert written(template, original_values(template)) == (problem["question"], problem["answer"])
    rng = random.Random(0)
    drawn = [values for _ in range(30) if (values := draw_values(template, rng)) is not None]
    texts = {written(template, values) for values in drawn}
    assert len(texts) > 15
    assert all(python_holds(left, right) for _, solution in texts for left, right in _MARK.findall(solution))


def test_money_keeps_its_cents_and_percentages_stay_multiples_of_five() -> None:
    clips, discount = (template_of(p["question"], p["answer"]) for p in (CLIPS, DISCOUNT))
    for seed in range(40):
        values = draw_values(clips, random.Random(seed))
        assert values is None or re.search(r"costs \$\d+\.\d\d\.", written(clips, values)[0])
        values = draw_values(discount, random.Random(seed))
        assert values is not None
        question, solution = written(discount, values)
        (percent,) = re.findall(r"(\d+)%", question)
        assert int(percent) % 5 == 0 and 5 <= int(percent) <= 95
        (factor,) = re.findall(r"\*\.(\d+)=", solution)
        assert Fraction(f".{factor}") == 1 - Fraction(int(percent), 100)


def refusal(question: str, solution: str) -> str:
    with pytest.raises(Refused) as caught:
        template_of(question, solution)
    return str(caught.value)


def test_a_number_with_two_meanings_stays() -> None:
    """12 is given and a result; 5 is free of it."""
    template = template_of(
        "Ana has 15 cups and sells 3 of them. Ben has 12 cups, and Eva has 25. How many cups do all have?",
        "Ana has 15 - 3 = <<15-3=12>>12 cups.\nTogether that is 12 + 12 = <<12+12=24>>24.\nWith Eva's it is "
        "24 + 25 = <<24+25=49>>49 cups.\n#### 49",
    )
    assert set(template.ranges) == {25}
    assert {15, 3, 12} <= template.constants


def test_equal_numbers_of_a_question_change_together() -> None:
    template = template_of(
        "Ana buys 7 pens for $7 each. What does she pay?", "She pays 7 * 7 = $<<7*7=49>>49.\n#### 49"
    )
    values = draw_values(template, random.Random(1))
    assert values is not None
    new = values[7]
    assert written(template, values)[0] == f"Ana buys {new} pens for ${new} each. What does she pay?"


def test_numbers_that_words_imply_stay() -> None:
    template = template_of(
        "Ana reads 7 pages an hour, 3 hours a day. How many pages does she read in a week?",
        "She reads 7 * 3 = <<7*3=21>>21 pages a day.\nIn a week, she reads 21 * 7 = <<21*7=147>>147 pages.\n#### 147",
    )
    assert set(template.ranges) == {3}


def test_numbers_that_the_story_ties_to_each_other_stay() -> None:
    """60% and 40% make up the whole, and 3 packs of 15 are 45, though the solution uses each by itself."""
    shares = template_of(
        "Of 200 pupils, 60% walk and 40% ride. A walk takes 15 minutes. How many pupils walk or ride?",
        "Of them 200 * 60/100 = <<200*60/100=120>>120 walk.\nAnd 200 * 40/100 = <<200*40/100=80>>80 ride.\n"
        "That makes 120 + 80 = <<120+80=200>>200.\n#### 200",
    )
    assert 60 not in shares.ranges and 40 not in shares.ranges
    packs = template_of(
        "Ana buys 3 packs of 15 cards, 45 cards in all, and 28 pens. She gives 9 cards away. How many things are left?",
        "She has 45 + 28 = <<45+28=73>>73 things.\nThen 73 - 9 = <<73-9=64>>64 are left.\n#### 64",
    )
    assert set(packs.ranges) == {28, 9}


@pytest.mark.parametrize(
    ("question", "solution", "reason"),
    [
        ("Ana has 8 pens, 9 cups and 5 keys, 22 things. Pens and cups?", "8 + 9 = <<8+9=17>>17\n#### 17", "follows"),
        ("Ana has 8 pens and 9 cups. How many things?", "8 + 10 = <<8+10=18>>18\n#### 18", "without a meaning"),
        ("Ana has 8 pens and 9 cups. How many things?", "8 + 9 = <<8+9=18>>18\n#### 18", "inexact"),
        ("Ana has 8 pens and 9 cups. How many things?", "8 + 9 = <<8+9=17>>17\n#### 71", "not the last result"),
        ("Ana has 8 pens and 9 cups. How many things?", "8 + 9 = 17\n#### 17", "no marks"),
        ("Ana has 8 pens and 9 cups. How many things?", "Let x = 8. Then 8 + 9 = <<8+9=17>>17\n#### 17", "letter"),
        ("Ana has 8 pens and 9 cups. How many things?", "About 8 + 9 = <<8+9=17>>17, rounded\n#### 17", "rounds"),
        ("Ana has 8 pens and 9 cups. How many things?", "8 + 9 = <<8+9=17>>17 of thirty\n#### 17", "in words"),
        ("Ana has 8-10 pens and 9 cups. How many things?", "8 + 9 = <<8+9=17>>17\n#### 17", "range"),
    ],
    ids=["redundant", "unexplained", "wrong", "answer", "unmarked", "letter", "rounding", "words", "range"],
)  # fmt: skip
def test_an_unfit_problem_is_refused_with_its_reason(question: str, solution: str, reason: str) -> None:
    assert reason in refusal(question, solution)


def test_a_template_with_a_step_that_no_mark_accounts_for_fails_its_trial() -> None:
    """30 / 2 = 15 is not marked, and 15 is a number of the question by chance."""
    problem = Solved(
        "A jar of 30 nuts is half eaten. Ben adds 15 more and 44 seeds. How many are there?",
        "There are 30/2 = 15 nuts.\nThat makes 30 + 44 = <<30+44=74>>74.\nWith Ben's, 74 + 15 = <<74+15=89>>89.\n#### 89",
    )
    found = variations_of([problem])
    assert not found.templates
    assert found.refused["variations do not work out"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "16 - 3 - 4 = $9",
        "He has 2 x 3 = 6.",
        "$1,200 \u00d7 2 = $2,400",
        "12 \u00f7 4 = 3 each",
        "3 pens + 4 pens = 9 pens",
        "100% - 80% = 20%",
    ],
)
def test_right_equations_pass(text: str) -> None:
    assert not wrong_equations(text)


@pytest.mark.parametrize(
    "text", ["16 - 3 - 4 = $8", "He has 2 x 3 = 7.", "$1,200 \u00d7 2 = $2,401", "12 \u00f7 4 = 4 each", "<<2+2=5>>"]
)
def test_wrong_equations_are_found(text: str) -> None:
    assert wrong_equations(text)


def test_an_answer_that_is_not_the_last_result_is_not_worked_out() -> None:
    assert is_worked_out(CLIPS["answer"])
    assert not is_worked_out(CLIPS["answer"].replace("#### 108", "#### 72"))
    assert not is_worked_out(CLIPS["answer"].replace("48/2=24", "48/2=25"))
