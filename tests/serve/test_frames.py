"""Messages between the process of the routes and that of the engine: whole, in order, and nobody waits."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from fef.serve.frames import Frames

Pair = tuple[Frames, Frames]


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        yield Frames(one), Frames(other)


def all_received(sender: Frames, reader: Frames, count: int) -> list[bytes]:
    found: list[bytes] = []
    while len(found) < count:
        sender.flush()
        assert select.select([reader.link], [], [], 10)[0], "what was sent arrives"
        found += reader.received()
    return found


@pytest.mark.parametrize("sizes", [[0], [1, 0, 7], [1 << 18], [5, 3_000_000, 5], [3] * 5000])
def test_messages_come_whole_and_in_order(pair: Pair, sizes: list[int]) -> None:
    sent = [bytes([n % 251]) * size for n, size in enumerate(sizes)]
    for body in sent:
        pair[0].send(body)
    assert all_received(*pair, len(sent)) == sent
    assert pair[1].received() == [] and not pair[1].ended


def test_who_sends_does_not_wait_for_a_reader(pair: Pair) -> None:
    for _ in range(5):
        pair[0].send(bytes(2_000_000))
    assert pair[0].unsent, "it is more than a socket holds"
    assert [len(body) for body in all_received(*pair, 5)] == [2_000_000] * 5
    assert not pair[0].unsent


def test_a_part_of_a_message_is_none(pair: Pair) -> None:
    pair[0].link.sendall((4).to_bytes(8, "big") + b"ab")
    assert pair[1].received() == []
    pair[0].link.sendall(b"cd" + (1).to_bytes(8, "big"))
    assert pair[1].received() == [b"abcd"]
    pair[0].link.sendall(b"e")
    assert pair[1].received() == [b"e"]


def test_the_end_is_told_behind_the_last_message(pair: Pair) -> None:
    pair[0].send(b"last")
    pair[0].link.close()
    assert pair[1].received() == [b"last"]
    assert pair[1].ended
    pair[1].send(bytes(1_000_000))
    assert not pair[1].unsent, "nobody will read it"
