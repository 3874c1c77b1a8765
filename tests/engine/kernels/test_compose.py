"""The composed passes against `compose_round`, `compose_context` and `end_rules`, bit for bit."""

import dataclasses

import pytest
import torch
from slot_states import EOS, MASK, random_state

from fef.engine.advance import end_rules
from fef.engine.kernels.compose import PassInputs, compose
from fef.engine.rounds import RoundShape, compose_context, compose_round
from fef.engine.slots import SlotState

SLOTS = torch.tensor([3, 11, 0, 7, 1, 10, 11, 2, 5, 9, 4, 11, 6, 8])  # the spare slot three times

SHAPES = [
    RoundShape(0),
    RoundShape(0, 0, 5),
    RoundShape(1),
    RoundShape(1, 1),
    RoundShape(4, 2),
    RoundShape(4, 3, 2),
    RoundShape(15, 0, 17),
    RoundShape(16, 2),
    RoundShape(16, 3, 9),
]


def to(state: SlotState, device: str) -> SlotState:
    moved = {f.name: getattr(state, f.name).to(device) for f in dataclasses.fields(state) if f.name != "table"}
    return SlotState(state.table, **moved)


def check(state: SlotState, shape: RoundShape, eos_id: int | None, device: str, context: int = 0) -> None:
    rows = state.take(SLOTS)
    tokens = compose_context(rows, shape, context, MASK) if context else compose_round(rows, shape, MASK)
    Q, size = shape.queries, tokens.ids_BN.shape
    rules = end_rules(rows, tokens, eos_id)
    no_BQ = torch.zeros(len(SLOTS), Q, dtype=torch.bool)
    inputs = compose(to(state, device), SLOTS.to(device), shape, MASK, eos_id, context)
    expected = PassInputs(
        ids_BN=tokens.ids_BN,
        position_BN=tokens.position_BN,
        place_BN=tokens.place_BN.int(),
        slot_BN=SLOTS[:, None].expand(size).int(),
        valid_BN=tokens.valid_BN,
        rank_BN=tokens.rank_BN.int(),
        limit_BN=tokens.limit_BN.int(),
        group_BN=tokens.group_BN.int(),
        width_B=tokens.width_B,
        start_BG=tokens.start_BG,
        seed_M=rows.seed_S.repeat_interleave(Q),
        query_position_M=tokens.position_BN[:, -Q:].flatten(),
        step_M=rows.step_S.repeat_interleave(Q),
        temperature_M=rows.temperature_S.repeat_interleave(Q),
        forced_M=(no_BQ if rules is None else rules.forced).flatten(),
        forbidden_M=(no_BQ if rules is None else rules.forbidden).flatten(),
        query_valid_M=tokens.valid_BN[:, -Q:].flatten(),
    )
    for field in dataclasses.fields(PassInputs):
        actual, wanted = getattr(inputs, field.name).cpu(), getattr(expected, field.name)
        assert actual.dtype == wanted.dtype, field.name
        assert actual.shape == wanted.shape, field.name
        assert torch.equal(actual, wanted), field.name


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(4):
        check(random_state(shape.window, shape.depth, shape.anchors, seed), shape, eos_id, device)


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
    inputs = compose(to(random_state(4, 5, 2, 1), device), SLOTS.to(device), shape, MASK, EOS)
    assert (inputs.forced_M & inputs.query_valid_M).any()
    assert (inputs.forbidden_M & inputs.query_valid_M).any()
    assert (inputs.start_BG[:, 1:] >= 0).any()


def test_rows_do_not_depend_on_others(device: str) -> None:
    shape = RoundShape(4, 2)
    state = to(random_state(4, 5, 2, 1), device)
    together = compose(state, SLOTS.to(device), shape, MASK, EOS)
    for row, slot in enumerate(SLOTS.tolist()):
        alone = compose(state, torch.tensor([slot], device=device), shape, MASK, EOS)
        for field in dataclasses.fields(PassInputs):
            rows = getattr(together, field.name).reshape(len(SLOTS), -1)
            assert torch.equal(getattr(alone, field.name).flatten(), rows[row])
