"""The slots after a pass against `fef.engine.advance.advance`, tensor for tensor."""

from typing import TypeVar

import pytest
import torch
from slot_states import EDGES, EOS, MASK, SHAPES, SLOTS, TREES, moved, plain_inputs, plain_tokens, random_state

from fef.engine.advance import CHANGED, Drawn, advance
from fef.engine.kernels.advance import advance as fused_advance
from fef.engine.kernels.compose import compose
from fef.engine.kernels.pass_inputs import PassInputs
from fef.engine.slots import TENSORS, SlotState
from fef.models.packed_pass import PassTokens, RoundShape

DROPS = ("ids_SL", "logprob_SR", "confidence_SR")  # a last column takes what the plain function does not commit
Values = TypeVar("Values", Drawn, PassInputs)


def random_draws(tokens: PassTokens, rows: SlotState, seed: int) -> Drawn:
    """Draws of which many agree with the drafts of the window; in some rows, one is not valid."""
    generator = torch.Generator().manual_seed(seed)
    Q, window = tokens.shape.queries, tokens.shape.window
    size = (len(rows.done_S), Q)
    token = torch.randint(0, 4, size, generator=generator)
    tree, nodes_BW = tokens.tree, tokens.ids_BN[:, 1 : window + 1]
    for node in reversed(range(window)):  # so that in most states the first child holds
        right = tree.there_BW[:, node] & (torch.rand(size[0], generator=generator) < (0.6, 0.95)[seed % 2])
        parent_B1 = tree.parent_BW[:, node, None]
        draw_B1 = torch.where(right[:, None], nodes_BW[:, node, None], token.gather(1, parent_B1))
        token = token.scatter(1, parent_B1, draw_B1)
    logp, plain = (-torch.rand(2, *size, generator=generator, dtype=torch.float64)).unbind(0)
    count = rows.table.branching
    draft = torch.cat([token[..., None], torch.randint(0, 9, (*size, count - 1), generator=generator)], -1)
    holds = torch.rand(*size, count, generator=generator, dtype=torch.float64)
    valid = (torch.rand(size, generator=generator) > 0.01) | (torch.arange(size[0])[:, None] % 4 > 0)
    return Drawn(token, logp, plain, draft, holds, valid & tokens.valid_BN[:, -Q:])


def on_device(values: Values, device: str) -> Values:
    tensors = {name: value for name, value in vars(values).items() if value is not None}
    return type(values)(**{name: value.contiguous().to(device) for name, value in tensors.items()})


def check(
    state: SlotState, shape: RoundShape, eos_id: int | None, device: str, context: int = 0, seed: int = 0
) -> None:
    before, rows = moved(state, "cpu"), state.take(SLOTS)
    tokens = plain_tokens(rows, shape, context)
    drawn = random_draws(tokens, rows, seed)
    inputs = on_device(plain_inputs(state, SLOTS, shape, eos_id, context), device)
    advanced = advance(rows, tokens, drawn, eos_id)
    moves = torch.stack(advanced.moved)
    changed = moved(state, device)
    fused_moves, drafts = fused_advance(changed, SLOTS.to(device), inputs, on_device(drawn, device), shape, eos_id)
    assert torch.equal(fused_moves.cpu()[:, state.live_S[SLOTS]], moves.int()[:, state.live_S[SLOTS]])
    assert bool((fused_moves[:, ~state.live_S[SLOTS]] == state.table.nowhere).all())
    for name in ("source_BK", "count_B", "last_B"):
        found, expected = getattr(drafts, name).cpu(), getattr(advanced, name)
        assert torch.equal(found[state.live_S[SLOTS]], expected[state.live_S[SLOTS]]), name
        assert not found[~state.live_S[SLOTS]].any()
    after = moved(changed, "cpu")
    live_B = before.live_S[SLOTS]
    assert live_B.any() and not live_B.all()
    for name in TENSORS:
        actual, old = getattr(after, name), getattr(before, name)
        assert torch.equal(actual[~before.live_S], old[~before.live_S]), f"{name} of a slot that is not live"
        wanted = getattr(rows, name)[live_B]
        actual = actual[SLOTS[live_B]]
        if name in DROPS:
            actual, wanted = actual[:, :-1], wanted[:, :-1]
        assert actual.dtype == wanted.dtype and torch.equal(actual, wanted), name
        if name not in CHANGED:
            assert torch.equal(getattr(after, name), old), name


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(3 if shape.window < 5 else 2):
        check(random_state(shape.window, shape.depth, shape.anchors, seed), shape, eos_id, device, seed=seed)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", TREES, ids=str)
def test_trees(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(2 if shape.window < 16 else 1):
        drafts = max(2, min(8, shape.window))
        state = random_state(shape.window, shape.depth, shape.anchors, seed, drafts=drafts, branching=shape.branching)
        check(state, shape, eos_id, device, seed=seed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: of lanes the interpreter knows nothing")
@pytest.mark.parametrize("shape", EDGES, ids=str)
def test_trees_of_states_and_queries_that_just_fit_in_their_lanes(shape: RoundShape, device: str) -> None:
    for seed in range(2):
        state = random_state(shape.window, shape.depth, shape.anchors, seed, drafts=8, branching=shape.branching)
        check(state, shape, EOS, device, seed=seed)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("context", [1, 33, 40])
def test_contexts(context: int, eos_id: int | None, device: str) -> None:
    for depth in (1, 5):
        state = random_state(0, depth, 0, context)
        state.done_S.zero_()
        state.drafted_S.zero_()
        check(state, RoundShape(0, 0, depth), eos_id, device, context)


def test_groups_deeper_than_the_drafts_kept(device: str) -> None:
    shape = RoundShape(1, 1, 7)
    for seed in range(3):
        check(random_state(1, 7, 1, seed, drafts=3), shape, EOS, device, seed=seed)


def test_what_is_left_of_long_canvases(device: str) -> None:
    """Slots whose only rank before the first end token is far behind, or that have none."""
    state = random_state(0, 1, 0, 0, context=3000, ranks=2500)
    shape = RoundShape(0)
    for slot, (far, first_end) in enumerate([(2400, 1), (2400, 0), (1, 1), (256, 1), (257, 1)]):
        order_R = torch.arange(2500) + 1
        order_R[[0, far]] = torch.tensor([order_R[far], 0])
        state.order_SR[slot] = order_R
        state.open_S[slot], state.done_S[slot], state.first_end_S[slot] = 2500, 0, first_end
    check(state, shape, EOS, device)


def test_a_request_round_by_round(device: str) -> None:
    """The state of many rounds, the drafts of each being those of the round before."""
    shape = RoundShape(4, 2)
    plain = random_state(4, 5, 2, 2)
    fused = moved(plain, device)
    every = torch.arange(plain.table.slots)
    for seed in range(8):
        live_s = every[plain.live_S]
        rows = plain.take(every)
        tokens = plain_tokens(rows, shape)
        drawn = random_draws(tokens, rows, seed)
        drawn.valid = tokens.valid_BN[:, -shape.queries :]
        advance(rows, tokens, drawn, EOS)
        plain.put(live_s, rows.take(live_s), CHANGED)
        inputs = compose(fused, every.to(device), shape, MASK, EOS)
        fused_advance(fused, every.to(device), inputs, on_device(drawn, device), shape, EOS)
    for name in TENSORS:
        actual, wanted = getattr(fused, name).cpu(), getattr(plain, name)
        if name in DROPS:
            actual, wanted = actual[:, :-1], wanted[:, :-1]
        assert torch.equal(actual, wanted), name
    assert int(plain.done_S.max()) > 16
