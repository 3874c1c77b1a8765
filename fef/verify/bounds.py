"""Bounds: the exact error of every committed set, joint law against product law, beside what the method promises.

The promise of each method is written here from its paper, not read off its code. Shapes: L canvas length, K tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fef
from fef.laws.information import schedule_error
from fef.models.table import TableDenoiser
from fef.verify.decode import laws_by_order
from fef.verify.reference import certainty
from fef.verify.setting import Effort, Measured, Setting
from fef.verify.tables import parity, random_joint
from fef.verify.texts import Array, Law, State, law_of_joint

__all__ = ["PROMISES", "Committed", "committed_errors", "committed_sets"]

ROWS = 200
POWERS = (3.0, 12.0, 60.0)  # of random weights: from loose laws to nearly certain ones
ROUNDING = 1e-9


@dataclass(frozen=True)
class Committed:
    """Slots committed in one round from `state`. law: their joint law given its tokens, an axis per slot, those of highest
    confidence first."""

    state: State
    slots: tuple[int, ...]
    law: Array = field(compare=False)

    @classmethod
    def of(cls, joint: Array, state: State, slots: Sequence[int]) -> Committed:
        mask = joint.shape[0]
        given = joint[tuple(slice(None) if v == mask else slice(v, v + 1) for v in state)]
        kept = marginal(given, *slots)
        order = sorted(range(kept.ndim), key=lambda axis: -marginal(kept, axis).max())
        return cls(state, tuple(sorted(slots)[axis] for axis in order), np.transpose(kept / kept.sum(), order))

    def marginals(self) -> list[Array]:
        return [marginal(self.law, axis) for axis in range(self.law.ndim)]

    def product(self) -> Array:
        return reduce(np.multiply.outer, self.marginals())

    def tv(self) -> float:
        return 0.5 * float(np.abs(self.law - self.product()).sum())

    def kl(self) -> float:
        """KL(joint || product) in nats: the total correlation of the slots."""
        return certainty(self.law) - sum(map(certainty, self.marginals()))

    def modes_agree(self) -> bool:
        """Theorem 1 of Fast-dLLM: where (n + 1) (1 - confidence) <= 1, the product has the mode of the joint law."""
        least = min(p.max() for p in self.marginals())
        covered = (len(self.slots) + 1) * (1 - least) <= 1
        return not covered or int(self.law.argmax()) == int(self.product().argmax())

    def sub_additive(self) -> bool:
        """DEMASK's assumption: the tokens before a slot move it by no more than each of them does, added up."""
        return all(
            influence(self.law, tuple(range(j)), j) <= sum(influence(self.law, (i,), j) for i in range(j)) + ROUNDING
            for j in range(1, self.law.ndim)
        )


def marginal(law: Array, *kept: int) -> Array:
    """The joint law of these axes alone."""
    return np.asarray(law.sum(tuple(axis for axis in range(law.ndim) if axis not in kept)))


def influence(law: Array, sources: tuple[int, ...], target: int) -> float:
    """Expected total variation by which knowing `sources` moves the law of `target`; axes of a joint law."""
    pair = marginal(law, *sources, target)  # sources come before the target
    apart = np.multiply.outer(pair.sum(-1), marginal(pair, pair.ndim - 1))
    return 0.5 * float(np.abs(pair - apart).sum())


@dataclass(frozen=True)
class Promise:
    """measure: the error that is bounded. limit: its bound, given the options and the number of slots. assumed: where the
    bound is claimed at all."""

    measure: Callable[[Committed], float]
    limit: Callable[[Mapping[str, Any], int], float]
    assumed: Callable[[Committed], bool] = lambda _: True


PROMISES: dict[str, Promise] = {
    "threshold": Promise(Committed.tv, lambda o, n: n * (1 - o["threshold"]) if n > 1 else 0.0),
    "factor": Promise(Committed.tv, lambda o, n: o["factor"] if n > 1 else 0.0),
    "entropy-bounded": Promise(Committed.kl, lambda o, _n: o["gamma"]),
    "demask": Promise(Committed.tv, lambda o, _n: o["tau"], Committed.sub_additive),
}


def committed_errors(setting: Setting, effort: Effort) -> Iterator[Measured]:
    """Every set that is committed on random consistent tables errs by no more than promised, where that is claimed; the
    parity law, in which pairwise influences see nothing, is reported. For a schedule, the error of all sets together."""
    if setting.method == "schedule":
        yield from schedule_errors(setting, effort)
        return
    several = 0
    for power in POWERS:
        joints = [random_joint(seed=seed, power=power) for seed in range(effort.denoisers)]
        sets = [s for joint in joints for s in committed_sets(setting, joint)]
        several += sum(len(s.slots) > 1 for s in sets)
        yield within_promise(setting, sets, f"{effort.denoisers} consistent, power {power}")
    yield Measured("all tables", "sets", several > 0, note=f"{several} sets of several tokens")
    yield within_promise(setting, committed_sets(setting, parity().joint), "parity")


def within_promise(setting: Setting, sets: Collection[Committed], name: str) -> Measured:
    promise = PROMISES[setting.method]
    options = {**fef.methods()[setting.method].options, **setting.options}
    broken = [s for s in sets if promise.measure(s) > promise.limit(options, len(s.slots)) + ROUNDING]
    failures = [s for s in broken if promise.assumed(s)]
    modes = all(s.modes_agree() for s in sets)
    worst = max(sets, key=promise.measure)
    note = (
        f"largest error {promise.measure(worst):.3g} against {promise.limit(options, len(worst.slots)):.3g}; "
        f"{len(sets)} sets, {len(broken)} beyond the bound, {len(failures)} of them where it is claimed"
    )
    note += "" if modes else "; modes differ"
    return Measured(name, "sets", not failures and modes, worst.tv(), note=note)


def schedule_errors(setting: Setting, effort: Effort) -> Iterator[Measured]:
    """KL(joint || sampled law), averaged over all orders, is what the information profile says (2510.25544), for the counts
    that the method used."""
    for power, seed in itertools.product((1.0, 3.0), range(effort.denoisers)):  # loose: integration prunes rare texts
        joint = random_joint(seed=seed, power=power)
        denoiser = ProfiledTable(joint)
        denoiser.information_profile = information_profile(joint.numpy())
        empty = (denoiser.mask_id,) * joint.dim()
        laws = laws_by_order(denoiser, empty, setting.method, setting.options)
        found = float(np.mean([kl_between(law_of_joint(joint), law) for law in laws]))
        out = fef.decode(denoiser, torch.tensor([empty]), trace=True, **setting.asked | {"temperature": 0.0})
        assert out.trace is not None, "a trace was asked for"
        counts = [int(round_.written.sum()) for round_ in out.trace]
        promised = schedule_error(denoiser.information_profile, counts)
        note = f"mean KL {found:.4f} nats over orders against {promised:.4f} by the profile; {counts} tokens per step"
        yield Measured(f"consistent, power {power:g}", "integration", abs(found - promised) < ROUNDING, note=note)


class ProfiledTable(TableDenoiser):
    information_profile: tuple[float, ...]


def information_profile(joint: Array) -> tuple[float, ...]:
    """f(k): mean entropy (nats) of a token given k others, over all choices; differences of mean block entropies."""
    blocks = (itertools.combinations(range(joint.ndim), k) for k in range(joint.ndim + 1))
    means = [np.mean([-certainty(marginal(joint, *kept)) for kept in block]) for block in blocks]
    return tuple(float(f) for f in np.diff(means))


def kl_between(p: Law, q: Law) -> float:
    """KL(p || q) in nats, of laws of full support."""
    return sum(w * float(np.log(w / q[text])) for text, w in p.items())


def committed_sets(setting: Setting, joint: Tensor) -> set[Committed]:
    """What the method commits at once, over some decodes of a table."""
    denoiser = TableDenoiser(joint)
    ids = torch.full((ROWS, joint.dim()), denoiser.mask_id)
    out = fef.decode(denoiser, ids, trace=True, **setting.asked)
    assert out.trace is not None, "a trace was asked for"
    found, before = set(), ids.clone()
    for round_ in out.trace:
        for row, slots, written in zip(round_.rows, round_.slots, round_.written, strict=True):
            if chosen := slots[written].tolist():
                found.add(Committed.of(joint.numpy(), tuple(before[row].tolist()), chosen))
        before[round_.rows] = round_.ids
    return found
