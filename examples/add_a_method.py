"""A method of your own, in one file: commit every slot of the first four whose confidence is high enough, else the surest.

    python examples/add_a_method.py

A rule says which draws of a pass are kept, and what that does to the law; options make a plan of it; an entry in the table
makes it known to `fef.decode`, `Model.generate`, the engine and `fef.certify`. In the package such a file lies in
fef/decoders: docs/add-a-method.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

import fef
from fef.decoders import METHODS
from fef.decoders.method import Method
from fef.decoding.network import Network
from fef.decoding.options import number, whole
from fef.decoding.plan import Plan
from fef.decoding.unmask import PRODUCT, Candidates, UnmaskRule
from fef.laws.claim import LawClaim

QUESTION = "Tom has 12 apples. He buys 3 bags with 6 apples each. How many apples does Tom have now?"


@dataclass(frozen=True)
class NearAndSure(UnmaskRule):
    """Of the first `reach` candidates, those at least as confident as `threshold`; where none is, the surest of them.

    Shapes: B rows, S candidate slots. It looks at laws and not at drawn tokens, so its order is adapted; several tokens of
    one pass are drawn independently, so no law is stated.
    """

    threshold: float
    reach: int

    def select(self, c: Candidates) -> Tensor:
        near_BS = c.real_BS & (c.real_BS.cumsum(1) <= self.reach)
        confidence_BS = c.confidence_BS.masked_fill(~near_BS, -1.0)
        surest_BS = torch.zeros_like(near_BS).scatter(1, confidence_BS.argmax(1, keepdim=True), True)
        return near_BS & ((confidence_BS >= self.threshold) | surest_BS)

    def claim(self, greedy: bool) -> LawClaim:
        return PRODUCT


@dataclass(frozen=True)
class NearAndSureOptions:
    threshold: float = number(0.9, high=1.0)
    reach: int = whole(4)

    def plan(self, name: str, network: Network) -> Plan:
        return Plan(name, rule=NearAndSure(self.threshold, self.reach))


ENTRY = Method("near-and-sure", NearAndSureOptions, "commit what is sure among the first slots", "this file", "none")


def main() -> None:
    METHODS[ENTRY.name] = ENTRY
    model = fef.load("demo")
    print(fef.certify(model.network, method="near-and-sure", temperature=0.7).law)
    for options in ({"threshold": 0.99}, {"threshold": 0.5, "reach": 8}):
        out = model.generate(QUESTION, method="near-and-sure", max_new_tokens=64, **options)
        print(f"{options}: {int(out.stats['calls'])} passes\n{out.text}")
    same = model.engine(max_batch=2).submit(QUESTION, method="near-and-sure", max_new_tokens=64, **options).result()
    print("the same in the engine:", same.text == out.text)


if __name__ == "__main__":
    main()
