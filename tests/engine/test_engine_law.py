"""Samples of the engine pass a G-test against the enumerated packed law, and those of a broken engine do not."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from tiny_network import tiny_network
from torch import Tensor

import fef
import fef.laws.accept
from fef.engine.engine import Engine
from fef.laws.accept import Accepted
from fef.laws.tree import Tree, path_bits, path_states, stem
from fef.models.packed import REVEALED, packed_target_logits
from fef.verify.network_laws import packed_chain_law
from fef.verify.statistics import g_test
from fef.verify.texts import Law, distance, sharpened

K = 3  # tokens; the mask is one more id
START = (1, K, K, 0, K, K)  # with two given tokens
OPEN = [i for i, token in enumerate(START) if token == K]
NETWORK = tiny_network(seed=9, scale=0.5, vocab_size=K + 1, mask_id=K)
SAMPLES = 2_500
GOOD, BAD = 1e-4, 1e-6


def texts(engine: Engine, count: int = SAMPLES, **options: Any) -> torch.Tensor:
    jobs = [engine.submit(START, OPEN, seed=seed, **{"temperature": 1.0} | options) for seed in range(count)]
    engine.run()
    found = torch.tensor(START).repeat(count, 1)
    found[:, OPEN] = torch.tensor([job.result().tokens for job in jobs])
    return found


def engine_of(**options: Any) -> Engine:
    return Engine(NETWORK, **{"max_batch": 256, "max_length": len(START), "windows": (3,), "threads": 1} | options)


def law_in_order(
    order: list[int],
    temperature: float = 1.0,
    top_p: float = 1.0,
    eos: int | None = None,
    start: tuple[int, ...] = START,
) -> Law:
    """The chain law of the packed pattern in any order, with the rules of the end token; from one dense pass."""
    fillings = list(product(range(K), repeat=len(order)))
    ids_NL = torch.tensor(start).repeat(len(fillings), 1)
    ids_NL[:, sorted(order)] = torch.tensor(fillings)
    rank_NL = torch.full_like(ids_NL, REVEALED)
    rank_NL[:, order] = torch.arange(len(order))
    logits_NLV = packed_target_logits(NETWORK, torch.tensor([start]).expand_as(ids_NL), ids_NL, rank_NL)
    laws = logits_NLV[..., :K].double().softmax(-1).numpy()
    pipeline = sharpened(temperature, top_p)
    law: Law = {}
    for text, probabilities in zip(ids_NL.tolist(), laws, strict=True):
        p = 1.0
        for rank, at in enumerate(order):
            before = order[:rank]
            of_slot = probabilities[at]
            if eos is not None:
                ends = [i for i in before if text[i] == eos]
                others = [i for i in before if text[i] != eos]
                if any(i < at for i in ends):
                    of_slot = np.eye(K)[eos]
                elif any(i > at for i in others):
                    of_slot = np.where(np.arange(K) == eos, 0.0, of_slot)
                    of_slot = of_slot / of_slot.sum()
            p *= float(pipeline(of_slot)[text[at]])
        law[tuple(text)] = p
    assert sum(law.values()) == pytest.approx(1)
    return law


def test_the_reference_in_order_is_the_packed_chain_law():
    assert distance(law_in_order(OPEN), packed_chain_law(NETWORK, START, sharpened())) < 1e-12


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.8)])
def test_from_left_to_right(temperature, top_p):
    found = texts(engine_of(), temperature=temperature, top_p=top_p)
    assert g_test(found, law_in_order(OPEN, temperature, top_p)) > GOOD
    assert g_test(found, law_in_order(OPEN, temperature + 0.3, top_p)) < BAD


@pytest.mark.parametrize("windows", [(0,), (1,), (4,), (0, 2)])
def test_every_window(windows):
    """Other seeds than above, so that windows do not repeat each other's luck."""
    engine = engine_of(windows=windows)
    jobs = [engine.submit(START, OPEN, seed=10**6 * (1 + sum(windows)) + i, temperature=1.0) for i in range(SAMPLES)]
    engine.run()
    found = torch.tensor(START).repeat(SAMPLES, 1)
    found[:, OPEN] = torch.tensor([job.result().tokens for job in jobs])
    assert g_test(found, law_in_order(OPEN)) > GOOD


@pytest.mark.parametrize("eos", [0, 2])
def test_the_end_token_is_a_part_of_the_law(eos):
    found = texts(engine_of(eos_id=eos))
    assert g_test(found, law_in_order(OPEN, eos=eos)) > GOOD
    assert g_test(found, law_in_order(OPEN)) < BAD


BESIDE = (1, 0, K, K, K, K)  # open positions side by side, where a text stands
PLACES = [2, 3, 4, 5]
EXPRESSION = "a?b(a|b)?"


def spelled(text: tuple[int, ...]) -> str:
    return "".join("ab"[text[i]] for i in PLACES if text[i] < 2)


def law_under(full: Law, keep: Callable[[tuple[int, ...]], bool]) -> Law:
    """A chain from left to right, renormalised at every token over those behind which a text that is kept can stand."""
    law: Law = {}
    for text in filter(keep, full):
        law[text] = 1.0
        for n, at in enumerate(PLACES):
            so_far = {other: p for other, p in full.items() if all(other[i] == text[i] for i in PLACES[:n])}
            allowed = {other[at] for other in filter(keep, so_far)}
            chosen = sum(p for other, p in so_far.items() if other[at] == text[at])
            law[text] *= chosen / sum(p for other, p in so_far.items() if other[at] in allowed)
    assert sum(law.values()) == pytest.approx(1)
    return law


@pytest.mark.parametrize("shape", [{}, {"windows": (0,)}, {"tree": [4], "windows": ()}], ids=str)
def test_a_grammar_renormalises_the_chain_at_every_token(shape):
    pytest.importorskip("llguidance", reason="the extra 'grammar' is not installed")
    grammar = fef.compile_grammar({"regex": EXPRESSION}, (b"a", b"b", b"", b""), 2)
    engine = engine_of(eos_id=2, **shape)
    jobs = [engine.submit(BESIDE, PLACES, seed=seed, temperature=1.0, grammar=grammar) for seed in range(400)]
    assert engine.packed is not None and len(engine.packed.waiting) == len(jobs)
    engine.run()
    found = torch.tensor(BESIDE).repeat(len(jobs), 1)
    found[:, PLACES] = torch.tensor([job.result().tokens for job in jobs])
    full = {text: p for text, p in law_in_order(PLACES, eos=2, start=BESIDE).items() if p > 0}
    kept = {text: p for text, p in full.items() if re.fullmatch(EXPRESSION, spelled(text))}
    assert g_test(found, law_under(full, kept.__contains__)) > GOOD
    given = {text: p / sum(kept.values()) for text, p in kept.items()}
    assert g_test(found, given) < BAD, "the law without the grammar, given the grammar, is another one"


def orders(length: int) -> list[list[int]]:
    return [list(order) for order in permutations(OPEN[:length])]


def test_a_random_order_mixes_the_laws_of_all_orders():
    mixture: Law = defaultdict(float)
    for order in orders(len(OPEN)):
        for text, p in law_in_order(order, eos=2).items():
            mixture[text] += p / len(orders(len(OPEN)))
    found = texts(engine_of(eos_id=2), SAMPLES // 2, order="random")
    assert g_test(found, mixture) > GOOD
    assert g_test(found, law_in_order(OPEN, eos=2)) < BAD


def test_log_p_is_that_of_the_law():
    law = law_in_order(OPEN, 0.7)
    engine = engine_of()
    for seed in range(20):
        filled = engine.submit(START, OPEN, seed=seed, temperature=0.7).result()
        text = list(START)
        for position, token in zip(OPEN, filled.tokens, strict=True):
            text[position] = token
        assert sum(filled.logprobs) == pytest.approx(np.log(law[tuple(text)]), abs=1e-9)


def accept_every_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts of the stem stand as they are, whatever was drawn at their targets."""
    monkeypatch.setattr(
        "fef.engine.advance.agreement",
        lambda drawn_BX, tree, draft_BW, targets_B: kept(drawn_BX, tree, draft_BW, targets_B, stem(tree)),
    )


def kept(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor, on_path_BX: Tensor) -> Accepted:
    """A round that commits what the nodes of a path hold."""
    path_BT = path_states(tree, on_path_BX)
    accepted_B = on_path_BX.sum(1) - 1
    held_BT = torch.nn.functional.pad(draft_BW, (1, 0)).gather(1, path_BT)[:, 1:]
    behind_BT = drawn_BX.gather(1, path_BT)
    is_node_BT = torch.arange(tree.depths) < accepted_B[:, None]
    tokens_BT = torch.cat([torch.where(is_node_BT, held_BT, behind_BT[:, :-1]), behind_BT[:, -1:]], 1)
    return Accepted(accepted_B, torch.minimum(accepted_B + 1, targets_B), tokens_BT, path_BT)


def commit_a_sibling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The likeliest child of the root is committed in the place of its sibling that was drawn."""
    right = fef.laws.accept.agreement

    def wrong(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor) -> Accepted:
        if not tree.depths:
            return right(drawn_BX, tree, draft_BW, targets_B)
        sibling_B = torch.where(tree.there_BW[:, 0], draft_BW[:, 0], drawn_BX[:, 0])
        return right(drawn_BX.index_copy(1, torch.tensor([0]), sibling_B[:, None]), tree, draft_BW, targets_B)

    monkeypatch.setattr("fef.engine.advance.agreement", wrong)


def follow_the_likeliest_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the nodes that continue the root, the round goes on from the one behind which the likeliest token was drawn."""
    import fef.engine.advance as module

    right, drawn = module.advance, []

    def remembering(state, tokens, drawn_, eos_id):
        drawn[:] = [drawn_]
        return right(state, tokens, drawn_, eos_id)

    def wrong(drawn_BX: Tensor, tree: Tree, draft_BW: Tensor, targets_B: Tensor) -> Accepted:
        if not tree.depths:
            return fef.laws.accept.agreement(drawn_BX, tree, draft_BW, targets_B)
        first_BW = tree.there_BW & (tree.parent_BW == 0)
        score_BW = drawn[0].plain[:, 1 : drawn_BX.shape[1]].masked_fill(~first_BW, -torch.inf)
        best_B1 = score_BW.argmax(1, keepdim=True)
        on_path_BW = torch.zeros_like(first_BW).scatter(1, best_B1, True) & first_BW
        return kept(drawn_BX, tree, draft_BW, targets_B, torch.nn.functional.pad(on_path_BW, (1, 0), value=True))

    monkeypatch.setattr(module, "agreement", wrong)
    monkeypatch.setattr("fef.engine.runner.advance", remembering)


def same_noise_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every slot of a request draws with the noise of position 0."""
    import fef.engine.draws as module

    right = module.keyed_ranked

    def wrong(logp, seed, position, *rest):
        return right(logp, seed, torch.zeros_like(position), *rest)

    monkeypatch.setattr(module, "keyed_ranked", wrong)


def targets_that_see_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target sees the draft at its own slot."""
    import fef.models.packed_pass as module

    right = module.with_queries

    def wrong(slots, shape, tree, lead, *rest):
        tokens = right(slots, shape, tree, lead, *rest)
        lead_count = lead.ids.shape[1]
        tokens.limit_BN[:, lead_count : lead_count + shape.window] += 1
        return tokens

    monkeypatch.setattr(module, "with_queries", wrong)


def no_end_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end token is drawn like any other inside a pass."""
    monkeypatch.setattr("fef.engine.runner.end_rules", lambda *_: None)


@pytest.mark.parametrize("break_", [accept_every_draft, same_noise_everywhere, targets_that_see_themselves])
def test_a_broken_engine_is_caught(break_, monkeypatch):
    break_(monkeypatch)
    assert g_test(texts(engine_of()), law_in_order(OPEN)) < BAD


def siblings_that_see_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state off the stem sees all nodes off the stem."""
    monkeypatch.setattr(
        "fef.models.packed_pass.path_bits",
        lambda tree, node_BW: path_bits(tree, node_BW).amax(1, keepdim=True).expand(-1, node_BW.shape[1] + 1),
    )


@pytest.mark.parametrize(
    ("tree", "temperature", "top_p"),
    [({"tree": [2], "depth": 2}, 0.7, 1.0), ({"tree": [8], "depth": 3, "anchors": 2}, 1.0, 0.8)],
    ids=str,
)
def test_trees(tree, temperature, top_p):
    found = texts(engine_of(**tree, windows=()), temperature=temperature, top_p=top_p)
    assert g_test(found, law_in_order(OPEN, temperature, top_p)) > GOOD


@pytest.mark.parametrize(
    "break_", [accept_every_draft, commit_a_sibling, follow_the_likeliest_draw, siblings_that_see_each_other]
)
def test_a_broken_tree_is_caught(break_, monkeypatch):
    break_(monkeypatch)
    assert g_test(texts(engine_of(tree=[5], windows=(), depth=2), 1_000), law_in_order(OPEN)) < BAD


def test_missing_end_rules_are_caught(monkeypatch):
    no_end_rules(monkeypatch)
    assert g_test(texts(engine_of(eos_id=0)), law_in_order(OPEN, eos=0)) < BAD


@pytest.mark.slow
@pytest.mark.parametrize("windows", [(0,), (2,), (4,)])
@pytest.mark.parametrize("eos", [None, 2])
@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9)])
def test_many_samples(windows, eos, temperature, top_p):
    """100,000 samples; pytest -m slow tests/engine/test_engine_law.py, minutes."""
    found = texts(engine_of(windows=windows, eos_id=eos), 100_000, temperature=temperature, top_p=top_p)
    assert g_test(found, law_in_order(OPEN, temperature, top_p, eos)) > GOOD
