"""`dcd`: a causal model draws, reweighted by what the network knows of the text behind a slot; its law by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_network import MASK, tiny_causal, tiny_network
from torch import Tensor

import fef
from fef.models.table import TableDenoiser
from fef.verify.decode import law_of_decode
from fef.verify.network_laws import copula_law
from fef.verify.reference import table_of
from fef.verify.tables import random_joint, random_network
from fef.verify.texts import distance, law_of_joint, sharpened

JOINT = random_joint()


class NextToken:
    """The next token of a joint law given only the `reach` tokens before it."""

    mask_id = 3

    def __init__(self, joint: Tensor, reach: int) -> None:
        self.joint, self.reach = joint, reach

    def __call__(self, ids_BL: Tensor) -> Tensor:
        logits_BLV = torch.full((*ids_BL.shape, 4), -torch.inf, dtype=torch.float64)
        for row, ids in enumerate(ids_BL.tolist()):
            for i in range(min(len(ids), 3)):
                near = [slice(None) if i - j >= self.reach or ids[j] == 3 else ids[j] for j in range(i + 1)]
                left = self.joint[tuple(near)]
                kept = sum(isinstance(place, slice) for place in near)
                mass_V = left.movedim(kept, 0).flatten(1).sum(1)
                logits_BLV[row, i, :3] = mass_V.log()
        logits_BLV[..., :3] = logits_BLV[..., :3].nan_to_num(0.0)
        return logits_BLV


@pytest.mark.parametrize(("start", "steps", "window"), [((0, 4, 4, 2), 1, 2), ((0, 4, 1, 4), 2, 1)])
def test_its_law_is_that_of_the_recursion(start, steps, window):
    network = random_network("network", 1, 4)
    options = {"steps": steps, "window": window, "accept": "rejection"}
    law = law_of_decode(network, start, "dcd", options)
    table = table_of(network, 4, 4)
    assert distance(law, copula_law(table, start, sharpened(), passes=steps)) < 1e-9
    assert distance(law, copula_law(table, start, sharpened(), passes=steps, suffix=False)) > 0.02


def test_without_a_text_behind_the_slots_one_pass_is_the_causal_model():
    network, causal = tiny_network(packed=False), tiny_causal()
    ids = torch.full((6, 8), MASK)
    ids[:, 0] = torch.arange(6)
    asked: dict[str, Any] = {"causal": causal, "temperature": 1.0}
    out = fef.decode(network, ids, method="dcd", steps=1, **asked)
    assert torch.equal(out.ids, fef.decode(network, ids, method="deer", **asked).ids)
    ids[:, -1] = 3
    behind = fef.decode(network, ids, method="dcd", steps=1, **asked)
    assert not torch.equal(behind.ids, fef.decode(network, ids, method="deer", **asked).ids)
    assert behind.certificate.kind == "chain"


def test_with_a_given_end_the_marginals_bring_the_causal_law_nearer_to_the_joint():
    """On 20 tables. Prints the mean total variation to the joint law."""
    start = (0, 3, 3, 1)
    found: dict[str, list[float]] = {}
    for seed in range(20):
        whole = random_joint(seed=seed)
        table = table_of(TableDenoiser(whole), 3, 4)
        given = {text: p for text, p in law_of_joint(whole).items() if (text[0], text[3]) == (0, 1)}
        joint = {text: p / sum(given.values()) for text, p in given.items()}
        first, second = (table.at[start][i] for i in (1, 2))
        laws = {"product of marginals": {text: float(first[text[1]] * second[text[2]]) for text in joint}}
        for reach in (4, 1):
            causal = NextToken(whole, reach)
            laws[f"causal, {reach} before"] = copula_law(table, start, sharpened(), causal=causal, suffix=False)
            laws[f"dcd, {reach} before"] = copula_law(table, start, sharpened(), causal=causal)
        for name, law in laws.items():
            found.setdefault(name, []).append(distance(law, joint))
    means = {name: sum(values) / len(values) for name, values in found.items()}
    print("\n" + ", ".join(f"{name}: {mean:.3f}" for name, mean in means.items()))
    for reach in (4, 1):
        assert means[f"dcd, {reach} before"] < means[f"causal, {reach} before"]


@pytest.mark.parametrize("reach", [1, 4])
def test_a_causal_table_beside_a_table_has_the_law_of_the_recursion(reach):
    options: dict[str, Any] = {"steps": 1, "causal": NextToken(JOINT, reach), "accept": "rejection"}
    law = law_of_decode(TableDenoiser(JOINT), (0, 3, 3, 1), "dcd", options)
    table = table_of(TableDenoiser(JOINT), 3, 4)
    assert distance(law, copula_law(table, (0, 3, 3, 1), sharpened(), causal=options["causal"])) < 1e-9


def test_demo_decodes_with_a_copula_in_decode_and_in_the_engine_alike():
    model = fef.load("demo")
    config = model.network.config
    causal: Callable[..., Tensor] = tiny_causal(
        vocab_size=config.vocab_size, mask_id=config.mask_id, eos_id=config.eos_id
    ).float()
    asked: dict[str, Any] = {"method": "dcd", "causal": causal, "max_new_tokens": 6, "temperature": 1.0}
    text = model.generate("What is 2 + 3?", seed=3, **asked)
    assert f"Causal, the causal model, times what {model.network.name} adds" in text.certificate.law
    assert model.engine(threads=1).submit("What is 2 + 3?", seed=3, **asked).result().text == text.text
