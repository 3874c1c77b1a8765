"""Rules that exist because released decoders have them, on examples worked out by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_network import tiny_network
from torch import Tensor

import fef
from fef.decoders import make_plan
from fef.decoders.factor import Factor
from fef.decoders.threshold import PacedThreshold, Threshold
from fef.decoding.canvas import Canvas
from fef.decoding.memory import Memory
from fef.decoding.network import Network
from fef.decoding.order import block_numbers
from fef.decoding.transfer import BlockShare, Pace, PerRound, Progress
from fef.decoding.unmask import Candidates, TopScore
from fef.laws.draws import KeyedNoise, Site
from fef.laws.law import Law

ENDS = (3,)


def candidates(
    confidence: list[float], tokens: list[int] | None = None, count: int = 1, attempt: int = 1
) -> Candidates:
    """One row of slots with such largest probabilities; the rest is spread over other tokens, none of them an end."""
    tokens = tokens or [0] * len(confidence)
    probability_BSV = torch.zeros(1, len(confidence), 44, dtype=torch.float64)
    for slot, (p, token) in enumerate(zip(confidence, tokens, strict=True)):
        probability_BSV[0, slot, 4:] = (1 - p) / 40
        probability_BSV[0, slot, token] = p
    slots_BS = torch.arange(len(confidence))[None]
    site = Site(slots_BS, torch.tensor([1]), torch.tensor([attempt]), slots_BS >= 0)
    law = Law(probability_BSV.log())
    return Candidates(
        slots_BS,
        torch.tensor([tokens]),
        law,
        lambda: law,
        torch.tensor([count]),
        lambda: slots_BS / 8,
        len(confidence),
        KeyedNoise(torch.tensor([0])),
        site,
        Memory(1, slots_BS.device),
        lambda: pytest.fail("no rule here asks for influences"),
        lambda: pytest.fail("no rule here asks a causal model"),
        lambda _: pytest.fail("no rule here draws again"),
    )


def taken(choice: object, found: Candidates) -> list[int]:
    select: Tensor = choice.select(found)  # type: ignore[attr-defined]
    return select[0].nonzero()[:, 0].tolist()


def progress(masks: int, pending: int, round_: int) -> Progress:
    zero, one = torch.tensor([0]), torch.tensor([1])
    return Progress(
        masks * one, pending * one, round_ * one, block_B=zero, sizes=lambda: masks * one[None], random_B=zero
    )


def test_the_last_slot_of_a_block_joins_a_factor_that_only_it_fails():
    assert taken(Factor(1.0), candidates([0.9, 0.8, 0.2])) == [0, 1]
    assert taken(Factor(1.0, and_last=True), candidates([0.9, 0.8, 0.2])) == [0, 1, 2]
    assert taken(Factor(1.0, and_last=True), candidates([0.9, 0.2, 0.2])) == [0]
    assert taken(Factor(1.0, and_last=True), candidates([0.6])) == [0]
    assert Factor(1.0).claim(True).bound is not None
    assert Factor(1.0, and_last=True).claim(True).bound is None


def test_ends_come_last_and_may_leave_the_confidences():
    """Slot 1 is more confident than slot 0, which hesitates only between its token and the end."""
    found = candidates([0.5, 0.6, 0.9], tokens=[0, 0, 3])
    found.plain.logits_BSV[0, 0] = torch.tensor([0.5, 0.0, 0.0, 0.5] + [0.0] * 40).double().log()
    assert taken(TopScore("drawn"), found) == [2]
    assert taken(TopScore("drawn", last=ENDS), found) == [1]
    assert taken(TopScore("drawn", last=ENDS, renormalized=True), found) == [0]
    everything = dataclasses.replace(found, count_B=torch.tensor([3]))
    assert taken(TopScore("drawn", PerRound(3), last=ENDS, renormalized=True), everything) == [0, 1, 2]


def test_a_paced_threshold_takes_at_most_its_number_and_at_least_one():
    assert taken(PacedThreshold(0.5, Pace(4)), candidates([0.9, 0.8, 0.7, 0.2], count=2)) == [0, 1]
    assert taken(PacedThreshold(0.5, Pace(4)), candidates([0.9, 0.3, 0.2, 0.2], count=3)) == [0]
    assert taken(PacedThreshold(0.5, Pace(4)), candidates([0.4, 0.3], count=2)) == [0]


def test_an_even_pace_carries_over_what_was_not_taken():
    assert int(Pace(4)(progress(8, 8, 0))) == 2
    assert int(Pace(4)(progress(8, 7, 1))) == 3
    assert int(Pace(4)(progress(8, 1, 9))) == 1


def test_a_block_share_counts_the_whole_block():
    share = BlockShare(8, 3)
    assert [int(share(progress(5, 5, round_))) for round_ in range(3)] == [3, 3, 2]
    assert [int(BlockShare(4, 9)(progress(4, 4, round_))) for round_ in range(4)] == [1, 1, 1, 1]
    assert BlockShare(4, 4).one
    assert not BlockShare(4, 2).one


def test_the_first_slot_opens_a_block():
    for attempt, slots in ((0, [0]), (1, [1, 2])):
        some = candidates([0.1, 0.9, 0.8], attempt=attempt)
        taken_BS = some.first_if_opening(Threshold(0.5).select(some))
        assert taken_BS[0].nonzero()[:, 0].tolist() == slots


def test_blocks_of_a_block_causal_network_lie_on_its_own():
    open_BL = torch.zeros(2, 12, dtype=torch.bool)
    open_BL[0, 5:], open_BL[1, 3:11] = True, True
    canvas = Canvas.start(torch.zeros(2, 12, dtype=torch.int64), open_BL, open_BL.long(), None)
    assert block_numbers(canvas.open_BL, 4, aligned=True).tolist() == [
        [-1] * 5 + [0] * 3 + [1] * 4,
        [-1] * 3 + [0] + [1] * 4 + [2] * 3 + [-1],
    ]
    assert block_numbers(canvas.open_BL, 4)[0].tolist() == [-1] * 5 + [0] * 4 + [1] * 3


def test_block_causal_networks_are_decoded_in_their_blocks():
    network = Network(tiny_network(attention="block-causal", block_length=3, packed=False))
    for method in ("threshold", "low-confidence", "entropy", "wino"):
        plan = make_plan(method, {}, network)
        assert (plan.block_length, plan.aligned_blocks) == (3, True)
        assert make_plan(method, {"block_length": 6}, network).block_length == 6
    for method in ("fef", "sequential"):
        assert make_plan(method, {}, network).block_length is None
    assert not make_plan("threshold", {}, Network(tiny_network())).aligned_blocks


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"block_steps": 2, "steps": 4}, "Give one of them"),
        ({"pace": 2, "steps": 4}, "pace is the most"),
        ({"pace": 2, "block_steps": 4}, "pace is the most"),
        ({"pace": 2, "tokens_per_step": 2}, "pace is the most"),
    ],
)
def test_rules_that_exclude_each_other(options, words):
    with pytest.raises(fef.OptionError, match=words):
        make_plan("threshold", options, Network(tiny_network()))


def test_several_tokens_a_call_from_left_to_right():
    network = Network(tiny_network())
    assert fef.certify(network.denoiser, method="sequential").kind == "greedy"
    two = {"block_length": 4, "block_steps": 2}
    assert fef.certify(network.denoiser, method="sequential", **two).kind == "none"
    with pytest.raises(fef.OptionError, match="it needs block_length"):
        make_plan("sequential", {"block_steps": 2}, network)
    ids = torch.full((1, 8), network.mask_id)
    assert fef.decode(network.denoiser, ids, method="sequential", **two).stats[0]["calls"] == 4
