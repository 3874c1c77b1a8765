"""Passes and requests at the sizes of released networks, with random weights.

    python benchmarks/released_networks.py --only LLaDA-8B --json released.json

For each network and batch: passes as replays of their graphs, against what must be read, and requests in the engine. One more
row compares the context pass of packed rounds with a plain pass of the same canvas.

Shapes: B rows, L canvas length, W states per row, X experts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, weight_bytes
from fef.bench.engine.page import engine_page
from fef.bench.engine.passes import engine_passes
from fef.bench.engine.plain import plain_passes
from fef.bench.engine.rows import ENGINE, ENGINE_KIND, FULL, PassRow, Served
from fef.bench.engine.shapes import random_network, shape_config
from fef.decoding.stale import shared_sources
from fef.engine.cached_network import ArenaKeys, CachedNetwork
from fef.engine.cached_passes import CachedPasses
from fef.engine.engine import Engine
from fef.measure.environment import environment
from fef.measure.program import option, program, typed
from fef.measure.record import Record, check_kept
from fef.measure.run import Task, Told, carry_out
from fef.measure.timing import Clock, Stopwatch, captured
from fef.models.config import MixtureConfig, TransformerConfig
from fef.models.device import from_hopper_on, usable_device
from fef.models.mlp import Experts, Router
from fef.models.transformer import Transformer

__all__ = ["RELEASED", "main", "operations", "run_released"]

PROGRAM = "benchmarks/released_networks.py"
PROMPT, ANSWER = 256, 256  # tokens of a prompt, and to fill
_STALE_BLOCK = 32
_CONTEXT = 529  # a canvas whose context pass is compared with a plain pass
_SECONDS = 5.0  # of requests: the rate of a longer run would be the same
_SDAR = TransformerConfig(
    vocab_size=151_936,
    dim=4096,
    layers=36,
    heads=32,
    kv_heads=8,
    head_dim=128,
    mlp_dim=12_288,
    mask_id=151_669,
    attention="block-causal",
    block_length=4,
    qk_norm=True,
    tied_embeddings=False,
    rope_theta=1e6,
)
RELEASED: dict[str, TransformerConfig] = {
    "LLaDA-8B": TransformerConfig(
        vocab_size=126_464,
        dim=4096,
        layers=32,
        heads=32,
        mlp_dim=12_288,
        mask_id=126_336,
        tied_embeddings=False,
        rope_theta=500_000.0,
    ),
    "SDAR-8B, block 4": _SDAR,
    "SDAR-8B, block 16": replace(_SDAR, block_length=16),
    "LLaDA2-mini": TransformerConfig(
        vocab_size=157_184,
        dim=2048,
        layers=20,
        heads=16,
        kv_heads=4,
        head_dim=128,
        mlp_dim=5120,
        mask_id=156_895,
        attention="block-causal",
        block_length=32,
        qk_norm=True,
        tied_embeddings=False,
        rope_theta=600_000.0,
        rotary_dim=64,
        mixture=MixtureConfig(
            experts=256,
            per_token=8,
            expert_dim=512,
            shared_dim=512,
            dense_layers=(0,),
            scores="sigmoid",
            selection_bias=True,
            groups=8,
            top_groups=4,
            normalize=True,
            scale=2.5,
        ),
    ),
}
"""Released networks by size: what their config.json say."""

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

    def passes(self, batch: int) -> list[PassRow]:
        network, block = self.network, self.network.config.block_length
        passes = WatchedPasses(
            network,
            budget=20e9,
            seats=batch,
            longest=PROMPT + ANSWER,
            overlap=from_hopper_on(network.device),
            notes=print,
        )
        passes.used = []
        ids_BL = canvases(network, batch)
        ids_BL[:, PROMPT + 1 :: 2] = ids_BL[:, 1:PROMPT:2]  # an answer of which half is there
        index_L = torch.arange(ids_BL.shape[1], device=network.device)
        cached, rows_B = CachedNetwork(network, passes), torch.arange(batch, device=network.device)
        if block is None:
            at_BS = index_L[PROMPT : PROMPT + _STALE_BLOCK].expand(batch, -1)
            full = passes.again(lambda: cached.logits_at(ids_BL, at_BS))
            found = [self.time(batch, "full", ids_BL, index_L >= 0, full)]
            keys = ArenaKeys(passes, batch, ids_BL.shape[1])
            keys.renew(rows_B, ids_BL, at_BS, at_BS[:, :0], None)
            fresh_L = (index_L >= PROMPT) & (index_L < PROMPT + _STALE_BLOCK)
            step = passes.again(lambda: keys.step(ids_BL, fresh_L.expand_as(ids_BL), at_BS, rows_B, None))
            return [*found, self.time(batch, "dual cache, block 32", ids_BL, fresh_L, step)]
        keys = ArenaKeys(passes, batch, ids_BL.shape[1])
        start = PROMPT + ANSWER // 2
        keys.step(ids_BL, (index_L < start).expand_as(ids_BL), index_L[:1].expand(batch, -1), rows_B, None)
        fresh_L = (index_L >= start) & (index_L < start + block)
        at_BS = index_L[fresh_L].expand(batch, -1)
        step = passes.again(lambda: keys.step(ids_BL, fresh_L.expand_as(ids_BL), at_BS, rows_B, None))
        found = [self.time(batch, f"block of {block}", ids_BL, fresh_L, step)]
        before_L = index_L < PROMPT
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
        self,
        batch: int,
        kind: str,
        ids_BL: Tensor,
        fresh_L: Tensor,
        work: Callable[[], object],
        states: int = 1,
        how: str = ENGINE,
    ) -> PassRow:
        network, block = self.network, self.network.config.block_length
        seconds = self.clock.seconds(work)
        seen = int(fresh_L.nonzero().max()) + 1 if network.config.attention == "block-causal" else len(fresh_L)
        read = weight_bytes(network, chosen_experts(network, ids_BL, fresh_L))
        read += batch * (seen - int(fresh_L.sum())) * key_value_bytes(network)
        share = read / seconds / self.bandwidth
        fresh = int(fresh_L.sum())
        tokens, reads = fresh * states, states if states > 1 else min(fresh, block or _STALE_BLOCK)
        computed = batch * operations(network, tokens, reads, seen)
        return PassRow(batch, kind, batch, tokens, seconds, read, share, how, self.name, computed)

    def requests(self, batch: int, method: str, options: dict[str, Any]) -> list[Served]:
        length = PROMPT + ANSWER
        engine = Engine(self.network, max_batch=batch, max_length=length, banned=[self.network.mask_id])
        ids = canvases(self.network, batch).tolist()
        words = " ".join([method, *(f"{name}={value}" for name, value in options.items())])
        for first in (length - _STALE_BLOCK, PROMPT):  # the first captures graphs
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
        return [Served(batch, words, ENGINE, batch, seconds, tokens, network=self.name, note=note)]

    def torch_full_pass(self) -> list[PassRow]:
        """The full pass of `passes`, as a graph of plain torch."""
        ids_BL = canvases(self.network, 1)
        at_BS = torch.arange(PROMPT, PROMPT + _STALE_BLOCK, device=ids_BL.device)[None]
        work = captured(lambda: self.network.logits_at(ids_BL, at_BS), ids_BL.device)
        return [self.time(1, "full", ids_BL, torch.ones_like(ids_BL[0], dtype=torch.bool), work, how="torch")]


def committed(engine: Engine) -> int:
    """Tokens that requests under way have so far."""
    canvases = [group.session.canvas for group in engine.sessions.groups.values()]
    return sum(int((canvas.open_BL & ~canvas.pending_BL).sum()) for canvas in canvases)


def canvases(network: Transformer, batch: int) -> Tensor:
    """Random prompts, then masks."""
    generator = torch.Generator(network.device).manual_seed(0)
    size = (batch, PROMPT + ANSWER)
    ids_BL = torch.randint(0, 100_000, size, generator=generator, device=network.device)
    ids_BL[:, PROMPT:] = network.mask_id
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


def operations(network: Transformer, tokens: int, reads: int, keys: int) -> float:
    """Multiplications and additions that a pass must do: all tokens go through all layers but the last one, those that are
    read through the last one and the head. keys: that each token sees. Of the experts, the chosen ones count."""
    config = network.config
    weights = sum(p.numel() for p in network.blocks.parameters() if p.dim() > 1)
    if config.mixture is not None:
        stacks = [p for part in network.modules() if isinstance(part, Experts) for p in part.parameters()]
        every = sum(p.numel() for p in stacks)
        weights -= every - every * config.mixture.per_token // config.mixture.experts
    layer_tokens = ((config.layers - 1) * tokens + reads) / config.layers
    head = network.vocab_size * config.dim * reads
    attention = 2 * config.layers * layer_tokens * keys * config.heads * config.head_size
    return 2.0 * (weights * layer_tokens + head + attention)


@torch.no_grad()
def run_released(names: Sequence[str], batches: Sequence[int], device: torch.device) -> Record:
    """names: of `RELEASED`, and "context"."""
    clock = Clock(device)
    bandwidth = copy_bandwidth(clock)
    setup: dict[str, Any] = {"weights": "random", "dtype": "bfloat16", "prompt": PROMPT, "answer": ANSWER}
    setup |= {"batches": list(batches), "repeats": clock.repeats, "environment": environment(str(device))}
    record = Record(ENGINE_KIND, typed(PROGRAM), setup, {"bandwidth": bandwidth})
    for name in names:
        one = partial(context_against_plain, clock, bandwidth)
        tasks = [Task((name,), one)] if name == "context" else list(Bench(name, clock, bandwidth).tasks(batches))
        carry_out(record, tasks, Told(), device=device)
        del tasks  # and with them the network
    return record


def context_against_plain(clock: Clock, bandwidth: float) -> list[PassRow]:
    """What a request of packed rounds begins with, and plain passes over the same canvas."""
    network = random_network(shape_config("8b"), clock.device, torch.bfloat16)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 100_000, (_CONTEXT,), generator=generator).tolist()
    engine = Engine(network, max_batch=1, max_length=_CONTEXT, max_new_tokens=ANSWER)
    rows = engine_passes(engine, 1, ids, ANSWER, [None], clock, bandwidth)
    rows += plain_passes(network, 1, ids, {FULL: 1}, clock, bandwidth)
    return [replace(row, network="8b, packed") for row in rows]


@dataclass(frozen=True)
class Options:
    """As on the command line."""

    only: Sequence[str] = option(("context", *RELEASED), nargs="+", choices=["context", *RELEASED])
    batches: Sequence[int] = option((1, 8, 32), nargs="+")
    json: Path | None = None


@program(Options, __doc__)
def main(given: Options) -> None:
    check_kept(given.json, ENGINE_KIND, typed(PROGRAM))
    record = run_released(given.only, given.batches, usable_device("cuda", "It needs a GPU."))
    print(engine_page("released networks", {"random weights": record})[0])
    record.path = given.json
    record.keep()


if __name__ == "__main__":
    main()
