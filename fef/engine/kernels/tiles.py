"""How a product with a weight matrix is cut into tiles and parts; the parts follow from the weight's shape alone.

Shapes: N tokens, M outputs, K inputs, F gated outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import triton
from torch import Tensor

from fef.models.device import from_hopper_on

__all__ = ["PART_MULTIPLE", "Tiles", "choose_tiles", "gated_tiles", "split_of"]

PART_MULTIPLE = 128  # a part of K is a multiple of this, and every k tile divides it
_PROGRAMS = 256  # about two per multiprocessor of an H100: enough loads in flight to fill the memory bus
_HALF = 64  # half of the multiprocessors
_LEAST_PART = 512  # inputs per part: shorter ones spend their time filling the pipeline
_SHORT = 2048  # inputs up to which a program has little to do, so that how many there are decides
_AT_A_TIME = 320  # small tiles for which there is room, or nearly so


@dataclass(frozen=True)
class Tiles:
    """One way to run the product; none of it changes the result.

    m, n, k: tile of outputs, tokens, inputs. warps, stages: warps per program, tiles in flight. spread: the parts of K
    run in programs of their own. group: token tiles that share a weight tile while it is in L2. bulk: tiles are loaded
    by the bulk tensor copy engine (TMA, from Hopper on; rows of 16-byte multiples), which also fills up their edges.
    """

    m: int
    n: int
    k: int
    warps: int = 4
    stages: int = 4
    spread: bool = False
    group: int = 8
    bulk: bool = False


def split_of(outputs: int, inputs: int) -> int:
    """Parts that the sum over K is cut into: enough programs for a short and wide weight; a function of its shape."""
    tiles = triton.cdiv(outputs, 64)
    split = 1
    while split < 8 and tiles * split < _PROGRAMS * 5 // 8 and inputs // (2 * split) >= _LEAST_PART:
        split *= 2
    return split


def choose_tiles(x_NK: Tensor, weight_MK: Tensor, split: int) -> Tiles:
    """Measured best, or close to it, on one NVIDIA H100."""
    (tokens, _), outputs = x_NK.shape, weight_MK.shape[0]
    if x_NK.dtype == torch.float32:  # no tensor cores: exact products, for tests and small networks
        return Tiles(64, 32, 16, warps=4, stages=2, spread=split > 1 and tokens <= 32)
    bulk = _can_bulk(x_NK, weight_MK)
    if tokens <= 64:
        return Tiles(64, _few(tokens), 128, warps=4, stages=3, spread=split > 1, bulk=bulk)
    if tokens <= 128:
        return replace(_some(outputs, split), spread=split > 1, bulk=bulk)
    short = x_NK.shape[1] <= _SHORT
    if short and (small := _small(outputs, tokens)) is not None:
        return replace(small, bulk=bulk)
    if split > 1:  # a program holds a part and the total: two accumulators
        programs = triton.cdiv(outputs, 128) * triton.cdiv(tokens, 128)
        return Tiles(128, 128, 64, warps=8, stages=4, spread=programs * split <= _PROGRAMS, bulk=bulk)
    wide = triton.cdiv(outputs, 256)
    if wide * triton.cdiv(tokens, 128) >= _PROGRAMS and wide * 256 <= 1.1 * outputs:
        return Tiles(256, 128, 64, warps=8, stages=4, bulk=bulk)
    if short and bulk:  # with pointers in place of bulk copies four warps have too few registers
        return Tiles(128, 128, 64, warps=4, stages=3, bulk=True)
    return Tiles(128, 128, 64, warps=8, stages=4, bulk=bulk)


def gated_tiles(x_NK: Tensor, weight_2FK: Tensor) -> Tiles:
    tokens = x_NK.shape[0]
    if x_NK.dtype == torch.float32:
        return Tiles(32, 32, 16, warps=4, stages=2)
    bulk = _can_bulk(x_NK, weight_2FK)
    programs = triton.cdiv(weight_2FK.shape[0] // 2, 64)
    if tokens <= 128 and programs >= 2 * _HALF:  # more than there are multiprocessors: two have room beside each other
        few = _few(tokens)
        k, stages = (128, 3) if few == 16 else (64, 4 if few <= 64 else 3)
        return Tiles(64, few, k, warps=4, stages=stages, bulk=bulk)
    if tokens <= 64:
        return Tiles(64, _few(tokens), 128, warps=4, stages=4, bulk=bulk)
    if tokens <= 128 and programs < _HALF:
        return Tiles(64, 64, 128, warps=4, stages=4, bulk=bulk)
    return Tiles(128, 128, 64, warps=8, stages=4, bulk=bulk)


def _small(outputs: int, tokens: int) -> Tiles | None:
    """For more than 128 tokens and few inputs: tiles so small that there are many, but no more than there is room for."""
    for tile_n in (64, 128):
        if triton.cdiv(outputs, 64) * triton.cdiv(tokens, tile_n) <= _AT_A_TIME:
            return Tiles(64, tile_n, 64, warps=4, stages=4)
    return None


def _some(outputs: int, split: int) -> Tiles:
    """For more than 64 tokens and up to 128, where tiles come from L2 as fast as it can: a wide tile of outputs loads the
    tokens less often; parts of K make more programs, two of which have room beside each other if they are small. Of a small
    weight nothing is the limit but the time of one program, so there are more of these."""
    programs = triton.cdiv(outputs, 64) * split
    if programs >= 2 * _HALF:
        return Tiles(64, 128, 64, warps=4, stages=4) if split > 1 else Tiles(128, 128, 64, warps=8, stages=5)
    return Tiles(64, 128, 64, warps=4, stages=4) if programs >= _HALF else Tiles(64, 64, 128, warps=4, stages=3)


def _few(tokens: int) -> int:
    """Token tile that holds all of few tokens."""
    return 1 << max(4, (tokens - 1).bit_length())


def _can_bulk(x_NK: Tensor, weight_MK: Tensor) -> bool:
    """Is the bulk copy engine there, and do all rows start at multiples of 16 bytes?"""
    aligned = all(t.data_ptr() % 16 == 0 and t.stride(0) * t.element_size() % 16 == 0 for t in (x_NK, weight_MK))
    return aligned and x_NK.is_cuda and from_hopper_on(x_NK.device)
