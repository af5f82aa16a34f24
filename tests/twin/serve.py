"""A file server on the own machine that answers Range requests, and misbehaves where the address says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Serves `folder` at `/BEHAVIOUR/NAME`.

    Behaviours: `good`; `norange` sends all whatever is asked; `drops` breaks the first answer off at 60 %; `truncated`
    ends there as if that were all; `wrong` sends other bytes; `missing` and `busy` answer 404 and 503.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.asked: list[tuple[str, str | None]] = []  # path and Range of each request

    def url(self, behaviour: str, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{behaviour}/{name}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        path, asked = self.path, self.headers["Range"]
        again = any(before == path for before, _ in self.server.asked)
        self.server.asked.append((path, asked))
        _, behaviour, name = path.split("/")
        file = self.server.folder / name
        if behaviour in ("missing", "busy") or not file.is_file():
            self.send_error(503 if behaviour == "busy" else 404)
            return
        body = file.read_bytes()
        short = len(body) * 6 // 10
        if behaviour == "wrong":
            body = body[:-8] + bytes(8)
        if behaviour == "truncated":
            body = body[:short]
        whole = len(body)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and behaviour != "norange" else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
        self.send_header("Content-Length", str(whole - start))
        self.end_headers()
        end = short if behaviour == "drops" and not again else whole
        try:
            self.wfile.write(body[start:end])
        except ConnectionError:  # the client has had enough, e.g. because its disk is full
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[Server]:
    """A server of `folder` while the block runs."""
    running = Server(folder)
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()
        thread.join()
