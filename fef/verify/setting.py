"""What is verified, on what, and what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal

import torch
from torch import Tensor

import fef
from fef.decoding.certificate import Certificate, Kind
from fef.models.table import TableDenoiser
from fef.models.transformer import Transformer
from fef.verify.decode import Wrapper, law_of_decode, unchanged
from fef.verify.reference import Reference, Table, chain_law, table_of
from fef.verify.statistics import Interval
from fef.verify.tables import parity, random_joint, random_network
from fef.verify.texts import Law, State, sharpened

__all__ = ["SLOW", "Broken", "Effort", "Measured", "Networks", "Other", "Setting", "Subject"]

Name = Literal["consistent", "inconsistent", "parity", "network", "block-causal"]
Other = tuple[str, Mapping[str, Any]]  # a method with its options
Broken = Callable[[], AbstractContextManager[object]]
TABLE_TOKENS, NETWORK_TOKENS, NETWORK_SLOTS = 3, 4, 3


@dataclass(frozen=True)
class Effort:
    """How much is spent. samples: of a law. oracle_texts: of the hidden Markov oracle. denoisers: random ones of a kind."""

    samples: int = 10_000
    oracle_texts: int = 1_000
    denoisers: int = 4


SLOW = Effort(samples=200_000, oracle_texts=4_000, denoisers=20)


@dataclass(frozen=True)
class Measured:
    """One measurement of a setting."""

    subject: str  # on which denoiser
    how: str  # it was measured
    passed: bool  # does it agree with the certificate?
    distance: float | None = None  # total variation
    interval: Interval | None = None  # its 95 % interval, if it comes from samples
    p_value: float | None = None  # of a test, if there was one
    note: str = ""  # for the report
    made: bool = True  # could it be made?

    @staticmethod
    def differing(subject: str, different: int, total: int, of: str = "texts differ") -> Measured:
        """None of these texts may differ."""
        return Measured(subject, "texts", different == 0, note=f"{different} of {total:,} {of}")

    @staticmethod
    def failed(error: Exception) -> Measured:
        """What stands in for a measurement that raised."""
        message = " ".join(str(error).split())
        note = f"could not be made: {type(error).__name__}{f': {message}' if message else ''}"
        return Measured("check", "none", passed=False, note=note, made=False)


@dataclass(frozen=True)
class Subject:
    """A denoiser that is small enough to be known completely, and the canvas it starts from.

    A network's canvas starts with a given token: on masks alone, which are all the same to it, every slot would have the
    same law, and every rule that ranks slots would have ties.
    """

    name: str
    denoiser: TableDenoiser | Transformer
    start: State

    @cached_property
    def table(self) -> Table:
        return table_of(self.denoiser, self.denoiser.mask_id, len(self.start))

    @property
    def canvases(self) -> list[State]:
        """All that decoding can meet: with a token where `start` has one."""
        mask = self.denoiser.mask_id
        given = [i for i, v in enumerate(self.start) if v != mask]
        return [state for state in self.table.at if all(state[i] != mask for i in given)]

    def rows(self, count: int) -> Tensor:
        return torch.tensor([self.start]).repeat(count, 1)


Networks = Callable[[Literal["network", "block-causal"], int, int], Transformer]
"""(kind, seed, tokens) -> a network over so many tokens and the mask."""


@cache
def subject(name: Name, length: int, networks: Networks, seed: int) -> Subject:
    """A random denoiser of a kind. There is one parity law only."""
    if name == "parity":
        return Subject("parity", parity(), (2, 2, 2))
    if name == "network" or name == "block-causal":
        start = (0, *[NETWORK_TOKENS] * NETWORK_SLOTS)
        called = getattr(networks, "name", name)
        return Subject(f"{called} {NETWORK_TOKENS}^{NETWORK_SLOTS}", networks(name, seed, NETWORK_TOKENS), start)
    table = (
        TableDenoiser(random_joint(TABLE_TOKENS, length, seed))
        if name == "consistent"
        else TableDenoiser.inconsistent(TABLE_TOKENS, length, seed)
    )
    return Subject(f"{name} {TABLE_TOKENS}^{length}", table, (TABLE_TOKENS,) * length)


@dataclass(frozen=True)
class Setting:
    """A method with its options, and the law that it is measured against."""

    method: str  # its name
    options: Mapping[str, Any] = field(default_factory=dict)  # of the method
    temperature: float = 1.0  # 0: greedy
    top_p: float = 1.0  # 1: off
    law: Reference = chain_law  # of the reference
    length: int = 4  # of the tables
    subjects: tuple[Name, ...] = ("consistent", "inconsistent", "network")  # names of the denoisers
    by: Literal["integration", "samples"] = "integration"  # how its law is found
    same_as: Other | None = None  # a method with options that must give the same text for the same seed
    oracle: bool = False  # measure n-grams on the hidden Markov oracle, too
    slow: bool = False  # left out of quick runs
    declared: Kind | None = None  # what a false certificate would say, in place of the true one
    wrap: Wrapper = unchanged  # put around the noise that is integrated: to couple draws, or to break the decoder
    broken: Broken = nullcontext  # breaks the code meanwhile
    networks: Networks = random_network  # makes the networks among its subjects

    @property
    def words(self) -> str:
        parts = [f"T={self.temperature:g}", *([f"top-p {self.top_p:g}"] if self.top_p < 1 else [])]
        return ", ".join([*(f"{name}={value}" for name, value in self.options.items()), *parts])

    @property
    def asked(self) -> dict[str, Any]:
        """As `fef.decode` takes it."""
        return {"method": self.method, "temperature": self.temperature, "top_p": self.top_p, **self.options}

    @property
    def network(self) -> Literal["network", "block-causal"]:
        """The kind of network that it runs on."""
        return "block-causal" if "block-causal" in self.subjects else "network"

    def subject(self, name: Name, seed: int = 0) -> Subject:
        return subject(name, self.length, self.networks, seed)

    def certificate(self) -> Certificate:
        return fef.certify(self.subject(self.network).denoiser, **self.asked)

    def declared_law(self, on: Subject, start: State | None = None) -> Law:
        """At temperature 0 the one greedy text."""
        return self.law(on.table, start or on.start, sharpened(self.temperature, self.top_p))

    def integrated_law(self, on: Subject) -> Law:
        return law_of_decode(
            on.denoiser, on.start, self.method, self.options, self.temperature, self.top_p, wrap=self.wrap
        )

    def texts(self, denoiser: Any, ids: Tensor, **more: Any) -> Tensor:
        """Texts by the public `decode`."""
        return fef.decode(denoiser, ids, **self.asked | more).ids
