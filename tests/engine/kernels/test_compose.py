"""The composed passes against `compose_round`, `compose_context` and `end_rules`, bit for bit."""

import dataclasses

import pytest
import torch
from slot_states import EOS, MASK, SHAPES, SLOTS, TREES, moved, plain_inputs, random_state

from fef.engine.kernels.compose import PassInputs, compose
from fef.engine.slots import SlotState
from fef.models.packed_pass import RoundShape

OF_TOKENS = {"ids_BN", "position_BN", "rank_BN"}
OF_QUERIES = {"query_position_M", "forced_M", "forbidden_M"}
OF_STATES = {"parent_BX", "depth_BX"}


def check(state: SlotState, shape: RoundShape, eos_id: int | None, device: str, context: int = 0) -> None:
    expected = plain_inputs(state, SLOTS, shape, eos_id, context)
    inputs = compose(moved(state, device), SLOTS.to(device), shape, MASK, eos_id, context)
    for field in dataclasses.fields(PassInputs):
        actual, wanted = getattr(inputs, field.name).cpu(), getattr(expected, field.name)
        assert actual.dtype == wanted.dtype, field.name
        assert actual.shape == wanted.shape, field.name
        if (
            shape.branching > 1 and field.name in OF_TOKENS | OF_QUERIES | OF_STATES
        ):  # of absent nodes they mean nothing
            there = expected.valid_BN if field.name in OF_TOKENS else expected.query_valid_M
            if field.name in OF_STATES:
                there = torch.arange(shape.states) <= expected.width_B[:, None]
            actual, wanted = actual[there], wanted[there]
        assert torch.equal(actual, wanted), field.name


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(3 if shape.window < 5 else 2):
        check(random_state(shape.window, shape.depth, shape.anchors, seed), shape, eos_id, device)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", TREES, ids=str)
def test_trees(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(3 if shape.window < 16 else 1):
        drafts = max(2, min(8, shape.window))
        state = random_state(shape.window, shape.depth, shape.anchors, seed, drafts=drafts, branching=shape.branching)
        check(state, shape, eos_id, device)


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
