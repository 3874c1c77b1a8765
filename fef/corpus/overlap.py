"""No test item in the training text, nor one with other numbers: shared word n-grams.

Texts are compared as lower-case words without punctuation; every number, in digits or as a word from `two` to `twelve`, is
the same word `#`, and the opening "Write a Python function to" of programming tasks is left out. A training example overlaps
with a test item if it holds any ten words in a row of the item's question. An item of five to nine words must be held as a
whole; one of fewer must be the whole of a user's message. A run of words counts only with at least four of two letters or
more, so that an equation is no overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fef.corpus.example import CorpusExample
from fef.eval import datasets
from fef.eval.tasks import TASKS

__all__ = ["LENGTH", "TEST_FILES", "TestItems", "read_test_items", "words_of"]

LENGTH = 10
SHORTEST = 5
MEANINGFUL = 4
NUMBER = "#"

# The question of every item, by file.
TEST_FILES: Mapping[str, str] = {
    "gsm8k_test.jsonl": "question",
    "svamp.jsonl": "question",
    "mbpp.jsonl": "text",
    "humaneval.jsonl": "prompt",
    "math500.jsonl": "prompt",
}
_WORD = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+|[^\W\d_]+(?:'[^\W\d_]+)?")
_NUMBER_WORDS = "two three four five six seven eight nine ten eleven twelve"
_SPOKEN = frozenset(_NUMBER_WORDS.split())
_OPENING = re.compile(r"\s*write a (?:python )?function (?:to |that |which )", re.IGNORECASE)


@dataclass(frozen=True)
class TestItems:
    """The runs of words that no training example may hold, by their number of words, and the short items."""

    __test__ = False  # not a test class

    runs: Mapping[int, frozenset[tuple[str, ...]]]
    whole: frozenset[tuple[str, ...]]

    @classmethod
    def of(cls, texts: Iterable[str]) -> TestItems:
        runs: dict[int, set[tuple[str, ...]]] = {}
        whole: set[tuple[str, ...]] = set()
        for text in texts:
            words = words_of(text)
            if len(words) < SHORTEST:
                whole.add(tuple(words))
            for run in runs_of(words, min(LENGTH, max(len(words), SHORTEST))):
                runs.setdefault(len(run), set()).add(run)
        return cls({length: frozenset(found) for length, found in sorted(runs.items())}, frozenset(whole))

    def joined(self, other: TestItems) -> TestItems:
        lengths = sorted({*self.runs, *other.runs})
        none: frozenset[tuple[str, ...]] = frozenset()
        runs = {length: self.runs.get(length, none) | other.runs.get(length, none) for length in lengths}
        return TestItems(runs, self.whole | other.whole)

    def overlap(self, example: CorpusExample) -> str | None:
        """The run of words that an example shares with a test item; None where there is none."""
        for message in example.messages:
            words = words_of(message["content"])
            if message["role"] == "user" and tuple(words) in self.whole:
                return " ".join(words)
            for length, runs in self.runs.items():
                for start in range(len(words) - length + 1):
                    if (run := tuple(words[start : start + length])) in runs:
                        return " ".join(run)
        return None


def words_of(text: str) -> list[str]:
    words = _WORD.findall(_OPENING.sub("", text).lower().replace("\u2019", "'"))
    return [NUMBER if word[0].isdigit() or word[0] == "." or word in _SPOKEN else word for word in words]


def runs_of(words: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    for start in range(len(words) - length + 1):
        run = tuple(words[start : start + length])
        if sum(len(word) > 1 for word in run) >= MEANINGFUL:
            yield run


def read_test_items(folder: Path) -> TestItems:
    """The items of every test file of a folder. Raises InputError for one that is missing or broken."""
    texts: list[str] = []
    for name, field in TEST_FILES.items():
        if name == TASKS["mbpp"].file:  # which holds the training tasks, too
            task = TASKS["mbpp"]
            texts += [str(example[field]) for example in task.read(folder / name) if task.select(example)]
        else:
            texts += [str(example[field]) for example in datasets.read_examples(folder / name, {field: datasets.text})]
    return TestItems.of(texts)
