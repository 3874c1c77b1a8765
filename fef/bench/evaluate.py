"""Evaluation of one method on a list of problems. Knows models, problems and scores; not tables, files or terminals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fef.api import certify
from fef.bench.acceptance import Acceptance, AcceptanceCounter
from fef.bench.spec import MethodSpec
from fef.decoding.certificate import Certificate
from fef.generation import Model
from fef.measure.answering import Answered, Asked, batches_of, in_batches, judged
from fef.measure.answers import Answer, answer_of
from fef.measure.fields import fitted, of_names
from fef.measure.record import Key
from fef.tasks import Problem, score

__all__ = ["Result", "Settings", "evaluate"]

COLUMNS = ("right", "tokens", "digest", "calls", "rows", "token_forwards", "rounds", "seconds", "finish_reason")


@dataclass(frozen=True)
class Settings:
    """How every method of a benchmark is run. `max_new_tokens` is the length of the canvas."""

    batch_size: int = 32
    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0

    @property
    def sampling(self) -> dict[str, Any]:
        return {"temperature": self.temperature, "top_p": self.top_p}

    def asked(self, method: str, options: Mapping[str, Any]) -> Asked:
        return {"method": method, "max_new_tokens": self.max_new_tokens} | self.sampling | dict(options)


@dataclass(frozen=True)
class Result:
    """The answers of one method on one family, in the order of the problems."""

    family: str
    spec: MethodSpec
    answers: tuple[Answer, ...]
    certificate: Certificate
    acceptance: Acceptance

    @property
    def key(self) -> Key:
        return self.family, self.spec.label

    def to_dict(self) -> dict[str, Any]:
        """Answers as columns, in the order of the problems: a third of the space."""
        return {
            "family": self.family,
            "spec": asdict(self.spec),
            "certificate": self.certificate.to_dict(),
            "acceptance": asdict(self.acceptance),
            "answers": {name: [getattr(answer, name) for answer in self.answers] for name in COLUMNS},
        }

    @classmethod
    def from_dict(cls, value: Any, name: str) -> Result:
        """What `to_dict` made, called `name`. Raises ValueError."""
        found = fitted({"answers": dict.fromkeys(COLUMNS, list[Any])}, value, name)
        cells = [found["answers"][column] for column in COLUMNS]
        if not cells[0] or len({*map(len, cells)}) > 1:
            raise ValueError(f"answers of {name} must have a value a problem in each column")
        answers = [dict(zip(COLUMNS, one, strict=True)) for one in zip(*cells, strict=True)]
        result: Result = of_names(cls, found | {"answers": answers}, name)
        return result


def evaluate(
    model: Model,
    problems: Sequence[Problem],
    spec: MethodSpec,
    settings: Settings,
    *,
    warm_up: bool = False,
    on_done: Callable[[int], None] = lambda _: None,
) -> Result:
    """Answer and score problems of one family (at least one). Problem i has the seed `settings.seed + i` in any batch.

    warm_up: answer one problem first, untimed. on_done: called with the number of problems of each finished batch.
    """
    prompts, asked = [problem.prompt for problem in problems], settings.asked(spec.name, spec.options)
    if warm_up:
        model.generate(prompts[:1], seed=settings.seed, **asked)
    batches = batches_of([len(model.tokenizer.encode(prompt)) for prompt in prompts], settings.batch_size)
    counter, answers = AcceptanceCounter(), list[Answer]()

    def answer(one: Answered) -> Answer:
        right = score(problems[one.index], one.out.text)
        return answer_of(one.out, right, index=one.index, seconds=one.seconds)

    for together in judged(in_batches(model, prompts, batches, settings.seed, asked, counter), answer):
        answers += together
        on_done(len(together))
    answers.sort(key=lambda one: one.index)
    certificate = certify(model.network, method=spec.name, **settings.sampling, **spec.options)
    return Result(problems[0].family, spec, tuple(answers), certificate, counter.result())
