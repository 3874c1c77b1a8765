"""Our methods commit what the official decoders commit: the same tokens, in the same order, in as many forward calls."""

from __future__ import annotations

import pytest
from comparison import compare
from golden import case_of, cases, description, network

DECODE = "decode.json"


def exact_caches(family: str) -> list[str | None]:
    """None: as called. Block-causal networks with and without their prefix cache: there it is exact."""
    return ["none", "prefix"] if description(family).config.attention == "block-causal" else [None]


@pytest.mark.parametrize(
    ("family", "name", "cache"), [(*case, cache) for case in cases(DECODE) for cache in exact_caches(case[0])]
)
def test_decodes_as_the_official_code_does(family, name, cache, monkeypatch):
    compare(case_of(family, DECODE, name), network(family), monkeypatch, cache)
