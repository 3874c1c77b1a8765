"""SSMD (arXiv 2510.03929): the network drafts, and an order-causal layer on its own hidden states verifies.

Shapes: B rows, L canvas length, T targets, W drafts, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ordered, Windowed
from fef.decoding.network import Network
from fef.decoding.options import one_of, path
from fef.decoding.plan import Drafted, Order, Plan, Speculation
from fef.decoding.requirements import find_layer
from fef.laws.claim import LawClaim
from fef.models.order_block import OrderBlock
from fef.models.transformer import Transformer

__all__ = ["SSMD", "OrderJudge", "SsmdOptions"]


@dataclass(frozen=True)
class SsmdOptions(Windowed, Ordered):
    """One pass per round; the layer runs over the drafts once, and what it rejects it draws."""

    order: Order = one_of("random", get_args(Order))  # of the slots
    layer: str | None = path()  # a file that holds the order-causal layer

    def plan(self, name: str, network: Network) -> Plan:
        model = network.transformer(name)
        spec = Speculation(window=self.window, draft="fresh", accept=self.accept, bonus=False)
        layer = find_layer(OrderBlock, self.layer, network.extra("order_block"), network)
        judge = OrderJudge(model, layer, self.window > 1)
        return Plan(name, speculation=spec, judge=judge)


@dataclass(frozen=True)
class OrderJudge:
    """The network's prediction of a slot, corrected by the layer that reads the tokens drafted before it."""

    model: Transformer
    layer: OrderBlock
    moving: bool
    reads_drafted = False
    reads_hidden = True

    def targets(self, drafted: Drafted) -> Tensor:
        assert drafted.hidden_BWD is not None, "a round drafts before it asks"
        at_BT = drafted.slots_BT.clamp(min=0)
        tokens_BTD = self.model.embed(drafted.ids_BL.gather(1, at_BT))
        return self.model.logits(self.layer(drafted.hidden_BWD, tokens_BTD, at_BT))

    def whose(self, name: str) -> str:
        return f"{name} with its order-causal layer over what a round has drafted" if self.moving else name

    def claim(self) -> LawClaim:
        return LawClaim(
            True,
            "law: of the network with its order-causal layer: each token given the text when the round began, by the pass, "
            "and the tokens drafted before it, by the layer",
        )


SSMD = Method(
    "ssmd",
    SsmdOptions,
    "one pass drafts, an order-causal layer on its hidden states verifies",
    "SSMD, arXiv 2510.03929",
    "process; chain or greedy at window=1",
    "a fef Transformer with an order-causal layer",
)
