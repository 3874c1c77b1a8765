"""Queries and keys of a program of attention, and whether the parts of its keys have programs of their own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton

__all__ = ["Blocks", "choose_blocks"]

_MULTIPROCESSORS = 132  # of an H100
_WORTH_IT = 3  # parts from which on programs of their own save more time than joining them takes
_AT_ONCE = 8  # such programs per multiprocessor, at most: those of parts that a row does not have take time, too


@dataclass(frozen=True)
class Blocks:
    """Queries and keys per block, warps per program, key blocks in flight. spread: has each part programs of its own?"""

    queries: int
    keys: int
    warps: int
    stages: int
    spread: bool = False


def choose_blocks(queries: int, head_size: int, shared: int, parts: int, dtype: torch.dtype) -> Blocks:
    """queries: of a row, on the same keys. shared: how often there are such queries, for each row and key-value head. The key
    block is always the same; the others do not change the bits. Measured best, or close to it, on one NVIDIA H200."""
    programs = triton.cdiv(queries, 16) * shared
    few, wide = programs <= _MULTIPROCESSORS, 64 < head_size <= 128  # wider heads were not measured

    def spread(most: int) -> bool:
        """Is it worth it to give each part programs of their own, of so many queries?"""
        programs = -(-queries // most) * shared
        return _WORTH_IT <= parts <= _AT_ONCE * _MULTIPROCESSORS // programs

    if dtype == torch.float32:
        return Blocks(16, 32, warps=4, stages=2, spread=few and spread(16))
    # of parts, which have two key blocks or little more
    if head_size > 128:
        apart = Blocks(16, 64, warps=8, stages=3, spread=True)
    elif wide:
        apart = Blocks(16 if queries <= 16 else 64, 64, warps=4, stages=1, spread=True)
    else:
        apart = Blocks(16 if queries <= 16 else 32, 64, warps=4, stages=2, spread=True)
    if (few or (wide and programs <= 2 * _MULTIPROCESSORS)) and spread(apart.queries):
        return apart
    if few:
        return Blocks(16, 64, warps=8, stages=3)
    if programs <= 4 * _MULTIPROCESSORS:  # large key blocks should be shared by more queries, where there are enough
        share = head_size > 128 or (wide and programs > 2 * _MULTIPROCESSORS)
        return Blocks(32 if share else 16, 64, warps=4, stages=3)
    if queries >= 1024 and wide:  # keys are read from L2 so often that more queries should share them
        return Blocks(128, 64, warps=8, stages=3)
    most = max(16, min(64, triton.next_power_of_2(queries)))
    return Blocks(most, 64, warps=4, stages=2 if head_size > 64 else 3)
