"""Published heuristics against decoders that follow their released code in plain loops: the same tokens, the same calls."""

from __future__ import annotations

from typing import Any

import official
import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

import fef

RUNS = range(4)  # networks, of five prompts each


def requests(run: int) -> tuple[list[list[int]], int]:
    """Prompts of one to three tokens and 14 masks, and the length of their blocks."""
    generator = torch.Generator().manual_seed(run)
    prompts = torch.randint(0, 6, (5, 1 + run % 3), generator=generator).tolist()
    return [prompt + [MASK] * 14 for prompt in prompts], (5, 7, 14)[run % 3]


def ours(network: Any, rows: list[list[int]], method: str, **options: Any) -> list[official.Answer]:
    out = fef.decode(network, torch.tensor(rows), method=method, **options)
    return [(ids, int(stats["calls"])) for ids, stats in zip(out.ids.tolist(), out.stats, strict=True)]


@pytest.mark.parametrize("refresh", [2, 4, 5])
def test_delayed_cache_does_what_its_released_code_does(refresh: int) -> None:
    renewed_less_often = []
    for run in RUNS:
        network, (rows, block_length) = tiny_network(run, scale=0.7), requests(run)
        found = ours(network, rows, "delayed-cache", block_length=block_length, refresh=refresh)
        assert found == [official.delayed_cache(network, ids, block_length, refresh) for ids in rows]
        less_often = [official.delayed_cache(network, ids, block_length, refresh=99) for ids in rows]
        renewed_less_often.append(found == less_often)
    assert not all(renewed_less_often)


@pytest.mark.parametrize(("threshold", "keep"), [(0.3, 0.9), (0.4, 0.5)])
def test_wino_does_what_its_released_code_does(threshold: float, keep: float) -> None:
    taking_nothing_back = []
    for run in RUNS:
        network, (rows, block_length) = tiny_network(run, scale=0.7), requests(run)
        found = ours(network, rows, "wino", block_length=block_length, threshold=threshold, keep=keep)
        assert found == [official.wino(network, ids, block_length, threshold, keep) for ids in rows]
        taking_nothing_back.append(found == [official.wino(network, ids, block_length, threshold, 0.0) for ids in rows])
    assert not all(taking_nothing_back)


@pytest.mark.parametrize(("threshold", "epsilon", "history"), [(0.3, 0.3, 2), (0.4, 0.1, 1), (0.3, 0.5, 3)])
def test_klass_does_what_its_released_code_does(threshold: float, epsilon: float, history: int) -> None:
    blocks_matter = []
    options = {"threshold": threshold, "epsilon": epsilon, "history": history}
    for run in RUNS:
        network, (rows, block_length) = tiny_network(run, scale=0.5), requests(run)
        found = ours(network, rows, "klass", block_length=block_length, **options)
        assert found == [official.klass(network, ids, block_length, **options) for ids in rows]
        forgotten = [official.klass(network, ids, block_length, **options, forget=True) for ids in rows]
        blocks_matter.append(found != forgotten)
    assert any(blocks_matter)


@pytest.mark.parametrize("tokens", [1, 2, 4])
def test_saber_does_what_its_released_code_does(tokens: int) -> None:
    as_in_the_abstract = []
    for run in RUNS:
        network, (rows, block_length) = tiny_network(run, scale=0.5), requests(run)
        options = {"block_length": block_length, "tokens_per_step": tokens}
        expected = [official.saber(network, ids, block_length, tokens) for ids in rows]
        assert ours(network, rows, "saber", **options) == expected
        as_in_the_abstract.append(ours(network, rows, "saber", rule="abstract", **options) == expected)
    assert not all(as_in_the_abstract)


ENDLESS = {
    "low-confidence": official.low_confidence,
    "ssd": official.low_confidence,
    "klass": lambda *given: official.klass(*given, 0.3, 0.3, 2),
    "wino": lambda *given: official.wino(*given, 0.3, 0.9),
    "saber": lambda *given: official.saber(*given, 2),
}


@pytest.mark.parametrize("method", ENDLESS)
def test_behind_an_end_token_published_decoders_go_on_if_asked(method: str) -> None:
    options = {"klass": {"threshold": 0.3, "epsilon": 0.3}, "wino": {"threshold": 0.3}}.get(method, {})
    ended = []
    for run in RUNS:
        network, (rows, block_length) = tiny_network(run, scale=0.5), requests(run)
        options = options | {"block_length": block_length, "eos_id": EOS}
        found, expected = ours(network, rows, method, after_eos="free", **options), []
        for ids, (_, our_calls) in zip(rows, found, strict=True):
            text, calls = ENDLESS[method](network, ids, block_length)
            expected.append((text, our_calls if method == "ssd" else calls))
        assert found == expected
        ended.append([text for text, _ in ours(network, rows, method, **options)] != [text for text, _ in found])
    assert any(ended)


def test_the_certificate_says_that_the_end_is_free() -> None:
    network = tiny_network()
    said = [
        r for r in fef.certify(network, method="low-confidence", after_eos="free").reasons if "after EOS: free" in r
    ]
    assert said
    assert not any("after EOS: free" in reason for reason in fef.certify(network, method="low-confidence").reasons)


@pytest.mark.parametrize("method", ["fef", "sequential", "dual-exact"])
def test_an_exact_method_keeps_its_end(method: str) -> None:
    with pytest.raises(fef.OptionError, match="has no option 'after_eos'"):
        fef.certify(tiny_network(), method=method, after_eos="free")


@pytest.mark.parametrize(
    ("method", "words"), [("wino", "WINO's code"), ("saber", "Saber's code"), ("klass", "that code")]
)
def test_the_certificate_says_where_draws_part_from_the_code(method: str, words: str) -> None:
    def said(temperature: float) -> bool:
        reasons = fef.certify(tiny_network(), method=method, temperature=temperature).reasons
        return any(words in reason for reason in reasons if reason.startswith("commit"))

    assert said(1.0)
    assert not said(0.0)
