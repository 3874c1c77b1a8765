"""Whole messages over a stream socket, of which neither end waits for the other."""

from __future__ import annotations

import socket
from collections import deque

__all__ = ["Frames"]

_LENGTH = 8  # bytes that say how long a message is
_READ = 1 << 18  # bytes at once


class Frames:
    """What the other end does not read yet is kept here: its sender bounds it by how much it gives away before answers."""

    def __init__(self, link: socket.socket) -> None:
        link.setblocking(False)
        self.link = link
        self.unsent: deque[memoryview] = deque()
        self.unread = bytearray()
        self.ended = False  # the other end is gone

    def send(self, body: bytes) -> None:
        self.unsent.append(memoryview(len(body).to_bytes(_LENGTH, "big") + body))
        self.flush()

    def flush(self) -> None:
        """Send what can be sent without waiting."""
        try:
            while self.unsent:
                sent = self.link.send(self.unsent[0])
                if sent < len(self.unsent[0]):
                    self.unsent[0] = self.unsent[0][sent:]
                else:
                    self.unsent.popleft()
        except BlockingIOError:
            return
        except OSError:  # nobody reads it any more; whoever reads here is told so
            self.unsent.clear()

    def received(self) -> list[bytes]:
        """The messages that are here as a whole."""
        try:
            while part := self.link.recv(_READ):
                self.unread += part
            self.ended = True
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True
        found, start = list[bytes](), 0
        while len(self.unread) >= start + _LENGTH:
            stop = start + _LENGTH + int.from_bytes(self.unread[start : start + _LENGTH], "big")
            if len(self.unread) < stop:
                break
            found.append(bytes(self.unread[start + _LENGTH : stop]))
            start = stop
        del self.unread[:start]
        return found
