"""Which graphs a pass of some rows goes through, and what happens where memory is short. The graphs are fakes."""

from __future__ import annotations

import pytest
import torch
from asking import answered, asks, by_decode, differences, submitted
from tiny_network import tiny_network

from fef.engine.engine import Engine
from fef.engine.graphs import GraphRunner, buckets
from fef.engine.runner import PassKind
from fef.errors import EngineError
from fef.models.packed_forward import Bounds
from fef.models.packed_pass import RoundShape

NETWORK = tiny_network(scale=0.3)
KIND = PassKind(RoundShape(4), Bounds(16, 16))
SPARE = 9


class FakeGraph:
    """Replays a pass of what its slots are then."""

    def __init__(self, run, slot_B: torch.Tensor) -> None:
        self.run, self.slot_B = run, slot_B

    def replay(self) -> None:
        self.run(self.slot_B.tolist())


def fake_runner(monkeypatch, sizes, room=lambda _kind, _size: True):
    """A runner with graphs of these sizes; `room` says what fits into memory. Returns it with what was replayed, what was
    captured, and the notes."""
    replayed, captured, notes = [], [], []

    def capture(self, kind, size):
        captured.append(size)
        if not room(kind, size):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        slot_B = torch.full((size,), self.spare)
        return FakeGraph(lambda slots: replayed.append((kind, slots)), slot_B), slot_B

    monkeypatch.setattr(GraphRunner, "capture", capture)
    set_memory(monkeypatch, 0)
    return GraphRunner(None, SPARE, sizes, notes.append), replayed, captured, notes


def set_memory(monkeypatch, free: int) -> None:
    """What is free of a device of 1,600 bytes."""
    monkeypatch.setattr("fef.engine.graphs.free_memory", lambda: (free, 1600))


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (1, [1]),
        (2, [1, 2]),
        (3, [1, 2, 3]),
        (16, [1, 2, 4, 8, 16]),
        (20, [1, 2, 4, 8, 16, 20]),
        (64, [1, 2, 4, 8, 16, 24, 32, 48, 64]),
    ],
)
def test_buckets(most, sizes):
    assert buckets(most) == sizes


def test_rows_are_filled_up_with_the_spare_slot(monkeypatch):
    runner, replayed, captured, notes = fake_runner(monkeypatch, buckets(6))
    runner.run(KIND, [3, 1, 4])
    runner.run(KIND, [5])
    runner.run(KIND, [3, 1, 4, 0, 5, 2])
    runner.run(KIND, [1, 2, 0])
    assert [slots for _, slots in replayed] == [[3, 1, 4, SPARE], [5], [3, 1, 4, 0, 5, 2], [1, 2, 0, SPARE]]
    assert captured == [4, 1, 6], "captured when first asked for, and once"
    assert notes == []
    assert [runner.rounded(rows) for rows in (1, 2, 3, 4, 5, 6)] == [1, 2, 4, 4, 6, 6]


def test_another_kind_has_its_own_graph(monkeypatch):
    runner, replayed, captured, _ = fake_runner(monkeypatch, [1, 2])
    other = PassKind(RoundShape(4), Bounds(16, 16), cut=True)
    for kind in (KIND, other, KIND):
        runner.run(kind, [0, 1])
    assert captured == [2, 2]
    assert [kind for kind, _ in replayed] == [KIND, other, KIND]


def test_context_passes_that_are_seldom_go_through_graphs_of_up_to_twice_the_rows(monkeypatch):
    monkeypatch.setattr("fef.engine.graphs._SELDOM", 2)
    runner, replayed, captured, _ = fake_runner(monkeypatch, [1, 2, 4, 8])
    kind, other = contexts(2)
    for rows in ([0, 1, 2], [5, 6], [5, 6], [7], [5, 6], [3, 4]):
        runner.run(kind, rows)
    assert captured == [4, 1, 2], "of four rows none is for one; of two the third time"
    assert [slots for _, slots in replayed] == [[0, 1, 2, SPARE], *2 * [[5, 6, SPARE, SPARE]], [7], [5, 6], [3, 4]]
    runner.run(other, [5, 6])
    assert captured == [4, 1, 2, 2], "another kind"
    runner.run(other, [5], own=True)
    assert captured == [4, 1, 2, 2, 1]
    for rows in ([0, 1, 2], [5, 6]):
        runner.run(KIND, rows)
    assert captured == [4, 1, 2, 2, 1, 4, 2], "rounds have their own"


def test_without_memory_rows_are_split_among_smaller_graphs(monkeypatch):
    runner, replayed, captured, notes = fake_runner(monkeypatch, buckets(8), lambda _kind, size: size <= 2)
    runner.run(KIND, [7, 6, 5, 4, 3])
    assert [slots for _, slots in replayed] == [[7, 6], [5, 4], [3]]
    assert captured == [8, 4, 2, 1]
    assert notes == [
        f"no memory for a graph of {size} rows (a round of {KIND.shape.tokens} tokens); rows go through smaller graphs"
        for size in (8, 4)
    ]
    runner.run(KIND, [7, 6, 5, 4, 3])
    assert captured == [8, 4, 2, 1], "what did not fit is not tried again"
    assert len(notes) == 2


def test_a_larger_graph_serves_where_a_small_one_no_longer_fits(monkeypatch):
    """The graph of two rows took the last memory."""
    runner, replayed, _, _ = fake_runner(monkeypatch, [1, 2], lambda _kind, size: size == 2)
    runner.run(KIND, [0, 1])
    runner.run(KIND, [2])
    assert [slots for _, slots in replayed] == [[0, 1], [2, SPARE]]


def test_not_even_one_row(monkeypatch):
    runner, replayed, captured, _ = fake_runner(monkeypatch, [1, 2, 4], lambda kind, _size: kind.context == 0)
    context = PassKind(RoundShape(0, 0, 5), Bounds(64, 0), 64)
    with pytest.raises(EngineError, match=r"not even one row of a context of 64 fits.*max_batch or memory_gb"):
        runner.run(context, [0, 1, 2])
    assert captured == [4, 2, 1]
    runner.run(KIND, [0])
    assert [slots for _, slots in replayed] == [[0]]


def contexts(count: int) -> list[PassKind]:
    return [PassKind(RoundShape(0, 0, 5), Bounds(64 * n, 0), 64 * n) for n in range(1, count + 1)]


def test_graphs_of_many_lengths_are_bounded_and_those_used_longest_ago_go(monkeypatch):
    monkeypatch.setattr("fef.engine.graphs._MOST_GRAPHS", 3)
    runner, replayed, captured, _ = fake_runner(monkeypatch, [1, 2])
    first, second, third, fourth, fifth = contexts(5)
    for kind in (first, second, third, first, fourth):  # the second is the one that was not used for longest
        runner.run(kind, [0])
    assert set(runner.graphs) == {(third, 1), (first, 1), (fourth, 1)} == set(runner.last_use)
    assert captured == [1] * 4
    runner.run(first, [0])
    assert captured == [1] * 4
    runner.run(second, [0])
    runner.run(fifth, [0])
    assert set(runner.graphs) == {(first, 1), (second, 1), (fifth, 1)}
    assert [kind for kind, _ in replayed] == [first, second, third, first, fourth, first, second, fifth]


def test_what_graphs_hold_for_themselves_is_bounded_and_the_new_one_stays(monkeypatch):
    runner, _, _, _ = fake_runner(monkeypatch, [1, 2, 4])
    monkeypatch.setattr(GraphRunner, "bytes_of", lambda _, captured: 30 * len(captured[1]))
    one, two, three = contexts(3)
    for kind, rows in ((one, 1), (two, 2), (one, 1)):
        runner.run(kind, list(range(rows)))
    assert set(runner.graphs) == {(one, 1), (two, 2)}  # 90 of 100 bytes
    runner.run(three, [0])
    assert set(runner.graphs) == {(one, 1), (three, 1)}
    runner.run(three, [0, 1, 2, 3])
    assert set(runner.graphs) == {(three, 4)}, "alone too large, and needed"


def test_what_did_not_fit_is_tried_again_when_memory_has_become_free(monkeypatch):
    room = [2]
    runner, replayed, captured, notes = fake_runner(monkeypatch, [1, 2, 4], lambda _kind, size: size <= room[0])
    four = [0, 1, 2, 3]
    runner.run(KIND, four)
    assert captured == [4, 2]
    set_memory(monkeypatch, 99)  # less than a sixteenth more
    runner.run(KIND, four)
    assert captured == [4, 2]
    set_memory(monkeypatch, 100)
    runner.run(KIND, four)
    assert captured == [4, 2, 4], "tried, and refused at this much"
    runner.run(KIND, four)
    assert captured == [4, 2, 4]
    room[0] = 4
    set_memory(monkeypatch, 200)
    runner.run(KIND, four)
    assert captured == [4, 2, 4, 4]
    assert replayed[-1] == (KIND, four)
    assert len(set(notes)) == 1


def test_a_row_that_did_not_fit_at_all_does_when_memory_has_become_free(monkeypatch):
    room = [0]
    runner, replayed, _, _ = fake_runner(monkeypatch, [1], lambda _kind, size: size <= room[0])
    for _ in range(2):
        with pytest.raises(EngineError, match=r"not even one row .*max_batch or memory_gb"):
            runner.run(KIND, [0])
    room[0] = 1
    with pytest.raises(EngineError):
        runner.run(KIND, [0])
    set_memory(monkeypatch, 800)
    runner.run(KIND, [0])
    assert replayed == [(KIND, [0])]


def test_idle_graphs_give_their_memory_to_new_ones_and_those_in_use_do_not(monkeypatch):
    monkeypatch.setattr("fef.engine.graphs._IDLE", 3)
    runner, _, _, _ = fake_runner(monkeypatch, [1, 2], lambda _kind, size: len(runner.graphs) + size <= 3)
    old, used, new, last = contexts(4)
    runner.run(old, [0])
    for _ in range(3):
        runner.run(used, [0])
    runner.run(new, [0, 1])
    assert set(runner.graphs) == {(used, 1), (new, 2)}
    runner.run(last, [0, 1])
    assert set(runner.graphs) == {(used, 1), (new, 2), (last, 1)}, (
        "its rows are split, or all would be captured in turns"
    )


def test_the_pool_goes_with_the_last_graph_in_it(monkeypatch):
    runner, _, _, _ = fake_runner(monkeypatch, [1], lambda kind, _size: kind == KIND or not runner.graphs)
    monkeypatch.setattr("fef.engine.graphs._IDLE", 1)
    runner.run(KIND, [0])
    runner.pool = "of the first graph"
    runner.run(contexts(1)[0], [0])
    assert runner.pool is None


def test_any_other_error_goes_through(monkeypatch):
    runner, _, _, notes = fake_runner(monkeypatch, [1])
    monkeypatch.setattr(GraphRunner, "capture", lambda *_: (_ for _ in ()).throw(RuntimeError("CUDA error: gone")))
    with pytest.raises(RuntimeError, match="gone"):
        runner.run(KIND, [0])
    assert notes == []


def engine_with_graphs(monkeypatch, room, **options) -> Engine:
    """An engine whose plain passes go through fake graphs."""
    engine = Engine(NETWORK, **{"max_batch": 5, "max_length": 14, "windows": (4,), "threads": 1} | options)
    plain = engine.packed.built.runner

    def capture(self, kind, size):
        if not room(kind, size):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        slot_B = torch.full((size,), self.spare)
        return FakeGraph(lambda slots: plain.run(kind, slots), slot_B), slot_B

    monkeypatch.setattr(GraphRunner, "capture", capture)
    set_memory(monkeypatch, 0)
    table = engine.packed.built.table
    monkeypatch.setattr(engine.packed, "bounds", lambda *_: Bounds(table.context, table.ranks))  # as on a GPU
    engine.packed.built.runner = GraphRunner(
        plain, engine.packed.built.slots, buckets(engine.packed.built.slots), engine.notes.add
    )
    # what a round costs is asked of the device, which is not there
    monkeypatch.setattr(
        "fef.engine.shape_chooser.round_seconds",
        lambda _, kind, size: size + kind.shape.window if room(kind, 1) else refuse(),
    )
    return engine


def refuse():
    raise EngineError("Out of memory: not even one row fits.")


@pytest.mark.parametrize("most", [1, 2, 8])
def test_results_do_not_depend_on_the_graphs(monkeypatch, most):
    """The spare slot fills rows up and is never live."""
    engine = engine_with_graphs(monkeypatch, lambda _kind, size: size <= most)
    asked = asks(12, seed=1)
    assert differences(answered(engine, asked), by_decode(NETWORK, asked)) == []
    assert (engine.notes == []) == (most == 8)
    assert not bool(engine.packed.built.state.live_S[engine.packed.built.slots])


def test_free_slots_fill_up_a_round_of_almost_all_but_none_that_may_be_live(monkeypatch):
    engine = engine_with_graphs(monkeypatch, lambda *_: True, max_batch=8)
    packed = engine.packed
    packed.on_cuda = True
    rounds, launch = [], packed.launch

    def launched(kind, slots, *note, **told):
        if not kind.context:
            rounds.append((slots, len(packed.running)))
        launch(kind, slots, *note, **told)

    monkeypatch.setattr(packed, "launch", launched)
    asked = asks(24, seed=7)
    long = [ask for ask in asks(400, seed=8) if len(ask.open) > 7][:8]
    kept, given_up, *others = submitted(engine, long)
    engine.step()
    given_up.cancel()
    engine.step()
    assert [len(slots) for slots, _ in rounds] == [8, 7]
    rounds.clear()
    jobs = submitted(engine, asked)
    engine.run()
    found = [job.result() for job in (kept, *others, *jobs)]
    assert differences(found, by_decode(NETWORK, [long[0], *long[2:], *asked])) == []
    assert all((slots == list(range(8))) == (running > 4) for slots, running in rounds)
    assert any(4 < running < 8 for _, running in rounds)


@pytest.mark.parametrize("stream", [False, True])
def test_what_context_passes_between_rounds_did_is_told_with_the_next_round(monkeypatch, stream):
    """As on a GPU, but for those who follow a request, or where one is over behind its context pass."""
    engine = engine_with_graphs(monkeypatch, lambda *_: True, max_batch=3)
    packed = engine.packed
    packed.on_cuda = True
    told, seats = [], []
    send, seat = packed.progress.send, packed.seat
    monkeypatch.setattr(packed.progress, "send", lambda note, tensor: (told.append(note), send(note, tensor)))

    def seated(group, *, refills):
        short = min(len(one.pass_.order) for one in group) == 1
        seats.append((packed.launched + 1, refills and not short and not stream))
        seat(group, refills=refills)

    monkeypatch.setattr(packed, "seat", seated)
    asked = asks(40, seed=6)
    jobs = submitted(engine, asked, stream=stream)
    engine.run()
    assert differences([job.result() for job in jobs], by_decode(NETWORK, asked)) == []
    assert all(job.began <= job.seated <= job.first_token <= job.ended for job in jobs)
    untold = set(range(1, packed.launched + 1)).difference(launch.number for launch in told)
    assert untold == {number for number, later in seats if later}
    assert (len(untold) > 2) != stream


def test_requests_whose_context_does_not_fit_fail_and_the_others_go_on(monkeypatch):
    engine = engine_with_graphs(monkeypatch, lambda kind, _size: kind.context <= 10, max_batch=1)
    asked = [a for a in asks(24, seed=2) if len(a.open) > 1]
    jobs = submitted(engine, asked)
    engine.run()
    assert {job.status for job in jobs} == {"done", "failed"}
    expected = by_decode(NETWORK, asked)
    for a, job, own in zip(asked, jobs, expected, strict=True):
        if len(a.ids) > 10:
            with pytest.raises(EngineError, match="not even one row of a context"):
                job.result()
        else:
            assert differences([job.result()], [own]) == []


def test_a_window_that_does_not_fit_is_not_used(monkeypatch):
    engine = engine_with_graphs(monkeypatch, lambda kind, _size: kind.shape.window < 8, windows=(2, 8))
    asked = asks(20, seed=3)
    assert differences(answered(engine, asked), by_decode(NETWORK, asked)) == []
    assert {shape.window for (_, shape), s in engine.packed.chooser.costs.seconds.items() if s < 1e9} == {2}


def test_rounds_that_do_not_fit_at_all_end_their_requests(monkeypatch):
    for windows in ((4,), (4, 8)):
        engine = engine_with_graphs(monkeypatch, lambda kind, _size: kind.context > 0, windows=windows)
        jobs = submitted(engine, asks(8, seed=4))
        engine.run()
        assert {job.status for job in jobs} == {"failed"}
        assert len(engine.packed.free) == engine.packed.built.slots
        with pytest.raises(EngineError, match="not even one row of a round"):
            jobs[0].result()


def test_costs_are_measured_for_the_numbers_of_rows_that_there_are_graphs_for(monkeypatch):
    engine = engine_with_graphs(monkeypatch, lambda _kind, _size: True, windows=(1, 4))
    shapes = [RoundShape(w) for w in (1, 4)]
    expected = {(size, shape): size + shape.window for size in (1, 2, 4, 5) for shape in shapes}
    assert engine.measure().seconds == expected
    engine.packed.chooser.costs.seconds.clear()
    engine.packed.chooser.next_shape(3)
    assert engine.packed.chooser.costs.seconds == {(4, shape): expected[4, shape] for shape in shapes}
