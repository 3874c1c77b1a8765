"""The tasks: where their examples lie, how they are asked, and how an answer is scored. The same for every method."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fef.errors import OptionError
from fef.eval import fields
from fef.eval.code import python_code
from fef.eval.datasets import Example, accept, read_examples
from fef.eval.fields import Reader
from fef.eval.letters import chosen_letter
from fef.eval.mathematics import final_expression, same_expression
from fef.eval.numbers import final_number, same_number
from fef.eval.programs import called_names, humaneval_program, mbpp_program, passes

__all__ = ["TASKS", "Message", "Prompt", "Task", "Verdict", "prompt_of", "shots_for"]

Message = dict[str, str]
Prompt = str | list[Message]
LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and what was read from it."""

    right: bool
    extracted: str | None


def every_example(_: Example) -> bool:
    return True


@dataclass(frozen=True)
class Task:
    """A benchmark: its examples, how they are worded, and how answers are judged."""

    name: str  # of the task
    file: str  # the examples
    fields: Mapping[str, Reader]  # what an example must have, and how each is read
    ask: Callable[[Example], str]  # words an example as the user's turn
    answer: Callable[[Example], str]  # gives a shot's reply
    score: Callable[[Example, str], Verdict]  # judges a response
    problems: int  # in the test set, where figures are published
    max_new_tokens: int  # of a run without a preset
    shots_file: str = ""  # where worked examples come from; "" for a task that has none
    select: Callable[[Example], bool] = every_example  # which examples are the test set
    is_shot: Callable[[Example], bool] = every_example  # which worked examples may be shown
    check: Callable[[Example], None] = accept  # raises ValueError for an example whose fields do not go together
    runs_code: bool = False  # judging runs programs

    def read(self, path: Path, names: Mapping[str, str] | None = None) -> list[Example]:
        """The examples of a file (`read_examples`)."""
        return read_examples(path, self.fields, names, self.check)


def ask_gsm8k(example: Example) -> str:
    return f"Question: {example['question']}\nLet's think step by step.\nAnswer:"


def answer_gsm8k(example: Example) -> str:
    return drop_calculator_marks(example["answer"])


def drop_calculator_marks(text: str) -> str:
    """The solution without its `<<16-3-4=9>>` marks."""
    parts = text.split("<<")
    return parts[0] + "".join(part.partition(">>")[2] for part in parts[1:])


def check_gsm8k(example: Example) -> None:
    if final_number(example["answer"]) is None:
        raise ValueError("the answer has no number")


def score_gsm8k(example: Example, response: str) -> Verdict:
    found = final_number(response)
    return Verdict(same_number(found, final_number(example["answer"])), found)


def ask_math(example: Example) -> str:
    return str(example["prompt"])


def score_math(example: Example, response: str) -> Verdict:
    found = final_expression(response)
    return Verdict(same_expression(found, example["answer"]), found)


def ask_humaneval(example: Example) -> str:
    return (
        "Complete this Python function. Reply with the whole function in one code block.\n\n"
        f"```python\n{example['prompt'].rstrip()}\n```"
    )


def check_humaneval(example: Example) -> None:
    if f"def {example['entry_point']}(" not in example["prompt"]:
        raise ValueError(f"the prompt does not begin the function {example['entry_point']!r}")


def score_humaneval(example: Example, response: str) -> Verdict:
    code = python_code(response, [example["entry_point"]])
    program = humaneval_program(example["prompt"], example["entry_point"], example["test"], code)
    return Verdict(passes(program), code)


def ask_mbpp(example: Example) -> str:
    return f"{example['text']} Your code should pass these tests:\n\n" + "\n".join(example["test_list"])


def answer_mbpp(example: Example) -> str:
    code = example["code"].replace("\r", "")
    return f"```python\n{code}\n```"


def score_mbpp(example: Example, response: str) -> Verdict:
    setup, tests = example["test_setup_code"], example["test_list"]
    code = python_code(response, called_names(setup, tests))
    return Verdict(passes(mbpp_program(setup, tests, code)), code)


def letters_of(example: Example) -> str:
    """The letters of an example's choices."""
    return LETTERS[: len(example["choices"])]


def ask_mmlu(example: Example) -> str:
    pairs = zip(letters_of(example), example["choices"], strict=True)
    choices = "\n".join(f"{letter}. {choice}" for letter, choice in pairs)
    return f"{example['question'].strip()}\n{choices}\nAnswer:"


def answer_mmlu(example: Example) -> str:
    """The letter; files give it as a letter or as the number of the choice, from 0."""
    answer = example["answer"]
    return LETTERS[answer] if isinstance(answer, int) else str(answer)


def check_mmlu(example: Example) -> None:
    choices, answer = example["choices"], example["answer"]
    if len(choices) > len(LETTERS):
        raise ValueError(f"{len(choices)} choices are more than there are letters")
    if answer not in (range(len(choices)) if isinstance(answer, int) else [*letters_of(example)]):
        raise ValueError(f"the answer {answer!r} is none of the {len(choices)} choices")


def score_mmlu(example: Example, response: str) -> Verdict:
    found = chosen_letter(response, letters_of(example))
    return Verdict(found == answer_mmlu(example), found)


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="gsm8k",
            file="gsm8k_test.jsonl",
            fields={"question": fields.text, "answer": fields.text_or_number},
            ask=ask_gsm8k,
            answer=answer_gsm8k,
            score=score_gsm8k,
            problems=1319,
            max_new_tokens=256,
            shots_file="gsm8k_train.jsonl",
            check=check_gsm8k,
        ),
        Task(
            name="svamp",
            file="svamp.jsonl",
            fields={"question": fields.text, "answer": fields.text_or_number},
            ask=ask_gsm8k,
            answer=answer_gsm8k,
            score=score_gsm8k,
            problems=1000,
            max_new_tokens=256,
            check=check_gsm8k,
        ),
        Task(
            name="math",
            file="math500.jsonl",
            fields={"prompt": fields.text, "answer": fields.text_or_number},
            ask=ask_math,
            answer=lambda example: str(example["answer"]),
            score=score_math,
            problems=5000,
            max_new_tokens=512,
        ),
        Task(
            name="humaneval",
            file="humaneval.jsonl",
            fields=dict.fromkeys(("prompt", "entry_point", "test"), fields.text),
            ask=ask_humaneval,
            answer=lambda example: str(example["prompt"] + example["canonical_solution"]),
            score=score_humaneval,
            problems=164,
            max_new_tokens=512,
            check=check_humaneval,
            runs_code=True,
        ),
        Task(
            name="mbpp",
            file="mbpp.jsonl",
            fields={
                **{"text": fields.text, "code": fields.text, "task_id": fields.whole_number},
                **{"test_setup_code": fields.lines, "test_list": fields.texts},
            },
            ask=ask_mbpp,
            answer=answer_mbpp,
            score=score_mbpp,
            problems=500,
            max_new_tokens=256,
            shots_file="mbpp.jsonl",
            # the split of the paper (2108.07732): tasks 11 to 510 test, tasks 2 to 4 are its three prompts
            select=lambda example: 11 <= example["task_id"] <= 510,
            is_shot=lambda example: 2 <= example["task_id"] <= 4,
            runs_code=True,
        ),
        Task(
            name="mmlu",
            file="mmlu_test.jsonl",
            fields={
                **{"question": fields.text, "choices": fields.texts, "answer": fields.choice},
                "subject": fields.text,
            },
            ask=ask_mmlu,
            answer=answer_mmlu,
            score=score_mmlu,
            problems=14042,
            max_new_tokens=3,
            shots_file="mmlu_dev.jsonl",
            check=check_mmlu,
        ),
    )
}


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
    turns: list[tuple[str, Any]] = [(task.ask(shot), task.answer(shot)) for shot in own]
    if chat:
        messages = [m for ask, reply in turns for m in (message("user", ask), message("assistant", reply))]
        return [*messages, message("user", task.ask(example))]
    return "".join(f"{ask} {reply}\n\n" for ask, reply in turns) + task.ask(example)


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
