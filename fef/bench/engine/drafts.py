"""`python -m fef.bench.engine.drafts`: what draft heads and trees are worth in the engine, on text.

    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --device cuda --json drafts.json
    python -m fef.bench.engine.drafts --shape 8b --cached 512 --device cuda

Each row answers the same prompts with the same seeds: chains, trees with the draft head and without, and on a GPU
the same weights from left to right, one token per pass. All but the last give the same texts; a row says in how many it
differs from the first (in bfloat16 a few may, where two logits are almost equal). With --json a run that was cut short goes
on where it ended. With --shape: times of single rounds of a network of random weights.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, weight_bytes
from fef.bench.engine.shapes import random_network, shape_config
from fef.engine.engine import Engine
from fef.errors import OptionError
from fef.generation import Model, load
from fef.measure.program import one_sentence, option, options_of, typed
from fef.measure.record import FORMAT, Key, Record, RecordKind, check_same_setup, read_record, record_json
from fef.measure.run import Task, carry_out
from fef.measure.timing import Clock, free_memory
from fef.models.device import default_device
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer
from fef.text import Generation, Prompt
from fef.training.conversations import read_prompts

__all__ = ["RoundRow", "ServedRow", "drafts_tasks", "round_rows"]

CAUSAL = "left to right"
_LEAST = 16  # prompts at any batch size
_FILLINGS = 3  # times that a batch is filled


@dataclass(frozen=True)
class Asked:
    """What to run. trees: nodes of each tree; chains come without asking. options: of the engine, besides those."""

    model: str
    device: str
    dtype: str
    prompts: int
    batches: Sequence[int]
    temperatures: Sequence[float]
    trees: Sequence[int]
    max_new_tokens: int
    options: dict[str, Any]


@dataclass(frozen=True)
class ServedRow:
    """passes: of any kind, of all requests. differ: texts that are not those of the first row of the same settings."""

    batch: int
    temperature: float
    rounds: str
    head: bool
    requests: int
    tokens: int
    passes: int
    seconds: float
    differ: int

    @property
    def words(self) -> str:
        head = "head" if self.head else "no head"
        return (
            f"batch {self.batch:<3} T={self.temperature:<4g} {self.rounds + ', ' + head:<24} {self.requests} requests, "
            f"{self.tokens} tokens, {self.tokens / self.passes:.2f} per pass, {self.tokens / self.seconds:,.0f}/s"
            + (f", {self.differ} texts differ" if self.differ else "")
        )


def key_of(batch: int, temperature: float, rounds: str, head: bool) -> Key:
    return f"batch {batch}", f"T={temperature:g}", rounds, "head" if head else "no head"


def older(value: dict[str, Any]) -> dict[str, Any]:
    """The setup was called asked; what was done follows from the rows."""
    done = [key_of(*(row[name] for name in ("batch", "temperature", "rounds", "head"))) for row in value["rows"]]
    header = {"format": FORMAT, "kind": "drafts", "command": "", "setup": value["asked"]}
    return value | header | {"finished": False, "done": done, "failures": []}


DRAFTS_KIND = RecordKind("drafts", "python -m fef.bench.engine.drafts --json", {"rows": ServedRow}, older=older)


def drafts_tasks(model: Model, prompts: Sequence[Prompt], asked: Asked) -> Iterator[Task]:
    """A task a row. Raises OptionError for a model without a draft head."""
    extras = model.network.extras
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    for batch, temperature in product(asked.batches, asked.temperatures):
        one = Compared(model, prompts[: max(_LEAST, _FILLINGS * batch)], batch, temperature, asked)
        for tree, head in [(0, False), *product(asked.trees, (False, True))]:
            rounds = f"trees of {tree}" if tree else "chains"
            yield Task(key_of(batch, temperature, rounds, head), partial(one.row, rounds, tree, head))
        if model.network.device.type == "cuda":
            yield Task(key_of(batch, temperature, CAUSAL, False), one.causal)


@dataclass
class Compared:
    """Rows of one batch size and temperature, held against chains without a head."""

    model: Model
    prompts: Sequence[Prompt]
    batch: int
    temperature: float
    asked: Asked

    def row(self, rounds: str, tree: int, head: bool) -> list[ServedRow]:
        seconds, found = self.chains if not tree and not head else self.answered(tree, head)
        differ = sum(out.token_ids != first.token_ids for out, first in zip(found, self.chains[1], strict=True))
        counted = sum(len(out.token_ids) for out in found), sum(int(out.stats["calls"]) for out in found)
        return [ServedRow(self.batch, self.temperature, rounds, head, len(found), *counted, seconds, differ)]

    @cached_property
    def chains(self) -> tuple[float, list[Generation]]:
        return self.answered(0, False)

    def answered(self, tree: int, head: bool) -> tuple[float, list[Generation]]:
        """Seconds, and answers, of the second run of an engine: the first captures graphs and learns costs."""
        model, asked, network = self.model, self.asked, self.model.network
        longest = max(len(model.prompt_ids(prompt)) for prompt in self.prompts) + 1 + asked.max_new_tokens
        sizes = {"max_batch": self.batch, "max_length": longest, "max_new_tokens": asked.max_new_tokens}
        settings: dict[str, Any] = {"max_new_tokens": asked.max_new_tokens, "temperature": self.temperature}
        extras = network.extras
        with extras_of(network, extras if head else replace(extras, draft_head=None)):
            engine = model.engine(**sizes | asked.options | {"tree": tree})
            if network.device.type == "cuda":
                engine.generate(self.prompts, **settings)
            began = time.perf_counter()
            found = engine.generate(self.prompts, **settings)
            return time.perf_counter() - began, found

    def causal(self) -> list[ServedRow]:
        """As many tokens per prompt as the other rows wrote."""
        from fef.bench.engine.causal import CausalDecoder, CausalRequest  # needs Triton

        network, pairs = self.model.network, zip(self.prompts, self.chains[1], strict=True)
        requests = [CausalRequest(self.model.prompt_ids(prompt), max(len(out.token_ids), 1)) for prompt, out in pairs]
        longest = max(len(request.prompt) + request.tokens for request in requests)
        overlap = torch.cuda.get_device_capability(network.device) >= (9, 0)
        decoder = CausalDecoder(network, self.batch, longest, self.temperature, overlap=overlap)
        decoder.run(requests)
        seconds, tokens = decoder.run(requests)
        return [ServedRow(self.batch, self.temperature, CAUSAL, False, len(requests), tokens, tokens, seconds, 0)]


@dataclass(frozen=True)
class RoundRow:
    """A round at batch 1, its drafts included. read: bytes of weights and keys, once each."""

    kind: str
    tokens: int
    seconds: float
    read: int
    share: float  # of copy bandwidth

    @property
    def words(self) -> str:
        return (
            f"{self.kind:<40} {self.tokens:>4} tokens {self.seconds * 1e3:.3f} ms, {self.share:.0%} of copy bandwidth"
        )


@torch.no_grad()
def round_rows(
    network: Transformer, cached: int, trees: Sequence[int], anchors: int, repeats: int
) -> Iterator[RoundRow]:
    """Rounds of one token, of chains of 16, and of trees, behind `cached` tokens; each with a head of random weights and
    without."""
    clock = Clock(network.device, repeats)
    bandwidth = copy_bandwidth(clock)
    ids = [0] * (cached + 128)
    order = list(range(cached, len(ids)))
    head = random_head(network)
    rounds: list[tuple[str, dict[str, Any], bool]] = [("one token", {"windows": (0,)}, False)]
    for on in (False, True):
        rounds.append(("chain of 16", {"windows": (16,)}, on))
        rounds += [(f"tree of {tree}, {anchors + 1} groups", {"tree": tree, "anchors": anchors}, on) for tree in trees]
    for kind, options, on in rounds:
        with extras_of(network, Extras(draft_head=head if on else None)):
            engine = Engine(network, max_batch=1, max_length=len(ids), max_new_tokens=128, **options)
            shape = RoundShape(0) if kind == "one token" else engine.shapes[0]
            with engine.held(1, ids, order, shape) as held:
                seconds = clock.seconds(held.work, held.restore)
        read = weight_bytes(network) + len(ids) * key_value_bytes(network)
        del engine, held
        free_memory(network.device)
        label = f"{kind}, {'head' if on else 'no head'}"
        yield RoundRow(label, shape.tokens, seconds, read, read / seconds / bandwidth)


@contextmanager
def extras_of(network: Transformer, extras: Extras) -> Iterator[None]:
    before, network.extras = network.extras, extras
    try:
        yield
    finally:
        network.extras = before


def random_head(network: Transformer) -> DraftHead:
    """A head that corrects at random: as much work as a trained one."""
    head = DraftHead(HeadSizes.of(network.config)).to(network.device)
    head.reset(0)
    torch.nn.init.constant_(head.out_norm.weight, 0.1)
    return head.to(network.embed.weight.dtype).requires_grad_(False)


def prompts_of(path: Path, model: Model, count: int) -> list[Prompt]:
    """The first prompts of a file; messages as text where the checkpoint has no chat template."""
    found = read_prompts(path)[:count]
    return [list(m) if model.template is not None else str(m[-1]["content"]) for m in found]


@dataclass(frozen=True)
class Options:
    """As on the command line; lists have commas."""

    model: str = "demo"
    data: Path | None = option(None, 'JSONL of {"prompt": ...} or {"messages": ...}')
    device: str = default_device()
    dtype: str = "bfloat16"
    problems: int = option(192, "prompts at most")
    batch: str = "1,64"
    temperature: str = "0,0.7"
    tree: str = option("32", "nodes")
    depth: int | None = option(None, "drafts along a path of a tree")
    anchors: int | None = option(None, "draft groups besides the first")
    max_new_tokens: int = 192
    random_head: bool = option(False, "a head of random weights, to try the speed of it", action="store_true")
    shape: str | None = option(None, "8b, 1b, 100m, 10m or tiny: times of single rounds, random weights")
    cached: int = 512
    repeats: int = 20
    json: Path | None = None

    @property
    def asked(self) -> Asked:
        options = {"depth": self.depth, "anchors": self.anchors}
        return Asked(
            model=self.model,
            device=self.device,
            dtype=self.dtype,
            prompts=self.problems,
            batches=[int(part) for part in self.batch.split(",")],
            temperatures=[float(part) for part in self.temperature.split(",")],
            trees=[int(part) for part in self.tree.split(",")],
            max_new_tokens=self.max_new_tokens,
            options={name: value for name, value in options.items() if value is not None},
        )


def main() -> None:
    given = options_of(Options, __doc__)
    asked, dtype, device = given.asked, getattr(torch, given.dtype), torch.device(given.device)
    with one_sentence():
        if given.shape is None:
            on_text(given, asked, dtype, device)
            return
        network = random_network(shape_config(given.shape), device, dtype)
        anchors = 7 if given.anchors is None else given.anchors
        for row in round_rows(network, given.cached, asked.trees, anchors, given.repeats):
            print(row.words, flush=True)


def on_text(given: Options, asked: Asked, dtype: torch.dtype, device: torch.device) -> None:
    if given.data is None:
        raise OptionError("There is nothing to answer: give --data FILE or --shape NAME.")
    model = load(given.model, device=given.device, dtype=dtype)
    if given.random_head:
        model.network.extras = replace(model.network.extras or Extras(), draft_head=random_head(model.network))
    setup = asdict(asked)
    record = Record(DRAFTS_KIND, typed("fef.bench.engine.drafts"), setup)
    if given.json is not None and given.json.is_file():
        record = read_record(given.json, DRAFTS_KIND)
        check_same_setup(record.setup, setup, given.json)
    record.failures = []
    shown = 0

    def save(record: Record) -> None:
        nonlocal shown
        for row in record.of(ServedRow)[shown:]:
            print(row.words, flush=True)
        shown = len(record.of(ServedRow))
        if given.json is not None:
            given.json.write_text(record_json(record), encoding="utf-8")

    save(record)
    tasks = list(drafts_tasks(model, prompts_of(given.data, model, given.problems), asked))
    carry_out(record, tasks, save=save, fresh=lambda: free_memory(device))
    for failure in record.failures:
        print(f"{failure.words}: {failure.reason}")


if __name__ == "__main__":
    main()
