"""What each source draws: right answers, one form, nothing from the test split."""

import json
import random
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_data import SHORT, function

from fef.corpus import arithmetic, families, two_kinds
from fef.corpus.check import is_worked_out, wrong_equations
from fef.corpus.dialogue import prompts
from fef.corpus.distractors import Fillers, with_filler
from fef.corpus.equations import solved_by_steps
from fef.corpus.example import CorpusExample, Solved, exchange, maths_example
from fef.corpus.functions import asked_function
from fef.corpus.implied import spoken_numbers
from fef.corpus.self_text import fault_of, kept_answers
from fef.corpus.shares import DIALOGUE, SHARES, counts_of
from fef.corpus.tidy import tidy
from fef.errors import InputError
from fef.eval.tasks import TASKS
from fef.tasks.splits import split_of

SEEDS = st.integers(0, 2**32)


def turns(example: CorpusExample) -> list[str]:
    return [turn["content"] for turn in example.messages]


@given(SEEDS)
def test_sums_are_right_and_end_in_their_result(seed: int) -> None:
    asked, answer = turns(arithmetic.draw("arithmetic", random.Random(seed)))
    assert not wrong_equations(answer)
    first, _, end = answer.partition("\n#### ")
    if end:
        told = re.search(r"(?:is|Calculate|out|Compute)? ?([\d.+*/ -]+?)[?.]?$|([\d.+*/ -]+) = \?", asked)
        sum_asked = (told[1] or told[2]).strip() if told and "%" not in asked and " of " not in asked else ""
        if sum_asked:
            exact = re.sub(r"\d+(?:\.\d+)?", lambda found: f"Fraction('{found[0]}')", sum_asked)
            assert eval(exact, {"Fraction": Fraction}) == Fraction(end)
        assert re.search(rf"= {re.escape(end)}(?:, since .*)?$", first)


def test_percentages_and_fractions_of_numbers_are_right() -> None:
    for seed in range(3000):
        drawn = arithmetic.draw("arithmetic", random.Random(seed))
        if drawn is None:
            continue
        asked, answer = turns(drawn)
        if found := re.search(r"(\d+)(%|/\d+) (of|less than|more than) (\d+)", asked):
            share = Fraction(int(found[1]), 100) if found[2] == "%" else Fraction(found[1] + found[2])
            factor = {"of": share, "less than": 1 - share, "more than": 1 + share}[found[3]]
            assert Fraction(answer.rpartition("#### ")[2]) == factor * int(found[4])


@given(SEEDS)
def test_stories_of_two_kinds_are_worked_out_and_use_numbers_of_the_story(seed: int) -> None:
    problem = two_kinds.draw(random.Random(seed))
    if problem is None:
        return
    assert is_worked_out(problem.solution)
    assert "{" not in problem.question + problem.solution
    asked = set(re.findall(r"\d+", problem.question)) | {str(number) for number in spoken_numbers(problem.question)}
    results = set(re.findall(r"=(\d+)>>", problem.solution))
    assert set(re.findall(r"\d+", problem.solution)) <= asked | results


def test_a_short_problem_gets_a_line_for_each_operation() -> None:
    solved = [solved_by_steps(row["question"], row["equation"], row["answer"]) for row in SHORT[:2]]
    assert [problem.solution for problem in solved if problem] == [
        "9 + 8 = <<9+8=17>>17\n#### 17",
        "54 - 18 = <<54-18=36>>36\n36 - 26 = <<36-26=10>>10\n#### 10",
    ]


@pytest.mark.parametrize(
    ("equation", "answer"),
    [("9 + 8", "18"), ("9 - 9", "0"), ("1 / 3", "0.3333"), ("3 - 9", "-6"), ("x + 2", "2"), ("1 / 0", "0")],
)
def test_an_equation_without_an_exact_positive_answer_is_refused(equation: str, answer: str) -> None:
    assert solved_by_steps("How many?", equation, answer) is None


def test_a_filler_is_about_others_and_leaves_the_answer() -> None:
    problem = Solved(
        "Lucia has 9 apples. Felix gives Lucia 8 more. How many apples does Lucia have?",
        "9 + 8 = <<9+8=17>>17\n#### 17",
    )
    fillers = Fillers.of(
        ["Nora bought 23 shells. What then?", "Lucia has 5 pens. What then?", "Amir has 4 apples. What then?"]
    )
    found = [filled for seed in range(60) if (filled := with_filler(problem, fillers, random.Random(seed)))]
    assert found
    for filled in found:
        assert filled.solution == problem.solution
        assert re.sub(r" Nora bought \d+ shells\.", "", filled.question) == problem.question


def test_no_filler_is_put_before_words_that_point_back() -> None:
    problem = Solved("Lucia has 9 apples. She gets 8 more. How many does she have?", "9 + 8 = <<9+8=17>>17\n#### 17")
    fillers = Fillers.of(["Nora bought 23 shells. What then?"])
    assert all(with_filler(problem, fillers, random.Random(seed)) is None for seed in range(20))


def test_a_function_is_asked_with_its_signature_or_its_tests_and_answered_in_a_block() -> None:
    task = function(601, "Write a function to find the last of n elements")
    asked = set()
    for seed in range(20):
        prompt, answer = turns(asked_function("mbpp", task, random.Random(seed)))
        assert answer == "```python\ndef last(arr, n):\n    return arr[n - 1]\n```"
        assert TASKS["mbpp"].ask({**task, "text": f"{task['text']}."}) == prompt or "last(arr, n)" in prompt
        asked.add(prompt)
    assert len(asked) == 4


def test_code_that_lacks_what_its_tests_call_is_refused() -> None:
    task = {**function(601, "Write a function."), "code": "def first(arr):\n    return arr[0]"}
    with pytest.raises(InputError, match="task 601"):
        asked_function("mbpp", task, random.Random(0))


def test_own_families_come_from_their_training_split() -> None:
    for seed in range(60):
        prompt, _ = turns(families.draw("families", random.Random(seed)))
        prompt = prompt.removeprefix("Question: ").removesuffix("\nLet's think step by step.\nAnswer:")
        assert split_of(prompt) == "train" or split_of(f"{prompt} ") == "train"


def test_maths_answers_end_as_the_evaluation_reads_them_and_hold_no_marks() -> None:
    problem = Solved("What is 9 + 8?", "9 + 8 = <<9+8=17>>17\n#### 17")
    prompts_seen = set()
    for seed in range(20):
        prompt, answer = turns(maths_example("x", problem.question, problem.solution, random.Random(seed)))
        assert answer == "9 + 8 = 17\n#### 17"
        assert TASKS["gsm8k"].score({"answer": problem.solution}, answer).right
        prompts_seen.add(prompt)
    assert prompts_seen == {problem.question, TASKS["gsm8k"].ask({"question": problem.question})}


def test_stray_spaces_go() -> None:
    assert tidy("a truck - load costs $ 5 , or 20 % less .  Why ?") == "a truck-load costs $5, or 20% less. Why?"
    assert tidy("5 - 3 is 2.") == "5 - 3 is 2."


def test_prompts_are_distinct_and_end_with_the_user() -> None:
    found = prompts()
    assert len({json.dumps(turns) for turns in found}) == len(found) > 400
    assert all(messages[-1]["role"] == "user" and "{" not in messages[-1]["content"] for messages in found)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("Hello! How can I help you?", None),
        ("1. Apples\n2. Pears\n3. Plums", None),
        ("", "length"),
        ("a. " * 400, "length"),
        ("This is **bold**.", "markup"),
        ("# Title\nText.", "markup"),
        ("See https://example.org.", "markup"),
        ("Dear [name], hello.", "markup"),
        ("你好.", "markup"),
        ("The sky is blue because", "no end"),
        ("I was made by OpenAI.", "speaks of another model"),
        ("I like it very much. I like it very much. I like it very much.", "repetition"),
        ("1. Apples.\n2. Pears.\n3. Apples.", "repetition"),
    ],
)
def test_answers_of_the_model_are_filtered(answer: str, fault: str | None) -> None:
    assert fault_of(answer) == fault


def test_each_answer_is_kept_once_and_faults_are_counted() -> None:
    good, bad = exchange(DIALOGUE, "Hi!", "Hello."), exchange(DIALOGUE, "Hi!", "Hello and")
    kept, dropped = kept_answers(DIALOGUE, [good.messages, bad.messages, good.messages])
    assert [example.messages for example in kept] == [good.messages]
    assert dropped == {"duplicate": 1, "no end": 1}
    with pytest.raises(InputError, match="None of 1 answers"):
        kept_answers(DIALOGUE, [bad.messages])


@pytest.mark.parametrize("count", [1, 7, 1000, 400_000])
def test_shares_sum_to_one_and_counts_to_the_count(count: int) -> None:
    assert sum(SHARES.values()) == pytest.approx(1)
    for names in (list(SHARES), [name for name in SHARES if name != DIALOGUE]):
        found = counts_of(count, names)
        assert sum(found.values()) == count
        total = sum(SHARES[name] for name in names)
        assert all(abs(found[name] - count * SHARES[name] / total) <= 1 for name in names)
