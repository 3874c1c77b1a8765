"""Single values of a request's body, as JSON has them: right in type and range, or refused by name."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from fef.readers import LARGEST, shown
from fef.serve.errors import bad_request

__all__ = ["MOST_IDS", "MOST_STEPS", "body_of", "boolean", "id_list", "is_whole", "real", "text", "whole"]

MOST_IDS = 2**17  # of one list of token ids
MOST_STEPS = 4096  # of a text, over all blocks of its spans: each runs the network, whatever is left to draw


def body_of(raw: bytes) -> dict[str, Any]:
    """A body as a JSON object. Raises ApiError."""
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=refuse_constant)
    except UnicodeDecodeError as error:
        raise bad_request(f"The body is not UTF-8 (byte {error.start}).") from None
    except RecursionError:
        raise bad_request("The body is nested too deep.") from None
    except ValueError as error:
        raise bad_request(f"The body is not JSON: {str(error)[:200]}.") from None
    if not isinstance(found, dict):
        raise bad_request("The body must be a JSON object.")
    return found


def refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(body: Mapping[str, Any], name: str, least: int, most: int = LARGEST, inside: str = "") -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not is_whole(value) or not least <= value <= most:
        raise bad_request(
            f"{inside}{name}={shown(value)} must be a whole number from {least} to {most}.", f"{inside}{name}"
        )
    return int(value)


def real(body: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise bad_request(f"{name}={shown(value)} must be a number from {least:g} to {most:g}.", name)
    assert math.isfinite(value)
    return value


def boolean(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"{name}={shown(value)} must be true or false.", name)
    return bool(value)


def text(body: Mapping[str, Any], name: str, inside: str = "") -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise bad_request(f"{inside}{name} must be text.", f"{inside}{name}")
    return value


def id_list(values: Any, name: str) -> list[int]:
    if isinstance(values, list) and len(values) > MOST_IDS:
        raise bad_request(f"{name} has {len(values)} entries; {MOST_IDS} are allowed.", name)
    if not isinstance(values, list) or not all(is_whole(value) and 0 <= value <= LARGEST for value in values):
        raise bad_request(f"{name} must hold token ids, whole numbers.", name)
    return values
