"""Passes and requests at the sizes of released networks, with random weights: `python -m fef.bench.engine.released`.

For each network and batch: passes as replays of their graphs, against what must be read, and requests in the engine. One more
row compares the context pass of packed rounds with a plain pass of the same canvas.

Shapes: B rows, L canvas length, W states per row, X experts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, operations, weight_bytes
from fef.bench.engine.passes import CONTEXT, FULL, engine_passes, plain_passes
from fef.bench.engine.shapes import RELEASED, random_network, shape_config
from fef.decoding.stale import shared_sources
from fef.engine.cached_network import ArenaKeys, CachedNetwork
from fef.engine.cached_passes import CachedPasses
from fef.engine.engine import Engine
from fef.measure.environment import environment
from fef.measure.page import device_words, introduction, results_page, version_words
from fef.measure.program import option, program, typed
from fef.measure.record import Record, RecordKind, record_json
from fef.measure.run import Task, Told, carry_out
from fef.measure.table import markdown, sheet_of
from fef.measure.timing import Clock, Stopwatch, captured, free_memory
from fef.models.device import usable_device
from fef.models.mlp import Router
from fef.models.transformer import Transformer

__all__ = ["RELEASED_KIND", "main", "released_page", "run_released"]

_PROMPT, _ANSWER, _STALE_BLOCK = 256, 256, 32
_CONTEXT = 529  # a canvas whose context pass is compared with a plain pass
_PEAK = 989e12  # products in bfloat16 of an H100 or H200, operations a second, by its maker
_SECONDS = 5.0  # of requests: the rate of a longer run would be the same
METHODS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "LLaDA-8B": [
        ("threshold", {"cache": "dual", "block_length": _STALE_BLOCK}),
        ("low-confidence", {"block_length": _STALE_BLOCK}),
    ],
    "SDAR-8B, block 4": [
        ("fef", {"cache": "prefix", "window": 4}),
        ("threshold", {"cache": "prefix", "block_length": 4}),
    ],
    "SDAR-8B, block 16": [
        ("fef", {"cache": "prefix", "window": 4}),
        ("threshold", {"cache": "prefix", "block_length": 16}),
    ],
    "LLaDA2-mini": [("threshold", {"cache": "prefix", "block_length": 32})],
}


@dataclass(frozen=True)
class PassTime:
    """tokens: computed, of a row. read_gb: what must be read once. share: of the copy bandwidth. tflop: what must be computed
    (`operations`)."""

    network: str
    batch: int
    kind: str
    tokens: int
    milliseconds: float
    read_gb: float
    share: float
    tflop: float = 0.0

    @property
    def compute_share(self) -> float:
        """Of the peak of an H100 or H200."""
        return self.tflop * 1e12 / (self.milliseconds / 1e3) / _PEAK


@dataclass(frozen=True)
class Rate:
    """Requests of one method, all at once. tokens: committed in those seconds; calls: passes per request in them."""

    network: str
    batch: int
    method: str
    tokens: int
    seconds: float
    rate: float
    note: str = ""


RELEASED_KIND = RecordKind(
    "released",
    "python -m fef.bench.engine.released --json FILE",
    {"passes": PassTime, "rates": Rate},
    ("bandwidth",),  # bytes per second that a copy reads and writes
)


class WatchedPasses(CachedPasses):
    """Remembers which graphs were replayed."""

    used: list[tuple[Any, int]]

    def fitting(self, kind: Any, rows: int) -> int:
        size = super().fitting(kind, rows)
        self.used.append((kind, size))
        return size

    def again(self, work: Callable[[], object]) -> Callable[[], None]:
        """The graphs that `work` replays, with the inputs that it gave them last."""
        self.used = []
        work()
        graphs = [self.graphs[each].graph for each in self.used]

        def replay() -> None:
            for graph in graphs:
                graph.replay()

        return replay


@dataclass
class Bench:
    """Measures one network, which is made when it is first asked for."""

    name: str
    clock: Clock
    bandwidth: float

    @cached_property
    def network(self) -> Transformer:
        return random_network(RELEASED[self.name], self.clock.device, torch.bfloat16)

    def tasks(self, batches: Sequence[int]) -> Iterator[Task]:
        for batch in batches:
            yield Task((self.name, f"passes of {batch}"), partial(self.passes, batch))
            for method, options in METHODS[self.name]:
                work = partial(self.requests, batch, method, options)
                yield Task((self.name, f"{batch} requests of {method}"), work)
        config = RELEASED[self.name]
        if config.mixture is None and config.block_length is None:
            yield Task((self.name, "plain torch"), self.torch_full_pass)

    def passes(self, batch: int) -> list[PassTime]:
        network, block = self.network, self.network.config.block_length
        passes = WatchedPasses(
            network, budget=20e9, seats=batch, longest=_PROMPT + _ANSWER, overlap=overlaps(network.device), notes=print
        )
        passes.used = []
        ids_BL = canvases(network, batch)
        ids_BL[:, _PROMPT + 1 :: 2] = ids_BL[:, 1:_PROMPT:2]  # an answer of which half is there
        index_L = torch.arange(ids_BL.shape[1], device=network.device)
        cached, rows_B = CachedNetwork(network, passes), torch.arange(batch, device=network.device)
        if block is None:
            at_BS = index_L[_PROMPT : _PROMPT + _STALE_BLOCK].expand(batch, -1)
            full = passes.again(lambda: cached.logits_at(ids_BL, at_BS))
            found = [self.time(batch, "full", ids_BL, index_L >= 0, full)]
            keys = ArenaKeys(passes, batch, ids_BL.shape[1])
            keys.renew(rows_B, ids_BL, at_BS, at_BS[:, :0], None)
            fresh_L = (index_L >= _PROMPT) & (index_L < _PROMPT + _STALE_BLOCK)
            step = passes.again(lambda: keys.step(ids_BL, fresh_L.expand_as(ids_BL), at_BS, rows_B, None))
            return [*found, self.time(batch, "dual cache, block 32", ids_BL, fresh_L, step)]
        keys = ArenaKeys(passes, batch, ids_BL.shape[1])
        start = _PROMPT + _ANSWER // 2
        keys.step(ids_BL, (index_L < start).expand_as(ids_BL), index_L[:1].expand(batch, -1), rows_B, None)
        fresh_L = (index_L >= start) & (index_L < start + block)
        at_BS = index_L[fresh_L].expand(batch, -1)
        step = passes.again(lambda: keys.step(ids_BL, fresh_L.expand_as(ids_BL), at_BS, rows_B, None))
        found = [self.time(batch, f"block of {block}", ids_BL, fresh_L, step)]
        before_L = index_L < _PROMPT
        step = passes.again(lambda: keys.step(ids_BL, before_L.expand_as(ids_BL), at_BS * 0, rows_B, None))
        found.append(self.time(batch, "prompt", ids_BL, before_L, step))
        if network.config.mixture is None:
            states = 4
            owner_R, ids_RL = rows_B.repeat_interleave(states), ids_BL.repeat_interleave(states, 0)
            ids_RL[:, start : start + states] = torch.where(
                torch.ones(states, states, device=ids_RL.device).tril(-1).bool().repeat(batch, 1), 5, network.mask_id
            )
            fresh_RL = fresh_L.expand_as(ids_RL)
            source_RL = shared_sources(ids_RL, fresh_RL, owner_R, block)
            at_RS = start + torch.arange(states, device=ids_RL.device).repeat(batch)[:, None]
            step = passes.again(lambda: keys.step(ids_RL, fresh_RL, at_RS, owner_R, None, source_RL))
            found.append(self.time(batch, f"{states} states of a block of {block}", ids_BL, fresh_L, step, states))
        return found

    def time(
        self, batch: int, kind: str, ids_BL: Tensor, fresh_L: Tensor, work: Callable[[], object], states: int = 1
    ) -> PassTime:
        network, block = self.network, self.network.config.block_length
        seconds = self.clock.seconds(work)
        seen = int(fresh_L.nonzero().max()) + 1 if network.config.attention == "block-causal" else len(fresh_L)
        read = weight_bytes(network, chosen_experts(network, ids_BL, fresh_L))
        read += batch * (seen - int(fresh_L.sum())) * key_value_bytes(network)
        share = read / seconds / self.bandwidth
        fresh = int(fresh_L.sum())
        tokens, reads = fresh * states, states if states > 1 else min(fresh, block or _STALE_BLOCK)
        tflop = batch * operations(network, tokens, reads, seen) / 1e12
        return PassTime(self.name, batch, kind, tokens, seconds * 1e3, read / 1e9, share, tflop)

    def requests(self, batch: int, method: str, options: dict[str, Any]) -> list[Rate]:
        length = _PROMPT + _ANSWER
        engine = Engine(self.network, max_batch=batch, max_length=length, banned=[self.network.mask_id])
        ids = canvases(self.network, batch).tolist()
        words = " ".join([method, *(f"{name}={value}" for name, value in options.items())])
        for first in (length - _STALE_BLOCK, _PROMPT):  # the first captures graphs
            watch = Stopwatch()
            jobs = [engine.submit(row, range(first, length), method=method, **options) for row in ids]
            while engine.busy and watch.seconds < _SECONDS:
                engine.step()
            torch.cuda.synchronize()
            seconds = watch.seconds
            tokens = committed(engine) + sum(len(job.filled.tokens) for job in jobs if job.filled is not None)
            failed = [job.error for job in jobs if job.status == "failed"]
            for job in jobs:
                job.cancel()
        note = "; ".join([*engine.notes, *(str(error) for error in failed[:1])])
        return [Rate(self.name, batch, words, tokens, seconds, tokens / seconds, note)]

    def torch_full_pass(self) -> list[PassTime]:
        """The full pass of `passes`, as a graph of plain torch."""
        ids_BL = canvases(self.network, 1)
        at_BS = torch.arange(_PROMPT, _PROMPT + _STALE_BLOCK, device=ids_BL.device)[None]
        work = captured(lambda: self.network.logits_at(ids_BL, at_BS), ids_BL.device)
        return [self.time(1, "full, plain torch", ids_BL, torch.ones_like(ids_BL[0], dtype=torch.bool), work)]


def committed(engine: Engine) -> int:
    """Tokens that requests under way have so far."""
    canvases = [group.session.canvas for group in engine.sessions.groups.values()]
    return sum(int((canvas.open_BL & ~canvas.pending_BL).sum()) for canvas in canvases)


def canvases(network: Transformer, batch: int) -> Tensor:
    """Random prompts, then masks."""
    generator = torch.Generator(network.device).manual_seed(0)
    size = (batch, _PROMPT + _ANSWER)
    ids_BL = torch.randint(0, 100_000, size, generator=generator, device=network.device)
    ids_BL[:, _PROMPT:] = network.mask_id
    return ids_BL


@torch.no_grad()
def chosen_experts(network: Transformer, ids_BL: Tensor, fresh_L: Tensor) -> int | None:
    """How many experts of all layers the fresh tokens choose, each counted once a layer; None for a dense network."""
    if network.config.mixture is None:
        return None
    chosen: list[int] = []

    def watch(_router: Router, _inputs: Any, found: tuple[Tensor, Tensor]) -> None:
        expert_BLC = found[0].view(*ids_BL.shape, -1)
        chosen.append(len(set(expert_BLC[:, fresh_L].flatten().tolist())))

    hooks = [part.register_forward_hook(watch) for part in network.modules() if isinstance(part, Router)]
    network.logits_at(ids_BL, ids_BL[:, :1] * 0)
    for hook in hooks:
        hook.remove()
    return sum(chosen)


def overlaps(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= (9, 0)


@torch.no_grad()
def run_released(names: Sequence[str], batches: Sequence[int], device: torch.device) -> Record:
    """names: of `RELEASED`, and "context"."""
    clock = Clock(device)
    bandwidth = copy_bandwidth(clock)
    setup = {"environment": environment(str(device)), "batches": list(batches), "repeats": clock.repeats}
    record = Record(RELEASED_KIND, typed("fef.bench.engine.released"), setup, {"bandwidth": bandwidth})
    for name in names:
        one = partial(context_against_plain, clock, bandwidth)
        tasks = [Task((name,), one)] if name == "context" else list(Bench(name, clock, bandwidth).tasks(batches))
        carry_out(record, tasks, Told(), fresh=lambda: free_memory(device))
        del tasks  # and with them the network
    return record


def context_against_plain(clock: Clock, bandwidth: float) -> list[PassTime]:
    """What a request of packed rounds begins with, and plain passes over the same canvas."""
    network = random_network(shape_config("8b"), clock.device, torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100_000, (_CONTEXT,), generator=generator).tolist()
    engine = Engine(network, max_batch=1, max_length=_CONTEXT, max_new_tokens=_ANSWER)
    rows = engine_passes(engine, 1, ids, range(_CONTEXT - _ANSWER, _CONTEXT), [], clock, bandwidth)
    rows += plain_passes(network, 1, ids, {FULL: 1}, clock, bandwidth)
    assert rows[0].kind == CONTEXT
    name, ratio = "8b, packed", rows[0].seconds / rows[1].seconds
    found = [
        PassTime(name, 1, f"{row.kind}, {row.how}", row.tokens, row.seconds * 1e3, row.bytes_read / 1e9, row.share)
        for row in rows
    ]
    return [*found, PassTime(name, 1, "context over plain", 0, ratio, 0, 0)]


HOW_TO_READ = """\
- *ms*: the median of replays of the CUDA graph of a pass. *GB to read*: what must be read, once each: weights, of a mixture
  those of the experts that the tokens choose, and kept keys and values. *share of copy bandwidth*: reading that, over the
  time of the pass, against a large copy on the device. *TFLOP*: what must be computed; *share of bf16 peak*: by the maker of
  the device, 989 TFLOP/s.
- *tokens*: committed in those seconds by all requests of a batch, which were asked for at once; measuring stops after 5 s.
  Random weights are never confident, so rules that wait for confidence are at their worst.
"""


def released_page(_name: str, records: Mapping[str, Record], remarks: str = "") -> tuple[str, None]:
    """A `PageMaker`, of records of one device."""
    passes: dict[str, Callable[[PassTime], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "pass": lambda row: row.kind,
        "tokens of a row": lambda row: str(row.tokens),
        "ms": lambda row: f"{row.milliseconds:.3g}",
        "GB to read": lambda row: f"{row.read_gb:.3g}",
        "share of copy bandwidth": lambda row: f"{row.share:.0%}",
        "TFLOP": lambda row: f"{row.tflop:.3g}" if row.tflop else "",
        "share of bf16 peak": lambda row: f"{row.compute_share:.0%}" if row.tflop else "",
    }
    rates: dict[str, Callable[[Rate], str]] = {
        "network": lambda row: row.network,
        "batch": lambda row: str(row.batch),
        "method": lambda row: row.method,
        "tokens": lambda row: str(row.tokens),
        "seconds": lambda row: f"{row.seconds:.2f}",
        "tokens/s": lambda row: f"{row.rate:,.0f}",
        "note": lambda row: row.note,
    }
    found = list(records.values())
    timed = [row for record in found for row in record.of(PassTime)]
    served = [row for record in found for row in record.of(Rate)]
    if not any(row.note for row in served):
        del rates["note"]
    sections = [("Passes", markdown(sheet_of(timed, passes))), ("Whole requests", markdown(sheet_of(served, rates)))]
    failures = [f"- {failure.words}: {failure.reason}" for record in found for failure in record.failures]
    if failures:
        sections.append(("Not measured", "\n".join(failures)))
    setup, bandwidth = found[0].setup, found[0].facts["bandwidth"]
    lines = [
        "Sessions on a GPU: passes under CUDA graphs, over kept keys where a method has a cache. Random weights in the sizes "
        f"of released checkpoints, bfloat16, prompts of {_PROMPT} tokens and {_ANSWER} to fill; medians of "
        f"{setup.get('repeats', 20)}.",
        f"Device: {device_words(setup['environment'])}, which copies {bandwidth / 1e9:,.0f} GB/s, bytes read and written. "
        f"Versions: {version_words(setup['environment'])}.",
    ]
    begin = introduction(found, lines, "networks")
    return results_page("The engine on released shapes", begin, sections, HOW_TO_READ, remarks), None


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    only: Sequence[str] = option(("context", *RELEASED), type=str, nargs="+", choices=["context", *RELEASED])
    batches: Sequence[int] = option((1, 8, 32), type=int, nargs="+")
    json: Path | None = None


@program(Options, __doc__)
def main(given: Options) -> None:
    record = run_released(given.only, given.batches, usable_device("cuda", "It needs a GPU."))
    print(released_page("", {"": record})[0])
    if given.json is not None:
        given.json.write_text(record_json(record), encoding="utf-8")


if __name__ == "__main__":
    main()
