"""`eso-exact`: a share of the slots in a random order, the others from left to right behind it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import MASK, tiny_network

import fef


def order_of(seed: int, share: float, length: int = 24) -> list[int]:
    """The order in which a decode fills its slots, one per round."""
    ids = torch.full((1, length), MASK)
    ids[0, 0] = 1
    found: list[int] = []
    fef.decode(
        tiny_network(),
        ids,
        method="eso-exact",
        share=share,
        window=1,
        seed=seed,
        on_round=lambda r: found.extend(r.slots[r.written].tolist()),
    )
    return found


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_about_a_share_comes_first_in_a_drawn_order_and_the_others_from_left_to_right(share):
    drawn = []
    for seed in range(5):
        order = order_of(seed, share)
        assert sorted(order) == list(range(1, 24))
        sorted_from = next(n for n in range(24) if order[n:] == sorted(order[n:]))
        drawn.append(sorted_from)
    assert abs(sum(drawn) / 5 - share * 23) <= 4
    assert len({tuple(order_of(seed, share)) for seed in range(2)}) == (1 if share == 0 else 2)


def test_without_a_random_share_it_is_the_text_of_sequential_and_with_one_it_is_not():
    network = tiny_network()
    ids = torch.full((12, 9), MASK)
    ids[:, 0] = torch.arange(12) % 6
    texts = {s: fef.decode(network, ids, method="eso-exact", share=s, temperature=1.0).ids for s in (0.0, 0.5)}
    alone = fef.decode(network, ids, method="sequential", verify="packed", temperature=1.0).ids
    assert torch.equal(texts[0.0], alone)
    assert not torch.equal(texts[0.5], alone)


def test_demo_decodes_in_decode_and_in_the_engine_alike():
    model = fef.load("demo")
    asked: dict[str, Any] = {"method": "eso-exact", "share": 0.3, "max_new_tokens": 12, "temperature": 1.0}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert "of each slot with probability 0.3, then left-to-right" in text.certificate.law
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text


def test_a_network_of_another_pattern_is_refused():
    with pytest.raises(fef.OptionError, match="was not trained for the packed attention pattern"):
        fef.decode(tiny_network(packed=False), torch.full((1, 4), MASK), method="eso-exact")
