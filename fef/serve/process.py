"""The engine in a process of its own, so that rounds never share an interpreter with the writing of answers.

The two processes hold the ends of a socket pair that the second one inherits: nobody else can reach it, and what goes over it
is pickled. Where one process ends, in whatever way, the other one sees the end of the socket, and ends too.
"""

from __future__ import annotations

import asyncio
import pickle
import select
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

import torch

from fef.engine.text import TextEngine
from fef.errors import EngineError, FefError
from fef.generation import Model, load
from fef.serve.frames import Frames
from fef.serve.hosts import Card, Deliver
from fef.serve.letters import Command
from fef.serve.packing import Packer

__all__ = ["EngineSpec", "ProcessHost"]

_PATIENCE = 30.0  # seconds that a round may take when its process is told to end


@dataclass(frozen=True)
class EngineSpec:
    """What is loaded, and how many requests it takes at once; as in `fef.load`."""

    model: str
    device: str | None = None
    dtype: torch.dtype | None = None
    weights: str | None = None
    max_batch: int = 16

    def made(self) -> tuple[Model, TextEngine]:
        """Warmed up. Raises as `fef.load`, `Model.engine` and `Engine.warm_up`."""
        model = load(self.model, device=self.device, dtype=self.dtype, weights=self.weights)
        engine = model.engine(max_batch=self.max_batch)
        engine.engine.warm_up()
        return model, engine


class ProcessHost:
    """Starts an engine in a process, and waits until it is ready. Raises what making it raises, and EngineError where its
    process ends before."""

    def __init__(self, spec: EngineSpec) -> None:
        own, other = socket.socketpair()
        with other:
            command = [sys.executable, "-m", "fef.serve.engine_process", str(other.fileno())]
            # a group of its own, so that Ctrl-C in a terminal reaches it through this process only
            self.process = subprocess.Popen(
                command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, process_group=0
            )
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stopping = False
        self.frames = Frames(own)
        try:
            self.frames.send(pickle.dumps(spec))
            self.card = self.first()
        except BaseException:
            self.stop()
            raise
        self.packer = Packer(self.card.format)

    def first(self) -> Card:
        """What the process says when it is ready."""
        while not (found := self.frames.received()):
            if self.frames.ended:
                code = self.process.wait()
                raise EngineError(
                    f"The engine's process ended with {code} before it was ready; see what it said above."
                )
            select.select([self.frames.link], [], [])
        [body] = found
        card: Card | FefError = pickle.loads(body)
        if isinstance(card, FefError):
            raise card
        return card

    def start(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self.loop, self.deliver = loop, deliver
        loop.add_reader(self.frames.link, self.read)

    def read(self) -> None:
        for body in self.frames.received():
            self.deliver(pickle.loads(body))
        if self.frames.ended:
            assert self.loop is not None
            self.loop.remove_reader(self.frames.link)
            if not self.stopping:
                self.deliver(None)

    def send(self, command: Command) -> None:
        self.frames.send(self.packer.packed(command))
        self.write()

    def write(self) -> None:
        """Go on sending as soon as the engine has read."""
        assert self.loop is not None
        self.frames.flush()
        if self.frames.unsent:
            self.loop.add_writer(self.frames.link, self.write)
        else:
            self.loop.remove_writer(self.frames.link)

    def stop(self) -> None:
        self.stopping = True
        with suppress(OSError):  # its end may be gone already
            self.frames.link.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.frames.link.close()
