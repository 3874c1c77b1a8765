"""The runner: prompts through a model, answers scored and kept. Any number of processes gives the same results.

Batches are made from the whole list of prompts before it is shared out, so that a prompt meets the same neighbours whatever
the number of processes and wherever an earlier run stopped. In the engine, which settings may ask for, every prompt is on its
own anyway.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from fef.decoders import make_plan
from fef.decoding.network import Network
from fef.engine.packed_plans import runs_packed
from fef.errors import InputError, OptionError
from fef.eval import datasets
from fef.eval.datasets import Example, read_examples
from fef.eval.presets import Settings
from fef.eval.prompts import FittedPrompt, fit_prompts
from fef.eval.tasks import Message, Task, prompt_of
from fef.generation import Model
from fef.measure.answering import Answered, batches_of, in_batches, in_engine, judged, submit
from fef.measure.answers import Answer, answer_of
from fef.measure.journal import begin, merge, open_part, read_answers, write_answer
from fef.tasks.sandbox import check_isolation
from fef.training.processes import ALONE, Processes

__all__ = ["id_of", "prompt_lines", "run", "score_answers"]

_WARM_UP = 4  # prompts
_LENGTH_STEP = 64  # canvases of the engine are multiples of this


def run(
    model: Model,
    task: Task,
    examples: Sequence[Example],
    shots: list[Example],
    settings: Settings,
    *,
    allow_weak_sandbox: bool = False,
    out: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
    on_done: Callable[[int], None] = lambda _: None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Answer]:
    """Answer and score every example; example i has the seed `settings.seed + i`. Returns all answers in order.

    out: a folder that keeps results as they come; a run that was stopped goes on from there. identity: what else must be
    the same for that. processes: this one and its fellows; only the first returns answers, the others an empty list.
    on_done: called with the number of examples that are finished, first of those that an earlier run finished. note: takes
    remarks of the engine.

    Raises InputError for prompts that do not fit and for a folder of other results, OptionError for several processes without
    a folder, and SandboxError for a task of programs where the system allows no strong sandbox, unless `allow_weak_sandbox`.
    """
    if task.runs_code:
        check_isolation(allow_weak_sandbox)
    if out is None and processes.size > 1:
        raise OptionError("Several processes meet in a folder: give --out DIR.")
    prompts = [prompt_of(task, example, shots, settings.shots, settings.chat) for example in examples]
    ready = fit_prompts(model, prompts, [settings.max_new_tokens] * len(prompts), settings.long_prompts)
    done: dict[int, Answer] = {}
    if out is not None:
        if processes.leads:
            begin(out, identity or {})
        processes.wait()
        done = read_answers(out)
        processes.wait()  # nobody writes before everybody has read
    own = batches_of([one.length for one in ready], settings.batch_size)[processes.rank :: processes.size]
    asked = [batch for batch in own if any(i not in done for i in batch)]
    if settings.engine:
        asked = [[i for i in batch if i not in done] for batch in asked]
        answered = through_engine(model, ready, settings, [i for batch in asked for i in batch], note)
    else:
        answered = in_batches(model, [one.prompt for one in ready], asked, settings.seed, settings.decoding)

    def judge(one: Answered) -> Answer:
        example, cut = examples[one.index], ready[one.index].cut_characters
        verdict = task.score(example, one.out.text)
        more = {"index": one.index, "id": id_of(example), "extracted": verdict.extracted, "cut_characters": cut}
        return answer_of(one.out, verdict.right, seconds=one.seconds, **more)

    with nullcontext() if out is None else open_part(out, processes.rank) as part:
        if finished := sum(map(len, own)) - sum(map(len, asked)):
            on_done(finished)
        for together in judged(answered, judge):
            for answer in together:
                if answer.index not in done:
                    done[answer.index] = answer
                    if part is not None:
                        write_answer(part, answer)
            on_done(len(together))
    processes.wait()
    if not processes.leads:
        return []
    if out is not None:
        done = read_answers(out)
        merge(out, done.values())
    return [done[i] for i in range(len(examples))]


def id_of(example: Example) -> str | None:
    """The name of an example in its file, if it has one."""
    return None if example.get("task_id") is None else str(example["task_id"])


def through_engine(
    model: Model,
    ready: Sequence[FittedPrompt],
    settings: Settings,
    indices: Sequence[int],
    note: Callable[[str], None],
) -> Iterator[list[Answered]]:
    """An engine of just the canvases that are needed, and of the window that the settings name. A method that drafts nothing
    gets rounds without drafts, so that its passes are those that it is known for.

    On a GPU, graphs are captured and kernels compiled by prompts that are answered beforehand, for which no answer is billed:
    packed rounds are warm when they have been full; sessions capture nothing, and a few prompts do.
    """
    if not indices:
        return
    plan = make_plan(settings.method, dict(settings.options), Network(model.network))
    longest = -(-max(one.length for one in ready) // _LENGTH_STEP) * _LENGTH_STEP
    options: dict[str, Any] = {
        "max_batch": settings.batch_size,
        "max_length": min(longest, model.network.config.max_length),
        "max_new_tokens": settings.max_new_tokens,
    }
    window = 0 if plan.speculation is None else settings.options.get("window")
    if window is not None:
        options["windows"] = (window,)
    engine, prompts = model.engine(**options), [one.prompt for one in ready]
    if engine.engine.device.type == "cuda":
        packed = engine.engine.packed is not None and runs_packed(plan)
        if packed:
            engine.engine.measure()
        first = indices[: settings.batch_size if packed else _WARM_UP]
        submit(engine, prompts, first, settings.seed, settings.decoding)
        engine.run()
    yield from in_engine(engine, prompts, indices, settings.seed, settings.decoding)
    for remark in engine.notes:
        note(remark)


# --- answers that something else wrote, such as a causal model ---


def prompt_lines(task: Task, examples: Sequence[Example], shots: list[Example], count: int) -> str:
    """The prompts of a task as JSON lines; arguments as in `prompt_of`."""
    prompts = [prompt_of(task, example, shots, count, chat=True) for example in examples]
    return "".join(json.dumps({"messages": prompt}) + "\n" for prompt in prompts)


def score_answers(
    task: Task, examples: Sequence[Example], shots: list[Example], count: int, path: Path
) -> list[Answer]:
    """An answer an example, in their order. Arguments as in `prompt_of`.

    path: JSON lines; each has `messages` with the answer last, the `tokens` of the answer with its end token, and whether it
    `ended`. It is matched by the messages before it; a problem without an answer counts as answered wrong. One token is one
    pass; how long it took is not known. Raises InputError for a broken line, and where no answer is to one of the examples.
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
