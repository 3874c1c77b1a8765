"""The words that all families share: few and short, so that a small vocabulary holds almost all as single tokens."""

from __future__ import annotations

__all__ = ["ANIMALS", "COLOURS", "CONTAINERS", "NAMES", "PLACES", "THINGS", "WORDS"]

# Each name with the pronouns of its person: subject and object.
_SHE = ("she", "her")
_HE = ("he", "him")
NAMES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("Ana", "Mia", "Zoe", "Eva", "Lily", "Rosa", "Nina", "Emma", "Sara", "Kate"), _SHE),
    **dict.fromkeys(("Ben", "Tom", "Sam", "Leo", "Max", "Omar", "Ivan", "Jack", "Paul", "Raj"), _HE),
}

# Countable things, in the plural.
THINGS = (
    *("apples", "books", "cards", "coins", "cups", "eggs", "figs", "forks", "hats", "keys", "lemons", "maps", "masks"),
    *("nuts", "pears", "pens", "pies", "pins", "plates", "plums", "rings", "rocks", "seeds", "shells", "spoons"),
    *("stamps", "stars", "toys"),
)
CONTAINERS = ("bags", "boxes", "jars", "packs", "bins", "trays")
PLACES = ("farm", "fair", "lake", "market", "park", "school", "shop", "beach")
ANIMALS = ("cat", "dog", "fox", "hen", "owl", "goat", "frog", "bear", "duck", "crab")
COLOURS = ("red", "blue", "green", "black", "white", "pink", "gold", "gray")
WORDS = (*ANIMALS, *COLOURS, *PLACES, *THINGS)
