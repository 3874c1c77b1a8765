"""A stand-in for vllm-router: forwards each request to the first worker that answers. Takes its options, and ignores most."""

from __future__ import annotations

import stat
import sys
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

__all__ = ["install"]


def install(directory: Path) -> None:
    """Put a command `vllm-router` into a directory."""
    path = directory / "vllm-router"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def option(name: str) -> list[str]:
    words = sys.argv[sys.argv.index(name) + 1 :]
    return words[: next((i for i, word in enumerate(words) if word.startswith("--")), len(words))]


class Forward(BaseHTTPRequestHandler):
    workers: ClassVar[list[str]] = []
    turn = 0

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        Forward.turn += 1
        for i in range(20 * len(self.workers)):
            worker = urlsplit(self.workers[(Forward.turn + i) % len(self.workers)])
            connection = HTTPConnection(worker.hostname or "", worker.port, timeout=60)
            try:
                connection.request(self.command, self.path, body, dict(self.headers))
                answer = connection.getresponse()
                raw = answer.read()
            except (OSError, HTTPException):
                continue
            finally:
                connection.close()
            self.send_response(answer.status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            return
        self.send_error(503)

    do_GET = do_POST = forward

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    Forward.workers = option("--worker-urls")
    ThreadingHTTPServer((option("--host")[0], int(option("--port")[0])), Forward).serve_forever()
