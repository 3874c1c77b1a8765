"""The page at `/`: files of the package, which ask no other host for anything."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from fastapi import FastAPI
from fastapi.responses import Response

from fef.serve.errors import ApiError

__all__ = ["add_playground"]

_KINDS = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def add_playground(app: FastAPI) -> None:
    """The page and its parts, read once; they hold nothing of the model, so they need no key."""
    folder = files("fef.serve") / "static"
    parts = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}

    def answer(name: str) -> Response:
        if name not in parts:
            raise ApiError(404, "There is no such path.")
        return Response(parts[name], media_type=_KINDS[name.rpartition(".")[2]], headers=dict(HEADERS))

    @app.get("/", response_model=None)
    async def page() -> Response:
        return answer("index.html")

    @app.get("/playground/{name}", response_model=None)
    async def part(name: str) -> Response:
        return answer(name)
