"""`python -m fef.bench.engine.drafts`: what draft heads, trees and the choice among shapes are worth in the engine, on text.

    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --device cuda --json drafts.json
    python -m fef.bench.engine.drafts --model smol --data prompts.jsonl --problems 1319 --temperature 0 --rows chosen,causal
    python -m fef.bench.engine.drafts --shape 8b --cached 512 --device cuda

Each row answers the same prompts with the same seeds: with shapes chosen by cost, with chains of one length, with trees of
the draft head and of the marginals, and on a GPU by the same weights from left to right, one token per pass. All but the last
give the same texts; a row says in how many it differs from the first (in bfloat16 a few may, where two logits are almost
equal). Below a row stand the shapes of its rounds: predicted and real tokens per request and round, and what one of a full
batch takes. Each batch size answers its share of the prompts. With --json a run that was cut short goes on where it ended.
With --shape: times of single rounds of a network of random weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fef.bench.engine.bandwidth import copy_bandwidth, key_value_bytes, weight_bytes
from fef.bench.engine.passes import live_round
from fef.bench.engine.shapes import random_network, shape_config
from fef.bench.engine.timing import Clock, free_memory
from fef.engine.choice import RoundTally
from fef.engine.engine import Engine
from fef.engine.graphs import GraphRunner
from fef.engine.packed_rounds import PackedRounds
from fef.errors import OptionError
from fef.generation import Model, load
from fef.models.device import default_device
from fef.models.draft_head import DraftHead, HeadSizes
from fef.models.extras import Extras
from fef.models.packed_pass import RoundShape
from fef.models.transformer import Transformer
from fef.text import Generation, Prompt
from fef.training.conversations import read_prompts

__all__ = ["RoundRow", "ServedRow", "drafts_rows", "round_rows"]

CAUSAL, CHOSEN = "left to right", "chosen by cost"
KINDS = ("chosen", "chains", "trees", "causal")
_LEAST = 16  # prompts at any batch size
_FILLINGS = 3  # times that a batch is filled to warm up
_WARM_UPS = 3  # at most, until no graph is new


@dataclass(frozen=True)
class Asked:
    """What to run. kinds: of `KINDS`. chains, trees: drafts of each. options: of the engine, besides those."""

    model: str
    device: str
    dtype: str
    prompts: int
    batches: Sequence[int]
    temperatures: Sequence[float]
    kinds: Sequence[str]
    chains: Sequence[int]
    trees: Sequence[int]
    max_new_tokens: int
    options: dict[str, Any]

    def rounds(self) -> Iterator[tuple[str, bool, dict[str, Any]]]:
        """What rounds are called, whether a head drafts, and the options of their engine."""
        if "chosen" in self.kinds:
            yield CHOSEN, True, {}
        if "chains" in self.kinds:
            for window in self.chains:
                yield RoundShape(window).words, False, {"windows": (window,)}
        if "trees" in self.kinds:
            for nodes, head in ((nodes, head) for nodes in self.trees for head in (False, True)):
                yield f"trees of {nodes}", head, {"tree": (nodes,), "windows": ()}

    def share(self, batch: int) -> int:
        """Prompts at a batch size."""
        return max(_LEAST, self.prompts * batch // max(self.batches))


@dataclass(frozen=True)
class ShapeRow:
    """Rounds of a shape. rows: requests in them. predicted, tokens: as in `RoundTally`. seconds: of a round of a full batch,
    if that is known."""

    shape: str
    rounds: int
    rows: int
    predicted: float
    tokens: int
    seconds: float | None

    @property
    def words(self) -> str:
        cost = "" if self.seconds is None else f", {self.seconds * 1e3:.2f} ms with a full batch"
        if not self.rows:
            return f"    {self.shape}: never{cost}"
        return (
            f"    {self.shape}: {self.rounds} rounds of {self.rows / self.rounds:.1f} requests, tokens predicted "
            f"{self.predicted / self.rows:.2f}, real {self.tokens / self.rows:.2f}{cost}"
        )


@dataclass(frozen=True)
class ServedRow:
    """passes: of any kind, of all requests. differ: texts that are not those of the first row of the same settings. captured:
    graphs that were made while the clock ran."""

    batch: int
    temperature: float
    rounds: str
    head: bool
    requests: int
    tokens: int
    passes: int
    seconds: float
    differ: int
    captured: int = 0
    shapes: Sequence[ShapeRow] = ()

    @classmethod
    def read(cls, value: dict[str, Any]) -> ServedRow:
        """Of a file."""
        return cls(**value | {"shapes": [ShapeRow(**shape) for shape in value["shapes"]]})

    @property
    def words(self) -> str:
        head = "head" if self.head else "no head"
        line = (
            f"batch {self.batch:<3} T={self.temperature:<4g} {self.rounds + ', ' + head:<24} {self.requests} requests, "
            f"{self.tokens} tokens, {self.tokens / self.passes:.2f} per pass, {self.tokens / self.seconds:,.0f}/s"
            + (f", {self.differ} texts differ" if self.differ else "")
            + (f", {self.captured} graphs made meanwhile" if self.captured else "")
        )
        return "\n".join([line, *(shape.words for shape in self.shapes)])


def drafts_rows(model: Model, prompts: Sequence[Prompt], asked: Asked, known: list[ServedRow]) -> Iterator[ServedRow]:
    """Rows that are not among those known already. Raises OptionError for a model without a draft head."""
    extras, network = model.network.extras, model.network
    if extras is None or extras.draft_head is None:
        raise OptionError(f"{model.name} has no draft head. Train one with `fef train --objective draft-head`.")
    done = {(row.batch, row.temperature, row.rounds, row.head): row for row in known}
    for batch in asked.batches:
        some = list(prompts[: asked.share(batch)])
        for temperature in asked.temperatures:
            lengths: list[int] = []
            texts: list[list[int]] = []
            for rounds, head, options in asked.rounds():
                if (batch, temperature, rounds, head) in done and texts:
                    continue
                network.extras = extras if head else replace(extras, draft_head=None)
                try:
                    run = answered(model, some, batch, temperature, asked, options)
                finally:
                    network.extras = extras
                ids = [out.token_ids for out in run.found]
                texts, lengths = texts or ids, lengths or [len(one) for one in ids]
                if (batch, temperature, rounds, head) not in done:
                    yield ServedRow(
                        batch,
                        temperature,
                        rounds,
                        head,
                        requests=len(ids),
                        tokens=sum(map(len, ids)),
                        passes=sum(int(out.stats["calls"]) for out in run.found),
                        seconds=run.seconds,
                        differ=sum(one != other for one, other in zip(ids, texts, strict=True)),
                        captured=run.captured,
                        shapes=run.shapes,
                    )
            causal = "causal" in asked.kinds and network.device.type == "cuda"
            if causal and (batch, temperature, CAUSAL, False) not in done:
                yield causal_row(model, some, lengths or [asked.max_new_tokens] * len(some), batch, temperature)


@dataclass(frozen=True)
class Run:
    """Answers, and how an engine came to them."""

    seconds: float
    found: list[Generation]
    captured: int
    shapes: list[ShapeRow]


def answered(
    model: Model, prompts: Sequence[Prompt], batch: int, temperature: float, asked: Asked, options: dict[str, Any]
) -> Run:
    """The answers of an engine that knows its costs and has captured its graphs: it answered a few before."""
    longest = max(len(model.prompt_ids(prompt)) for prompt in prompts) + 1 + asked.max_new_tokens
    sizes = {"max_batch": batch, "max_length": longest, "max_new_tokens": asked.max_new_tokens}
    engine = model.engine(**sizes | asked.options | options)
    packed = engine.engine.packed_rounds()
    settings: dict[str, Any] = {"max_new_tokens": asked.max_new_tokens, "temperature": temperature}
    runner = packed.built.runner
    graphs = runner.graphs if isinstance(runner, GraphRunner) else {}
    warm_up = prompts[: (_FILLINGS if model.network.device.type == "cuda" else 1) * batch]
    for _ in range(_WARM_UPS):
        before = set(graphs)
        engine.generate(warm_up, **settings)
        if set(graphs) == before:
            break
    before, tallied = set(graphs), {tally.shape: replace(tally) for tally in packed.tallies}
    began = time.perf_counter()
    found = engine.generate(prompts, **settings)
    seconds = time.perf_counter() - began
    shapes = [shape_row(packed, shape, tallied.get(shape, RoundTally(shape)), batch) for shape in packed.built.shapes]
    run = Run(
        seconds, found, len(set(graphs) - before), [row for row in shapes if row.rounds or row.seconds is not None]
    )
    del engine, packed, runner, graphs
    free_memory(model.network.device)
    return run


def shape_row(packed: PackedRounds, shape: RoundShape, before: RoundTally, batch: int) -> ShapeRow:
    """What rounds of a shape did since then."""
    now = packed.chooser.calibration.tallies[shape]
    return ShapeRow(
        shape.words,
        now.rounds - before.rounds,
        now.rows - before.rows,
        now.predicted - before.predicted,
        now.tokens - before.tokens,
        packed.chooser.costs.seconds.get((packed.chooser.priced(batch), shape)),
    )


def causal_row(
    model: Model, prompts: Sequence[Prompt], lengths: Sequence[int], batch: int, temperature: float
) -> ServedRow:
    """As many tokens per prompt as the other rows wrote."""
    from fef.bench.engine.causal import CausalDecoder, CausalRequest  # needs Triton

    network = model.network
    requests = [
        CausalRequest(model.prompt_ids(prompt), max(length, 1)) for prompt, length in zip(prompts, lengths, strict=True)
    ]
    longest = max(len(request.prompt) + request.tokens for request in requests)
    overlap = torch.cuda.get_device_capability(network.device) >= (9, 0)
    decoder = CausalDecoder(network, batch, longest, temperature, overlap=overlap)
    decoder.run(requests)
    seconds, tokens = decoder.run(requests)
    del decoder
    free_memory(network.device)
    return ServedRow(batch, temperature, CAUSAL, False, len(requests), tokens, tokens, seconds, 0)


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
    """Rounds of one token, of chains of 16, and of trees, behind `cached` tokens; trees with a head of random weights and
    without."""
    clock = Clock(network.device, repeats)
    bandwidth = copy_bandwidth(clock)
    ids = [0] * (cached + 128)
    order = list(range(cached, len(ids)))
    head = random_head(network)
    rounds: list[tuple[str, dict[str, Any], bool]] = [("one token", {"windows": (0,)}, False)]
    rounds.append(("chain of 16", {"windows": (16,)}, False))
    for on in (False, True):
        for tree in trees:
            options = {"tree": (tree,), "windows": (), "anchors": anchors}
            rounds.append((f"tree of {tree}, {anchors + 1} groups", options, on))
    for kind, options, on in rounds:
        with extras_of(network, Extras(draft_head=head if on else None)):
            engine = Engine(network, max_batch=1, max_length=len(ids), max_new_tokens=128, **options)
            packed = engine.packed_rounds()
            [shape] = packed.built.shapes
            with live_round(packed, 1, ids, order, shape) as (work, restore):
                seconds = clock.seconds(work, restore)
        read = weight_bytes(network) + len(ids) * key_value_bytes(network)
        del engine, packed, work, restore
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--data", type=Path, help='JSONL of {"prompt": ...} or {"messages": ...}')
    parser.add_argument("--device", default=default_device())
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument(
        "--problems", type=int, default=192, help="prompts at the largest batch; smaller ones get a share"
    )
    parser.add_argument("--rows", default=",".join(KINDS), help=f"which of {', '.join(KINDS)}")
    parser.add_argument("--chains", default="16", help="drafts; 0 is one token per pass")
    parser.add_argument("--batch", default="1,64")
    parser.add_argument("--temperature", default="0,0.7")
    parser.add_argument("--tree", default="32", help="nodes")
    parser.add_argument("--depth", type=int, help="drafts along a path of a tree")
    parser.add_argument("--anchors", type=int, help="draft groups besides the first")
    parser.add_argument("--max-new-tokens", type=int, default=192)
    parser.add_argument("--random-head", action="store_true", help="a head of random weights, to try the speed of it")
    parser.add_argument("--shape", help="8b, 1b, 100m, 10m or tiny: times of single rounds, random weights")
    parser.add_argument("--cached", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    dtype, device = getattr(torch, given.dtype), torch.device(given.device)
    trees = [int(part) for part in given.tree.split(",")]
    if given.shape is not None:
        network = random_network(shape_config(given.shape), device, dtype)
        anchors = 7 if given.anchors is None else given.anchors
        for round_ in round_rows(network, given.cached, trees, anchors, given.repeats):
            print(round_.words, flush=True)
        return
    if given.data is None:
        parser.error("give --data FILE or --shape NAME")
    kinds = given.rows.split(",")
    if not set(kinds) <= set(KINDS):
        parser.error(f"--rows are some of {', '.join(KINDS)}")
    model = load(given.model, device=given.device, dtype=dtype)
    if given.random_head:
        model.network.extras = replace(model.network.extras or Extras(), draft_head=random_head(model.network))
    options = {"depth": given.depth, "anchors": given.anchors}
    asked = Asked(
        model=given.model,
        device=given.device,
        dtype=given.dtype,
        prompts=given.problems,
        batches=[int(part) for part in given.batch.split(",")],
        temperatures=[float(part) for part in given.temperature.split(",")],
        kinds=kinds,
        chains=[int(part) for part in given.chains.split(",")],
        trees=trees,
        max_new_tokens=given.max_new_tokens,
        options={name: value for name, value in options.items() if value is not None},
    )
    settings = json.loads(json.dumps(asdict(asked)))
    known: list[ServedRow] = []
    if given.json is not None and given.json.is_file():
        before = json.loads(given.json.read_text())
        if before["asked"] != settings:
            raise SystemExit(f"{given.json} holds another run; give another file.")
        known = [ServedRow.read(row) for row in before["rows"]]
    for row in known:
        print(row.words)
    for row in drafts_rows(model, prompts_of(given.data, model, given.problems), asked, list(known)):
        known.append(row)
        print(row.words, flush=True)
        if given.json is not None:
            given.json.write_text(json.dumps({"asked": settings, "rows": [asdict(one) for one in known]}, indent=1))


if __name__ == "__main__":
    main()
