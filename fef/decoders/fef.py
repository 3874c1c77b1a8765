"""Drafts verified against the chain (FeF-DLLM, arXiv 2605.14305)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from fef.decoders.method import CHAIN, Method
from fef.decoders.remdm import DEFAULT_ETA, Remdm
from fef.decoders.settings import MOST_PASSES, Guided, Ordered, Windowed
from fef.decoding.network import Network
from fef.decoding.options import flag, number, one_of, path, whole
from fef.decoding.plan import Draft, Drafter, Plan, Planner, Remask, ScheduleName, Speculation, Verify
from fef.decoding.requirements import check_law, exact_cache, find_head
from fef.errors import OptionError
from fef.laws.tree import MOST_NODES
from fef.laws.window import SURVIVAL, TREE_ANCHORS, TREE_DEPTH, TREE_SURVIVAL, branching, chain_anchors
from fef.models.draft_head import DraftHead

__all__ = ["FEF", "FefOptions"]

DRAFTS = get_args(Draft)
NO_HEAD = "none"


@dataclass(frozen=True)
class FefOptions(Windowed, Ordered, Guided):
    """FeF's rounds: a window of drafts, verified."""

    steps: int = whole(1, most=MOST_PASSES)  # denoising passes
    verify: Verify | Literal["auto"] = one_of("auto", ("auto", *get_args(Verify)))  # the law of the targets
    remask: Remask = one_of("random", get_args(Remask))  # what is hidden between passes
    eta: float | None = number(None, high=1.0)  # of ReMDM
    draft: Draft | Drafter = one_of("reuse", tuple(d for d in DRAFTS if d != "stale"), or_callable=True)  # who drafts
    bonus: bool = flag(True)  # also draw the slot behind an accepted window
    tree: int = whole(0, least=0, most=MOST_NODES)  # drafts per round, as a tree; 0: a chain
    depth: int = whole(TREE_DEPTH)  # drafts along a path of the tree
    anchors: int | None = whole(None, least=0)  # likely ends of a round, behind which it drafts ahead
    survival: float | None = number(None, high=1.0)  # least chance to be reached of a draft that is verified
    planner: Planner = one_of("confidence", get_args(Planner))  # predicts that chance
    head: str | None = path()  # a file that predicts influences, for the planner; "none": drafts by no head
    cache: Literal["none", "prefix"] = one_of("none", ("none", "prefix"))  # of finished blocks
    schedule: ScheduleName = one_of("linear", get_args(ScheduleName))  # of the noise between passes

    def plan(self, name: str, network: Network) -> Plan:
        plain_only = self.guidance.on or self.cache != "none" or self.planner == "influence"
        law: Verify = "packed" if network.packed is not None and not plain_only else "rows"
        law = law if self.verify == "auto" else self.verify
        check_law(law, network, self.guidance)
        self.refuse_contradictions(law, network)
        head = self.draft_head(law, network)
        depths = self.depth if self.tree else self.window
        anchors = TREE_ANCHORS if self.tree else chain_anchors(self.window)
        anchors = anchors if self.anchors is None else self.anchors
        spec = Speculation(
            window=depths if head is None else min(depths, head.sizes.depths),
            tree=self.tree,
            branching=branching(network.vocab_size) if self.tree else 1,
            draft="fresh" if network.visible_noise and self.draft == "reuse" else self.draft,
            accept=self.accept,
            bonus=self.bonus,
            anchors=anchors if law == "packed" else 0,
            survival=self.worth(law),
            planner=self.planner,
            head=head,
        )
        return Plan(
            name,
            law=law,
            speculation=spec,
            cache=exact_cache(name, self.cache, law, network, self.guidance),
            steps=self.steps,
            remask=self.remask,
            remdm=Remdm("rescale", DEFAULT_ETA if self.eta is None else self.eta),
            head=find_head(self.head, network, 'planner="confidence"') if self.planner == "influence" else None,
        )

    def draft_head(self, law: Verify, network: Network) -> DraftHead | None:
        """The one that grows trees: of rounds whose drafts come from the round before, and whose acceptance asks for no law
        of them. Chains do without, to which it costs more time than it saves in passes."""
        drafts = (self.accept, self.draft, self.bonus) == ("coupled", "reuse", True)
        return network.draft_head if self.tree and law == "packed" and drafts and self.head != NO_HEAD else None

    def worth(self, law: Verify) -> float:
        """The chance of being reached from which on a draft is verified. Under the rows law, and where drafts are asked for
        anew, drafts behind a short window are no cheaper, so that all are."""
        if self.survival is not None:
            return self.survival
        if self.tree:
            return TREE_SURVIVAL
        return SURVIVAL if law == "packed" and self.draft == "reuse" else 0.0

    def refuse_contradictions(self, law: Verify, network: Network) -> None:
        plain = (self.accept, self.draft, self.bonus, self.planner) == ("coupled", "reuse", True, "confidence")
        if self.tree and (law != "packed" or not plain):
            raise OptionError(
                f"tree={self.tree} needs a network trained for the packed pattern, and verify, accept, draft, bonus and "
                "planner as they are by default. Leave them out, or give tree=0."
            )
        if self.tree and self.window != FefOptions.window:
            raise OptionError(
                f"A tree of drafts has a depth in place of a window. Give depth={self.window}, or tree=0."
            )
        if not self.tree and self.depth != FefOptions.depth:
            raise OptionError(f"depth is that of a tree of drafts. Give tree=32 with it, or window={self.depth}.")
        if self.anchors and (law != "packed" or self.draft != "reuse"):
            raise OptionError('Only packed rounds with draft="reuse" draft ahead of anchors. Leave anchors out.')
        if self.planner == "influence" and (law == "packed" or self.draft != "fresh" or self.cache != "none"):
            raise OptionError(
                'planner="influence" reads hidden states of a plain pass: give verify="rows", draft="fresh" and no cache.'
            )
        if self.planner == "influence" and self.guidance.on:
            raise OptionError('cfg_scale and contrast do not go with planner="influence". Use planner="confidence".')
        if self.planner == "influence" and self.survival is None:
            raise OptionError(
                'planner="influence" predicts which drafts are worth a look, and here all are. Give survival=0.2 with it.'
            )
        if self.planner != "influence" and self.head not in (None, NO_HEAD):
            raise OptionError('A dependency head is read by planner="influence" only. Give both, or leave head out.')
        if self.remask != "remdm" and self.eta is not None:
            raise OptionError('eta is the rate of remask="remdm". Give both, or leave eta out.')
        if self.remask != "random" and network.visible_noise:
            raise OptionError(
                f'remask="{self.remask}" hides tokens behind masks; under uniform noise use remask="random".'
            )
        if self.draft == "random" and network.vocab_size is None:
            raise OptionError('draft="random" needs a denoiser with a vocab_size attribute.')


FEF = Method(
    "fef",
    FefOptions,
    "factorized drafts verified against the prefix-conditioned chain, with optional denoising passes",
    "FeF-DLLM, arXiv 2605.14305",
    f"{CHAIN}; none with low-confidence re-masking",
    "any denoiser; packed verification needs a network trained for it",
    visible_noise=True,
)
