"""The rotary embedding that a config.json asks for, wherever it says so.

transformers 4 writes `rope_theta`, `partial_rotary_factor` and `rope_scaling` side by side; transformers 5 writes them into
`rope_parameters`, once or by type of layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fef.errors import CheckpointError
from fef.models.families.family import Fields

__all__ = ["Rope", "read_rope"]

NESTED = ("rope_parameters", "rope_scaling")
KIND_NAMES = ("rope_type", "type")
NUMBERS = ("rope_theta", "partial_rotary_factor")


@dataclass(frozen=True)
class Rope:
    """Base of the angles, and the part of a head's dimensions that is rotated."""

    theta: float
    partial: float


def read_rope(fields: Fields, partial: bool = False) -> Rope:
    """The plain rotary embedding of a config. partial: the family can rotate a part of the head, and says which.

    Raises CheckpointError for scaled embeddings, settings that fef does not know, values that contradict each other, and
    where a needed value is nowhere: no default is taken.
    """
    places: list[tuple[str, Mapping[str, Any]]] = [("config.json", {n: fields.values.get(n) for n in NUMBERS})]
    for name in NESTED:
        places += settings_of(fields, name)
    theta = the_one("rope_theta", fields, places)
    factor = the_one("partial_rotary_factor", fields, places)
    if theta is None:
        raise CheckpointError(
            f"{fields.where}: config.json has no rope_theta, neither by itself nor in rope_parameters; copy the file of the "
            "release again."
        )
    if factor is None and partial:
        raise CheckpointError(
            f"{fields.where}: config.json has no partial_rotary_factor, neither by itself nor in rope_parameters; copy the "
            "file of the release again."
        )
    factor = 1.0 if factor is None else factor
    if factor > 1 or (factor != 1 and not partial):
        raise fields.wrong("partial_rotary_factor", factor, "at most 1" if partial else "1: fef runs no other variant")
    return Rope(theta, factor)


def settings_of(fields: Fields, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The settings of a field, one set or one a type of layer, each with its place. Only plain ones pass."""
    value = fields.values.get(name)
    if value is None:
        return []
    if not isinstance(value, Mapping):
        raise fields.wrong(name, value, "an object or null")
    by_layer = bool(value) and all(isinstance(part, Mapping) for part in value.values())
    found = [(f"{name}.{layer}", part) for layer, part in value.items()] if by_layer else [(name, value)]
    for place, settings in found:
        kinds = [settings[key] for key in KIND_NAMES if settings.get(key) is not None]
        if any(kind != "default" for kind in kinds):
            raise fields.wrong(place, dict(settings), "of the type 'default': fef runs no scaled rotary embedding")
        unknown = [key for key, given in settings.items() if key not in KIND_NAMES + NUMBERS and given is not None]
        if unknown:
            raise fields.wrong(f"{place}.{unknown[0]}", settings[unknown[0]], "absent: fef runs no other variant")
    return found


def the_one(name: str, fields: Fields, places: list[tuple[str, Mapping[str, Any]]]) -> float | None:
    """The value of a setting, the same in all places that give it; None if none does."""
    given = {place: settings[name] for place, settings in places if settings.get(name) is not None}
    for value in given.values():
        replace(fields, values={name: value}).number(name, least=0.0)
    if len(set(given.values())) > 1:
        said = " and ".join(f"{value!r} in {place}" for place, value in given.items())
        raise CheckpointError(
            f"{fields.where}: config.json gives {name} as {said}; fef runs one rotary embedding in all layers."
        )
    return next((float(value) for value in given.values()), None)
