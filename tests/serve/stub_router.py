"""A stand-in for vllm-router: forwards each request to the first worker that answers. Takes its options, and ignores most."""

from __future__ import annotations

import stat
import sys
from http.client import HTTPConnection, HTTPException, HTTPResponse
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
    protocol_version = "HTTP/1.1"
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
                if answer.chunked:
                    return self.stream(answer)
                raw = answer.read()
            except (OSError, HTTPException):
                continue
            finally:
                connection.close()
            self.send_response(answer.status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            return None
        return self.send_error(503)

    def stream(self, answer: HTTPResponse) -> None:
        """Pass on what comes as it comes."""
        self.send_response(answer.status)
        for name in ("content-type", "transfer-encoding"):
            self.send_header(name, answer.headers[name])
        self.end_headers()
        while part := answer.read1():
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = forward

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    Forward.workers = option("--worker-urls")
    ThreadingHTTPServer.request_queue_size = 1024
    ThreadingHTTPServer((option("--host")[0], int(option("--port")[0])), Forward).serve_forever()
