"""Answers that something else wrote, such as a causal model: the prompts for it, and its answers scored as any other.

Both files are JSON lines of messages, `{"messages": [...]}`. An answer is matched to its problem by the messages before it,
so the order does not matter and a problem may be missing: it counts as answered wrong.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from fef.errors import InputError
from fef.eval import datasets
from fef.eval.datasets import Example, read_examples
from fef.eval.runner import id_of
from fef.eval.tasks import Message, Task, prompt_of
from fef.measure.answers import Answer

__all__ = ["prompt_lines", "score_answers"]


def prompt_lines(task: Task, examples: Sequence[Example], shots: list[Example], count: int) -> str:
    """The prompts of a task as JSON lines; arguments as in `prompt_of`."""
    prompts = [prompt_of(task, example, shots, count, chat=True) for example in examples]
    return "".join(json.dumps({"messages": prompt}) + "\n" for prompt in prompts)


def score_answers(
    task: Task, examples: Sequence[Example], shots: list[Example], count: int, path: Path
) -> list[Answer]:
    """An answer an example, in their order. Arguments as in `prompt_of`.

    path: each line has `messages` with the answer last, the `tokens` of the answer with its end token, and whether it
    `ended`. One token is one pass; how long it took is not known. Raises InputError for a broken line, and where no answer
    is to one of the examples.
    """
    readers = {"messages": datasets.messages, "tokens": datasets.whole_number, "ended": datasets.flag}
    found = {key_of(line["messages"][:-1]): line for line in read_examples(path, readers)}
    none: Example = {"messages": [{"content": ""}], "tokens": 0, "ended": False}
    answers = []
    for index, example in enumerate(examples):
        prompt = prompt_of(task, example, shots, count, chat=True)
        assert not isinstance(prompt, str), "it was asked for as messages"
        line = found.get(key_of(prompt), none)
        text, tokens = line["messages"][-1]["content"], line["tokens"]
        verdict = task.score(example, text)
        answers.append(
            Answer(
                index=index,
                id=id_of(example),
                right=verdict.right and line is not none,
                extracted=verdict.extracted,
                text=text,
                finish_reason="stop" if line["ended"] else "length",
                tokens=tokens,
                calls=tokens,
                rows=tokens,
                token_forwards=tokens,
            )
        )
    if not any(one.tokens for one in answers):
        raise InputError(
            f"{path} answers none of the {len(examples)} problems of {task.name}. Answer the prompts that "
            f"`fef eval {task.name} --prompts FILE` writes."
        )
    return answers


def key_of(messages: Sequence[Message]) -> str:
    return json.dumps([[message["role"], message["content"]] for message in messages])
