"""ADJUST (arXiv 2509.22738): several tokens of a pass, one after another, by a layer that reads those drawn before.

Shapes: B rows, L canvas length, S slots, D width, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fef.decoders.method import Method
from fef.decoders.settings import Ending
from fef.decoding.network import Network
from fef.decoding.options import path, whole
from fef.decoding.plan import Plan
from fef.decoding.requirements import find_layer
from fef.decoding.unmask import Candidates, UnmaskRule
from fef.laws.claim import LawClaim
from fef.models.joint_layer import JointLayer
from fef.models.transformer import Transformer

__all__ = ["ADJUST", "AdjustOptions", "JointDraws", "LeastEntropy"]


@dataclass(frozen=True)
class AdjustOptions(Ending):
    """ADJUST. layer: by default that of the checkpoint."""

    tokens: int = whole(4)  # per pass
    block_length: int | None = whole(None)  # open slots per block
    layer: str | None = path()  # a file that holds the joint layer

    def plan(self, name: str, network: Network) -> Plan:
        model = network.transformer(name)
        layer = find_layer(JointLayer, self.layer, network.extra("joint_layer"), network)
        joint = JointDraws(model, layer, self.tokens)
        return Plan(name, rule=LeastEntropy(), joint=joint)


@dataclass(frozen=True)
class LeastEntropy(UnmaskRule):
    """The slot of least entropy, of the pass and of every look of the layer behind it."""

    order_words = "least-entropy-first"
    reads_hidden = True

    def select(self, c: Candidates) -> Tensor:
        return c.best(-c.entropy_BS, c.count_B)

    def claim(self, greedy: bool) -> LawClaim:
        return LawClaim(
            True, "commit: the slot of least entropy given the tokens so far, chosen before its token counts"
        )


@dataclass(frozen=True)
class JointDraws:
    """The network says the first token of a round, the layer each of the others."""

    model: Transformer
    layer: JointLayer
    count: int

    @property
    def moving(self) -> bool:
        return self.count > 1

    def follow(self, ids_BL: Tensor, slots_BS: Tensor, hidden_BSD: Tensor) -> tuple[Tensor, Tensor]:
        at_BS = slots_BS.clamp(min=0)
        tokens_BSD = self.model.embed(ids_BL.gather(1, at_BS))
        hidden_BSD = self.layer(hidden_BSD, tokens_BSD, at_BS, slots_BS >= 0)
        return hidden_BSD, self.model.logits(hidden_BSD)

    def whose(self, name: str) -> str:
        return f"{name} with its joint layer over the {self.count} tokens of a pass" if self.moving else name

    def claim(self) -> LawClaim:
        said = (
            "given the text so far: the first of a round by the pass, the others by the layer"
            if self.moving
            else "by the pass"
        )
        return LawClaim(True, f"law: of the network with its joint layer: each token {said}")


ADJUST = Method(
    "adjust",
    AdjustOptions,
    "several tokens of a pass, each drawn given those before it by a layer on the hidden states",
    "ADJUST, arXiv 2509.22738",
    "process; chain or greedy at tokens=1",
    "a fef Transformer with a joint layer",
)
