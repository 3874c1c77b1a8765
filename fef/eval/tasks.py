"""The tasks: where their examples lie, how they are asked, and how an answer is scored. The same for every method."""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fef.errors import OptionError
from fef.eval.code import called_names, humaneval_program, mbpp_program, passes, python_code
from fef.eval.datasets import Example, Reader, choice, lines, read_examples, text, text_or_number, texts, whole_number
from fef.eval.letters import chosen_letter
from fef.eval.mathematics import final_expression, same_expression
from fef.eval.numbers import final_number, same_number

__all__ = ["TASKS", "Message", "Prompt", "Task", "Verdict", "message", "prompt_of", "shots_for"]

Message = dict[str, str]
Prompt = str | list[Message]
LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what was read from it."""

    right: bool
    extracted: str | None


class Task(ABC):
    """A benchmark: its examples, how they are worded, and how answers are judged."""

    name: ClassVar[str]
    file: ClassVar[str]  # the examples
    fields: ClassVar[Mapping[str, Reader]]  # what an example must have, and how each is read
    problems: ClassVar[int]  # in the test set, where figures are published
    max_new_tokens: ClassVar[int]  # of a run without a preset
    shots_file: ClassVar[str] = ""  # where worked examples come from; "" for a task that has none
    runs_code: ClassVar[bool] = False  # judging runs programs

    @abstractmethod
    def ask(self, example: Example) -> str:
        """The user's turn."""

    @abstractmethod
    def answer(self, example: Example) -> str:
        """A shot's reply."""

    @abstractmethod
    def score(self, example: Example, response: str) -> Verdict: ...

    def select(self, example: Example) -> bool:
        """Is it of the test set?"""
        return True

    def is_shot(self, example: Example) -> bool:
        """May it be shown, of the worked examples?"""
        return True

    def complaint(self, example: Example) -> str | None:
        """What is wrong with an example whose fields do not go together."""
        return None

    def read(self, path: Path, names: Mapping[str, str] | None = None) -> list[Example]:
        """The examples of a file (`read_examples`)."""
        return read_examples(path, self.fields, names, self.complaint)


class Gsm8k(Task):
    name, file, shots_file = "gsm8k", "gsm8k_test.jsonl", "gsm8k_train.jsonl"
    fields: ClassVar = {"question": text, "answer": text_or_number}
    problems, max_new_tokens = 1319, 256

    def ask(self, example: Example) -> str:
        return f"Question: {example['question']}\nLet's think step by step.\nAnswer:"

    def answer(self, example: Example) -> str:
        """The solution without its `<<16-3-4=9>>` marks."""
        first, *parts = example["answer"].split("<<")
        return str(first) + "".join(part.partition(">>")[2] for part in parts)

    def score(self, example: Example, response: str) -> Verdict:
        found = final_number(response)
        return Verdict(same_number(found, final_number(example["answer"])), found)

    def complaint(self, example: Example) -> str | None:
        return "the answer has no number" if final_number(example["answer"]) is None else None


class Svamp(Gsm8k):
    name, file, shots_file, problems = "svamp", "svamp.jsonl", "", 1000


class Math(Task):
    name, file = "math", "math500.jsonl"
    fields: ClassVar = {"prompt": text, "answer": text_or_number}
    problems, max_new_tokens = 5000, 512

    def ask(self, example: Example) -> str:
        return str(example["prompt"])

    def answer(self, example: Example) -> str:
        return str(example["answer"])

    def score(self, example: Example, response: str) -> Verdict:
        found = final_expression(response)
        return Verdict(same_expression(found, example["answer"]), found)


class HumanEval(Task):
    name, file, runs_code = "humaneval", "humaneval.jsonl", True
    fields: ClassVar = dict.fromkeys(("prompt", "entry_point", "test"), text)
    problems, max_new_tokens = 164, 512

    def ask(self, example: Example) -> str:
        return (
            "Complete this Python function. Reply with the whole function in one code block.\n\n"
            f"```python\n{example['prompt'].rstrip()}\n```"
        )

    def answer(self, example: Example) -> str:
        return str(example["prompt"] + example["canonical_solution"])

    def score(self, example: Example, response: str) -> Verdict:
        code = python_code(response, [example["entry_point"]])
        return Verdict(
            passes(humaneval_program(example["prompt"], example["entry_point"], example["test"], code)), code
        )

    def complaint(self, example: Example) -> str | None:
        begun = f"def {example['entry_point']}(" in example["prompt"]
        return None if begun else f"the prompt does not begin the function {example['entry_point']!r}"


class Mbpp(Task):
    """The split of the paper (2108.07732): tasks 11 to 510 test, tasks 2 to 4 are its three prompts."""

    name, file, shots_file, runs_code = "mbpp", "mbpp.jsonl", "mbpp.jsonl", True
    fields: ClassVar = {
        "text": text,
        "code": text,
        "task_id": whole_number,
        "test_setup_code": lines,
        "test_list": texts,
    }
    problems, max_new_tokens = 500, 256

    def ask(self, example: Example) -> str:
        return f"{example['text']} Your code should pass these tests:\n\n" + "\n".join(example["test_list"])

    def answer(self, example: Example) -> str:
        code = example["code"].replace("\r", "")
        return f"```python\n{code}\n```"

    def score(self, example: Example, response: str) -> Verdict:
        tests = example["test_setup_code"], example["test_list"]
        code = python_code(response, called_names(*tests))
        return Verdict(passes(mbpp_program(*tests, code)), code)

    def select(self, example: Example) -> bool:
        return example["task_id"] in range(11, 511)

    def is_shot(self, example: Example) -> bool:
        return example["task_id"] in range(2, 5)


class Mmlu(Task):
    name, file, shots_file = "mmlu", "mmlu_test.jsonl", "mmlu_dev.jsonl"
    fields: ClassVar = {"question": text, "choices": texts, "answer": choice, "subject": text}
    problems, max_new_tokens = 14042, 3

    def ask(self, example: Example) -> str:
        choices = "".join(f"{letter}. {what}\n" for letter, what in zip(LETTERS, example["choices"], strict=False))
        return f"{example['question'].strip()}\n{choices}Answer:"

    def answer(self, example: Example) -> str:
        """The letter; files give it as a letter or as the number of the choice, from 0."""
        answer = example["answer"]
        return LETTERS[answer] if isinstance(answer, int) else str(answer)

    def score(self, example: Example, response: str) -> Verdict:
        found = chosen_letter(response, LETTERS[: len(example["choices"])])
        return Verdict(found == self.answer(example), found)

    def complaint(self, example: Example) -> str | None:
        count, answer = len(example["choices"]), example["answer"]
        if count > len(LETTERS):
            return f"{count} choices are more than there are letters"
        known = answer in (range(count) if isinstance(answer, int) else [*LETTERS[:count]])
        return None if known else f"the answer {answer!r} is none of the {count} choices"


TASKS: Mapping[str, Task] = {task.name: task for task in (Gsm8k(), Svamp(), Math(), HumanEval(), Mbpp(), Mmlu())}


def shots_for(task: Task, folder: Path, count: int) -> list[Example]:
    """The worked examples that a run of `count` shots draws from, in the order of their file.

    Raises OptionError where the task has too few, InputError where the file is missing.
    """
    if count == 0:
        return []
    if not task.shots_file:
        raise OptionError(f"{task.name} has no worked examples, so --shots must be 0; got {count}.")
    found = [e for e in task.read(folder / task.shots_file) if task.is_shot(e)]
    if len(found) < count:
        raise OptionError(f"{task.name} has {len(found)} worked examples; --shots {count} asks for more.")
    return found


def prompt_of(task: Task, example: Example, shots: list[Example], count: int, chat: bool) -> Prompt:
    """The prompt of an example behind its first `count` shots (of its own subject, where examples have one).

    chat: as messages, a shot being a turn of the user and one of the assistant; else one text.
    """
    own = [shot for shot in shots if shot.get("subject") == example.get("subject")][:count]
    if chat:
        turns = [m for s in own for m in (message("user", task.ask(s)), message("assistant", task.answer(s)))]
        return [*turns, message("user", task.ask(example))]
    return "".join(f"{task.ask(shot)} {task.answer(shot)}\n\n" for shot in own) + task.ask(example)


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
