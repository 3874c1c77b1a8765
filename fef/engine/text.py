"""The engine with text in and out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

from fef.decoding.inputs import row_seeds
from fef.engine.engine import Engine, Job
from fef.engine.requests import as_numbers
from fef.errors import FefError, InputError
from fef.text import Generation, Prompt, TextNetwork, refuse_taken

__all__ = ["TextEngine", "TextJob"]


@dataclass
class TextJob:
    """A prompt in the engine."""

    job: Job
    model: TextNetwork

    @property
    def status(self) -> str:
        """ "waiting", "running", "done", "failed" or "cancelled"."""
        return self.job.status

    def result(self) -> Generation:
        """The answer; works until it is there. Raises EngineError or DenoiserError where the request failed."""
        filled = self.job.result()
        assert self.job.ended is not None
        stats: dict[str, float] = {**filled.counters, "seconds": self.job.ended - self.job.began}
        found = self.model.generation(
            filled.tokens, filled.logprobs, stats, self.job.certificate, log_mass=filled.log_mass
        )
        return found if filled.likeliest is None else replace(found, likeliest=filled.likeliest[: len(found.token_ids)])

    def cancel(self) -> None:
        """Give the request up; its seat is free for the next round."""
        self.job.cancel()


class TextEngine:
    """Answers many prompts at once: `Model.engine` makes one. `engine` is the engine below, on token ids."""

    def __init__(self, /, model: TextNetwork, **options: Any) -> None:
        banned = model.never_drawn(options.pop("banned", ()))
        options = {"eos_id": model.network.config.eos_id} | options
        self.model, self.engine = model, Engine(model.network, banned=banned, **options)

    @property
    def notes(self) -> list[str]:
        """What was done otherwise than asked, and why."""
        return self.engine.notes

    @property
    def stats(self) -> dict[str, int]:
        """As `Engine.stats`."""
        return self.engine.stats

    def submit(
        self, /, prompt: Prompt, *, max_new_tokens: int = 128, suffix: str = "", grammar: Any = None, **options: Any
    ) -> TextJob:
        """Queue a prompt. Arguments as in `Model.generate`, of one row, but for `banned`, which is the engine's, and `trace`,
        `on_round` and `force`; `stream` and `watch` as in `Engine.submit`. Raises as `generate`, and EngineError for a
        request that can never fit."""
        return self._submit_ids(self.model.prompt_ids(prompt), max_new_tokens, suffix, grammar, **options)

    def _submit_ids(
        self,
        prompt_ids: list[int],
        /,
        max_new_tokens: int = 128,
        suffix: str = "",
        grammar: Any = None,
        **options: Any,
    ) -> TextJob:
        """As `submit`, for the ids that the tokenizer gave, which nobody checks again."""
        refuse_taken("submit", options, ("ids", "open", "lengths"))
        ids, start, stop = self.model.canvas_behind(prompt_ids, max_new_tokens, suffix)
        compiled = None if grammar is None else self.model.grammar(grammar)
        job = self.engine.submit(as_numbers(ids), range(start, stop), grammar=compiled, **options)
        return TextJob(job, self.model)

    def generate(
        self, /, prompts: Sequence[Prompt], *, seed: int | Sequence[int] = 0, **options: Any
    ) -> list[Generation]:
        """Answer prompts, in their order; prompt i has the seed `seed + i`, or its own.

        Raises as `submit_all`, and as `TextJob.result` for the first that failed; prompts submitted singly keep their
        answers.
        """
        jobs = self.submit_all(prompts, seed=seed, **options)
        self.run()
        return [job.result() for job in jobs]

    def submit_all(
        self, /, prompts: Sequence[Prompt], *, seed: int | Sequence[int] = 0, **options: Any
    ) -> list[TextJob]:
        """Queue prompts; prompt i has the seed `seed + i`, or its own. Prompts are encoded ahead. A GPU works at the first of
        them meanwhile.

        Raises as `submit`, and then none of them goes on; InputError for what is no list of prompts, OptionError for other
        than one seed per prompt.
        """
        if isinstance(prompts, str) or not isinstance(prompts, Sequence):
            raise InputError(f"Give a list of prompts; got {type(prompts).__name__}. For one prompt: [prompt].")
        seeds, jobs = row_seeds(seed, len(prompts), "prompt"), list[TextJob]()
        with closing(self.model.prompts_ids(prompts)) as encoded:
            try:
                for prompt_ids, own_seed in zip(encoded, seeds, strict=True):
                    jobs.append(self._submit_ids(prompt_ids, seed=own_seed, **options))
                    self.engine.work_meanwhile()
            except FefError:
                for job in jobs:
                    job.cancel()
                raise
        return jobs

    def step(self) -> None:
        """One round of everything that is live."""
        self.engine.step()

    def run(self) -> None:
        """Work until every request is done."""
        self.engine.run()
