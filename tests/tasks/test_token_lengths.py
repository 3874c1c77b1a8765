"""Prompt and response lengths under the kind of tokenizer that the tiny model uses."""

from __future__ import annotations

import re

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from fef.tasks import FAMILIES, Problem, generate

COUNT = 2000


@pytest.fixture(scope="module")
def problems() -> dict[str, list[Problem]]:
    return {family: generate(family, COUNT, 41) for family in FAMILIES}


@pytest.fixture(scope="module")
def tokenizer(problems: dict[str, list[Problem]]) -> Tokenizer:
    result = Tokenizer(models.BPE())
    result.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    texts = [text for some in problems.values() for problem in some for text in (problem.prompt, problem.response)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1020, initial_alphabet=alphabet, show_progress=False)
    result.train_from_iterator(texts, trainer)
    return result


@pytest.mark.parametrize(
    ("family", "part", "lowest", "low_mean", "high_mean", "highest"),
    [
        ("word-problems", "prompt", 25, 40, 65, 100),
        ("word-problems", "response", 24, 52, 70, 124),
        ("python", "prompt", 18, 30, 50, 80),
        ("python", "response", 20, 30, 50, 80),
        ("joint", "prompt", 8, 12, 25, 40),
        ("joint", "response", 5, 8, 16, 40),
    ],
)
def test_lengths(
    tokenizer: Tokenizer,
    problems: dict[str, list[Problem]],
    family: str,
    part: str,
    lowest: int,
    low_mean: float,
    high_mean: float,
    highest: int,
) -> None:
    lengths = [len(tokenizer.encode(getattr(problem, part)).ids) for problem in problems[family]]
    assert lowest <= min(lengths)
    assert max(lengths) <= highest
    assert low_mean <= sum(lengths) / len(lengths) <= high_mean


def test_digits_and_brackets_are_single_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(" ( [ { } ] )").tokens == ["Ġ(", "Ġ[", "Ġ{", "Ġ}", "Ġ]", "Ġ)"]
    assert tokenizer.encode(" 3 7").tokens == ["Ġ", "3", "Ġ", "7"]


def test_the_word_inventory_is_small(problems: dict[str, list[Problem]]) -> None:
    texts = [problem.prompt + " " + problem.response for some in problems.values() for problem in some]
    assert len({word.lower() for text in texts for word in re.findall("[A-Za-z]+", text)}) <= 450
