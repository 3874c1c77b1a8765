"""DualDiffusion's drafter, made exact (arXiv 2604.05250)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fef.decoders.method import CHAIN, CHECKPOINT, Method
from fef.decoders.settings import MOST_AHEAD, ORDERS, Windowed
from fef.decoding.network import Network
from fef.decoding.options import flag, one_of, whole
from fef.decoding.plan import Guidance, Order, Plan, Speculation, Verify
from fef.decoding.requirements import check_blocks, check_law

__all__ = ["DUAL_EXACT", "DualExactOptions"]


@dataclass(frozen=True)
class DualExactOptions(Windowed):
    """DualDiffusion's cheap drafter, its laws recorded, and rejection by fresh targets."""

    drafts: int = whole(5, most=MOST_AHEAD)  # small passes of the drafter
    verify: Verify | Literal["auto"] = one_of("auto", ("auto", *get_args(Verify)))  # the law of the targets
    block_length: int | None = whole(None)  # open slots per block
    order: Order = one_of("left-to-right", ORDERS)  # of the slots
    bonus: bool = flag(True)  # also draw the slot behind an accepted window

    def plan(self, name: str, network: Network) -> Plan:
        law: Verify = "packed" if network.packed is not None else "rows"
        law = law if self.verify == "auto" else self.verify
        check_law(law, network, Guidance())
        check_blocks(self.order, self.block_length)
        network.transformer(name)
        spec = Speculation(
            window=self.window, draft="stale", accept=self.accept, bonus=self.bonus, stale_steps=self.drafts
        )
        return Plan(name, law=law, speculation=spec)


DUAL_EXACT = Method(
    "dual-exact",
    DualExactOptions,
    "drafts of cheap steps on stale keys, their laws recorded, verified like fef",
    "DualDiffusion, arXiv 2604.05250, made exact",
    CHAIN,
    CHECKPOINT,
    visible_noise=True,
)
