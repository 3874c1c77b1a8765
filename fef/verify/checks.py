"""What each kind of certificate is held to. A check takes a setting and says what it measured.

Shapes: N texts, L canvas length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from fef.decoding.certificate import Kind
from fef.models.markov import MarkovDenoiser
from fef.verify.bounds import committed_errors
from fef.verify.setting import Effort, Measured, Name, Setting, Subject
from fef.verify.statistics import excess_ngram_error, g_test, witnessed_distance
from fef.verify.texts import distance

__all__ = ["CAUGHT", "EXACT", "LIKELY", "MEASURES", "Check", "batch_against_rows", "check"]

EXACT = 1e-9  # total variation that rounding explains
LIKELY = 1e-4  # a p-value above it does not contradict a law
CAUGHT = 0.02  # total variation at which a heuristic counts as seen
ORACLE, ORACLE_LENGTH = MarkovDenoiser.random(8, seed=0), 32


Measure = Callable[[Setting, Effort], Iterator[Measured]]
Check = Callable[[Kind, Setting, Effort], Iterator[Measured]]


def check(kind: Kind, setting: Setting, effort: Effort) -> Iterator[Measured]:
    """What a certificate of this kind is held to; whatever it says, a row's text does not depend on its batch."""
    yield from MEASURES[kind](setting, effort)
    yield from same_text(setting, effort)
    yield batch_against_rows(setting)
    if setting.oracle:
        yield from oracle(setting, effort, exact=kind != "none")


def law(setting: Setting, effort: Effort) -> Iterator[Measured]:
    """The law of the real loop is the declared chain law."""
    for on in map(setting.subject, setting.subjects):
        yield law_against_chain(setting, on, effort)


def greedy(setting: Setting, effort: Effort) -> Iterator[Measured]:
    """The text of every canvas is that of the base decoder, on many tables and networks."""
    for name in setting.subjects:
        yield Measured.differing(f"{effort.denoisers} {name}", *canvases_against_base(setting, name, effort))


def none(setting: Setting, effort: Effort) -> Iterator[Measured]:
    """Some law or text is seen to differ from the declared chain: so the certificate is no constant."""
    if setting.temperature == 0:
        found = [canvases_against_base(setting, name, effort) for name in setting.subjects]
        different, total = map(sum, zip(*found, strict=True))
        seen = Measured.differing("all", different, total)
        yield replace(seen, passed=different > CAUGHT * total, distance=different / total)
    else:
        worst = max(law(setting, effort), key=lambda m: m.distance or 0.0)
        low = worst.interval[0] if worst.interval else worst.distance or 0.0
        yield replace(worst, passed=low > CAUGHT)


MEASURES: dict[Kind, Measure] = {
    "chain": law,
    "process": law,
    "greedy": greedy,
    "bound": committed_errors,
    "none": none,
}


def law_against_chain(setting: Setting, on: Subject, effort: Effort) -> Measured:
    expected = setting.declared_law(on)
    if setting.by == "integration":
        found = distance(setting.integrated_law(on), expected)
        return Measured(subject=on.name, how="integration", passed=found < EXACT, distance=found)
    texts = setting.texts(on.denoiser, on.rows(effort.samples))
    p_value = g_test(texts, expected)
    return Measured(
        on.name, f"{effort.samples:,} samples", p_value > LIKELY, *witnessed_distance(texts, expected), p_value
    )


def canvases_against_base(setting: Setting, name: Name, effort: Effort) -> tuple[int, int]:
    """Texts that differ from the base decoder's, of all canvases of some random denoisers, and their number."""
    different = total = 0
    for seed in range(effort.denoisers):
        on = setting.subject(name, seed)
        states = on.canvases
        texts = setting.texts(on.denoiser, torch.tensor(states), seed=[0] * len(states)).tolist()
        for state, text in zip(states, texts, strict=True):
            different += setting.declared_law(on, state).get(tuple(text), 0.0) < 0.5
        total += len(states)
    return different, total


def same_text(setting: Setting, effort: Effort) -> Iterator[Measured]:
    if setting.same_as is None:
        return
    method, options = setting.same_as
    count = min(1_000, effort.samples)
    other = Setting(method=method, options=options, temperature=setting.temperature, top_p=setting.top_p)
    for on in map(setting.subject, setting.subjects):
        texts, others = (s.texts(on.denoiser, on.rows(count)) for s in (setting, other))
        different = int((texts != others).any(1).sum())
        yield Measured.differing(on.name, different, count, f"texts differ from those of {method}")


def batch_against_rows(setting: Setting) -> Measured:
    """A batch of mixed lengths, prompts, seeds, temperatures and top-p, against each of its rows alone."""
    network = setting.networks(setting.network, 3, 5)
    lengths = [7, 4, 6, 7, 3, 5, 6, 7]
    base = setting.temperature
    temperatures = [0.0] * 8 if base == 0 else [base, 0.0, 0.5 * base, 1.5 * base] * 2
    top_ps, seeds = [setting.top_p, 0.7] * 4, [5, 5, 9, 0, 2**40, 7, 11, 11]
    ids = torch.full((8, 7), 5)
    ids[:, 0], ids[::3, 2] = torch.arange(8) % 5, 3  # a token in every row: masks alone would tie
    ids[torch.arange(7) >= torch.tensor(lengths)[:, None]] = 0
    together = setting.texts(network, ids, temperature=temperatures, top_p=top_ps, seed=seeds, lengths=lengths)
    different = 0
    for b, length in enumerate(lengths):
        alone = setting.texts(
            network, ids[b : b + 1, :length], temperature=temperatures[b], top_p=top_ps[b], seed=seeds[b]
        )
        different += not torch.equal(alone[0], together[b, :length])
    return Measured.differing("network, mixed batch", different, 8, "rows differ from their own decode")


def oracle(setting: Setting, effort: Effort, *, exact: bool) -> Iterator[Measured]:
    """N-grams of long texts against the true chain, for an exact posterior denoiser (arXiv 2602.19619)."""
    rows = torch.full((effort.oracle_texts, ORACLE_LENGTH), ORACLE.mask_id)
    texts = setting.texts(ORACLE, rows)
    for n in (2, 3):
        excess, interval, p_value = excess_ngram_error(texts, ORACLE, n)
        passed = p_value > LIKELY if exact else p_value < LIKELY
        name = f"Markov {ORACLE.mask_id}^{ORACLE_LENGTH}, {n}-grams"
        yield Measured(name, f"{len(texts):,} samples", passed, excess, interval, p_value)
