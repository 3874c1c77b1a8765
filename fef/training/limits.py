"""What settings of training may be: counts of at least one, a canvas that leaves room for a prompt. Lengths in tokens."""

from __future__ import annotations

from fef.errors import OptionError

__all__ = ["canvas_for", "check_counts", "prompt_room"]


def check_counts(settings: object, names: tuple[str, ...]) -> None:
    """Raise OptionError unless each of these fields is at least 1."""
    for name in names:
        if getattr(settings, name) < 1:
            words = name.replace("_", "-")
            raise OptionError(
                f"{words} must be at least 1; got {getattr(settings, name)}. Raise it, or leave it out for its default."
            )


def prompt_room(max_length: int, canvas_length: int, mark: bool) -> int:
    """What is left for a prompt beside a canvas, of what a network reads. mark: a token stands between the two. Raises
    OptionError where nothing is."""
    room = max_length - canvas_length - mark
    if room < 1:
        raise OptionError(
            f"--canvas-length {canvas_length} leaves no room for a prompt in a max_length of {max_length}; give "
            f"{max_length - mark - 1} or less."
        )
    return room


def canvas_for(given: int | None, max_length: int, usual: int) -> int:
    """The length of the canvas: where none is given the usual one, but no more than half of what the network reads."""
    return min(usual, max_length // 2) if given is None else given
