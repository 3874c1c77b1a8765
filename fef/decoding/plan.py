"""A plan says which part goes where in the loop. Each method makes one; the certificate is read off it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from fef.decoding.canvas import Canvas
from fef.decoding.revoke import Revoke
from fef.decoding.unmask import InOrder, UnmaskRule
from fef.laws.pipeline import Cut
from fef.models.demask import DependencyHead

__all__ = [
    "Accept",
    "AfterEos",
    "CacheKind",
    "CacheRule",
    "Draft",
    "Drafter",
    "Guidance",
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
    """Draft a window of slots and verify it.

    window: drafts a round. bonus: also draw the slot behind an accepted window. anchors: likely ends of a round behind
    which its packed pass drafts ahead. survival: drafts whose predicted chance to be reached is lower are not verified;
    planner predicts it from draft laws or from influences. stale_steps: small passes of the "stale" drafter.
    """

    window: int = 16
    draft: Draft | Drafter = "reuse"
    accept: Accept = "coupled"
    bonus: bool = True
    anchors: int = 0
    survival: float = 0.0
    planner: Planner = "confidence"
    stale_steps: int = 0


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
    """The parts of one decode.

    law: which conditionals of the denoiser are sampled ("rows": one plain forward a prefix state; "packed": the packed
    attention pattern), after `guidance`. aligned_blocks: blocks begin at multiples of `block_length` on the canvas, as in
    the attention of block-causal networks, and not at the first open slot. stays_open: finished blocks are a part of the next
    one, so that their tokens may be taken back there. A round speculates, or replays the rule rule
    on `replay` states ahead, or commits what `rule` selects of independent draws; `revoke` may take tokens back. cache:
    keys kept between passes. steps, schedule, remask, remdm: denoising passes and what lies between them. head: predicts
    influences for the rules that ask for them; without one they are probed, `probe_values` a slot (None: all). banned: ids
    never sampled. after_eos: "eos" makes "after EOS comes EOS" a part of the law (`fef.decoding.canvas.EosRule`), "free"
    draws what lies behind an end token like anything else. first_cut, keeps_crossing: how top-k and top-p cut
    (`fef.laws.pipeline.Sampling`). greedy: the method is defined at temperature 0 only.
    """

    method: str
    law: Verify = "rows"
    order: Order = "left-to-right"
    block_length: int | None = None
    aligned_blocks: bool = False
    stays_open: bool = False
    speculation: Speculation | None = None
    rule: UnmaskRule = InOrder()
    replay: int = 0
    revoke: Revoke | None = None
    cache: CacheRule | None = None
    guidance: Guidance = Guidance()
    steps: int = 1
    schedule: ScheduleName = "linear"
    remask: Remask = "random"
    remdm: RemaskRates | None = None
    head: DependencyHead | None = None
    probe_values: int | None = None
    banned: tuple[int, ...] = ()
    after_eos: AfterEos = "eos"
    first_cut: Cut = "top-k"
    keeps_crossing: bool = True
    greedy: bool = False

    def end_token(self, eos_id: int | None) -> int | None:
        """The end token behind which the law leaves no rule, of a network that ends texts with `eos_id`; None if it always
        does."""
        return None if self.after_eos == "free" or eos_id in self.banned else eos_id

    def exact_cache(self, block_causal: bool) -> bool:
        """Are the cached keys final? Those of finished blocks are, if no later token changes them and none is reopened."""
        return self.cache is not None and self.cache.kind == "prefix" and block_causal and self.revoke is None
