"""Where the engine works, beside the routes: here on a thread of this process, as those want it who have a model already. It
has a process of its own in `process`."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol

import torch

import fef
from fef.decoding.inputs import Settings
from fef.engine.text import TextEngine
from fef.generation import Model
from fef.serve.letters import Command, Letter, Lost, Stop
from fef.serve.worker import Worker
from fef.text import TextFormat

__all__ = ["Card", "Deliver", "Host", "ThreadHost", "card_of", "keep_what_is_here"]

Deliver = Callable[[Letter | Lost | None], None]
"""Takes a letter on the event loop; None: there will be no other, since the engine is gone."""


@dataclass(frozen=True)
class Card:
    """What is told of an engine. format: of its texts. seats: requests at once. fingerprint: of the numbers that answer.
    law: of a plain request. memory: what weights and caches take, in words."""

    format: TextFormat
    seats: int
    fingerprint: str
    law: str
    memory: str


def card_of(format: TextFormat, engine: TextEngine) -> Card:
    network = engine.model.network
    formats = network.weight_format or str(network.embed.weight.dtype).removeprefix("torch.")
    plans = engine.engine.plans
    law = plans.certificate(plans.plan("fef", {}), Settings(temperature=1.0)).law
    return Card(
        format,
        engine.engine.options.max_batch,
        f"fef-{fef.__version__}-{format.name}-{formats}",
        law,
        memory_words(engine),
    )


def memory_words(engine: TextEngine) -> str:
    """What weights and caches take; on a CPU, caches as far as requests write to them."""
    weights = sum(tensor.nbytes for tensor in engine.model.network.state_dict().values())
    on_cuda = engine.engine.device.type == "cuda"
    words = (
        f"weights {weights / 1e9:.2f} GB, caches {'' if on_cuda else 'up to '}{engine.engine.cache_bytes / 1e9:.2f} GB"
    )
    if on_cuda:
        words += f", {torch.cuda.memory_allocated(engine.engine.device) / 1e9:.2f} GB taken on the device"
    return words


def keep_what_is_here() -> None:
    """Let Python's collector of garbage pass over all objects that this process has now, which stay as long as it does.
    Looking at those of torch and a model takes a tenth of a second, time and again, in which no request and no round goes on.
    """
    gc.collect()
    gc.freeze()


class Host(Protocol):
    """The routes' end of the line to an engine."""

    @property
    def card(self) -> Card: ...

    def start(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        """Begin; letters go to `deliver`, which this loop calls."""
        ...

    def send(self, command: Command) -> None:
        """On that loop; never waits."""
        ...

    def stop(self) -> None:
        """End the engine behind its round, and wait for that."""
        ...


class ThreadHost:
    """An engine on a thread of this process, and both ends of the line to it. model: that of the engine."""

    def __init__(self, model: Model, engine: TextEngine) -> None:
        self.card, self.engine = card_of(model, engine), engine.engine
        self.inbox: SimpleQueue[Command] = SimpleQueue()
        # a thread inside torch must not outlive the interpreter, so it is joined
        self.thread = Thread(target=Worker(model, self.engine, self).work, name="fef-engine", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop, deliver: Deliver) -> None:
        self.loop, self.deliver = loop, deliver
        self.thread.start()

    def send(self, command: Command) -> None:
        self.inbox.put(command)

    def stop(self) -> None:
        self.inbox.put(Stop())
        if self.thread.ident is not None:
            self.thread.join()

    def commands(self, wait: bool) -> Iterator[Command]:
        try:
            while True:
                yield self.inbox.get(block=wait)
                wait = False
        except Empty:
            return

    def post(self, letter: Letter | Lost) -> None:
        try:
            self.loop.call_soon_threadsafe(self.deliver, letter)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            assert self.loop.is_closed()
