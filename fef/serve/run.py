"""The process of a server: its ready line, signals, and how it ends."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType

import torch
import uvicorn

from fef.decoding.inputs import Settings
from fef.engine.text import TextEngine
from fef.errors import EngineError, OptionError
from fef.generation import Model
from fef.serve.app import Served, ServeOptions, make_app

__all__ = ["Server", "memory_words", "serve"]


class Server(uvicorn.Server):
    """Finishes what it has at the first signal, and stops at the second. say: for what the user should read."""

    def __init__(
        self, model: Model, engine: TextEngine, options: ServeOptions, drain_seconds: int, say: Callable[[str], None]
    ) -> None:
        self.served = Served(model, engine, options, self.end)
        self.say = say
        config = uvicorn.Config(
            make_app(self.served),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=drain_seconds,
            server_header=False,
        )
        super().__init__(config)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.served.worker.stop()  # a thread inside torch must not outlive the interpreter

    def end(self) -> None:
        """Take nothing new, and stop when what is under way is finished."""
        self.served.draining = True
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        self.say(f"{signal.Signals(sig).name}: finishing what is under way; once more stops at once")
        self.end()


def serve(
    model: Model,
    engine: TextEngine,
    options: ServeOptions,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    drain_seconds: int = 30,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until a signal. Raises OptionError for an address that cannot be bound, EngineError where the engine is lost."""
    listener = bound(host, port)
    server = Server(model, engine, options, drain_seconds, say)
    address, number = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{number}"
    law = engine.engine.certificate(engine.engine.plan("fef", {}), Settings(temperature=1.0)).law
    say(f"{engine.model.name} at {url}/v1, playground at {url}/ ({memory_words(engine)})\nlaw: {law}")
    server.run(sockets=[listener])
    if server.served.worker.lost:
        raise EngineError("The engine was lost, so the server has ended. Start it again.")


def bound(host: str, port: int) -> socket.socket:
    """Raises OptionError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)  # who reads the ready line may ask at once
    except OSError as error:
        raise OptionError(f"Cannot listen at {host} port {port}: {error.strerror}. Give another --port.") from error
    return listener


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
