"""What stands before every route: limits of bodies, the key, what fails, and the ids of requests."""

from __future__ import annotations

import asyncio
import hmac
import json

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fef.serve.errors import ApiError

__all__ = ["BodyLimit", "Faults", "Key", "RequestIds", "send_error"]

OPEN = ("/health", "/")  # answered without a key: supervisors have none, and the page asks for it
OPEN_BELOW = "/playground/"  # parts of the page
DISCARDED = 128 * 2**20  # bytes of a body that are read and dropped, so that its client can read the answer


def is_open(path: str) -> bool:
    return path in OPEN or path.startswith(OPEN_BELOW)


async def send_error(send: Send, error: ApiError) -> None:
    body = json.dumps(error.body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Key:
    """Refuses requests without the key, compared in constant time."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self.app, self.expected = app, f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_open(scope["path"]):
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self.expected):
                await send_error(send, ApiError(401, "The API key is missing or wrong."))
                return
        await self.app(scope, receive, send)


class BodyLimit:
    """Reads bodies of at most `most` bytes, and refuses longer ones without keeping them, those that take longer than
    `seconds`, and those that come while others have `together` bytes here that are not read to their end."""

    def __init__(self, app: ASGIApp, most: int, seconds: float, together: int) -> None:
        self.app, self.most, self.seconds, self.together = app, most, seconds, together
        self.held = 0  # bytes of bodies that are being read

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self.seconds):
                body = await self.read(receive)
        except TimeoutError:
            await send_error(send, ApiError(408, f"The body did not come within {self.seconds:g} seconds."))
            return
        except ApiError as error:
            await send_error(send, error)
            return
        if body is None:
            return
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replayed() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replayed, send)

    async def read(self, receive: Receive) -> bytes | None:
        """A body; None where its client has gone. Raises ApiError for one that is too long."""
        parts, own = list[bytes](), 0
        size, more = 0, True
        try:
            while more and size <= DISCARDED:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part, more = message.get("body", b""), message.get("more_body", False)
                size += len(part)
                if size > self.most:
                    parts.clear()
                    continue
                if self.held + len(part) > self.together:
                    raise ApiError(429, "Too many large bodies come at once; ask again later.", retry_after=1)
                parts.append(part)
                own += len(part)
                self.held += len(part)
        finally:
            self.held -= own
        if size > self.most:
            raise ApiError(413, f"The body is longer than the {self.most} bytes that are allowed.")
        return b"".join(parts)


class Faults:
    """Answers with a 500 where something fails; what that was goes on to the server's log and stands in no answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            if scope["type"] == "http" and not begun:
                await send_error(send, ApiError(500, "The server failed at this request."))
            raise


class RequestIds:
    """Gives a request's `x-request-id` back with its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = Headers(scope=scope).get("x-request-id") if scope["type"] == "http" else None
        if own is None:
            await self.app(scope, receive, send)
            return
        own = own[:200]

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = own
            await send(message)

        await self.app(scope, receive, named)
