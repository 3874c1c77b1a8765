"""What one decode call carries (`Run`), and the rows of it that one denoising pass works on (`Work`).

Shapes: B rows, L canvas length, S slots, W drafts, T attempted slots, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.order import block_numbers, block_sizes
from fef.decoding.packed import PackedScorer
from fef.decoding.plan import Plan
from fef.decoding.quota import Progress
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Scorer
from fef.decoding.stale import BlockCausalScorer, StaleScorer
from fef.laws.draws import Noise, Site
from fef.laws.noise import Schedule, SiteNoise
from fef.laws.pipeline import Sampling, log_law

__all__ = ["Observer", "Round", "Run", "Work", "start_work"]


@dataclass(frozen=True)
class Round:
    """What one round did, for traces and live views. Tensors hold only the rows that were still active, `rows`.

    slots, tokens [B, T]: attempted positions (-1: none) and the tokens there; written [B, T]: committed ones. drafts
    [B, W] and accepted [B] of a speculative round. ids, pending [B, L]: the canvas after the round.
    """

    step: int
    block: int
    rows: Tensor
    slots: Tensor
    tokens: Tensor
    written: Tensor
    drafts: Tensor | None
    accepted: Tensor | None
    ids: Tensor
    pending: Tensor


Observer = Callable[[Round], None]


@dataclass
class Run:
    """One decode call of all its rows."""

    network: Network
    plan: Plan
    noise: Noise
    sampling: Sampling
    meter: Meter
    observe: Observer | None = None

    def __post_init__(self) -> None:
        process = self.network.noise
        # the plan's schedule holds wherever keep probabilities are read
        self.network.noise = type(process)(**(vars(process) | {"schedule": Schedule(self.plan.schedule)}))

    @property
    def process(self) -> SiteNoise:
        return self.network.noise

    @property
    def eos(self) -> EosRule | None:
        return None if self.sampling.eos_id is None else EosRule(self.sampling.eos_id)


@dataclass
class Work:
    """The rows being decoded in one denoising pass `k` of a block; finished rows are dropped as it goes.

    masks_B: slots of the block when the pass began. sizes_BN: open slots of every block. attempt: rounds done. carry: draft
    logits [B, W, V] from the last round, and for which rows [B] it made them. memory: what rules keep between rounds,
    tensors of B rows.
    unchecked_BL: committed tokens that the revoke rule has still to look at.
    """

    run: Run
    k: int
    block: int
    rows_B: Tensor
    canvas: Canvas
    noise: Noise
    sampling: Sampling
    scorer: Scorer
    within_BL: Tensor
    masks_B: Tensor
    sizes_BN: Tensor
    unchecked_BL: Tensor
    attempt: int = 0
    carry: tuple[Tensor, Tensor] | None = None
    memory: dict[str, Tensor] = field(default_factory=dict)

    @property
    def plan(self) -> Plan:
        return self.run.plan

    @property
    def pending_BL(self) -> Tensor:
        """Slots still to be drawn in this pass."""
        return self.canvas.pending_BL & self.within_BL

    @property
    def window(self) -> int:
        """Drafts a round."""
        spec = self.plan.speculation
        return 0 if spec is None else min(spec.window, self.canvas.ids_BL.shape[1])

    @property
    def active_B(self) -> Tensor:
        """Rows with something left to draw or to check."""
        return (self.pending_BL | self.unchecked_BL).any(1)

    @property
    def progress(self) -> Progress:
        block_B = torch.full_like(self.masks_B, self.block)
        return Progress(self.masks_B, self.pending_BL.sum(1), self.attempt, block_B, self.sizes_BN)

    def next_slots(self, count: int) -> Tensor:
        return self.canvas.next_slots(count, self.within_BL)

    def site(self, slots_BS: Tensor, attempt: int) -> Site:
        attempt_B = torch.full_like(self.rows_B, attempt)
        return Site(slots_BS.clamp(min=0), self.k, attempt_B, slots_BS >= 0)

    def law(self, logits_BSV: Tensor, slots_BS: Tensor, draft_BW: Tensor | None = None) -> Tensor:
        """The law that is sampled at each slot, given what is committed and the drafts before it; [B, S, V] nats."""
        if self.run.eos is None:
            return log_law(logits_BSV, self.sampling)
        forced_BS, forbidden_BS = self.run.eos.at_slots(self.canvas, slots_BS, draft_BW)
        return log_law(logits_BSV, self.sampling, forced_eos_BS=forced_BS, no_eos_BS=forbidden_BS)

    def plain_law(self, logits_BSV: Tensor) -> Tensor:
        """The network's own law: temperature 1, bans applied; [B, S, V] nats."""
        return logits_BSV.double().index_fill(-1, self.sampling.banned, -torch.inf).log_softmax(-1)

    def unit_law(self, logits_BSV: Tensor, slots_BS: Tensor) -> Tensor:
        """The law at each slot at temperature 1, with what the EOS rule says of it; [B, S, V] nats."""
        plain_BSV = self.plain_law(logits_BSV)
        if self.run.eos is None:
            return plain_BSV
        _, forbidden_BS = self.run.eos.at_slots(self.canvas, slots_BS, None)
        eos_id = self.run.eos.eos_id
        plain_BSV[..., eos_id] = plain_BSV[..., eos_id].masked_fill(forbidden_BS, -torch.inf)
        return plain_BSV.log_softmax(-1)

    def commit(
        self, slots_BS: Tensor, tokens_BS: Tensor, logp_BSV: Tensor, plain_BSV: Tensor, take_BS: Tensor, *, fill: bool
    ) -> None:
        """Write the taken tokens with their log p and their probability under the plain law. fill: also fill what an EOS
        decides, even where other slots are open."""
        logp_BS = logp_BSV.gather(-1, tokens_BS[..., None])[..., 0]
        confidence_BS = plain_BSV.gather(-1, tokens_BS[..., None])[..., 0].exp()
        self.canvas.write(slots_BS, tokens_BS, logp_BS, confidence_BS, take_BS)
        if self.run.eos is not None:
            self.run.eos.settle(self.canvas, self.within_BL, finish_only=not fill)

    def notify(
        self,
        slots: Tensor,
        tokens: Tensor,
        written: Tensor,
        drafts: Tensor | None = None,
        accepted: Tensor | None = None,
    ) -> None:
        if self.run.observe is not None:
            step, ids, pending = self.plan.steps - self.k, self.canvas.ids_BL.clone(), self.canvas.pending_BL.clone()
            self.run.observe(
                Round(step, self.block, self.rows_B, slots, tokens, written, drafts, accepted, ids, pending)
            )

    def select(self, rows: Tensor) -> None:
        self.rows_B, self.canvas = self.rows_B[rows], self.canvas.select(rows)
        self.noise, self.sampling = self.noise.select(rows), self.sampling.select(rows)
        self.within_BL, self.unchecked_BL = self.within_BL[rows], self.unchecked_BL[rows]
        self.masks_B, self.sizes_BN = self.masks_B[rows], self.sizes_BN[rows]
        self.scorer.select(rows)
        self.memory = {name: tensor[rows] for name, tensor in self.memory.items()}
        if self.carry is not None:
            self.carry = self.carry[0][rows], self.carry[1][rows]

    def with_canvas(self, canvas: Canvas) -> Work:
        """The same rows on another canvas."""
        return dataclasses.replace(self, canvas=canvas)


def start_work(run: Run, canvas: Canvas, within_BL: Tensor, k: int, block: int = 0) -> Work:
    """Take the rows that have something to draw, and open pass `k` of `plan.steps` on them."""
    plan = run.plan
    if run.eos is not None:
        run.eos.settle(canvas, within_BL)
    rows_B = (canvas.pending_BL & within_BL).any(1).nonzero()[:, 0]
    within_RL = within_BL[rows_B]
    work = Work(
        run,
        k,
        block,
        rows_B,
        canvas.select(rows_B),
        run.noise.select(rows_B),
        run.sampling.select(rows_B),
        make_scorer(run, rows_B, within_RL),
        within_RL,
        masks_B=(canvas.pending_BL & within_BL).sum(1)[rows_B],
        sizes_BN=block_sizes(block_numbers(canvas, plan.block_length, plan.aligned_blocks))[rows_B],
        unchecked_BL=torch.zeros_like(within_RL),
    )
    if len(rows_B):
        spec = plan.speculation
        reuse = spec is not None and spec.draft == "reuse"
        slots_BW = work.next_slots(work.window if reuse else 0)
        first_BWV = work.scorer.pass_began(work.canvas, slots_BW, k / plan.steps)
        if reuse and first_BWV is not None:
            work.carry = first_BWV, torch.ones_like(rows_B, dtype=torch.bool)
    return work


def make_scorer(run: Run, rows_B: Tensor, within_BL: Tensor) -> Scorer:
    plan = run.plan
    if plan.law == "packed":
        return PackedScorer(run.network, run.meter, rows_B)
    if plan.cache is None:
        return RowsScorer(run.network, run.meter, rows_B, plan.guidance)
    if plan.exact_cache(run.network.block_causal):
        return BlockCausalScorer(run.network, run.meter, rows_B)
    return StaleScorer(run.network, run.meter, rows_B, plan.cache, within_BL)
