"""The references: hand cases, and what must hold of any chain law."""

from __future__ import annotations

import ast
import itertools
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from fef.models.table import TableDenoiser
from fef.verify import network_laws, reference, texts
from fef.verify.network_laws import packed_chain_law
from fef.verify.reference import (
    certainty,
    chain_law,
    confidence,
    filled,
    first_of,
    margin,
    ranked,
    table_of,
)
from fef.verify.tables import parity, random_joint, tiny_network
from fef.verify.texts import distance, law_of_joint, mixed, sharpened
from tests.tiny_tables import consistent, inconsistent, low_confidence_law

SCORES = {"confidence": confidence, "margin": margin, "certainty": certainty}
PLAIN = sharpened()


def test_scores_by_hand():
    p = np.array([0.5, 0.25, 0.25])
    assert confidence(p) == 0.5
    assert margin(p) == 0.25
    assert certainty(p) == pytest.approx(-1.5 * np.log(2))
    assert certainty(np.array([1.0, 0.0])) == 0


@pytest.mark.parametrize("score", SCORES)
def test_an_adapted_order_keeps_the_law_of_a_consistent_table(score):
    """And of an inconsistent table each order has its own law."""
    chain = partial(chain_law, start=(3, 3, 3), pipeline=PLAIN)
    adapted = partial(chain, select=lambda _pipeline: ranked(SCORES[score]))
    joint = random_joint(3, 3)
    assert distance(adapted(table_of(TableDenoiser(joint), 3, 3)), law_of_joint(joint)) < 1e-12
    table = table_of(TableDenoiser.inconsistent(3, 3, seed=0), 3, 3)
    fixed = [chain(table, select=lambda _p, order=order: first_of(order)) for order in itertools.permutations(range(3))]
    assert min(distance(adapted(table), law) for law in fixed) > 0.02
    assert distance(chain(table, drawn=True), mixed(fixed)) < 1e-12


def test_ranking_by_the_drawn_token_breaks_it():
    joint = random_joint(3, 3)
    table = table_of(TableDenoiser(joint), 3, 3)
    assert distance(low_confidence_law(table, table.empty, PLAIN), law_of_joint(joint)) > 0.05


def test_two_slots_at_once_give_the_product_law():
    table = table_of(parity(), 2, 3)
    law = filled(table, {table.empty: 1.0}, range(3), ranked(confidence, 3), PLAIN)
    assert law == pytest.approx(dict.fromkeys(itertools.product(range(2), repeat=3), 1 / 8))


def test_the_greedy_text_of_a_canvas_with_a_prompt():
    table = table_of(inconsistent(), 3, 4)
    start = (3, 1, 3, 3)
    (text,) = chain_law(table, start, sharpened(0))
    by_hand = start
    for slot in (0, 2, 3):
        by_hand = (*by_hand[:slot], int(table.at[by_hand][slot].argmax()), *by_hand[slot + 1 :])
    assert text == by_hand


def test_blocks_are_counted_in_open_slots():
    table = table_of(inconsistent(), 3, 4)
    chain = partial(chain_law, table, (3, 1, 3, 3), PLAIN)
    backwards = chain(select=lambda _p: lambda _state, _laws, slots: [max(slots)], block_length=2)
    assert distance(backwards, chain(select=lambda _p: first_of((2, 0, 3)))) < 1e-12


def test_many_passes_keep_the_law_of_a_consistent_table():
    table = table_of(consistent(), 3, 4)
    assert distance(chain_law(table, table.empty, PLAIN, passes=2), law_of_joint(random_joint())) < 1e-12


@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (1.0, 0.8)])
def test_the_packed_law_of_one_layer_and_one_slot_is_the_plain_one(temperature, top_p):
    network = tiny_network(vocab_size=4, mask_id=3)
    pipeline = sharpened(temperature, top_p)
    plain = chain_law(table_of(network, 3, 1), (3,), pipeline)
    assert distance(packed_chain_law(network, (3,), pipeline), plain) < 1e-12
    assert sum(packed_chain_law(network, (3, 3, 3), pipeline).values()) == pytest.approx(1)
    assert (
        distance(
            packed_chain_law(network, (1, 3, 3, 3), PLAIN),
            chain_law(table_of(network, 3, 4), (1, 3, 3, 3), PLAIN),
        )
        > 0.02
    )


def test_a_network_with_a_mask_logit_never_draws_the_mask():
    table = table_of(lambda ids: torch.zeros(*ids.shape, 3), 2, 2)
    assert table.at[(2, 2)] == pytest.approx(np.full((2, 2), 0.5))


@pytest.mark.parametrize("module", [network_laws, reference, texts], ids=lambda module: module.__name__)
def test_a_reference_uses_nothing_of_what_decodes(module):
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    names = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name.split(".")[1] for name in names if name.startswith("fef.")}
    assert ours <= {"models", "verify"}
    assert {name for name in names if name.startswith("fef.verify.")} <= {"fef.verify.reference", "fef.verify.texts"}
