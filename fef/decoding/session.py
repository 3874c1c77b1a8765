"""The rows (requests) that are being decoded under one plan, each at its own pace: state, and what rounds do to it.

Rows join at any time (`add`) and leave when they are complete (`drop`); no row depends on another.

Shapes: B rows, L canvas length, S slots, D drafted slots, W drafts, X states of their tree, T attempted slots, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from fef.decoding.canvas import Canvas, EosRule
from fef.decoding.carried import CarriedDrafts
from fef.decoding.grammar import GrammarRows
from fef.decoding.judge import JudgedScorer
from fef.decoding.memory import Memory
from fef.decoding.meter import Meter
from fef.decoding.network import Network
from fef.decoding.order import block_sizes
from fef.decoding.packed import PackedScorer
from fef.decoding.passes import PassState, next_passes, noise_of
from fef.decoding.plan import Plan
from fef.decoding.requests import Requests
from fef.decoding.rows import RowsScorer
from fef.decoding.score import Scorer
from fef.decoding.stale import BlockCausalScorer, StaleScorer
from fef.decoding.transfer import Progress
from fef.laws.accept import Accepted
from fef.laws.draws import Noise, Purpose, Site
from fef.laws.law import Law
from fef.laws.pipeline import Sampling, constrained, forbid_end, greedy_tokens, log_law
from fef.laws.tree import Tree, path_states, stem
from fef.models.prefixes import PrefixStore

__all__ = ["Observer", "Round", "Session"]

_BUSY = 0.75  # rows are dropped where at most this share of them is wanted


@dataclass(frozen=True)
class Round:
    """What one round did, for traces and live views. Tensors hold the rows that were still in the session."""

    step: Tensor  # [B], denoising pass of each row, from 0
    block: Tensor  # [B], its block, from 0
    rows: Tensor  # [B], the number of each row
    slots: Tensor  # [B, T], attempted positions, -1: none
    tokens: Tensor  # [B, T], the tokens there
    written: Tensor  # [B, T], committed ones
    drafts: Tensor | None  # [B, D], verified by a speculative round at each slot: accepted, then the stem (-1: none)
    accepted: Tensor | None  # [B], of a speculative round
    ids: Tensor  # [B, L], the canvas after the round
    pending: Tensor  # [B, L], what is left of the pass
    nodes: Tensor | None = None  # [B, W], all that a speculative round verified, as a tree (-1: none)
    parents: Tensor | None = None  # [B, W], what each of these continues: 0 is what was committed, n + 1 node n


Observer = Callable[[Round], None]


@dataclass(frozen=True)
class Tried:
    """What a speculative round verified and accepted; see `Round`."""

    drafts: Tensor | None = None
    accepted: Tensor | None = None
    nodes: Tensor | None = None
    parents: Tensor | None = None

    @classmethod
    def of(cls, tree: Tree, draft_BW: Tensor, accepted: Accepted) -> Tried:
        node_BW = torch.where(tree.there_BW, draft_BW, -1)
        on_stem_BX, accepted_B1 = stem(tree), accepted.accepted_B[:, None]
        place_T = torch.arange(tree.depths + 1, device=node_BW.device)
        path_BT = torch.where(place_T <= accepted_B1, accepted.path_BT, path_states(tree, on_stem_BX))
        node_BX = torch.nn.functional.pad(node_BW, (1, 0), value=-1)
        return cls(node_BX.gather(1, path_BT)[:, 1:], accepted.accepted_B, node_BW, tree.parent_BW)


class Session:
    """Rows under one plan on one network.

    carry: what the last round left to draft from. memory: what rules keep between rounds. observe: called after every round.
    prefixes: blocks that rows of other sessions may share with these.
    """

    def __init__(
        self,
        network: Network,
        plan: Plan,
        requests: Requests,
        observe: Observer | None = None,
        prefixes: PrefixStore | None = None,
    ) -> None:
        network.noise = noise_of(plan, network.noise)
        self.network, self.plan, self.requests, self.observe = network, plan, requests, observe
        count, device = len(requests.number_B), requests.number_B.device
        self.passes = PassState.before_the_first(requests.canvas, plan)
        self.scorer = make_scorer(network, plan, count, device, prefixes)
        self.memory = Memory(count, device)
        self.carry: CarriedDrafts | None = None

    @property
    def canvas(self) -> Canvas:
        return self.requests.canvas

    @property
    def noise(self) -> Noise:
        return self.requests.noise

    @property
    def sampling(self) -> Sampling:
        return self.requests.sampling

    @property
    def meter(self) -> Meter:
        return self.requests.meter

    @property
    def eos(self) -> EosRule | None:
        return self.requests.eos

    @property
    def grammar(self) -> GrammarRows | None:
        return self.requests.grammar

    @property
    def within_BL(self) -> Tensor:
        return self.passes.within_BL

    @property
    def pending_BL(self) -> Tensor:
        """Slots still to be drawn in this pass."""
        return self.canvas.pending_BL & self.within_BL

    @property
    def window(self) -> int:
        """Drafts per round."""
        spec = self.plan.speculation
        return 0 if spec is None else min(spec.window, self.canvas.ids_BL.shape[1])

    @property
    def active_B(self) -> Tensor:
        """Rows with something left to draw or to check in their pass."""
        return self.passes.active_B(self.canvas)

    @property
    def progress(self) -> Progress:
        passes, over_B = self.passes, self.passes.complete_B
        masks_B = passes.masks_B.clamp(min=1)  # in rows that have nothing to draw, whose counts do not matter
        block_B = passes.block_B.masked_fill(over_B, 0)

        def sizes() -> Tensor:
            return block_sizes(passes.block_BL).masked_fill(over_B[:, None], 1)

        random_B = (self.pending_BL & (self.canvas.rank_BL < 0)).sum(1)
        return Progress(masks_B, self.pending_BL.sum(1), passes.attempt_B, block_B, sizes, random_B)

    # --- rows that come and go ---

    def add(self, requests: Requests) -> None:
        """Append rows of which nothing is drawn."""
        count = len(requests.number_B)
        self.requests = self.requests.join(requests)
        self.passes = self.passes.join(PassState.before_the_first(requests.canvas, self.plan))
        self.scorer.grow(count)
        self.memory.grow(count)
        if self.carry is not None:
            self.carry = self.carry.grow(count)

    def select(self, rows: Tensor) -> None:
        """Keep only these rows."""
        self.requests, self.passes = self.requests.select(rows), self.passes.select(rows)
        self.scorer.select(rows)
        self.memory.select(rows)
        if self.carry is not None:
            self.carry = self.carry.select(rows)

    def should_drop(self, wanted: int) -> bool:
        """Where so many rows are still wanted, should the others go? That copies caches, so not for a few."""
        return wanted <= _BUSY * len(self.requests.number_B)

    def drop(self, over_B: Tensor) -> Requests:
        """Let rows go, a mask [B]; returns them."""
        found = self.requests.select(over_B.nonzero()[:, 0])
        self.select((~over_B).nonzero()[:, 0])
        return found

    # --- denoising passes ---

    def open_passes(self) -> None:
        """Take rows whose pass is over to their next one that has something to draw, or to the end."""
        began_B = next_passes(self.passes, self.requests, self.plan, self.network.noise)
        if began_B is not None:
            self.prepare(began_B)

    def prepare(self, began_B: Tensor) -> None:
        """Rows, a mask [B], have begun a pass."""
        self.memory.forget(began_B)
        if self.carry is not None:
            self.carry = self.carry.forget(began_B)
        rows = (began_B & self.pending_BL.any(1)).nonzero()[:, 0]
        if not len(rows):
            return
        spec = self.plan.speculation
        reuse = spec is not None and spec.draft == "reuse"
        slots_RX = self.next_slots(self.window + 1 if reuse else 0)[rows]
        time_B = self.passes.k_B.double() / self.plan.steps
        first = self.scorer.pass_began(self.requests, rows, slots_RX, self.within_BL, time_B)
        if reuse and first is not None:
            logits_RXV, hidden_RXD = first.logits_BSV, first.hidden_BSE
            if self.carry is None:
                behind_RWD = None if hidden_RXD is None else hidden_RXD[:, 1:]
                self.carry = CarriedDrafts.none(len(began_B), logits_RXV[:, 1:], behind_RWD)
            self.carry = self.carry.opened(rows, logits_RXV, hidden_RXD)

    # --- what rounds use ---

    def next_slots(self, count: int) -> Tensor:
        return self.canvas.next_slots(count, self.within_BL)

    def site(self, slots_BS: Tensor, attempt_B: Tensor | None) -> Site:
        """Where random numbers are used; attempt 0 where none is given."""
        attempt_B = torch.zeros_like(self.passes.k_B) if attempt_B is None else attempt_B
        return Site(slots_BS.clamp(min=0), self.passes.k_B, attempt_B, slots_BS >= 0)

    def law(self, logits_BSV: Tensor, slots_BS: Tensor, *, told: bool = False) -> Tensor:
        """The law that is sampled at each slot, given what is committed; [B, S, V] nats. told: at temperature 1 in greedy
        rows, whose own law has one token only."""
        sampling = self.sampling.ungreedy() if told else self.sampling
        return log_law(self.legal(logits_BSV, slots_BS), sampling, **self.ends(slots_BS))

    def legal(
        self, logits_BSV: Tensor, slots_BS: Tensor, draft_BW: Tensor | None = None, width_B: Tensor | None = None
    ) -> Tensor:
        """The logits of what grammars allow at each slot, given what is committed and the drafts before it. width_B: how many
        drafts are real; slots behind them have no meaning."""
        if self.grammar is None:
            return logits_BSV
        allowed_BSV = self.grammar.allowed(self.canvas, slots_BS, draft_BW, width_B, logits_BSV.shape[-1])
        return constrained(logits_BSV, allowed_BSV, self.sampling.banned)

    def law_at_states(
        self, logits_BXV: Tensor, slots_BX: Tensor, draft_BW: Tensor, tree: Tree, *, told: bool = False
    ) -> Tensor:
        """The same at the slot behind each state of a tree of drafts, given those on the path to it. told: as in `law`."""
        sampling = self.sampling.ungreedy() if told else self.sampling
        assert self.grammar is None or tree.branching == 1, "under grammars drafts are drawn in turn"
        legal_BXV = self.legal(logits_BXV, slots_BX, draft_BW, tree.nodes_B)
        if self.eos is None:
            return log_law(legal_BXV, sampling)
        forced_BX, forbidden_BX = self.eos.at_states(self.canvas, slots_BX, draft_BW, tree)
        return log_law(legal_BXV, sampling, forced_eos_BS=forced_BX, no_eos_BS=forbidden_BX)

    def ends(self, slots_BS: Tensor) -> dict[str, Tensor]:
        """What the EOS rule says of these slots: arguments of `log_law`."""
        if self.eos is None:
            return {}
        forced_BS, forbidden_BS = self.eos.at_slots(self.canvas, slots_BS, None)
        return {"forced_eos_BS": forced_BS, "no_eos_BS": forbidden_BS}

    def draw(self, logits_BSV: Tensor, slots_BS: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        """A token at each slot from the law that is sampled, and its log p; [B, S], nats. Greedy rows need no law."""
        if self.sampling.all_greedy:
            legal_BSV = self.legal(logits_BSV, slots_BS)
            tokens_BS = greedy_tokens(legal_BSV, self.sampling, **self.ends(slots_BS))
            return tokens_BS, torch.zeros_like(tokens_BS, dtype=torch.float64)
        logp_BSV = self.law(logits_BSV, slots_BS)
        tokens_BS = self.noise.categorical(logp_BSV, site, Purpose.TOKEN)
        return tokens_BS, logp_BSV.gather(-1, tokens_BS[..., None])[..., 0]

    def plain_law(self, logits_BSV: Tensor) -> Law:
        """The law at temperature 1: biases and bans applied."""
        return Law(self.sampling.biased(logits_BSV)).without(self.sampling.banned)

    def unit_law(self, logits_BSV: Tensor, slots_BS: Tensor) -> Law:
        """The law at each slot at temperature 1, with what the EOS rule says of it."""
        plain = self.plain_law(logits_BSV)
        if self.eos is not None:
            forbidden_BS = self.ends(slots_BS)["no_eos_BS"]
            forbid_end(plain.logits_BSV.flatten(0, 1), self.eos.eos_id, forbidden_BS.flatten())
        return plain

    def commit(
        self,
        slots_BS: Tensor,
        tokens_BS: Tensor,
        logp_BS: Tensor,
        plain: Law,
        take_BS: Tensor,
        told: Callable[[], Tensor],
        *,
        fill: bool,
    ) -> None:
        """Write the taken tokens with their log p and their probability under the plain law. told: makes the law of which
        the likeliest tokens are noted, [B, S, V] nats. fill: also fill what an EOS decides, even where other
        slots are open."""
        if self.canvas.top:  # before the tokens are there: what ends and grammars say depends on the canvas
            self.canvas.write_likeliest(slots_BS, told(), take_BS)
        self.canvas.write(slots_BS, tokens_BS, logp_BS, plain.at(tokens_BS).exp(), take_BS)
        if self.eos is not None:
            self.eos.settle(self.canvas, self.within_BL, finish_only=not fill)
        if self.grammar is not None:
            unbiased = dataclasses.replace(self.sampling, bias=None)  # what is added is in the logits of the plain law
            self.grammar.weigh(self.canvas, unbiased, plain.logits_BSV, tokens_BS, logp_BS, take_BS)

    def notify(
        self,
        slots: Tensor,
        tokens: Tensor,
        written: Tensor,
        tried: Tried | None = None,
    ) -> None:
        if self.observe is None:
            return
        tried = Tried() if tried is None else tried
        self.observe(
            Round(
                step=self.plan.steps - self.passes.k_B,
                block=self.passes.block_B.clone(),
                rows=self.requests.number_B,
                slots=slots,
                tokens=tokens,
                written=written,
                **vars(tried),
                ids=self.canvas.ids_BL.clone(),
                pending=self.canvas.pending_BL.clone(),
            )
        )

    def with_canvas(self, canvas: Canvas) -> Session:
        """The same rows on another canvas."""
        ahead = copy(self)
        ahead.requests = dataclasses.replace(self.requests, canvas=canvas)
        return ahead


def make_scorer(network: Network, plan: Plan, count: int, device: torch.device, prefixes: PrefixStore | None) -> Scorer:
    if plan.law == "packed":
        return PackedScorer(network, count, device)
    if plan.judge is not None:
        return JudgedScorer(network, plan.judge, count, device)
    if plan.cache is None:
        return RowsScorer(network, count, device, plan.guidance)
    if plan.exact_cache(network.block_causal):
        return BlockCausalScorer(network, count, device, prefixes)
    return StaleScorer(network, count, device, plan.cache)
