"""The composed passes against `compose_round`, `compose_context` and `end_rules`, bit for bit, at every token and query that
means something: of a tree, those of its own states, be the slots behind them open or not."""

import dataclasses

import pytest
import torch
from slot_states import EDGES, EOS, MASK, SHAPES, SLOTS, TREES, moved, plain_inputs, random_state

from fef.engine.kernels.compose import compose
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.slots import SlotState
from fef.models.packed_pass import RoundShape, states_of_queries

OF_TOKENS = {"ids_BN", "position_BN", "rank_BN"}
OF_QUERIES = {"query_position_M", "forced_M", "forbidden_M"}
OF_STATES = {"parent_BX", "depth_BX"}


def check(state: SlotState, shape: RoundShape, eos_id: int | None, device: str, context: int = 0) -> PassInputs:
    expected = plain_inputs(state, SLOTS, shape, eos_id, context)
    inputs = compose(moved(state, device), SLOTS.to(device), shape, MASK, eos_id, context)
    of_states = torch.arange(shape.states) <= expected.width_B[:, None]
    of_queries = of_states.gather(1, states_of_queries(expected.start_BG, shape))
    of_tokens = torch.cat([of_states, of_queries], 1)
    for field in dataclasses.fields(PassInputs):
        actual, wanted = getattr(inputs, field.name).cpu(), getattr(expected, field.name)
        assert actual.dtype == wanted.dtype, field.name
        assert actual.shape == wanted.shape, field.name
        if (
            shape.branching > 1 and field.name in OF_TOKENS | OF_QUERIES | OF_STATES
        ):  # of absent nodes they mean nothing
            there = (
                of_tokens if field.name in OF_TOKENS else of_states if field.name in OF_STATES else of_queries.flatten()
            )
            actual, wanted = actual[there], wanted[there]
        assert torch.equal(actual, wanted), field.name
    return inputs


def state_of_tree(shape: RoundShape, seed: int) -> SlotState:
    drafts = max(2, min(8, shape.window))
    return random_state(shape.window, shape.depth, shape.anchors, seed, drafts=drafts, branching=shape.branching)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(2 if shape.window < 5 else 1):
        check(random_state(shape.window, shape.depth, shape.anchors, seed), shape, eos_id, device)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", TREES, ids=str)
def test_trees(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(2 if shape.window < 7 else 1):
        check(state_of_tree(shape, seed), shape, eos_id, device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: of lanes the interpreter knows nothing")
@pytest.mark.parametrize("shape", EDGES, ids=str)
def test_trees_of_states_and_queries_that_just_fit_in_their_lanes(shape: RoundShape, device: str) -> None:
    check(state_of_tree(shape, 0), shape, EOS, device)


def test_trees_for_one_slot_that_is_open(device: str) -> None:
    """Of all groups only the targets of their states may draw, and of those only what stands at the root."""
    shape = RoundShape(32, 8, 7, 8)
    state = state_of_tree(shape, 0)
    state.done_S.copy_((state.open_S - 1).clamp(min=0))
    state.drafted_S.clamp_(min=1, max=1)
    state.holds_SKC[:, 0] = torch.tensor([0.3, 0.2, 0.15, 0.1, 0.08, 0.07, 0.05, 0.0])
    inputs = check(state, shape, EOS, device)
    live_B = state.live_S[SLOTS]
    assert (inputs.width_B.cpu()[live_B] == 7).all()
    assert (inputs.start_BG.cpu()[live_B] == 0).any(1).all(), "a group starts at the root, before the end of the stem"
    assert (inputs.query_valid_M.view(len(SLOTS), -1).sum(1).cpu() == live_B).all()


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("context", [1, 33, 40])
def test_contexts(context: int, eos_id: int | None, device: str) -> None:
    for depth in (1, 5):
        check(random_state(0, depth, 0, context), RoundShape(0, 0, depth), eos_id, device, context)


def test_long_contexts(device: str) -> None:
    state = random_state(0, 3, 0, 0, context=1300, ranks=700)
    check(state, RoundShape(0, 0, 3), EOS, device, 1300)


def test_the_rules_occur(device: str) -> None:
    """That the states of these tests have slots where the end token is certain, and where it is impossible."""
    shape = RoundShape(4, 2)
    inputs = compose(moved(random_state(4, 5, 2, 1), device), SLOTS.to(device), shape, MASK, EOS)
    assert (inputs.forced_M & inputs.query_valid_M).any()
    assert (inputs.forbidden_M & inputs.query_valid_M).any()
    assert (inputs.start_BG[:, 1:] >= 0).any()


def test_rows_do_not_depend_on_others(device: str) -> None:
    shape = RoundShape(4, 2)
    state = moved(random_state(4, 5, 2, 1), device)
    together = compose(state, SLOTS.to(device), shape, MASK, EOS)
    for row, slot in enumerate(SLOTS.tolist()):
        alone = compose(state, torch.tensor([slot], device=device), shape, MASK, EOS)
        for field in dataclasses.fields(PassInputs):
            rows = getattr(together, field.name).reshape(len(SLOTS), -1)
            assert torch.equal(getattr(alone, field.name).flatten(), rows[row])
