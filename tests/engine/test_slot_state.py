"""Requests get into slots as they are, and nowhere else."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fef.engine.draws import Vocabulary, draw
from fef.engine.host_copies import HostCopies, all_on_device, copy_numbers, joined, on_device, views_of
from fef.engine.rounds import compose_context
from fef.engine.slots import COUNTERS, NEVER, PassRequest, Progress, SlotState
from fef.models.packed import PADDING, REVEALED
from fef.models.packed_pass import RoundShape, SlotTable

TABLE = SlotTable(slots=4, context=10, ranks=6, drafts=5, scratch_places=9)
CPU = torch.device("cpu")


def tensors(state: SlotState) -> dict[str, torch.Tensor]:
    return {f.name: getattr(state, f.name) for f in dataclasses.fields(state) if f.name not in ("table", "progress_P")}


def random_state(seed: int) -> SlotState:
    """Every number of every slot at random."""
    torch.manual_seed(seed)
    state = SlotState.empty(TABLE, CPU)
    for tensor in tensors(state).values():
        tensor.copy_(torch.randint(0, 5, tensor.shape))
    return state


requests = st.builds(
    lambda ids, order, **rest: PassRequest(ids, order[: min(TABLE.ranks, len(ids))], **rest),
    ids=st.lists(st.integers(0, 2**40), min_size=1, max_size=TABLE.context),
    order=st.permutations(range(TABLE.context)),
    step=st.integers(1, 2**31),
    seed=st.integers(0, 2**63 - 1),
    temperature=st.floats(0, 1e30),
    top_p=st.floats(5e-324, 1.0),
    top_k=st.integers(0, 2**40),
    first_end=st.integers(0, NEVER),
    last_other=st.integers(-1, TABLE.context),
)


@given(request=requests, slot=st.integers(0, TABLE.slots - 1), seed=st.integers(0, 5))
def test_a_loaded_request_is_the_request(request, slot, seed):
    request.order = [p for p in request.order if p < len(request.ids)]
    state = random_state(seed)
    before = {name: tensor.clone() for name, tensor in tensors(state).items()}
    state.load(torch.tensor([slot]), request.pack(TABLE)[None])
    length, count = len(request.ids), len(request.order)
    assert state.ids_SL[slot, :length].tolist() == request.ids
    assert state.order_SR[slot, :count].tolist() == request.order
    rank = {position: r for r, position in enumerate(request.order)}
    expected = [rank.get(p, REVEALED) if p < length else PADDING for p in range(TABLE.context)]
    assert state.rank_SL[slot].tolist() == expected
    numbers = {"length": length, "open": count, "done": 0, "drafted": 0, "step": request.step, "seed": request.seed}
    numbers |= {"top_k": request.top_k, "first_end": request.first_end, "last_other": request.last_other}
    for name, number in numbers.items():
        assert int(getattr(state, f"{name}_S")[slot]) == number
    for name in ("temperature", "top_p"):  # bit for bit
        assert float(getattr(state, f"{name}_S")[slot]).hex() == float(getattr(request, name)).hex()
    assert bool(state.live_S[slot]) == (count > 0)
    assert not bool(state.bad_S[slot])
    assert state.counters_SC[slot].tolist() == [0] * len(COUNTERS)
    others = [s for s in range(TABLE.slots) if s != slot]
    for name, tensor in tensors(state).items():
        assert torch.equal(tensor[others], before[name][others])


def test_several_requests_at_once():
    one, two = PassRequest([1, 2, 3], [1], temperature=0.1), PassRequest([4], [0], seed=7, top_p=math.nextafter(1, 0))
    together, apart = random_state(0), random_state(0)
    together.load(torch.tensor([3, 1]), torch.stack([one.pack(TABLE), two.pack(TABLE)]))
    apart.load(torch.tensor([1]), two.pack(TABLE)[None])
    apart.load(torch.tensor([3]), one.pack(TABLE)[None])
    for name, tensor in tensors(together).items():
        assert torch.equal(tensor, tensors(apart)[name])


def test_what_is_taken_is_a_copy_and_put_writes_what_is_named():
    state = random_state(1)
    part = state.take(torch.tensor([2, 0]))
    assert torch.equal(part.ids_SL, state.ids_SL[[2, 0]])
    part.ids_SL += 100
    part.done_S += 100
    assert int(state.ids_SL.max()) < 100
    before = state.ids_SL.clone()
    state.put(torch.tensor([2, 0]), part, ("done_S",))
    assert (state.done_S >= 100).tolist() == [True, False, True, False]
    assert torch.equal(state.ids_SL, before)


def test_places_of_a_slot_do_not_overlap():
    places = [
        *range(TABLE.context),
        *TABLE.reference(torch.arange(TABLE.ranks)).tolist(),
        *TABLE.scratch(torch.arange(TABLE.scratch_places)).tolist(),
        TABLE.nowhere,
    ]
    assert places == list(range(TABLE.places))


def test_progress_shows_the_state():
    state = SlotState.empty(TABLE, CPU)
    state.load(torch.tensor([2]), PassRequest([1, 2], [0, 1]).pack(TABLE)[None])
    part = state.take(torch.tensor([2]))
    part.done_S += 1
    part.bad_S |= True
    part.counters_SC += torch.arange(len(COUNTERS))
    state.put(torch.tensor([2]), part, ("done_S", "bad_S", "counters_SC"))
    assert state.progress_P is not None
    progress = Progress.of(state.progress_P.clone(), TABLE.slots)
    assert progress.done_S.tolist() == [0, 0, 1, 0]
    assert progress.live_S.tolist() == progress.bad_S.tolist() == [False, False, True, False]
    assert progress.counters_SC[2].tolist() == list(range(len(COUNTERS)))
    assert int(progress.counters_SC.sum()) == sum(range(len(COUNTERS)))


def test_letters_are_copies_in_the_order_in_which_they_were_sent():
    box = HostCopies(CPU)
    tensor = torch.zeros(3)
    for i in range(4):
        tensor += 1
        box.send(f"letter {i}", tensor)
    assert len(box) == 4
    letters = box.collect(2)  # on a CPU all have arrived
    assert [letter.note for letter in letters] == [f"letter {i}" for i in range(4)]
    assert [letter.tensor.tolist() for letter in letters] == [[i + 1.0] * 3 for i in range(4)]
    assert len(box) == 0
    assert box.collect(0) == []


def test_on_a_cpu_nothing_is_copied():
    tensor = torch.arange(3)
    assert on_device(tensor, CPU) is tensor
    assert all_on_device([tensor], CPU)[0] is tensor


def test_tensors_that_travel_together_begin_where_kernels_expect_it():
    sent = [torch.arange(3), torch.arange(10, 25).view(5, 3), torch.arange(30, 34)]
    whole = joined(sent, pin=False)
    parts = views_of(whole.clone(), sent)
    assert all(torch.equal(part, tensor) for part, tensor in zip(parts, sent, strict=True))
    assert [part.storage_offset() % 2 for part in parts] == [0, 0, 0]
    assert len(whole) == 4 + 16 + 4


def test_numbers_into_a_part_of_a_tensor():
    there = torch.zeros(4, dtype=torch.int64)
    copy_numbers([7, 2**62], there[1:3])
    assert there.tolist() == [0, 7, 2**62, 0]


def test_confidences_near_one_are_told_apart():
    """In float32 log p would be 0 for both, and low-confidence re-masking could not rank them."""
    state = SlotState.empty(TABLE, CPU)
    state.load(torch.tensor([0]), PassRequest([9, 9], [0, 1]).pack(TABLE)[None])
    rows = state.take(torch.tensor([0]))
    tokens = compose_context(rows, RoundShape(0, 0, 2), 2, 9)
    logits_MV = torch.tensor([[0.0, -20.0, 5.0], [0.0, -25.0, 5.0]])
    drawn = draw(logits_MV, rows, tokens, None, Vocabulary(None, torch.tensor([2])))
    assert drawn.plain[0].tolist() == pytest.approx([-math.exp(-20), -math.exp(-25)], rel=1e-6)
    assert (1 - drawn.holds[0, :, 0]).tolist() == pytest.approx([math.exp(-20), math.exp(-25)], rel=1e-4)


@pytest.mark.parametrize("count", [0, 1])
def test_a_request_without_slots_is_not_live(count):
    state = SlotState.empty(TABLE, CPU)
    state.load(torch.tensor([0]), PassRequest([5, 6], list(range(count))).pack(TABLE)[None])
    assert bool(state.live_S[0]) == bool(count)
