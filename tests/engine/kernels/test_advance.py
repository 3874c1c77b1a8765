"""The slots after a pass against `fef.engine.advance.advance`, tensor for tensor."""

import pytest
import torch
from slot_states import EOS, MASK, random_state
from test_compose import SHAPES, SLOTS, to

from fef.engine.advance import CHANGED, Drawn, advance
from fef.engine.kernels.advance import advance as fused_advance
from fef.engine.kernels.compose import compose
from fef.engine.rounds import PassTokens, RoundShape, compose_context, compose_round
from fef.engine.slots import TENSORS, SlotState


def random_draws(tokens: PassTokens, rows: SlotState, seed: int) -> Drawn:
    """Draws of which many agree with the drafts of the window; in some rows, one is not valid."""
    generator = torch.Generator().manual_seed(seed)
    Q, window = tokens.shape.queries, tokens.shape.window
    size = (len(rows.done_S), Q)
    token = torch.randint(0, 4, size, generator=generator)
    right = torch.rand(size[0], window, generator=generator) < (0.6, 0.95)[seed % 2]
    token[:, :window] = torch.where(right, rows.draft_SK[:, :window], token[:, :window])
    logp, plain = (-torch.rand(2, *size, generator=generator, dtype=torch.float64)).unbind(0)
    top = torch.rand(size, generator=generator, dtype=torch.float64)
    valid = (torch.rand(size, generator=generator) > 0.01) | (torch.arange(size[0])[:, None] % 4 > 0)
    return Drawn(token, logp, plain, top, valid & tokens.valid_BN[:, -Q:])


def check(
    state: SlotState, shape: RoundShape, eos_id: int | None, device: str, context: int = 0, seed: int = 0
) -> None:
    before, rows = state.take(torch.arange(state.table.slots)), state.take(SLOTS)
    tokens = compose_context(rows, shape, context, MASK) if context else compose_round(rows, shape, MASK)
    drawn = random_draws(tokens, rows, seed)
    advance(rows, tokens, drawn, eos_id)
    moved = to(state, device)
    slot_B = SLOTS.to(device)
    inputs = compose(moved, slot_B, shape, MASK, eos_id, context)
    on_device = Drawn(*(x.flatten().to(device) for x in (drawn.token, drawn.logp, drawn.plain, drawn.top, drawn.valid)))
    fused_advance(moved, slot_B, inputs, on_device, shape, eos_id)
    after = to(moved, "cpu")
    live_B = before.live_S[SLOTS]
    assert live_B.any() and not live_B.all()
    for name in TENSORS:
        actual, old = getattr(after, name), getattr(before, name)
        assert torch.equal(actual[~before.live_S], old[~before.live_S]), f"{name} of a slot that is not live"
        wanted = getattr(rows, name)[live_B]
        actual = actual[SLOTS[live_B]]
        if name in ("ids_SL", "logprob_SR", "confidence_SR"):
            # the last column of the plain function takes what it does not commit
            actual, wanted = actual[:, :-1], wanted[:, :-1]
        assert actual.dtype == wanted.dtype and torch.equal(actual, wanted), name
        if name not in CHANGED:
            assert torch.equal(getattr(after, name), old), name


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rounds(shape: RoundShape, eos_id: int | None, device: str) -> None:
    for seed in range(6):
        check(random_state(shape.window, shape.depth, shape.anchors, seed), shape, eos_id, device, seed=seed)


@pytest.mark.parametrize("eos_id", [None, EOS])
@pytest.mark.parametrize("context", [1, 33, 40])
def test_contexts(context: int, eos_id: int | None, device: str) -> None:
    for depth in (1, 5):
        state = random_state(0, depth, 0, context)
        state.done_S.zero_()
        state.drafted_S.zero_()
        check(state, RoundShape(0, 0, depth), eos_id, device, context)


def test_what_is_left_of_long_canvases(device: str) -> None:
    """Slots whose only rank before the first end token is far behind, or that have none."""
    state = random_state(0, 1, 0, 0, context=3000, ranks=2500)
    shape = RoundShape(0)
    for slot, (far, first_end) in enumerate([(2400, 1), (2400, 0), (1, 1), (1024, 1), (1025, 1)]):
        order_R = torch.arange(2500) + 1
        order_R[[0, far]] = torch.tensor([order_R[far], 0])
        state.order_SR[slot] = order_R
        state.open_S[slot], state.done_S[slot], state.first_end_S[slot] = 2500, 0, first_end
    check(state, shape, EOS, device)


def test_a_request_round_by_round(device: str) -> None:
    """The state of many rounds, the drafts of each being those of the round before."""
    shape = RoundShape(4, 2)
    state = random_state(4, 5, 2, 1)
    plain, fused = state, to(state, device)
    every = torch.arange(state.table.slots)
    for seed in range(8):
        rows = plain.take(every)
        tokens = compose_round(rows, shape, MASK)
        drawn = random_draws(tokens, rows, seed)
        drawn.valid |= True
        advance(rows, tokens, drawn, EOS)
        was_live = plain.live_S.clone()
        plain.put(every[was_live], rows.take(every[was_live]), CHANGED)
        inputs = compose(fused, every.to(device), shape, MASK, EOS)
        draws = Drawn(*(x.to(device) for x in (drawn.token, drawn.logp, drawn.plain, drawn.top, drawn.valid)))
        fused_advance(fused, every.to(device), inputs, draws, shape, EOS)
        for name in ("done_S", "live_S", "draft_SK", "drafted_S", "holds_SK", "order_SR", "counters_SC", "bad_S"):
            assert torch.equal(getattr(fused, name).cpu(), getattr(plain, name)), name
        assert torch.equal(fused.ids_SL[:, :-1].cpu(), plain.ids_SL[:, :-1])
    assert not plain.live_S.any() or int(plain.done_S.max()) > 8
