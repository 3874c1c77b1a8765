"""`ssmd`: the order-causal layer sees the drafts before each slot and no other; its rounds have the law of their process."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_network import EOS, MASK, complete_network, tiny_network, tiny_order_block

import fef
from fef.models.extras import Extras
from fef.models.order_block import OrderBlock
from fef.training.data import Examples
from fef.training.hidden_layer import LayerOptions, fit_layer, mean_losses
from fef.training.order_block import order_loss
from fef.training.patterns import Canvases
from fef.verify.decode import law_of_decode
from fef.verify.network_laws import order_causal, process_law
from fef.verify.reference import chain_law, table_of
from fef.verify.tables import random_network
from fef.verify.texts import distance, sharpened

NETWORK = complete_network()
LAYER: OrderBlock = NETWORK.order_block
SLOTS = torch.tensor([[5, 2, 7, 3, 8]])


def states_of(tokens: torch.Tensor) -> torch.Tensor:
    ids = torch.full((1, 9), MASK)
    ids[:, 0] = 3
    return LAYER(NETWORK.hidden_at(ids, SLOTS), NETWORK.embed(tokens), SLOTS)


def test_a_token_changes_the_slots_behind_it_and_no_other() -> None:
    tokens = torch.tensor([[1, 4, 0, 6, 2]])
    before = states_of(tokens)
    for n in range(5):
        changed = tokens.clone()
        changed[0, n] = 5
        moved = (states_of(changed) - before).abs().amax(-1)[0]
        assert bool((moved[: n + 1] == 0).all())
        assert bool((moved[n + 1 :] > 1e-6).all())


@pytest.mark.parametrize("window", [2, 3, 4])
def test_its_rounds_on_three_tokens_and_four_slots_have_the_law_of_their_process(window):
    network = random_network("network", 1, 3)
    table, start = table_of(network, 3, 4), (3, 3, 3, 3)
    options = {"window": window, "accept": "rejection", "order": "left-to-right"}
    law = law_of_decode(network, start, "ssmd", options)
    laws = {w: process_law(table, start, sharpened(), target=order_causal, window=w) for w in (window, window - 1)}
    assert distance(law, laws[window]) < 1e-9
    assert distance(law, laws[window - 1]) > 1e-3  # the window is a part of the law
    assert distance(law, chain_law(table, start, sharpened())) > 0.02


def test_within_one_round_it_is_the_chain_of_the_layer():
    """Every token from its target given those before it, if the round never ends: the layer's own chain law. Rounds that end
    where a draft is rejected leave it."""
    network = random_network("network", 1, 3)
    table, start = table_of(network, 3, 4), (3, 3, 3, 3)
    chain = {start: 1.0}
    for n in range(4):
        chain = {
            (*text[:n], v, *text[n + 1 :]): weight * float(p)
            for text, weight in chain.items()
            for v, p in enumerate(order_causal(network, start, text, [0, 1, 2, 3][: n + 1]))
        }
    process = process_law(table, start, sharpened(), target=order_causal, window=4)
    assert sum(chain.values()) == pytest.approx(1)
    first = [sum(w for text, w in law.items() if text[0] == 0) for law in (chain, process)]
    assert first[0] == pytest.approx(first[1])
    assert distance(chain, process) > 1e-3


def layered(model: fef.Model) -> OrderBlock:
    layer = tiny_order_block(model.network, scale=0.02)
    model.network.extras = Extras(order_block=layer)
    return layer


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_demo_decodes_with_a_layer_in_decode_and_in_the_engine_alike(temperature):
    model = fef.load("demo")
    layered(model)
    asked: dict[str, Any] = {"method": "ssmd", "max_new_tokens": 12, "temperature": temperature}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert text.certificate.kind == "process"
    assert "with its order-causal layer" in text.certificate.law
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text
    one = model.generate("What is 2 + 3?", seed=3, window=1, order="left-to-right", **asked)
    assert one.text == model.generate("What is 2 + 3?", seed=3, **asked | {"method": "sequential"}).text


def test_a_layer_that_learned_nothing_accepts_every_draft():
    model = tiny_network(packed=False)
    fresh = OrderBlock(model).double()
    fresh.reset(0)
    model.extras = Extras(order_block=fresh.requires_grad_(False))
    ids = torch.full((4, 9), MASK)
    ids[:, 0] = 1
    out = fef.decode(model, ids, method="ssmd", temperature=1.0, window=8)
    assert {stats["calls"] for stats in out.stats} == {1}


def test_a_row_of_a_single_mask_changes_no_mean():
    """Its mask is the first of the order, which does not count."""
    model = tiny_network(packed=False, eos_id=EOS, scale=0.3).float()
    layer = OrderBlock(model)
    layer.reset(0)
    ids, one = torch.randint(3, 7, (3, 10), generator=torch.Generator().manual_seed(0)), torch.ones(3).long()
    masked = torch.zeros(3, 10, dtype=torch.bool)
    masked[0, 4:6], masked[1:, 9] = True, True
    canvases = [Canvases(ids[:n], 2 * one[:n], 10 * one[:n], 10 * one[:n]) for n in (1, 3)]
    alone, beside = (
        {
            round(float(order_loss(model, layer, rows, masked[: len(rows.ids_BL)], 2, generator).detach()), 4)
            for generator in (torch.Generator().manual_seed(seed) for seed in range(80))
        }
        for rows in canvases
    )
    assert alone == beside and len(alone) == 2  # of either of the two masks


def test_the_layer_learns_what_a_pass_cannot_say():
    """Answers that repeat one token: a pass over masks leaves each slot open, and the slots before say which it is."""
    model = tiny_network(packed=False, eos_id=EOS, scale=0.3).float()
    letters = torch.tensor([0, 1, 3, 4, 5, 6]).repeat(8)
    ones = torch.ones(48, 1, dtype=torch.int64)
    examples = Examples(ones, ones[:, 0], letters[:, None].expand(-1, 6).contiguous(), 6 * ones[:, 0])
    options = LayerOptions(steps=200, batch_size=16, canvas_length=6, slots=6, lr=1e-2)
    layer = fit_layer(model, OrderBlock, order_loss, examples, options)
    before, learned = mean_losses(model, layer, order_loss, examples, options, 4)
    assert learned < 0.3 < 1.0 < before
    assert torch.equal(model.embed.weight, tiny_network(packed=False, eos_id=EOS, scale=0.3).float().embed.weight)
