"""fef on Ray Serve: replicas with a GPU each, as many as the load needs.

Start it on a Ray cluster whose nodes have `pip install 'fef[serve]' 'ray[serve]'`:

    serve run examples.ray_serve:app

Each replica has the routes of `fef serve`, and the text of a request does not depend on the replica. `MODEL`, `MAX_BATCH` and
`GPUS`, of each replica, are read from the environment.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from ray import serve
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message

import fef
from fef.serve.app import Served, ServeOptions, make_app
from fef.serve.hosts import ThreadHost

MODEL, MAX_BATCH = os.environ.get("MODEL", "demo"), int(os.environ.get("MAX_BATCH", "16"))
GPUS = float(os.environ.get("GPUS", "1"))


@serve.deployment(
    ray_actor_options={"num_gpus": GPUS},
    num_replicas="auto",
    max_ongoing_requests=4 * MAX_BATCH,
    health_check_period_s=5,
)
class Replica:
    """One engine and its routes."""

    def __init__(self) -> None:
        model = fef.load(MODEL)
        self.served = Served(ThreadHost(model, model.engine(max_batch=MAX_BATCH)), ServeOptions(), on_lost=lambda: None)
        self.routes = make_app(self.served)

    async def __call__(self, request: Request) -> Response:
        if not self.served.backend.started:
            self.served.backend.start()  # for the event loop that asks
        sent: asyncio.Queue[Message] = asyncio.Queue()
        route = asyncio.create_task(self.routes(request.scope, request.receive, sent.put))
        start = await sent.get()

        async def parts() -> AsyncIterator[bytes]:
            try:
                more = True
                while more:
                    message = await sent.get()
                    more = message.get("more_body", False)
                    yield message.get("body", b"")
            finally:
                route.cancel()

        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return StreamingResponse(parts(), status_code=start["status"], headers=headers)

    def check_health(self) -> None:
        """Ray replaces a replica that raises."""
        if self.served.backend.lost:
            raise RuntimeError("The engine is lost.")


app = Replica.bind()
