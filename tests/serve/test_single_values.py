"""Single values of a body: of the right type and in range, or refused by the name of their field."""

from __future__ import annotations

from typing import Any

import pytest

from fef.serve.errors import ApiError
from fef.serve.values import body_of, boolean, id_list, real, text, whole

READERS = {
    "whole": lambda value: whole({"x": value}, "x", 1, 9),
    "real": lambda value: real({"x": value}, "x", 0.5, 0.0, 1.0),
    "boolean": lambda value: boolean({"x": value}, "x"),
    "text": lambda value: text({"x": value}, "x"),
    "ids": lambda value: id_list(value, "x"),
}


@pytest.mark.parametrize(
    ("reader", "right", "wrong"),
    [
        ("whole", [1, 9], [0, 10, 1.0, True, "3", [3]]),
        ("real", [0, 1, 0.25], [-0.1, 1.5, True, "0.5", [0.5]]),
        ("boolean", [True, False], [0, 1, "true", []]),
        ("text", ["", "a"], [1, True, ["a"]]),
        ("ids", [[], [0, 7]], [7, [True], [-1], [0.0], ["7"], None]),
    ],
)
def test_a_value_is_read_or_refused_by_name(reader: str, right: list[Any], wrong: list[Any]) -> None:
    for value in right:
        assert READERS[reader](value) == value
    for value in wrong:
        with pytest.raises(ApiError) as found:
            READERS[reader](value)
        assert (found.value.status, found.value.param) == (400, "x")


def test_what_is_not_given_is_null_too() -> None:
    for body in ({}, {"x": None}):
        assert whole(body, "x", 1) is None and text(body, "x") is None
        assert real(body, "x", 0.5, 0.0, 1.0) == 0.5 and boolean(body, "x") is False


@pytest.mark.parametrize("raw", [b"\xff", b"[1]", b"{", b'{"x": NaN}', b"[" * 100_000])
def test_a_body_is_one_json_object(raw: bytes) -> None:
    assert body_of(b'{"x": 1}') == {"x": 1}
    with pytest.raises(ApiError):
        body_of(raw)
