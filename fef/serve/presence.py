"""Is the client of a request still there?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import Request

from fef.serve.errors import ApiError

__all__ = ["Presence"]

T = TypeVar("T")


class Presence:
    """Watches a request whose body has been read, until its end."""

    def __init__(self, request: Request) -> None:
        self.gone = False
        self.on_gone: Callable[[], object] = lambda: None
        self.watcher = asyncio.create_task(self.watch(request))

    async def watch(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        self.on_gone()

    def then(self, act: Callable[[], object]) -> None:
        """What to do when the client goes, or at once where it has gone."""
        self.on_gone = act
        if self.gone:
            act()

    async def unless_gone(self, work: Awaitable[T]) -> T:
        """The result of work, which is given up when the client goes. Raises ApiError then."""
        task = asyncio.ensure_future(work)
        self.then(task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            if self.gone:
                raise ApiError(499, "The client has gone.") from None
            raise
        finally:
            task.cancel()
            self.on_gone = lambda: None

    def end(self) -> None:
        self.watcher.cancel()
