"""`adjust`: the tokens of a pass follow each other; the layer learns what a second pass would say."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from tiny_network import MASK, complete_network, tiny_joint_layer, tiny_network

import fef
from fef.models.extras import Extras
from fef.models.joint_layer import JointLayer
from fef.training.joint_layer import joint_loss, next_drawn
from fef.training.patterns import Canvases
from fef.verify.decode import law_of_decode
from fef.verify.network_laws import joint_law
from fef.verify.reference import Select, certainty, chain_law, ranked, table_of
from fef.verify.tables import random_network
from fef.verify.texts import Pipeline, distance, sharpened

NETWORK = complete_network()
LAYER: JointLayer = NETWORK.joint_layer
SLOTS = torch.tensor([[5, 2, 7, 3, -1]])


def states_of(tokens: torch.Tensor, slots: torch.Tensor = SLOTS) -> torch.Tensor:
    ids = torch.full((1, 9), MASK)
    ids[:, 0] = 3
    return LAYER(NETWORK.hidden_at(ids, slots.clamp(min=0)), NETWORK.embed(tokens), slots.clamp(min=0), slots >= 0)


def test_a_token_changes_every_slot_and_padding_changes_none() -> None:
    tokens = torch.tensor([[1, MASK, 0, MASK, 2]])
    before = states_of(tokens)
    for n in range(4):
        changed = tokens.clone()
        changed[0, n] = 5
        assert bool(((states_of(changed) - before).abs().amax(-1)[0, :4] > 1e-6).all())
    changed = tokens.clone()
    changed[0, 4] = 5
    assert torch.equal(states_of(changed)[:, :4], before[:, :4])
    torch.testing.assert_close(states_of(tokens[:, :4], SLOTS[:, :4]), before[:, :4])


@pytest.mark.parametrize("tokens", [2, 3, 4])
def test_its_rounds_on_three_tokens_and_four_slots_have_the_law_of_their_process(tokens: int) -> None:
    network = random_network("network", 1, 3)
    start = (0, 3, 3, 3)
    law = law_of_decode(network, start, "adjust", {"tokens": tokens})
    table = table_of(network, 3, 4)
    laws = {n: joint_law(table, start, sharpened(), tokens=n) for n in (tokens, tokens - 1)}
    assert distance(law, laws[tokens]) < 1e-9
    assert tokens == 4 or distance(law, laws[tokens - 1]) > 1e-3  # how many tokens a pass gives is a part of the law
    assert distance(law, chain_law(table, start, sharpened(), select=by_certainty)) > 0.02


def by_certainty(_pipeline: Pipeline) -> Select:
    return ranked(certainty)


def test_rounds_of_two_by_hand() -> None:
    """Two slots: the surer one by the pass, the other by the layer, at every text."""
    network = random_network("network", 2, 3)
    ids = torch.tensor([[1, 3, 3]])
    hidden = network.hidden_at(ids, torch.tensor([[1, 2]]))
    first = network.logits(hidden)[0, :, :3].softmax(-1)
    entropy = -(first * first.log()).sum(-1)
    at = int(entropy.argmin())
    law = {}
    for a, b in itertools.product(range(3), repeat=2):
        drawn = torch.tensor([[3, 3]])
        drawn[0, at] = a
        there = torch.ones(1, 2, dtype=torch.bool)
        moved = network.extras.joint_layer(hidden, network.embed(drawn), torch.tensor([[1, 2]]), there)
        second = network.logits(moved)[0, 1 - at, :3].softmax(-1)
        law[(1, a, b) if at == 0 else (1, b, a)] = float(first[at, a] * second[b])
    assert distance(law_of_decode(network, (1, 3, 3), "adjust", {}), law) < 1e-9


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_demo_decodes_with_a_joint_layer_in_decode_and_in_the_engine_alike(temperature: float) -> None:
    model = fef.load("demo")
    model.network.extras = Extras(joint_layer=tiny_joint_layer(model.network, scale=0.02))
    asked: dict[str, Any] = {"method": "adjust", "max_new_tokens": 12, "temperature": temperature}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert text.certificate.kind == "process"
    assert "with its joint layer over the 4 tokens of a pass" in text.certificate.law
    assert text.stats["calls"] <= 3
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text
    one = model.generate("What is 2 + 3?", seed=3, tokens=1, **asked)
    entropy = asked | {"method": "entropy", "tokens_per_step": 1}
    assert one.text == model.generate("What is 2 + 3?", seed=3, **entropy).text
    assert one.certificate.kind == ("chain" if temperature else "greedy")


def test_the_next_token_is_the_surest_in_half_of_the_rows_and_any_open_one_in_the_others() -> None:
    rows, ids = 2000, torch.full((1, 9), MASK)
    ids[0, [0, 1, 4, 8]] = torch.tensor([1, 0, 2, 1])  # beside masks alone all slots have the same law
    hidden = NETWORK.hidden_at(ids, torch.tensor([[5, 2, 7, 3]]))
    open_ = torch.tensor([True, True, False, True])
    law = NETWORK.logits(hidden)[0].softmax(-1)
    entropy = -law.xlogy(law).sum(-1).masked_fill(~open_, -torch.inf)
    at = next_drawn(NETWORK, hidden.expand(rows, -1, -1), open_.expand(rows, -1), torch.Generator().manual_seed(0))
    share = at[:, 0].bincount(minlength=4) / rows
    assert share[2] == 0 and share.argmax() == entropy.argmin()
    assert share.max() == pytest.approx(1 / 2 + 1 / 6, abs=0.05)
    assert share.sort().values[1:3].tolist() == pytest.approx([1 / 6, 1 / 6], abs=0.05)


def test_the_layer_learns_what_further_passes_would_say() -> None:
    """Total variation of all tokens of one pass to the network's own chain, printed: without the layer far, with it near."""
    network = tiny_network(6, 0.5, vocab_size=4, mask_id=3, layers=2, packed=False)
    layer = JointLayer(network).double()
    layer.reset(0)
    network.extras = Extras(joint_layer=layer)
    start, one = (1, 3, 3, 3), torch.ones(27, dtype=torch.int64)
    chain = chain_law(table_of(network, 3, 4), start, sharpened(), select=by_certainty)
    texts = torch.tensor([(1, *text) for text in itertools.product(range(3), repeat=3)])
    masked = torch.arange(4).expand(27, -1) > 0
    optimizer, generator = torch.optim.AdamW(layer.parameters(), lr=2e-2), torch.Generator().manual_seed(0)
    far = [distance(law_of_decode(network, start, "adjust", {}), chain)]
    for _ in range(100):
        loss = joint_loss(network, layer, Canvases(texts, one, 4 * one, 4 * one), masked, 4, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    far.append(distance(law_of_decode(network, start, "adjust", {}), chain))
    print(f"\nindependent draws: {far[0]:.3f}, adjust: {far[1]:.3f}")
    assert far[1] < 0.3 < 0.7 < far[0]
