"""The prompts on which drafts are measured in conversation are none of those that answers were written for."""

from __future__ import annotations

import re
from pathlib import Path

from fef.corpus.dialogue import prompts
from fef.training.conversations import read_prompts

HELD_OUT = [str(messages[-1]["content"]) for messages in read_prompts(Path(__file__).parents[1] / "chat_prompts.jsonl")]


def words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.lower()))


def shared(texts: list[str]) -> set[tuple[str, ...]]:
    """Those that differ from a prompt of the corpus in case and marks at most."""
    known = {words(str(messages[-1]["content"])) for messages in prompts()}
    return known & {words(text) for text in texts}


def test_no_held_out_prompt_is_one_of_the_corpus() -> None:
    assert len(set(map(words, HELD_OUT))) == len(HELD_OUT) == 64
    assert shared(HELD_OUT) == set()


def test_one_that_is_would_be_found() -> None:
    assert shared(["what is the capital of FRANCE"]) and shared([str(prompts()[0][-1]["content"]) + "!"])
