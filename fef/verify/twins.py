"""Decoders broken on purpose, each with a false certificate: the suite must catch every one (`fef verify --self-test`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from fef.decoders.adjust import JointDraws
from fef.decoders.dcd import CopulaJudge
from fef.decoding.causal import CausalModel
from fef.decoding.certificate import Kind
from fef.decoding.plan import Drafted
from fef.laws.accept import Accepted, agreement
from fef.laws.draws import KeyedNoise, Purpose, Site
from fef.laws.integrate import AroundNoise, QuantileNoise
from fef.laws.tree import Tree
from fef.models.order_block import OrderBlock
from fef.verify.bounds import PROMISES
from fef.verify.network_laws import causal_law, copula_law, joint_law, packed_law
from fef.verify.reference import certainty, chain_law, first_of
from fef.verify.setting import Broken, Setting
from fef.verify.suite import ANY_ORDER, CONFIDENCE, NETWORK, RANDOM, TABLES, TWO_PASSES, Verdict, most, ordered, product

__all__ = ["TWINS", "ArgmaxDrafts", "caught"]


class ArgmaxDrafts(AroundNoise):
    """A published mistake: drafts are the argmax, but acceptance uses the soft law as if they were drawn from it."""

    def categorical(self, logp_BSV: Tensor, site: Site, purpose: Purpose) -> Tensor:
        return logp_BSV.argmax(-1) if purpose is Purpose.DRAFT else super().categorical(logp_BSV, site, purpose)


def asked_otherwise(part: type, method: str, change: Callable[..., tuple[Any, ...]]) -> Broken:
    """A method that gets other arguments than it was given."""
    ask = getattr(part, method)
    return lambda: patch.object(part, method, lambda self, *given: ask(self, *change(self, *given)))


def forgotten(drafted: Drafted, mask_id: int) -> Drafted:
    """As if the round had begun from masks alone."""
    return replace(drafted, began_BL=torch.full_like(drafted.began_BL, mask_id))


def other_promise(method: str, **changes: Any) -> Broken:
    return lambda: patch.dict(PROMISES, {method: replace(PROMISES[method], **changes)})


def root_commits(choose: Callable[[Tensor, Tree, Tensor], Tensor]) -> Broken:
    """What `choose` takes stands in the place of what was drawn at the root of a tree of drafts, where there is one."""

    def wrong(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor) -> Accepted:
        drawn_BX = drawn_BX.clone()
        if tree.depths:
            drawn_BX[:, 0] = torch.where(tree.there_BW[:, 0], choose(drawn_BX, tree, draft_BW), drawn_BX[:, 0])
        return agreement(drawn_BX, tree, draft_BW, targets_B)

    return lambda: patch("fef.laws.accept.agreement", wrong)


def smallest_behind(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor) -> Tensor:
    """The child of the root behind which the smallest token was drawn: nodes are ranked by what their targets drew."""
    behind_BW = drawn_BX[:, 1:].masked_fill(~tree.there_BW | (tree.parent_BW > 0), torch.iinfo(torch.int64).max)
    return draft_BW.gather(1, behind_BW.argmin(1, keepdim=True))[:, 0]


SIBLING = root_commits(lambda _drawn, _tree, draft_BW: draft_BW[:, 0])  # the likeliest child of the root
SPECULATIVE = {"verify": "rows", "accept": "rejection", "window": 2, "draft": "fresh"}
REJECT = {"accept": "rejection", "window": 2}
IN_ORDER = REJECT | {"order": "left-to-right"}
BACKWARDS = partial(chain_law, select=lambda _pipeline: first_of((3, 2, 1, 0)))


def on_tables(method: str, options: Mapping[str, Any] | None = None, declared: Kind = "chain", **more: Any) -> Setting:
    return Setting(method, options or {}, subjects=TABLES, declared=declared, **more)


def on_network(method: str, options: Mapping[str, Any] | None = None, declared: Kind = "chain", **more: Any) -> Setting:
    return Setting(method, options or {}, subjects=NETWORK, declared=declared, **more)


def tree(broken: Broken, head: str | None = "none") -> Setting:
    options = {"verify": "packed", "tree": 4, "depth": 2, "head": head}
    return on_network("fef", options, law=packed_law, wrap=QuantileNoise, broken=broken)


TWINS: dict[str, Setting] = {
    "re-masking by confidence called chain": on_tables(
        "fef", SPECULATIVE | {"steps": 2, "remask": "low-confidence"}, law=TWO_PASSES, length=3
    ),
    "ranking by the drawn token called chain": on_tables("low-confidence", law=CONFIDENCE, length=3),
    "several tokens of one pass called chain": Setting(
        "random", {"tokens_per_step": 2}, law=RANDOM, length=3, declared="chain"
    ),
    "several tokens of one pass called chain, on the Markov oracle alone": Setting(
        "random", {"tokens_per_step": 8}, subjects=(), oracle=True, declared="chain"
    ),
    "argmax drafts accepted by their soft law": on_tables("fef", SPECULATIVE, wrap=ArgmaxDrafts),
    "a rejected draft replaced from the target, not the residual": on_tables(
        "fef", SPECULATIVE, broken=lambda: patch("fef.laws.accept.residual", lambda logp, _logq, _scale: logp)
    ),
    "a sibling of the drawn token committed": tree(SIBLING),
    "a sibling of the drawn token committed, in the tree of a draft head": tree(SIBLING, head=None),
    "a tree whose nodes are ranked by what their targets drew": tree(root_commits(smallest_behind)),
    "the diffusion model's law for that of the causal model that verifies": on_network("deer", REJECT),
    "drafts kept where the product of experts agrees, and drawn anew where not, called exact": on_network(
        "apd", {"share": 0.5}, "process", law=product(0.5, 16, coupled=True), by="samples"
    ),
    "the causal model's law for that of a product of experts": on_network(
        "apd-exact", REJECT, "process", law=causal_law
    ),
    "the causal model's law for that of a copula": on_network("dcd", law=causal_law, by="samples"),
    "a copula whose marginals forget what stands behind a slot": on_network(
        "dcd",
        law=partial(copula_law, passes=2),
        by="samples",
        broken=asked_otherwise(CopulaJudge, "targets", lambda judge, drafted: (forgotten(drafted, judge.mask_id),)),
    ),
    "an order from left to right called a random one, under the packed law": on_network(
        "eso-exact", {"share": 0.0}, law=ANY_ORDER, by="samples"
    ),
    "independent draws of a diffusion phase called chain": on_network(
        "eso", {"share": 1.0, "tokens_per_step": 4}, law=ANY_ORDER, by="samples"
    ),
    "an order-causal layer that sees the draft it verifies": on_network(
        "ssmd",
        IN_ORDER,
        "process",
        law=ordered(2),
        broken=asked_otherwise(OrderBlock, "forward", lambda _, hidden, tokens, at: (hidden, tokens.roll(-1, 1), at)),
    ),
    "rounds with an order-causal layer called the network's own chain": on_network("ssmd", IN_ORDER),
    "a joint layer that does not see what was drawn": on_network(
        "adjust",
        {"tokens": 2},
        "process",
        law=partial(joint_law, tokens=2),
        broken=asked_otherwise(
            JointDraws, "follow", lambda draws, ids, *more: (torch.full_like(ids, draws.model.mask_id), *more)
        ),
    ),
    "rounds with a joint layer called the network's own chain": on_network(
        "adjust", {"tokens": 2}, law=most(certainty)
    ),
    "what a learned policy commits of one pass called chain": on_network("policy", law=CONFIDENCE, by="samples"),
    "a causal model that is asked behind the token it verifies": on_network(
        "deer",
        REJECT,
        law=causal_law,
        broken=asked_otherwise(CausalModel, "logits", lambda _, ids, slots, meter: (ids, slots + 1, meter)),
    ),
    "the chain of another order": on_tables("sequential", law=BACKWARDS),
    "two passes called one": on_tables("fef", SPECULATIVE | {"steps": 2}, length=3),
    "coarse noise": on_tables(  # Gumbel noise from uniform numbers of three bits
        "sequential",
        by="samples",
        broken=lambda: patch("fef.laws.draws._midpoint", lambda high, _low: ((high >> 29).double() + 0.5) / 8),
    ),
    "seeds by place in the batch": Setting(  # rows that stay behind when others finish take over their seeds
        "sequential",
        subjects=(),
        declared="chain",
        broken=lambda: patch.object(KeyedNoise, "select", lambda self, rows: KeyedNoise(self.seed_B[: len(rows)])),
    ),
    "several tokens per step called greedy": Setting(
        "low-confidence", {"tokens_per_step": 2}, temperature=0, law=CONFIDENCE, declared="greedy"
    ),
    "another order called greedy": on_tables("sequential", declared="greedy", temperature=0, law=BACKWARDS),
    "a bound that is not kept": Setting(
        "threshold", {"threshold": 0.6}, broken=other_promise("threshold", limit=lambda _options, _n: 0.1)
    ),
    "a bound claimed of the parity law, too": Setting(
        "demask", {"influence": "probe"}, broken=other_promise("demask", assumed=lambda _set: True)
    ),
    "an exact decoder called a heuristic": on_tables("sequential", declared="none"),
    "a greedy decoder called a heuristic": Setting("sequential", temperature=0, declared="none"),
}
"""By what is wrong: with the kind that a false certificate declares, and what breaks the code meanwhile."""


def caught(found: Verdict) -> bool:
    """Did a measurement fail? One that could not be made catches nothing."""
    return found.made and not found.passed
