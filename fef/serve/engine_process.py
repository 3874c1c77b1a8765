"""The other side of `process`: what the process of an engine runs. Its argument is the number of its end of the socket."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import sys
from collections.abc import Iterator
from threading import Thread

from fef.errors import FefError
from fef.serve.frames import Frames
from fef.serve.hosts import Card, card_of, keep_what_is_here
from fef.serve.letters import Command, Letter, Lost, Stop
from fef.serve.packing import Unpacker
from fef.serve.worker import Worker

__all__ = ["ProcessLine"]


class ProcessLine:
    """The engine's end. Its one thread reads and writes it between rounds, so that no other thread takes the interpreter from
    a round. What the routes have not read yet waits in this process: it is no more than their requests can be answered."""

    unpacker: Unpacker  # once it is known what commands are about

    def __init__(self, link: socket.socket) -> None:
        self.frames = Frames(link)

    def received(self, wait: bool) -> list[bytes]:
        while True:
            self.frames.flush()
            found = self.frames.received()
            if found or self.frames.ended or not wait:
                return found
            select.select([self.frames.link], [self.frames.link] if self.frames.unsent else [], [])

    def commands(self, wait: bool) -> Iterator[Command]:
        for body in self.received(wait):
            yield self.unpacker.unpacked(body)
        if self.frames.ended:
            yield Stop()

    def post(self, message: Letter | Lost | Card | FefError) -> None:
        self.frames.send(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def finish(self) -> None:
        """Wait until all is sent, or nobody reads it."""
        while self.frames.unsent:
            select.select([], [self.frames.link], [])
            self.frames.flush()


def end_with(link: socket.socket) -> None:
    """End this process as soon as the other one has ended, also while a model is loaded, or in a round."""
    poll = select.poll()
    poll.register(link, 0)  # its end is always told
    poll.poll()
    os._exit(0)


def main() -> None:
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.SIG_IGN)  # the other process says when it ends
    link = socket.socket(fileno=int(sys.argv[1]))
    Thread(target=end_with, args=(link,), daemon=True).start()
    line = ProcessLine(link)
    [body] = line.received(wait=True)
    try:
        model, engine = pickle.loads(body).made()
        card = card_of(model.format, engine)
    except FefError as error:
        line.post(error)
    else:
        keep_what_is_here()
        line.unpacker = Unpacker(model)
        line.post(card)
        Worker(model, engine.engine, line).work()
    line.finish()


if __name__ == "__main__":
    main()
