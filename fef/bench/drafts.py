"""Tokens per round of chains and trees of drafts on held-out texts of a network, with and without its draft head.

Nothing here is timed. Shapes: as in `draft_rounds`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from fef.bench.draft_rounds import Rounds, States, chain_held, chain_rounds, states_of, tree_rounds
from fef.errors import OptionError
from fef.measure.record import RecordKind
from fef.models.draft_head import CANDIDATES, DraftHead
from fef.models.transformer import Transformer
from fef.readers import whole_from
from fef.training.own_text import OwnText

__all__ = ["FEW", "SIMULATED_KIND", "Shapes", "drafts_report", "measure_drafts"]

FEW = (16, 64, CANDIDATES)  # candidates of which it is told how often they hold the true token

SIMULATED_KIND = RecordKind("simulated drafts", "fef bench --drafts --out", facts=("model", "shapes", "temperatures"))


@dataclass(frozen=True)
class Shapes:
    """chains: drafts of each chain. trees: nodes of each tree. slots: depths of a tree. frontier, branching: see
    `fef.laws.growth`. Raises OptionError for numbers below 1."""

    chains: Sequence[int] = (4, 8)
    trees: Sequence[int] = (16, 32, 64)
    slots: int = 8
    frontier: int = 16
    branching: int = 8

    def __post_init__(self) -> None:
        for name in ("chains", "trees"):
            for number in getattr(self, name):
                whole_from(name, number, 1)
        for name in ("slots", "frontier", "branching"):
            whole_from(name, getattr(self, name), 1)

    @property
    def deepest(self) -> int:
        return max(self.slots, *self.chains)


def drafts_report(
    network: Transformer,
    head: DraftHead | None,
    texts: Sequence[OwnText],
    shapes: Shapes,
    banned: Sequence[int] = (),
    most: int | None = None,
) -> dict[str, Any]:
    """`measure_drafts` of the texts of each temperature, at most so many. Raises OptionError for a head that is too short."""
    if head is not None and shapes.deepest > head.sizes.depths:
        raise OptionError(
            f"The head drafts {head.sizes.depths} slots, and {shapes.deepest} are asked for; lower --slots and --chains."
        )
    heats = sorted({text.temperature for text in texts})
    return {
        "shapes": asdict(shapes),
        "temperatures": {
            f"{heat:g}": measure_drafts(
                network, head, [text for text in texts if text.temperature == heat][:most], shapes, banned
            )
            for heat in heats
        },
    }


def measure_drafts(
    network: Transformer, head: DraftHead | None, texts: Sequence[OwnText], shapes: Shapes, banned: Sequence[int] = ()
) -> dict[str, Any]:
    """Of texts of one temperature. For the marginals, and for the head if there is one: "chains" and "trees" with tokens
    per round and its standard error, and "by_depth", how often a chain's draft holds where those before it do."""
    candidates = CANDIDATES if head is None else head.sizes.candidates
    states = states_of(network, texts, shapes.deepest, candidates, banned)
    heads = {"marginals": None} if head is None else {"marginals": None, "head": head}
    return {
        "texts": len(texts),
        "states": len(states.ids_NKC),
        "covered": {str(few): covered(states, few) for few in FEW},
        "drafters": {name: measured(network, one, states, shapes) for name, one in heads.items()},
    }


def measured(network: Transformer, head: DraftHead | None, states: States, shapes: Shapes) -> dict[str, Any]:
    held_NK = chain_held(network, head, states)
    return {
        "chains": {str(n): told(chain_rounds(states, held_NK, n)) for n in shapes.chains},
        "trees": {
            str(n): told(tree_rounds(network, head, states, n, shapes.slots, shapes.frontier, shapes.branching))
            for n in shapes.trees
        },
        "by_depth": by_depth(states, held_NK),
    }


def told(rounds: Rounds) -> dict[str, float]:
    return {"tokens_per_round": round(rounds.tokens_per_round, 3), "error": round(rounds.error, 3)}


def by_depth(states: States, held_NK: Tensor) -> list[float]:
    """Of slots whose predecessors were drafted right, at all states."""
    reached_NK = torch.nn.functional.pad(held_NK.long().cumprod(1), (1, 0), value=1)[:, :-1] * states.windows.there_NK
    return [round(float(x), 3) for x in (reached_NK * held_NK).sum(0) / reached_NK.sum(0).clamp(min=1)]


def covered(states: States, count: int) -> float:
    """How often the true token is among the first `count` candidates."""
    there_NK = states.windows.there_NK
    among_NK = (states.ids_NKC[..., :count] == states.windows.true_NK[..., None]).any(-1)
    return round(float((among_NK & there_NK).sum() / there_NK.sum()), 4)
