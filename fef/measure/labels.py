"""Places for labels around points so that none covers another. Pure geometry, in any one unit of length.

Shapes: C candidate boxes, O boxes in the way; a box is left, bottom, right, top.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "overlap", "place_labels"]

Box = tuple[float, float, float, float]
Boxes = NDArray[np.float64]
DIRECTIONS = 16
RINGS = 40
FORBIDDEN = 1e6  # cost of covering a unit of area of a label or marker, or of leaving the frame; a bar costs 1


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    marker: float,
    bars: Sequence[Box] | Boxes = (),
) -> list[Box]:
    """A box for each label, of its width and height, near its point and inside `frame`.

    Greedy, the first labels first: never over an earlier label or a marker (a square of half-width `marker` around each
    point) where there is room, and there the place nearest to its point that crosses few `bars`.
    """
    bars_O4 = np.array(bars, dtype=np.float64).reshape(-1, 4)
    frame_14 = np.array([frame], dtype=np.float64)
    taken: list[Box] = [(x - marker, y - marker, x + marker, y + marker) for x, y in points]
    placed = []
    for point, (width, height) in zip(points, sizes, strict=True):
        boxes_C4, gap_C = candidates(point, width, height, marker)
        outside_C = width * height - overlap(boxes_C4, frame_14).sum(1)
        covered_C = overlap(boxes_C4, np.array(taken)).sum(1)
        cost_C = FORBIDDEN * (outside_C + covered_C) + overlap(boxes_C4, bars_O4).sum(1) + gap_C
        # rounded, so that of places that are equal but for float error the first is taken
        left, bottom, right, top = boxes_C4[cost_C.round(3).argmin()].tolist()
        placed.append((left, bottom, right, top))
        taken.append(placed[-1])
    return placed


def candidates(point: tuple[float, float], width: float, height: float, marker: float) -> tuple[Boxes, Boxes]:
    """Boxes [C, 4] in rings around a point, to its right first, and how far [C] each ring is."""
    gap_C = 1.5 * marker + np.repeat(np.arange(RINGS), DIRECTIONS) * height / 2
    angle_C = np.tile(np.arange(DIRECTIONS), RINGS) * (2 * np.pi / DIRECTIONS)
    x_C = point[0] + (gap_C + width / 2) * np.cos(angle_C)
    y_C = point[1] + (gap_C + height / 2) * np.sin(angle_C)
    return np.stack([x_C - width / 2, y_C - height / 2, x_C + width / 2, y_C + height / 2], axis=1), gap_C


def overlap(boxes_C4: Boxes, others_O4: Boxes) -> Boxes:
    """Area [C, O] that each box shares with each other one."""
    low_CO2 = np.maximum(boxes_C4[:, None, :2], others_O4[None, :, :2])
    high_CO2 = np.minimum(boxes_C4[:, None, 2:], others_O4[None, :, 2:])
    sides_CO2 = np.clip(high_CO2 - low_CO2, 0.0, None)
    return np.asarray(sides_CO2.prod(axis=2))
