"""Requests whose keys do not fit beside those of others wait, and end as if they had been alone."""

from __future__ import annotations

import gc
import weakref
from weakref import finalize

import pytest
import torch
from asking import Ask
from tiny_network import MASK, tiny_network

import fef
from fef.decoding.network import Network
from fef.decoding.session import Session
from fef.engine import session_rounds
from fef.engine.arena import Arena
from fef.engine.engine import Engine
from fef.errors import DenoiserError, EngineError
from fef.models.slot_cache import bytes_per_place
from fef.models.stale import StaleCache

NETWORK = tiny_network(scale=0.3, packed=False)
PLACE = bytes_per_place(NETWORK.config, NETWORK.embed.weight.dtype)
SLOW = {"method": "threshold", "threshold": 0.99999}  # a token a pass


class PlacedKeys(StaleCache):
    """Keys of a CPU that hold places of an arena, as those of a GPU do."""

    def __init__(self, like: StaleCache, arena: Arena) -> None:
        super().__init__(like.model, like.past)
        self.arena, self.starts = arena, []
        _, rows, _, self.length, _ = like.past.keys_YBGPE.shape
        finalize(self, give_all, arena, self.starts)
        self.take(rows)

    def take(self, count: int) -> None:
        for _ in range(count):
            self.starts.append(self.arena.take(self.length))

    def grow(self, count: int) -> None:
        self.take(count)
        super().grow(count)

    def select(self, rows: torch.Tensor) -> None:
        kept = [self.starts[row] for row in rows.tolist()]
        give_all(self.arena, [start for start in self.starts if start not in kept])
        self.starts[:] = kept
        super().select(rows)


class PlacedNetwork(Network):
    def __init__(self, arena: Arena) -> None:
        super().__init__(NETWORK)
        self.arena = arena

    def kept_keys(self, ids_BL: torch.Tensor) -> StaleCache:
        return PlacedKeys(StaleCache.empty(NETWORK, ids_BL), self.arena)


def give_all(arena: Arena, starts: list[int]) -> None:
    for start in starts:
        arena.give(start)


def engine_of(seats: int, longest: int, places: int) -> Engine:
    """An engine with room for the keys of so many tokens."""
    engine = Engine(NETWORK, max_batch=seats, max_length=longest, memory_gb=places * PLACE / 1e9)
    arena = Arena(NETWORK.config, places, torch.device("cpu"), torch.float32)
    engine.sessions.new_network = lambda: PlacedNetwork(arena)
    return engine


def canvas(length: int, masks: int) -> Ask:
    return Ask([1] * (length - masks) + [MASK] * masks, list(range(length - masks, length)))


def decoded(ask: Ask, **options) -> list[int]:
    ids = torch.tensor([ask.ids])
    return fef.decode(NETWORK, ids, **options).ids[0, ask.open].tolist()


@pytest.mark.parametrize("seats", [4, 8])
def test_rows_that_are_complete_hold_no_places_that_others_wait_for(seats):
    """A session keeps a few of them, since to let go of one copies the keys of the others."""
    engine = engine_of(seats, 64, seats * 64)
    jobs = [engine.submit(a.ids, a.open, cache="dual", **SLOW) for a in [canvas(64, 1)] + [canvas(64, 6)] * (seats - 1)]
    engine.step()
    assert [job.status for job in jobs] == ["done"] + ["running"] * (seats - 1)
    late = canvas(64, 4)
    job = engine.submit(late.ids, late.open, cache="prefix", **SLOW)
    engine.step()
    assert job.status == "running"
    assert job.result().tokens == decoded(late, cache="prefix", **SLOW)


@pytest.mark.parametrize("cache", ["dual", "prefix"])
def test_a_request_for_which_memory_is_in_pieces_starts_again_when_the_others_are_over(cache):
    engine = engine_of(6, 128, 4 * 64)
    short = [canvas(64, masks) for masks in (2, 20, 2, 20)]
    jobs = [engine.submit(a.ids, a.open, cache="dual", **SLOW) for a in short]
    while jobs[0].status != "done":
        engine.step()
    long, next_ = canvas(104, 4), canvas(60, 3)
    crowded = engine.submit(long.ids, long.open, cache=cache, **SLOW)
    engine.step()
    assert crowded.status == "waiting"
    behind = engine.submit(next_.ids, next_.open, cache="dual", **SLOW)
    while crowded.status == "waiting":
        assert behind.status == "waiting", "or the first might wait for ever"
        engine.step()
    assert {job.status for job in jobs} == {"done"}
    assert crowded.result().tokens == decoded(long, cache=cache, **SLOW)
    assert behind.result().tokens == decoded(next_, cache="dual", **SLOW)


def test_a_request_that_does_not_fit_alone_ends_with_an_error_and_the_others_go_on():
    engine = engine_of(6, 128, 4 * 64)
    engine.sessions.new_network().arena.take(3 * 64)
    short, long = canvas(64, 6), canvas(104, 4)
    first = engine.submit(short.ids, short.open, cache="dual", **SLOW)
    engine.step()
    bad = engine.submit(long.ids, long.open, cache="dual", **SLOW)
    last = engine.submit(short.ids, short.open, cache="dual", **SLOW)
    engine.run()
    assert [job.status for job in (first, bad, last)] == ["done", "failed", "done"]
    with pytest.raises(EngineError, match="Out of memory: a canvas of 104 tokens"):
        bad.result()


def test_a_session_that_ran_out_of_memory_is_gone_when_memory_is_given_back(monkeypatch):
    engine = engine_of(6, 128, 4 * 64)
    short, long = [canvas(64, masks) for masks in (2, 20, 2, 20)], canvas(104, 4)
    jobs = [engine.submit(a.ids, a.open, cache="dual", **SLOW) for a in short]
    while jobs[0].status != "done":
        engine.step()
    made = sessions_made(monkeypatch)
    held: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: held.append(made[0]() is not None))
    jobs.append(engine.submit(long.ids, long.open, cache="dual", **SLOW))
    engine.run()
    assert held == [False]
    assert {job.status for job in jobs} == {"done"}


def test_a_request_that_failed_holds_no_session(monkeypatch):
    network = tiny_network(scale=0.3, packed=False)
    network.embed.weight.fill_(torch.nan)
    engine, made = Engine(network), sessions_made(monkeypatch)
    job = engine.submit([1, MASK, MASK], [1, 2], cache="dual", **SLOW)
    engine.run()
    gc.collect()
    assert [session() for session in made] == [None]
    with pytest.raises(DenoiserError, match="nan"):
        job.result()


@pytest.mark.parametrize("watch", [False, True])
def test_a_request_that_is_over_holds_no_session(monkeypatch, watch):
    """Nor is it left to the collector of cycles, which may be long in coming."""
    engine, made = Engine(NETWORK), sessions_made(monkeypatch)
    gc.disable()
    try:
        engine.submit([1, MASK, MASK], [1, 2], watch=watch, **SLOW).result()
        assert [session() for session in made] == [None]
    finally:
        gc.enable()


def sessions_made(monkeypatch) -> list[weakref.ref[Session]]:
    """Those that the engine makes from now on."""
    made: list[weakref.ref[Session]] = []

    def session(*given, **named) -> Session:
        found = Session(*given, **named)
        made.append(weakref.ref(found))
        return found

    monkeypatch.setattr(session_rounds, "Session", session)
    return made
