"""Regular languages over bytes: pieces put together into a nondeterministic automaton, and that made deterministic.

A piece is a function that adds itself to an automaton behind a state, and gives the state where it ends. Text is UTF-8.

Shapes: Q states, the last of which is dead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = [
    "ANY",
    "ByteAutomaton",
    "Nfa",
    "NotRegular",
    "Piece",
    "Ranges",
    "characters",
    "choice",
    "complement",
    "determined",
    "intersection",
    "literal",
    "optional",
    "repeated",
    "sequence",
]

Ranges = tuple[tuple[int, int], ...]
"""Code points from .. to, both inside, sorted and apart."""

ANY: Ranges = ((0, 0x10FFFF),)

MOST_STATES = 20_000  # of the nondeterministic automaton
MOST_SETS = 4_000  # states of the deterministic one
MOST_WORK = 1_000_000  # edges that are followed to make it, and parts of the other one


class NotRegular(Exception):
    """A language that is no regular one, or one whose automaton would be too large."""


@dataclass
class Nfa:
    """A nondeterministic automaton. edges: by state, byte ranges and where they lead; free: what needs no byte. parts: that
    were put into it, of which empty ones make no state."""

    edges: list[list[tuple[int, int, int]]] = field(default_factory=lambda: [[]])
    free: list[list[int]] = field(default_factory=lambda: [[]])
    parts: int = 0

    def state(self) -> int:
        if len(self.edges) >= MOST_STATES:
            raise NotRegular(f"its automaton has more than {MOST_STATES} states")
        self.edges.append([])
        self.free.append([])
        return len(self.edges) - 1

    def part(self) -> None:
        self.parts += 1
        if self.parts > MOST_WORK:
            raise NotRegular(f"its automaton has more than {MOST_WORK} parts")


Piece = Callable[[Nfa, int], int]


def literal(text: str) -> Piece:
    def add(nfa: Nfa, at: int) -> int:
        for byte in text.encode():
            behind = nfa.state()
            nfa.edges[at].append((byte, byte, behind))
            at = behind
        return at

    return add


def characters(ranges: Ranges) -> Piece:
    """One character out of these ranges."""

    paths = [path for low, high in ranges for path in utf8_paths(low, high)]

    def add(nfa: Nfa, at: int) -> int:
        end = nfa.state()
        tails: dict[tuple[tuple[int, int], ...], int] = {(): end}  # paths that end alike share states

        def tail(path: tuple[tuple[int, int], ...]) -> int:
            if path not in tails:
                tails[path] = nfa.state()
                nfa.edges[tails[path]].append((*path[0], tail(path[1:])))
            return tails[path]

        for first, *rest in paths:
            nfa.edges[at].append((*first, tail(tuple(rest))))
        return end

    return add


def sequence(pieces: Iterable[Piece]) -> Piece:
    parts = list(pieces)

    def add(nfa: Nfa, at: int) -> int:
        for part in parts:
            nfa.part()
            at = part(nfa, at)
        return at

    return add


def choice(pieces: Iterable[Piece]) -> Piece:
    parts = list(pieces)

    def add(nfa: Nfa, at: int) -> int:
        end = nfa.state()
        for part in parts:
            begin = nfa.state()
            nfa.free[at].append(begin)
            nfa.free[part(nfa, begin)].append(end)
        return end

    return add


def optional(piece: Piece) -> Piece:
    return choice([piece, literal("")])


def repeated(piece: Piece, least: int, most: int | None) -> Piece:
    """`piece` from `least` to `most` times; None: as often as one likes."""

    def add(nfa: Nfa, at: int) -> int:
        for _ in range(least):
            nfa.part()
            at = piece(nfa, at)
        end = nfa.state()
        if most is None:
            loop = nfa.state()
            nfa.free[at].append(loop)
            nfa.free[piece(nfa, loop)].append(loop)
            nfa.free[loop].append(end)
            return end
        for _ in range(most - least):
            nfa.free[at].append(end)
            at = piece(nfa, at)
        nfa.free[at].append(end)
        return end

    return add


# --- characters ---


def complement(ranges: Ranges) -> Ranges:
    found, begin = [], 0
    for low, high in ranges:
        if low > begin:
            found.append((begin, low - 1))
        begin = high + 1
    return (*found, (begin, 0x10FFFF)) if begin <= 0x10FFFF else tuple(found)


def intersection(first: Ranges, second: Ranges) -> Ranges:
    pairs = ((max(a, c), min(b, d)) for a, b in first for c, d in second)
    return tuple(sorted((low, high) for low, high in pairs if low <= high))


def utf8_paths(low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """Byte ranges, one behind the other, that together give the code points from `low` to `high`, but for surrogates."""
    if low > high:
        return
    for edge in (0x7F, 0x7FF, 0xD7FF, 0xDFFF, 0xFFFF):  # where lengths change, and around surrogates
        if low <= edge < high:
            yield from utf8_paths(low, edge)
            yield from utf8_paths(edge + 1, high)
            return
    if 0xD800 <= low <= 0xDFFF:
        return
    first, last = chr(low).encode(), chr(high).encode()
    for place in range(1, len(first)):  # last bytes must go through all of their values, or the ranges are cut
        span = (1 << 6 * place) - 1
        if low | span >= high | span:
            break
        if low & span:
            yield from utf8_paths(low, low | span)
            yield from utf8_paths((low | span) + 1, high)
            return
        if high & span != span:
            yield from utf8_paths(low, (high & ~span) - 1)
            yield from utf8_paths(high & ~span, high)
            return
    yield list(zip(first, last, strict=True))


# --- the deterministic automaton ---


@dataclass(frozen=True, eq=False)
class ByteAutomaton:
    """State 0 is where it begins. next_QB: the state behind each byte [Q, 256]; accepts_Q: may the text end there?"""

    next_QB: npt.NDArray[np.int64]
    accepts_Q: npt.NDArray[np.bool_]

    @property
    def dead(self) -> int:
        return len(self.accepts_Q) - 1

    def behind(self, state: int, text: bytes) -> int:
        for byte in text:
            state = int(self.next_QB[state, byte])
        return state

    def accepts(self, text: bytes) -> bool:
        return bool(self.accepts_Q[self.behind(0, text)])


def determined(piece: Piece) -> ByteAutomaton:
    """The deterministic automaton of a language; states from which no text ends are dead. Raises NotRegular for one that is
    too large."""
    nfa = Nfa()
    end = piece(nfa, 0)
    cuts = sorted({0, 256} | {cut for edges in nfa.edges for low, high, _ in edges for cut in (low, high + 1)})
    class_of = {cut: number for number, cut in enumerate(cuts)}
    sets = {closed(nfa, [0]): 0}
    rows: list[dict[int, int]] = []
    queue, work = list(sets), 0
    for states in queue:  # which grows
        targets: dict[int, set[int]] = {}
        for state in states:
            for low, high, target in nfa.edges[state]:
                work += 1
                for each in range(class_of[low], class_of[high + 1]):
                    targets.setdefault(each, set()).add(target)
        row: dict[int, int] = {}
        for each, reached in targets.items():
            found = closed(nfa, reached)
            work += len(found)
            if found not in sets:
                sets[found] = len(sets)
                queue.append(found)
            row[each] = sets[found]
        rows.append(row)
        if len(sets) > MOST_SETS or work > MOST_WORK:
            raise NotRegular("its automaton is too large")
    dead = len(sets)
    next_QB = np.full((dead + 1, 256), dead, dtype=np.int64)
    for state, row in enumerate(rows):
        for each, target in row.items():
            next_QB[state, cuts[each] : cuts[each + 1]] = target
    accepts_Q = np.array([*(end in states for states in queue), False])
    return trimmed(next_QB, accepts_Q)


def closed(nfa: Nfa, states: Iterable[int]) -> frozenset[int]:
    """These states and those that follow for free."""
    found, left = set(states), list(states)
    while left:
        for target in nfa.free[left.pop()]:
            if target not in found:
                found.add(target)
                left.append(target)
    return frozenset(found)


def trimmed(next_QB: npt.NDArray[np.int64], accepts_Q: npt.NDArray[np.bool_]) -> ByteAutomaton:
    """The automaton in which every state but the dead one can still end."""
    alive_Q, before = accepts_Q, -1
    while int(alive_Q.sum()) != before:
        before = int(alive_Q.sum())
        alive_Q = alive_Q | alive_Q[next_QB].any(1)
    dead = len(accepts_Q) - 1
    return ByteAutomaton(np.where(alive_Q[next_QB], next_QB, dead), accepts_Q)
