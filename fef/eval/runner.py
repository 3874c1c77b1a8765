"""The runner: prompts in batches through a model, answers scored and kept. Any number of processes gives the same results.

Batches are made from the whole list of prompts before it is shared out, so that a prompt meets the same neighbours whatever
the number of processes and wherever an earlier run stopped. In the engine, which settings may ask for, every prompt is on its
own anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fef.errors import OptionError
from fef.eval.answering import Answered, in_batches, in_engine
from fef.eval.datasets import Example
from fef.eval.prompts import FittedPrompt, canvas_length, fit_prompts
from fef.eval.records import Record, check_settings, merge, open_part, read_records, write_record
from fef.eval.settings import Settings
from fef.eval.shards import ONE_PROCESS, Shard
from fef.eval.tasks import Task, prompt_of
from fef.generation import Model
from fef.tasks.sandbox import check_isolation

__all__ = ["id_of", "run"]


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
    shard: Shard = ONE_PROCESS,
    on_done: Callable[[int], None] | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Record]:
    """Answer and score every example; example i has the seed `settings.seed + i`. Returns all records in order.

    out: a folder that keeps results as they come; a run that was stopped goes on from there. identity: what else must be
    the same for that (`check_settings`). shard: this process; only its first returns records, the others an empty list.
    on_done: called with the number of examples that are finished, first of those that an earlier run finished.
    note: takes remarks of the engine.

    Raises InputError for prompts that do not fit, OptionError or InputError for a folder of other results, and SandboxError
    for a task of programs where the system allows no strong sandbox, unless `allow_weak_sandbox`.
    """
    if task.runs_code:
        check_isolation(allow_weak_sandbox)
    if out is None and shard.world > 1:
        raise OptionError("Several processes meet in a folder: give --out DIR.")
    prompts = [prompt_of(task, example, shots, settings.shots, settings.chat) for example in examples]
    ready = fit_prompts(model, prompts, [settings.max_new_tokens] * len(prompts), settings.long_prompts)
    batches = batches_of(model, ready, settings)
    done: dict[int, Record] = {}
    if out is not None:
        if shard.rank == 0:
            check_settings(out, identity or {})
        shard.wait()
        done = read_records(out)
        shard.wait()  # nobody writes before everybody has read
    own = batches[shard.rank :: shard.world]
    asked = [batch for batch in own if any(i not in done for i in batch)]
    if settings.engine:
        asked = [[i for i in batch if i not in done] for batch in asked]
        answered = in_engine(model, ready, settings, [i for batch in asked for i in batch], note)
    else:
        answered = in_batches(model, ready, settings, asked)
    finished = sum(map(len, own)) - sum(map(len, asked))
    part = None if out is None else open_part(out, shard.rank)
    try:
        if on_done is not None and finished:
            on_done(finished)
        with ThreadPoolExecutor() as pool:  # running code waits for child processes, never while answers are timed
            for together in answered:
                for record in pool.map(lambda one: record_of(task, examples, ready, one), together):
                    if record.index not in done:
                        done[record.index] = record
                        if part is not None:
                            write_record(part, record)
                if on_done is not None:
                    on_done(len(together))
    finally:
        if part is not None:
            part.close()
    shard.wait()
    if shard.rank > 0:
        return []
    if out is not None:
        done = read_records(out)
        merge(out, done.values())
    return [done[i] for i in range(len(examples))]


def record_of(task: Task, examples: Sequence[Example], ready: Sequence[FittedPrompt], answered: Answered) -> Record:
    index, out = answered.index, answered.out
    verdict = task.score(examples[index], out.text)
    return Record(
        index=index,
        id=id_of(examples[index]),
        right=verdict.right,
        extracted=verdict.extracted,
        text=out.text,
        finish_reason=out.finish_reason,
        cut_characters=ready[index].cut_characters,
        tokens=len(out.token_ids) + (out.finish_reason == "stop"),
        calls=int(out.stats["calls"]),
        rows=int(out.stats["rows"]),
        token_forwards=int(out.stats["token_forwards"]),
        seconds=answered.seconds,
    )


def id_of(example: Example) -> str | None:
    """The name of an example in its file, if it has one."""
    return None if example.get("task_id") is None else str(example["task_id"])


def batches_of(model: Model, ready: Sequence[FittedPrompt], settings: Settings) -> list[list[int]]:
    """Places in batches of prompts of similar length, the longest first, so that memory runs out at once or never."""
    lengths = [canvas_length(model, r.prompt, settings.max_new_tokens) for r in ready]
    order = sorted(range(len(ready)), key=lambda i: -lengths[i])
    return [order[i : i + settings.batch_size] for i in range(0, len(order), settings.batch_size)]
