"""Published heuristics against decoders that follow their released code in plain loops: the same tokens, the same calls."""

from __future__ import annotations

from typing import Any

import official
import pytest
import torch
from tiny_network import EOS, MASK, tiny_network

import fef

RUNS = range(25)


def request(run: int) -> list[int]:
    """A prompt of one to three tokens and 14 masks, of which one may be filled."""
    generator = torch.Generator().manual_seed(run)
    prompt = torch.randint(0, 6, (1 + run % 3,), generator=generator).tolist()
    return prompt + [MASK] * 14


def ours(network: Any, ids: list[int], method: str, **options: Any) -> official.Answer:
    out = fef.decode(network, torch.tensor([ids]), method=method, **options)
    return out.ids[0].tolist(), out.stats[0]["calls"]


@pytest.mark.parametrize("refresh", [2, 4, 5])
def test_delayed_cache_does_what_its_released_code_does(refresh: int) -> None:
    renewed_less_often = []
    for run in RUNS:
        network, ids = tiny_network(run, scale=0.7), request(run)
        block_length = (5, 7, 14)[run % 3]
        found = ours(network, ids, "delayed-cache", block_length=block_length, refresh=refresh)
        assert found == official.delayed_cache(network, ids, block_length, refresh)
        renewed_less_often.append(found == official.delayed_cache(network, ids, block_length, refresh=99))
    assert not all(renewed_less_often)


@pytest.mark.parametrize(("threshold", "keep"), [(0.3, 0.9), (0.4, 0.5)])
def test_wino_does_what_its_released_code_does(threshold: float, keep: float) -> None:
    taking_nothing_back = []
    for run in RUNS:
        network, ids = tiny_network(run, scale=0.7), request(run)
        block_length = (5, 7, 14)[run % 3]
        found = ours(network, ids, "wino", block_length=block_length, threshold=threshold, keep=keep)
        assert found == official.wino(network, ids, block_length, threshold, keep)
        taking_nothing_back.append(found == official.wino(network, ids, block_length, threshold, 0.0))
    assert not all(taking_nothing_back)


@pytest.mark.parametrize(("threshold", "epsilon", "history"), [(0.3, 0.3, 2), (0.4, 0.1, 1), (0.3, 0.5, 3)])
def test_klass_does_what_its_released_code_does(threshold: float, epsilon: float, history: int) -> None:
    blocks_matter = []
    options = {"threshold": threshold, "epsilon": epsilon, "history": history}
    for run in RUNS:
        network, ids = tiny_network(run, scale=0.5), request(run)
        block_length = (5, 7, 14)[run % 3]
        found = ours(network, ids, "klass", block_length=block_length, **options)
        assert found == official.klass(network, ids, block_length, **options)
        blocks_matter.append(found != official.klass(network, ids, block_length, **options, forget=True))
    assert any(blocks_matter)


@pytest.mark.parametrize("tokens", [1, 2, 4])
def test_saber_does_what_its_released_code_does(tokens: int) -> None:
    as_in_the_abstract = []
    for run in RUNS:
        network, ids = tiny_network(run, scale=0.5), request(run)
        options = {"block_length": (5, 7, 14)[run % 3], "tokens_per_step": tokens}
        expected = official.saber(network, ids, options["block_length"], tokens)
        assert ours(network, ids, "saber", **options) == expected
        as_in_the_abstract.append(ours(network, ids, "saber", rule="abstract", **options) == expected)
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
        network, ids = tiny_network(run, scale=0.5), request(run)
        options = options | {"block_length": (5, 7, 14)[run % 3], "eos_id": EOS}
        expected, calls = ENDLESS[method](network, ids, options["block_length"])
        found, our_calls = ours(network, ids, method, after_eos="free", **options)
        assert found == expected
        assert our_calls == calls or method == "ssd"
        ended.append(ours(network, ids, method, **options)[0] != found)
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
