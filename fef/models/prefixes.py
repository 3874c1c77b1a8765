"""Keys and values of blocks that sequences begin with, kept for those that begin with the same tokens.

In a block-causal network the keys of a block are a function of the tokens up to its end, so sequences that agree up to
there may share them. With full attention they depend on the whole canvas, and nothing can be shared.

Shapes: as in `transformer`; P tokens of a block.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fef.models.transformer import KeyValues

__all__ = ["Block", "PrefixStore", "blocks_before"]

Block = tuple[int, ...]
_ROOT = 0


@dataclass(frozen=True)
class Node:
    """A block behind those of its parent. past: its keys and values, a batch of one row."""

    number: int
    parent: int
    block: Block
    past: KeyValues

    @property
    def key(self) -> tuple[int, Block]:
        return self.parent, self.block


def blocks_before(slot: int, tokens: Sequence[int], length: int) -> list[Block]:
    """The blocks of this length before the one that holds the slot."""
    return [tuple(tokens[start : start + length]) for start in range(0, slot - slot % length, length)]


class PrefixStore:
    """A tree of blocks within a budget; what was used longest ago goes first, a block always before the one it follows.

    block_length: tokens of a block. block_bytes: of its keys and values. room: how many blocks it may hold. tokens_reused:
    how many were found where they were asked for.
    """

    def __init__(self, block_length: int, block_bytes: int, room: int) -> None:
        self.block_length, self.block_bytes, self.room = block_length, block_bytes, room
        self.tokens_reused = 0
        self.nodes: OrderedDict[tuple[int, Block], Node] = OrderedDict()  # a parent behind its children
        self.given = _ROOT  # numbers of nodes

    @property
    def bytes(self) -> int:
        return len(self.nodes) * self.block_bytes

    def clear(self) -> None:
        self.nodes.clear()

    def missing(self, blocks: Sequence[Block]) -> tuple[int, Block] | None:
        """Which block is the first of these that is not here; two sequences that lack the same one get the same answer."""
        found = self.chain(blocks)
        if len(found) == len(blocks):
            return None
        return (found[-1].number if found else _ROOT), blocks[len(found)]

    def find(self, blocks: Sequence[Block]) -> KeyValues | None:
        """Keys and values [Y, 1, G, P, E] of as many of the first blocks as are here."""
        found = self.chain(blocks)
        self.tokens_reused += len(found) * self.block_length
        if not found:
            return None
        return KeyValues(
            torch.cat([node.past.keys_YBGPE for node in found], 3),
            torch.cat([node.past.values_YBGPE for node in found], 3),
        )

    def keep(self, blocks: Sequence[Block], past: KeyValues) -> None:
        """Hold as many of the first blocks as there is room for. past: of one row, which begins with them."""
        blocks = blocks[: self.room]
        found = self.chain(blocks)
        parent = found[-1].number if found else _ROOT
        for place in range(len(found), len(blocks)):
            if len(self.nodes) == self.room:
                self.nodes.popitem(last=False)  # not one before it, which were used last
            self.given += 1
            start, stop = place * self.block_length, (place + 1) * self.block_length
            # a copy, or one block would hold on to the whole cache
            node = Node(self.given, parent, blocks[place], past.cut(start, stop).copy())
            self.nodes[node.key] = node
            parent = node.number
        self.chain(blocks)

    def chain(self, blocks: Sequence[Block]) -> list[Node]:
        """As many of the first blocks as are here, which are then those used last."""
        found: list[Node] = []
        for block in blocks:
            node = self.nodes.get((found[-1].number if found else _ROOT, block))
            if node is None:
                break
            found.append(node)
        for node in reversed(found):
            self.nodes.move_to_end(node.key)
        return found
