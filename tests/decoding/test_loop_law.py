"""The law of the loop, integrated exactly, is the law it declares: any rule, window, drafter, order, step count."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import pytest
import torch
from drafters import odd_drafter

from fef.decoders import make_plan
from fef.decoding.canvas import Canvas
from fef.decoding.inputs import Settings, make_sampling
from fef.decoding.loop import decode_requests
from fef.decoding.network import Network
from fef.decoding.requests import Requests
from fef.laws.integrate import enumerate_outcomes, merge
from fef.models.table import TableDenoiser
from fef.verify.reference import Table, denoised, table_of
from fef.verify.tables import random_joint
from fef.verify.texts import Law, distance, law_of_joint, sharpened
from tests.integrated_law import integrated_law
from tests.tiny_tables import EMPTY, MASK, TABLES, EndingTable, K, L

EXACT = 1e-9
DRAFTERS = {"fresh": "fresh", "reuse": "reuse", "random": "random", "custom": odd_drafter}
RULES = pytest.mark.parametrize("accept", ["rejection", "block"])
BOTH_TABLES = pytest.mark.parametrize("kind", TABLES)


@cache
def table(kind: str) -> Table:
    return table_of(TABLES[kind](), K, L)


@cache
def left_to_right(kind: str, steps: int) -> Law:
    return denoised(table(kind), EMPTY, [range(L)], steps, sharpened())


def settings() -> list[Any]:
    cases = []
    for kind, window, draft, steps in itertools.product(TABLES, (1, 2, 4), DRAFTERS, (1, 2, 3)):
        # far drafts mean many short rounds, each with a window of drafts: up to 10^6 paths
        far = window == 4 and draft in ("random", "custom")
        between = steps == window == 2  # windows of 1 and of 4 are on either side
        heavy = steps == 3 or far or between or (kind == "consistent" and steps == 1)
        marks = [pytest.mark.slow] if heavy else []
        cases.append(pytest.param(kind, window, draft, steps, marks=marks, id=f"{kind}-{window}-{draft}-{steps}"))
    return cases


@RULES
@pytest.mark.parametrize(("kind", "window", "draft", "steps"), settings())
def test_fef_samples_the_pass_law(kind, accept, window, draft, steps):
    denoiser = TABLES[kind]()
    law = integrated_law(denoiser, L, accept=accept, window=window, draft=DRAFTERS[draft], steps=steps)
    assert distance(law, left_to_right(kind, steps)) < EXACT
    if kind == "consistent":
        assert distance(law, law_of_joint(random_joint())) < EXACT


@RULES
@pytest.mark.parametrize("draft", ["random", "custom"])
def test_a_window_past_the_end_with_far_drafts(accept, draft):
    denoiser = TableDenoiser.inconsistent(K, 3, seed=1)
    expected = denoised(table_of(denoiser, K, 3), (MASK,) * 3, [range(3)], 2, sharpened())
    law = integrated_law(denoiser, 3, accept=accept, window=4, draft=DRAFTERS[draft], steps=2)
    assert distance(law, expected) < EXACT


@pytest.mark.slow
@BOTH_TABLES
@RULES
@pytest.mark.parametrize("bonus", [True, False])
@pytest.mark.parametrize("window", [2, 4])
@pytest.mark.parametrize("draft", ["fresh", "reuse"])
def test_three_steps_with_and_without_bonus(kind, accept, bonus, window, draft):
    law = integrated_law(TABLES[kind](), L, accept=accept, window=window, draft=draft, steps=3, bonus=bonus)
    assert distance(law, left_to_right(kind, 3)) < EXACT


@RULES
@pytest.mark.parametrize(("window", "draft"), [(1, "reuse"), (2, "fresh"), (4, "reuse")])
def test_three_steps(accept, window, draft):
    law = integrated_law(TABLES["inconsistent"](), L, accept=accept, window=window, draft=draft, steps=3)
    assert distance(law, left_to_right("inconsistent", 3)) < EXACT


@RULES
@pytest.mark.parametrize(("window", "draft"), [(1, "fresh"), (1, "reuse"), (2, "custom"), (3, "fresh"), (3, "reuse")])
def test_without_bonus(accept, window, draft):
    denoiser = TABLES["inconsistent"]()
    law = integrated_law(denoiser, L, accept=accept, window=window, draft=DRAFTERS[draft], bonus=False)
    assert distance(law, left_to_right("inconsistent", 1)) < EXACT


@RULES
@pytest.mark.parametrize("draft", ["fresh", "reuse", "custom"])
@pytest.mark.parametrize("steps", [1, 2])
def test_any_given_order(accept, draft, steps):
    order = [2, 0, 3, 1]
    rank = [order.index(i) for i in range(L)]
    expected = denoised(table("inconsistent"), EMPTY, [order], steps, sharpened())
    assert distance(expected, left_to_right("inconsistent", steps)) > 0.1
    law = integrated_law(
        TABLES["inconsistent"](), L, rank=rank, accept=accept, window=2, draft=DRAFTERS[draft], steps=steps
    )
    assert distance(law, expected) < EXACT


@BOTH_TABLES
@RULES
@pytest.mark.parametrize(
    ("draft", "steps"), [("fresh", 1), ("reuse", 2), ("random", 2), pytest.param("reuse", 3, marks=pytest.mark.slow)]
)
def test_blocks(kind, accept, draft, steps):
    expected = denoised(table(kind), EMPTY, [[0, 1, 2], [3]], steps, sharpened())
    law = integrated_law(TABLES[kind](), L, accept=accept, window=2, draft=draft, steps=steps, block_length=3)
    assert distance(law, expected) < EXACT


@RULES
def test_a_prompt_in_the_middle_and_blocks_in_another_order(accept):
    start, blocks = (MASK, 1, MASK, MASK), [[2, 0], [3]]
    expected = denoised(table("inconsistent"), start, blocks, 2, sharpened())
    law = integrated_law(
        TABLES["inconsistent"](),
        L,
        rank=[1, 9, 0, 2],
        prompt={1: 1},
        accept=accept,
        window=2,
        steps=2,
        order="blocks",
        block_length=2,
    )
    assert distance(law, expected) < EXACT


@RULES
@pytest.mark.parametrize("order", [[0, 1, 2, 3], [1, 3, 0, 2], [3, 0, 2, 1]])
@pytest.mark.parametrize("draft", ["fresh", "reuse"])
@pytest.mark.parametrize("window", [1, 2, 4])
@pytest.mark.parametrize("steps", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_after_eos_comes_eos(accept, order, draft, window, steps):
    rank = [order.index(i) for i in range(L)]
    expected = denoised(EndingTable.of(table("inconsistent"), 2), EMPTY, [order], steps, sharpened())
    law = integrated_law(
        TABLES["inconsistent"](), L, rank=rank, eos_id=2, accept=accept, window=window, draft=draft, steps=steps
    )
    assert all(2 not in s or set(s[s.index(2) :]) == {2} for s in law)
    assert distance(law, expected) < EXACT


@RULES
@pytest.mark.parametrize("block_length", [2, 3])
def test_after_eos_comes_eos_across_blocks_and_passes(accept, block_length):
    blocks = [range(L)[i : i + block_length] for i in range(0, L, block_length)]
    expected = denoised(EndingTable.of(table("inconsistent"), 0), EMPTY, blocks, 2, sharpened())
    law = integrated_law(
        TABLES["inconsistent"](), L, eos_id=0, accept=accept, window=2, steps=2, block_length=block_length
    )
    assert distance(law, expected) < EXACT


@RULES
@pytest.mark.parametrize(("temperature", "top_p"), [(0.7, 1.0), (1.0, 0.8), (1.3, 0.6)])
def test_sharpened_laws(accept, temperature, top_p):
    expected = denoised(table("inconsistent"), EMPTY, [range(L)], 2, sharpened(temperature, top_p))
    law = integrated_law(
        TABLES["inconsistent"](), L, accept=accept, window=2, steps=2, temperature=temperature, top_p=top_p
    )
    assert distance(law, expected) < EXACT


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 1, 0, 2]])
@pytest.mark.parametrize("eos", [None, 1])
def test_sequential_is_the_chain_law(order, eos):
    expected = denoised(EndingTable.of(table("inconsistent"), eos), EMPTY, [order], 1, sharpened())
    rank = [order.index(i) for i in range(L)]
    law = integrated_law(TABLES["inconsistent"](), L, method="sequential", rank=rank, eos_id=eos)
    assert distance(law, expected) < EXACT


def test_the_whole_loop_at_once_has_the_law_of_its_passes():
    """`integrated_law` merges canvases between passes; here `decode_requests` runs from end to end."""
    denoiser = TableDenoiser.inconsistent(2, 3, seed=0)
    network = Network(denoiser)
    plan = make_plan("fef", {"steps": 2, "window": 2, "accept": "rejection"}, network)

    def run(noise, rows):
        ids_BL = torch.full((len(rows), 3), 2)
        canvas = Canvas.start(ids_BL, ids_BL == 2, ids_BL, None)
        sampling = make_sampling(network, Settings(1.0, 1.0, 0), [], None, len(rows), ids_BL.device)
        decode_requests(network, plan, Requests.start(canvas, noise, sampling))
        return canvas.ids_BL

    found = enumerate_outcomes(run, 1)
    texts, weights = merge(found.outcome, found.probability_N)
    law = {tuple(t): w for t, w in zip(texts.tolist(), weights.tolist(), strict=True)}
    expected = denoised(table_of(denoiser, 2, 3), (2,) * 3, [range(3)], 2, sharpened())
    assert distance(law, expected) < EXACT
    assert distance(law, integrated_law(denoiser, 3, steps=2, window=2, accept="rejection")) < EXACT
