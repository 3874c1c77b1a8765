"""Figures as small PNG files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["png_bytes"]

COLORS = 32  # of the palette: the few of a plot, and what smooths its edges


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG file with a palette, a third of the size of one without. The same figure gives the same bytes."""
    from PIL import Image

    drawn, stream = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    image = Image.open(drawn).convert("RGB").quantize(COLORS, dither=Image.Dither.NONE)
    image.save(stream, "png", optimize=True)
    return stream.getvalue()
