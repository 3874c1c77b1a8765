"""A plan says which part goes where in the loop. Each method makes one; the certificate is read off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.causal import CausalModel
from fef.decoding.meter import Meter
from fef.decoding.revoke import Revoke
from fef.decoding.unmask import InOrder, UnmaskRule
from fef.laws.claim import LawClaim
from fef.laws.pipeline import Cut
from fef.models.demask import DependencyHead
from fef.models.draft_head import DraftHead

__all__ = [
    "Accept",
    "AfterEos",
    "CacheKind",
    "CacheRule",
    "Draft",
    "Drafted",
    "Drafter",
    "Guidance",
    "Joint",
    "Judge",
    "Order",
    "Plan",
    "Planner",
    "Remask",
    "RemaskRates",
    "ScheduleName",
    "Speculation",
    "Verify",
]

AfterEos = Literal["eos", "free"]
Order = Literal["left-to-right", "random", "blocks"]
Verify = Literal["rows", "packed"]
Accept = Literal["coupled", "rejection", "block"]
Remask = Literal["random", "low-confidence", "remdm"]
ScheduleName = Literal["linear", "cosine"]
CacheKind = Literal["prefix", "dual", "delayed"]
Planner = Literal["confidence", "influence"]
Drafter = Callable[[Canvas, Tensor], Tensor]
"""(canvas, slots [B, S]) -> draft logits [B, S, V]; must read nothing but its arguments."""
Draft = Literal["reuse", "fresh", "random", "stale"]


@dataclass(frozen=True)
class Guidance:
    """Changes of the law that mix logits: classifier-free guidance away from the canvas without its prompt (LLaDA), and
    contrast with the mean prediction of the masked positions (Patel et al.)."""

    cfg_scale: float = 0.0
    contrast: float = 0.0

    @property
    def on(self) -> bool:
        return bool(self.cfg_scale or self.contrast)

    @property
    def rows(self) -> int:
        """Sequences run for each one asked for."""
        return 2 if self.cfg_scale else 1


@dataclass(frozen=True)
class CacheRule:
    """Keys that are kept between passes. opening: full passes that open a block. refresh: after how many looks another one
    renews the keys (None: at the next block)."""

    kind: CacheKind
    refresh: int | None = None
    opening: int = 1


@dataclass(frozen=True)
class Speculation:
    """Draft a window of slots and verify it."""

    window: int = 16  # slots that are drafted
    tree: int = 0  # nodes of a tree of drafts over them; 0: a chain, one draft a slot
    branching: int = 1  # candidates of a slot
    draft: Draft | Drafter = "reuse"  # who makes them
    accept: Accept = "coupled"  # the acceptance rule
    bonus: bool = True  # also draw the slot behind an accepted window
    anchors: int = 0  # likely ends of a round behind which its packed pass drafts ahead
    survival: float = 0.0  # drafts whose predicted chance to be reached is lower are not verified
    planner: Planner = "confidence"  # predicts that chance from draft laws or from influences
    stale_steps: int = 0  # small passes of the "stale" drafter
    head: DraftHead | None = None  # makes draft laws depend on the drafts before


@dataclass(frozen=True)
class Drafted:
    """What a judge may read. drafted_BWV, hidden_BWD: what the network said of the slots before any was drawn; None where a
    text is scored and the judge does not read it."""

    ids_BL: Tensor  # the canvas with the drafts filled in
    slots_BT: Tensor  # where targets are asked for, -1: none
    drafted_BWV: Tensor | None  # logits
    hidden_BWD: Tensor | None  # final hidden states, if the judge reads them
    began_BL: Tensor  # the canvas when the denoising pass began
    ask: Callable[[Tensor, Tensor], Tensor]  # network: N canvases [B, N, L], places [B, N, P] (-1: none) -> logits
    meter: Meter  # counts the passes of other models


class Judge(Protocol):
    """Says the law of drafts in place of the network that made them. moving: does it depend on where the round began, so that
    the law of a text is that of the process? reads_drafted, reads_hidden: does it need the network's logits at the drafts, or
    its hidden states?"""

    @property
    def moving(self) -> bool: ...
    @property
    def reads_drafted(self) -> bool: ...
    @property
    def reads_hidden(self) -> bool: ...

    def targets(self, drafted: Drafted) -> Tensor:
        """Logits [B, T, V] of the slots, each given the tokens before it."""
        ...

    def whose(self, name: str) -> str:
        """Whose law that is, in words; `name`: the network's."""
        ...

    def claim(self) -> LawClaim: ...


class Joint(Protocol):
    """Draws several tokens of a round one after another, without a pass between them. count: how many. moving: does where a
    round began matter to the law?"""

    @property
    def count(self) -> int: ...
    @property
    def moving(self) -> bool: ...

    def follow(self, ids_BL: Tensor, slots_BS: Tensor, hidden_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, S, D] and logits [B, S, V] of the slots of the round, now that these tokens are on the canvas.

        slots_BS: all that the pass looked at, filled ones among them; -1: none.
        """
        ...

    def whose(self, name: str) -> str:
        """As in `Judge`."""
        ...

    def claim(self) -> LawClaim: ...


class RemaskRates(Protocol):
    """How often remask="remdm" hides what was revealed, and shows what was drawn. strategy: its name. blind: does it hide
    tokens whatever they are?"""

    @property
    def strategy(self) -> str: ...
    @property
    def blind(self) -> bool: ...

    def shown(
        self, keep: Callable[[float], float], t: float, s: float, drawn_BL: Tensor, revealed_BL: Tensor, logp_BL: Tensor
    ) -> Tensor:
        """Probability [B, L] of each token to be visible at time s."""
        ...


@dataclass(frozen=True)
class Plan:
    """The parts of one decode. A round speculates, or replays the rule ahead, or commits what the rule selects of independent
    draws."""

    method: str  # its name, for messages
    law: Verify = "rows"  # the conditionals that are sampled: of plain forwards, or of the packed pattern
    order: Order = "left-to-right"  # in which slots are drawn
    random_share: float = 1.0  # of the slots of a random order; the others follow from left to right
    block_length: int | None = None  # open slots per block; None: one block
    aligned_blocks: bool = False  # blocks begin at multiples of the length on the canvas, not at the first open slot
    stays_open: bool = False  # finished blocks are a part of the next one: their tokens may be taken back there
    speculation: Speculation | None = None  # None: no drafts
    judge: Judge | None = None  # has the targets of the drafts; None: the network itself
    causal: CausalModel | None = None  # stands beside the network, and reads the tokens before each slot
    rule: UnmaskRule = InOrder()  # which draws are committed, where nothing speculates
    first_slot_first: bool = False  # the round that opens a block commits its first slot alone (Fast-dLLM for Dream)
    joint: Joint | None = None  # commits further draws of a round, each given those before; None: a round draws once
    replay: int = 0  # states ahead on which the rule is replayed
    revoke: Revoke | None = None  # may take tokens back
    cache: CacheRule | None = None  # keys kept between passes
    guidance: Guidance = Guidance()  # changes of the logits, before anything else
    steps: int = 1  # denoising passes
    schedule: ScheduleName = "linear"  # of the noise between them
    remask: Remask = "random"  # what the noise hides
    remdm: RemaskRates | None = None  # rates of remask="remdm"
    head: DependencyHead | None = None  # predicts influences for rules that ask for them; without one they are probed
    probe_values: int | None = None  # values probed per slot (None: all)
    banned: tuple[int, ...] = ()  # ids never sampled
    after_eos: AfterEos = "eos"  # does the law have "after EOS comes EOS" (`fef.laws.eos`)?
    first_cut: Cut = "top-k"  # of top-k and top-p (`fef.laws.pipeline.Sampling`)
    keeps_crossing: bool = True  # how top-p cuts (likewise)
    greedy: bool = False  # the method is defined at temperature 0 only

    def end_token(self, eos_id: int | None) -> int | None:
        """The end token behind which the law leaves no rule, of a network that ends texts with `eos_id`; None if it always
        does."""
        return None if self.after_eos == "free" or eos_id in self.banned else eos_id

    @property
    def says(self) -> Judge | Joint | None:
        """Whose law it is, beside the network."""
        return self.judge or self.joint

    @property
    def final(self) -> bool:
        """Does a token that is committed stay? Not where a rule takes some back, or noise hides them between passes."""
        return self.revoke is None and self.steps == 1

    @property
    def chains(self) -> bool:
        """Is each token drawn from its own conditional, in an order that no draw changes? Not where its target depends on
        where a round began."""
        moving = self.says is not None and self.says.moving
        return not moving and (self.speculation is not None or (self.rule.in_order and self.rule.transfer.one))

    def exact_cache(self, block_causal: bool) -> bool:
        """Are the cached keys final? Those of finished blocks are, if no later token changes them and none is reopened."""
        return self.cache is not None and self.cache.kind == "prefix" and block_causal and self.revoke is None
