"""A web server on this machine that misbehaves as it is told."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Site:
    """One file, and how it is served. `seen` are the requests' Range headers, "" for none."""

    body: bytes
    address: str = ""
    seen: list[str] = field(default_factory=list)
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    drop_after: list[int] = field(default_factory=list)
    """Of each request in turn: bytes after which the line is cut."""
    status: list[int] = field(default_factory=list)
    """Of each request in turn: answered with this code and nothing else, where it is not 0."""
    claimed: int | None = None
    """Bytes that the server says there are, whatever it sends."""
    redirects: dict[str, str] = field(default_factory=dict)
    length: bool = True
    content_type: str = "application/zip"
    says: dict[str, str] = field(default_factory=dict)
    """Headers in place of the true ones; Content-Range in answers to a Range only."""
    drip: float = 0.0
    """s after each byte, where not 0."""


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        self.close_connection = True
        if self.path in site.redirects:
            self._head(302, {"Location": site.redirects[self.path], "Content-Length": "0"})
            return
        asked = self.headers.get("Range", "")
        site.seen.append(asked)
        number = len(site.seen) - 1
        code = site.status[number] if number < len(site.status) else 0
        if code:
            self._head(code, {"Content-Length": "0"})
            return
        total = len(site.body) if site.claimed is None else site.claimed
        headers = {"Content-Type": site.content_type}
        headers |= {"ETag": site.etag} if site.etag else {}
        headers |= {"Last-Modified": site.modified} if site.modified else {}
        start = 0
        mark = site.etag or site.modified
        if asked and site.ranges and self.headers.get("If-Range") == mark:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])  # type: ignore[index]
            if start >= len(site.body):
                self._head(416, {"Content-Range": f"bytes */{len(site.body)}", "Content-Length": "0"})
                return
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        if site.length:
            headers["Content-Length"] = str(total - start)
        headers |= {name: value for name, value in site.says.items() if start or name != "Content-Range"}
        self._head(206 if start else 200, headers)
        body = site.body[start:]
        cut = site.drop_after[number] if number < len(site.drop_after) else len(body)
        if not site.drip:
            self.wfile.write(body[:cut])
            return
        with suppress(OSError):  # the other side has had enough
            for byte in body[:cut]:
                self.wfile.write(bytes([byte]))
                time.sleep(site.drip)

    def _head(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()


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
