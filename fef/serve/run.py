"""The process of a server: its ready line, signals, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

import uvicorn

from fef.errors import EngineError, OptionError
from fef.serve.app import Served, ServeOptions, make_app
from fef.serve.hosts import Host, keep_what_is_here

__all__ = ["Server", "bound", "serve"]

_LAST_WORDS = 1.0  # seconds for clients to read that their requests were given up


class Server(uvicorn.Server):
    """Finishes what it has at the first signal. What is not finished within `drain_seconds`, or at the second signal, is
    answered with an error. say: for what the user should read."""

    def __init__(self, host: Host, options: ServeOptions, drain_seconds: int, say: Callable[[str], None]) -> None:
        self.served = Served(host, options, self.end)
        self.drain_seconds, self.say = drain_seconds, say
        self.patient = True
        config = uvicorn.Config(
            make_app(self.served),
            log_level="warning",
            access_log=False,
            lifespan="on",
            timeout_graceful_shutdown=drain_seconds + 5,  # should a request outlive `give_up`
            server_header=False,
        )
        super().__init__(config)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            self.served.backend.stop()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        giving_up = asyncio.create_task(self.give_up())
        try:
            await super().shutdown(sockets)
        finally:
            giving_up.cancel()

    async def give_up(self) -> None:
        """Once there is no patience left, answer what is not finished, and hang up on clients that do not read it."""
        end = time.monotonic() + self.drain_seconds
        while self.patient and time.monotonic() < end:
            await asyncio.sleep(0.05)
        self.served.backend.end(EngineError("The server ended before this was finished; ask again."))
        await asyncio.sleep(_LAST_WORDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def end(self) -> None:
        """Take nothing new, and stop when what is under way is finished."""
        self.served.draining = True
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = not self.patient
            self.patient = False
            return
        self.say(f"{signal.Signals(sig).name}: finishing what is under way; once more stops at once")
        self.end()


def serve(
    host: Host,
    options: ServeOptions,
    listener: socket.socket,
    *,
    drain_seconds: int = 30,
    say: Callable[[str], None] = print,
) -> None:
    """Serve until a signal. Raises EngineError where the engine is lost."""
    server = Server(host, options, drain_seconds, say)
    address, number = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{number}"
    card = host.card
    say(f"{card.format.name} at {url}/v1, playground at {url}/ ({card.memory})\nlaw: {card.law}")
    keep_what_is_here()
    server.run(sockets=[listener])
    if server.served.backend.lost:
        raise EngineError("The engine was lost, so the server has ended. Start it again.")


def bound(host: str, port: int) -> socket.socket:
    """Raises OptionError."""
    try:
        with ExitStack() as undone:
            family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = undone.enter_context(socket.socket(family, kind, protocol))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1024)  # who reads the ready line may ask at once
            undone.pop_all()
    except (OSError, UnicodeError) as error:  # the latter of a name that is too long
        another = "--port" if getattr(error, "errno", None) in (errno.EADDRINUSE, errno.EACCES) else "--host"
        reason = getattr(error, "strerror", None) or error
        raise OptionError(f"Cannot listen at {host!r} port {port}: {reason}. Give another {another}.") from error
    return listener
