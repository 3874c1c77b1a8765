"""The token automaton of a regular language: which tokens keep the end within reach.

A text is drawn into a fixed number of slots, and may stand before a given suffix. So a token is allowed only if, from the
state behind it, the slots that are left suffice to reach a state where the text may end. How far each state is from there is
counted in tokens, by a search backwards over all transitions.

Shapes: Q states, P pairs (state, token), E edges between states, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fef.grammar.pieces import ByteAutomaton, NotRegular
from fef.grammar.text import Words, packed
from fef.grammar.vocabulary import Numbers, Vocabulary

__all__ = ["FAR", "Reach", "TokenAutomaton"]

FAR = int(np.iinfo(np.uint16).max)  # no number of tokens suffices
Key = TypeVar("Key")

MOST_PAIRS = 8_000_000  # transitions that are followed to make a token automaton
_PAIRS_AT_ONCE = 1 << 20
_BYTES_KEPT = 1 << 24  # of what is remembered of the tokens behind states
_STEPS_KEPT = 1 << 16  # from state to state by a token


@dataclass(frozen=True, eq=False)
class TokenAutomaton:
    """source_E, target_E: states between which some token leads."""

    bytes: ByteAutomaton
    vocabulary: Vocabulary
    source_E: Numbers
    target_E: Numbers

    @classmethod
    def of(cls, automaton: ByteAutomaton, vocabulary: Vocabulary) -> TokenAutomaton:
        """Raises NotRegular for one that has too many transitions."""
        states, edges, total, at_once = automaton.dead, [], 0, 1
        begin = 0
        while begin < states:
            source_P, _, target_P = transitions(automaton, vocabulary, np.arange(begin, min(begin + at_once, states)))
            total += len(source_P)
            if total > MOST_PAIRS:
                raise NotRegular("its automaton has too many transitions of tokens")
            edges.append(np.unique(source_P * (states + 1) + target_P))
            begin += at_once
            at_once = max(1, min(64, _PAIRS_AT_ONCE * begin // max(total, 1)))
        edge_E = np.concatenate(edges)
        return cls(automaton, vocabulary, edge_E // (states + 1), edge_E % (states + 1))

    def before(self, suffix: Sequence[int]) -> Reach:
        """What is within reach of texts that stand before a suffix, which are tokens of this vocabulary."""
        behind_Q = np.arange(len(self.bytes.accepts_Q))
        for token in suffix:
            for byte in self.vocabulary.tokens[token]:
                behind_Q = self.bytes.next_QB[behind_Q, byte]
        ends_Q = self.bytes.accepts_Q[behind_Q]
        distance_Q = np.where(ends_Q, 0, FAR)
        reached_Q, steps = ends_Q, 0
        while reached_Q.any():
            steps += 1
            nearer_Q = np.zeros_like(ends_Q)
            nearer_Q[self.source_E[reached_Q[self.target_E]]] = True
            reached_Q = nearer_Q & (distance_Q == FAR)
            distance_Q[reached_Q] = steps
        return Reach(self, distance_Q)


@dataclass(eq=False)
class Reach:
    """distance_Q: tokens from each state to the nearest one where the text may end, or FAR."""

    automaton: TokenAutomaton
    distance_Q: Numbers
    known: dict[int, npt.NDArray[np.uint16]] = field(default_factory=dict)
    packed: dict[tuple[int, int], Words] = field(default_factory=dict)
    steps: dict[tuple[int, int], int] = field(default_factory=dict)

    @cached_property
    def farthest(self) -> int:
        return int(self.distance_Q[self.distance_Q < FAR].max(initial=0))

    @cached_property
    def distances_Q(self) -> list[int]:
        return [int(distance) for distance in self.distance_Q]

    def behind(self, state: int, token: int) -> int:
        """The state behind a token; the dead one behind what is no text."""
        found = self.steps.get((state, token))
        if found is None:
            text, automaton = self.automaton.vocabulary.tokens[token], self.automaton.bytes
            found = automaton.behind(state, text) if text else automaton.dead
            if len(self.steps) >= _STEPS_KEPT:
                self.steps.clear()
            self.steps[state, token] = found
        return found

    def allowed(self, state: int, slots: int) -> npt.NDArray[np.bool_]:
        """The tokens allowed at a state with so many slots to fill, that of the token among them; bool [V]."""
        found = self.distances(state) < min(slots, self.farthest + 1)
        found[self.automaton.vocabulary.end_ids] = self.distance_Q[state] == 0
        return found

    def words(self, state: int, slots: int) -> Words:
        """`allowed` in words [W], to be read only."""
        key = state, min(slots, self.farthest + 1)
        found = self.packed.get(key)
        if found is None:
            found = packed(self.allowed(*key))
            keep(self.packed, key, found)
        return found

    def distances(self, state: int) -> npt.NDArray[np.uint16]:
        """Tokens that are needed behind each token; [V]."""
        found = self.known.get(state)
        if found is None:
            _, token_P, target_P = transitions(self.automaton.bytes, self.automaton.vocabulary, np.array([state]))
            found = np.full(self.automaton.vocabulary.size, FAR, dtype=np.uint16)
            found[token_P] = self.distance_Q[target_P]
            keep(self.known, state, found)
        return found


def keep(kept: dict[Key, npt.NDArray[Any]], key: Key, value: npt.NDArray[Any]) -> None:
    """Remember an array beside others of its size, within bounds."""
    if (len(kept) + 1) * value.nbytes > _BYTES_KEPT:
        kept.clear()
    kept[key] = value


def transitions(
    automaton: ByteAutomaton, vocabulary: Vocabulary, from_states: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """Sources, tokens and targets of all transitions from these states: a walk down the tree of the tokens' bytes."""
    tree = vocabulary.tree
    source_P, state_P, node_P = from_states, from_states, np.zeros_like(from_states)
    found: list[tuple[Numbers, Numbers, Numbers]] = []
    while len(node_P):
        parent_P, child_P = spread(tree.first_child_N[node_P], tree.children_N[node_P])
        state_P = automaton.next_QB[state_P[parent_P], tree.byte_N[child_P]]
        source_P = source_P[parent_P]
        (alive_P,) = (state_P != automaton.dead).nonzero()
        source_P, state_P, node_P = source_P[alive_P], state_P[alive_P], child_P[alive_P]
        at_P, place_P = spread(tree.first_id_N[node_P], tree.ids_N[node_P])
        found.append((source_P[at_P], tree.id_T[place_P], state_P[at_P]))
    source, token, target = (np.concatenate(part) for part in zip(*found, strict=True))
    return source, token, target


def spread(first_P: Numbers, count_P: Numbers) -> tuple[Numbers, Numbers]:
    """Ranges one behind the other: of each number in them, whose range it is, and itself."""
    owner = np.repeat(np.arange(len(first_P)), count_P)
    start_P = np.cumsum(count_P) - count_P
    return owner, np.arange(len(owner)) - start_P[owner] + first_P[owner]
