"""A web server on this machine that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """One file, at every path, and how it is served."""

    body: bytes
    address: str = ""
    paths: list[str] = field(default_factory=list)
    """Of the requests that came."""
    status: list[int] = field(default_factory=list)
    """Of each request in turn: sent with this code and nothing else, where it is not 0."""
    cut: int | None = None
    """Bytes after which the line is cut."""


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        site, number = self.site, len(self.site.paths)
        site.paths.append(self.path)
        code = site.status[number] if number < len(site.status) else 0
        body = b"" if code else site.body
        self.send_response(code or 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: site.cut])


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    """The site, at `site.address`, without the last slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
