"""The engine beside itself as it was at an older commit, by default the last one without draft heads and trees.

    python benchmarks/engine_before.py --model smol --data prompts.jsonl
    python benchmarks/engine_before.py --model demo --tasks word-problems,python --batch 1,16 --no-own

The engine of that commit with its own weights, with the weights of now, and the engine of now answer the same prompts with
the same seeds in turns, each in a process that is warmed up. Prints a JSON line on the setup, and one for each engine, batch
size and temperature: tokens per pass, and per second of the clock and of a core; by which factor the engine of now has more
of these (the median of the turns, the least and the largest); and how many texts are not those of the engine of now. With the
same weights none is in float32, and in bfloat16 a few may be, where two logits are almost equal.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fef.bench.engine.drafts import prompts_of
from fef.errors import OptionError
from fef.generation import load
from fef.measure.environment import environment
from fef.measure.program import option, program, told
from fef.models.checkpoint import save_checkpoint
from fef.models.device import default_device
from fef.text import Prompt
from fef.training.adapt import write_template

ROOT = Path(__file__).resolve().parents[1]
NOW = "now"


@dataclass(frozen=True)
class Options:
    model: str = "smol"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    tasks: Sequence[str] = option((), "families of held-out problems, in place of --data")
    device: str = default_device()
    dtype: str = "bfloat16"
    problems: int = 16
    max_new_tokens: int = 96
    batch: Sequence[int] = (1,)
    temperature: Sequence[float] = (0.0,)
    turns: int = option(3, "in each of which all engines answer all prompts once")
    warm_ups: int = option(1, "times that an engine answers all prompts before")
    commit: str = option("9f03768", "the older one")
    source: Path | None = option(None, "a folder with the files of that commit, where git does not have it")
    own: bool = option(True, "with the weights of that commit, too")


@contextmanager
def older(given: Options) -> Iterator[Path]:
    """The files of the older commit."""
    if given.source is not None:
        yield given.source.resolve()
        return
    with TemporaryDirectory() as folder:
        files = subprocess.run(["git", "archive", given.commit, "fef"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
        subprocess.run(["tar", "-x", "-C", folder], input=files.stdout, check=True)
        yield Path(folder)


class Worker:
    """A process with the engine of the `fef` in a folder, and a model for it."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.model = folder, model
        others = os.environ.get("PYTHONPATH")  # packages may lie there
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "engine_worker.py")],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder)] + ([others] if others else []))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: dict[str, Any] | None) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps(what), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise OptionError(f"The engine in {self.folder} has ended. What it said stands above.")
        return json.loads(line)

    def ready(self, given: Options, prompts: list[Prompt], batch: int, temperature: float) -> None:
        asked = {name: getattr(given, name) for name in ("device", "dtype", "max_new_tokens", "warm_ups")}
        found = self.ask(asked | {"model": self.model, "prompts": prompts, "batch": batch, "temperature": temperature})
        assert Path(found).is_relative_to(self.folder), f"{found} is not in {self.folder}"

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@program(Options, __doc__)
def main(given: Options) -> None:
    model = load(given.model, device="cpu", dtype=torch.float32)
    prompts = prompts_of(model, given.problems, given.data, given.tasks)
    with ExitStack() as stack:
        before, weights = stack.enter_context(older(given)), Path(stack.enter_context(TemporaryDirectory())) / "now"
        written = partial(write_template, template=model.template)
        save_checkpoint(weights, model.network, model.tokenizer, torch.float32, written)  # no weight is rounded
        workers = {"before, its weights": Worker(before, given.model)} if given.own else {}
        workers |= {"before": Worker(before, str(weights)), NOW: Worker(ROOT, given.model)}
        for worker in workers.values():
            stack.callback(worker.stop)
        told(setup=asdict(given) | {"environment": environment(given.device)})
        for batch, temperature in product(given.batch, given.temperature):
            for worker in workers.values():
                worker.ready(given, prompts, batch, temperature)
            turns = [{name: worker.ask(None) for name, worker in workers.items()} for _ in range(given.turns)]
            for name in workers:
                told(engine=name, batch=batch, temperature=temperature, **compared(name, turns))


def compared(name: str, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """What an engine did in all turns, and how much faster the engine of now was."""
    found, now = turns[-1][name], turns[-1][NOW]
    tokens, of_now = (sum(map(len, one["texts"])) for one in (found, now))
    median = {clock: statistics.median(turn[name][clock] for turn in turns) for clock in ("seconds", "processor")}
    factors = {c: [of_now / turn[NOW][c] * turn[name][c] / tokens for turn in turns] for c in median}
    return {
        "prompts": len(found["texts"]),
        "tokens": tokens,
        "tokens_per_pass": round(tokens / found["passes"], 2),
        "tokens_per_second": round(tokens / median["seconds"], 1),
        "now_is_faster_by": spread(factors["seconds"]),
        "tokens_per_second_of_a_core": round(tokens / median["processor"], 1),
        "now_is_faster_on_a_core_by": spread(factors["processor"]),
        "other_texts": sum(a != b for a, b in zip(found["texts"], now["texts"], strict=True)),
    }


def spread(values: list[float]) -> list[float]:
    """The median, the least and the largest."""
    return [round(value, 3) for value in (statistics.median(values), min(values), max(values))]


if __name__ == "__main__":
    main()
