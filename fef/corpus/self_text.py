"""Which of a model's own answers are good enough to train on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fef.corpus.example import CorpusExample
from fef.errors import InputError
from fef.eval.datasets import read_examples
from fef.eval.tasks import Message

__all__ = ["fault_of", "kept_answers", "read_conversations"]

_CHARACTERS = range(2, 701)
_RUN = 4  # words
_REPEATS = 2  # times that one run of words may come again
_LEAST_DISTINCT = 0.5  # of the words of a longer answer
_LONG = 24  # words
_MARKUP = re.compile(r"\*\*|__|^\s*#|```|<[a-z/|]|\||\]\(|https?:|\\[\[(a-z]|[\[\]{}]|&[a-z]+;", re.MULTILINE)
_END = re.compile(r"[.!?][\"')\u201d\u2019]?$")
_ITEM = re.compile(r"^(?:\d+[.)]|[-\u2022*]) .*\w$")
_STRANGE = re.compile(r"[^\x00-\x7f\u2018\u2019\u201c\u201d\u2013\u2014\u2026°éèàçöäüñíóáú]")
_ELSEWHERE = re.compile(
    r"\b(?:openai|chatgpt|gpt-?\d|anthropic|google|meta ai|as an ai|knowledge cutoff)\b", re.IGNORECASE
)


def read_conversations(path: Path) -> list[list[Message]]:
    """The messages of a JSONL file. Raises InputError with the line number of a broken line."""
    return [list(example["messages"]) for example in read_examples(path, {"messages": conversation})]


def conversation(value: object) -> Sequence[Message]:
    """Turns of user and assistant; raises ValueError, as a reader of fields does."""
    allowed = "a list of messages with role and content, user and assistant in turn, the last one the assistant's"
    if not isinstance(value, list) or not value or len(value) % 2:
        raise ValueError(allowed)
    for at, turn in enumerate(value):
        role = "assistant" if at % 2 else "user"
        if not isinstance(turn, dict) or turn.get("role") != role or not isinstance(turn.get("content"), str):
            raise ValueError(allowed)
    return [{"role": turn["role"], "content": turn["content"].strip()} for turn in value]


def kept_answers(source: str, conversations: Iterable[Sequence[Message]]) -> tuple[list[CorpusExample], Counter[str]]:
    """The good ones, each once, and how many were dropped for which fault. Raises InputError if none is left."""
    kept: list[CorpusExample] = []
    dropped: Counter[str] = Counter()
    seen: set[tuple[str, ...]] = set()
    for messages in conversations:
        key = tuple(" ".join(turn["content"].lower().split()) for turn in messages)
        fault = "duplicate" if key in seen else fault_of(messages[-1]["content"])
        if fault is None:
            seen.add(key)
            kept.append(CorpusExample(source, tuple(messages)))
        else:
            dropped[fault] += 1
    if not kept:
        raise InputError(
            f"None of {sum(dropped.values())} answers is fit for training. Give a better --self-text FILE."
        )
    return kept, dropped


def fault_of(answer: str) -> str | None:
    """What is wrong with an answer; None for nothing."""
    words = answer.lower().split()
    if len(answer) not in _CHARACTERS:
        return "length"
    if _MARKUP.search(answer) or _STRANGE.search(answer):
        return "markup"
    if not _END.search(answer) and not _ITEM.match(answer.splitlines()[-1]):
        return "no end"
    if _ELSEWHERE.search(answer):
        return "speaks of another model"
    runs = Counter(tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))
    few = len(words) > _LONG and len(set(words)) < _LEAST_DISTINCT * len(words)
    if few or (runs and max(runs.values()) > _REPEATS) or repeats_lines(answer):
        return "repetition"
    return None


def repeats_lines(answer: str) -> bool:
    lines = [
        re.sub(r"^(?:\d+[.)]|[-\u2022*])\s*", "", line.strip().lower()) for line in answer.splitlines() if line.strip()
    ]
    return len(set(lines)) < len(lines)
