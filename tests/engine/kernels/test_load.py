"""Requests go into slots as `SlotState.load` puts them there, and results come out as `SlotState.collect` takes them."""

from dataclasses import fields

import pytest
import torch

from fef.engine.slots import RESULT_HEAD, PassRequest, SlotState
from fef.models.packed_pass import SlotTable

triton = pytest.importorskip("triton", reason="the kernels need Triton")

from fef.engine.kernels.collect import collect  # noqa: E402
from fef.engine.kernels.load import load  # noqa: E402

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("context", "ranks"), [(12, 5), (300, 260)])
def test_a_slot_is_loaded_as_in_torch(context, ranks):
    table = SlotTable(5, context, ranks, 4, 8)
    generator = torch.Generator().manual_seed(3)
    requests = []
    for length, count, top_p in [(context, min(ranks, context), 1.0), (7, 3, 0.3), (1, 1, 0.9)]:
        order = torch.randperm(length, generator=generator)[:count].tolist()
        requests.append(PassRequest(list(range(50, 50 + length)), order, 2, 2**62 + 5, 0.7, top_p, 9, length, 4))
    packed_BJ = torch.stack([request.pack(table) for request in requests]).to(DEVICE)
    slot_B = torch.tensor([3, 0, 1], device=DEVICE)
    expected, state = SlotState.empty(table, DEVICE), SlotState.empty(table, DEVICE)
    length_S = torch.zeros(5, dtype=torch.int32, device=DEVICE)
    expected.load(slot_B, packed_BJ)
    load(state, slot_B, packed_BJ, length_S)
    for field in fields(SlotState):
        if field.name not in ("table", "progress_P"):
            assert torch.equal(getattr(state, field.name), getattr(expected, field.name)), field.name
    assert torch.equal(length_S.long(), expected.length_S)


@pytest.mark.parametrize(("context", "ranks"), [(12, 5), (300, 260)])
def test_results_are_collected_as_in_torch(context, ranks):
    generator = torch.Generator().manual_seed(4)
    state = SlotState.empty(SlotTable(4, context, ranks, 4, 8), torch.device("cpu"))
    state.ids_SL.random_(0, 99, generator=generator)
    state.order_SR.random_(0, context, generator=generator)
    state.done_S.random_(0, ranks, generator=generator)
    state.counters_SC.random_(0, 9, generator=generator)
    state.logprob_SR.normal_(generator=generator)
    state.confidence_SR.normal_(generator=generator)
    for field in fields(SlotState):
        if field.name != "table":
            setattr(state, field.name, getattr(state, field.name).to(DEVICE))
    slot_B = torch.tensor([2, 0], device=DEVICE)
    for read in (ranks, ranks - 1, 1):
        found_BJ = collect(state, slot_B, read)
        assert found_BJ.shape == (2, RESULT_HEAD + 3 * read)
        assert torch.equal(found_BJ, state.collect(slot_B, read))
