"""A file from a public address: taken up again where it broke off, and never half in place.

While it comes it is `<target>.part`; beside it `<target>.part.json` remembers by which mark (ETag or Last-Modified) the
server knew that version, so that the rest of it is never joined to the beginning of another.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.parse import urlsplit

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.version import __version__
from deeppose_cli.data.prepare.archives import MAX_TOTAL_BYTES

try:
    import fcntl
except ImportError:  # Windows: there two downloads of one file at once are not noticed
    fcntl = None  # type: ignore[assignment]

ATTEMPTS = 5
"""In a row without `LEAST` new bytes; a slow line that breaks every minute still gets there."""
FIRST_PAUSE = 2.0
"""s before the second attempt; doubled before each further one."""
TIMEOUT = 30.0
"""s without an answer, or without a byte."""
LEAST = 2**14
"""Bytes that an attempt must bring to count as one that did: a server that drips for ever is given up too."""
PATIENCE = 120.0
"""s for `LEAST` bytes, before the line is taken for broken; any modem is faster."""
MAX_BYTES = MAX_TOTAL_BYTES
"""Of a file. Unpacked it may not be larger either."""

_CHUNK = 2**18
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_WORDS = {
    **dict.fromkeys((301, 302, 303, 307, 308), "redirects in a circle, or to what is no web address"),
    401: "needs a login",
    403: "access is refused",
    404: "there is no such file",
    410: "the file has been removed",
}
# So many digits are enough for any size; int() does not take thousands.
_SIZE = r"([0-9]{1,15})"
_LENGTH = re.compile(_SIZE)
_RANGE = re.compile(rf"bytes (?:{_SIZE}-[0-9]{{1,15}}|\*)/(?:{_SIZE}|\*)")

Say = Callable[[str], None]
Response = http.client.HTTPResponse | urllib.error.HTTPError


class Unavailable(DeepPoseError):
    """The address does not give the file, and asking again soon will not help."""


class _Dropped(Exception):
    """The connection broke, or the server had a moment of weakness; `args[0]` says how."""


class _Stale(Exception):
    """The part does not fit what the server has: it is to be had from the beginning, at once."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows http → http(s) and https → https. Never to a file, to FTP, or from a safe line to an open one."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if new not in ("http", "https") or (old, new) == ("https", "http"):
            fp.close()
            raise Unavailable(f"{req.full_url}: redirects to {newurl}, from {old} to {new}; not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    target: Path,
    progress: Progress | None = None,
    say: Say = lambda line: None,
    pause: float = FIRST_PAUSE,
    timeout: float = TIMEOUT,
) -> None:
    """The file at `url` (http, https) becomes `target`, which stays as it was on any failure.

    What an earlier attempt left in `<target>.part` is gone on with if the server still has that version. `progress` is
    told bytes (0 of all where the server does not say), `say` gets a line before each wait. Raises Unavailable where
    the address does not give the file, else DeepPoseError; the part is kept where going on makes sense, on Ctrl-C too.
    """
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    part = _MetricPart(target)
    with part.opened():
        _fetch(url, part, progress, say, pause, timeout)
        part.finish()


class _MetricPart:
    """`<target>.part`, held by one process, and what is known of its version."""

    file: BinaryIO

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.notes = target.with_name(target.name + ".part.json")

    @contextmanager
    def opened(self) -> Iterator[None]:
        with _writing(self.path):
            self.file = self.path.open("ab")
        with self.file:
            if fcntl is not None:
                try:
                    fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    raise DeepPoseError(f"{self.path}: another process is downloading it; wait for that one") from None
            try:
                yield
            finally:
                if self.path.exists() and not self.size:
                    self.remove()

    @property
    def size(self) -> int:
        self.file.flush()
        return os.fstat(self.file.fileno()).st_size

    def write(self, chunk: bytes) -> None:
        with _writing(self.path):
            self.file.write(chunk)

    def version(self, url: str) -> tuple[str, int] | None:
        """How the server knew the version that the part is of, and its size (0: not told); None where it is unknown."""
        try:
            notes = json.loads(self.notes.read_text())
            return (str(notes["mark"]), int(notes["size"])) if notes["url"] == url and notes["mark"] else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None

    def restart(self, url: str, headers: Message, size: int = 0) -> None:
        """Empty it, for the version that these headers describe."""
        with _writing(self.path):
            self.file.truncate(0)
            etag = headers["ETag"]
            # A weak tag promises the same meaning, not the same bytes.
            mark = etag if etag and not etag.startswith("W/") else headers["Last-Modified"]
            self.notes.write_text(json.dumps({"url": url, "mark": mark, "size": size}))

    def finish(self) -> None:
        with _writing(self.target):
            self.file.flush()
            os.fsync(self.file.fileno())
            os.replace(self.path, self.target)
            self.notes.unlink(missing_ok=True)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


def _fetch(url: str, part: _MetricPart, progress: Progress | None, say: Say, pause: float, timeout: float) -> None:
    """Attempts until the part is whole. The count starts again whenever clearly more is there than ever before."""
    most, failed = part.size, 0
    while True:
        try:
            _attempt(url, part, progress, timeout)
            return
        except _Stale:
            part.restart(url, Message())
            failed += 1
            reason = "the server contradicts itself about the file's size"
            if failed < ATTEMPTS:
                continue
        except _Dropped as error:
            failed = 0 if part.size >= most + LEAST else failed + 1
            most = max(most, part.size)
            reason = str(error)
        if failed >= ATTEMPTS:
            kept = f"; {part.size:,} bytes are kept in {part.path}, the same command goes on from there"
            kind: type[DeepPoseError] = DeepPoseError if part.size else Unavailable
            raise kind(f"{url}: {reason}, {failed} times{kept if part.size else ''}") from None
        wait = pause * 2 ** max(failed - 1, 0)
        say(f"{url}: {reason}; next attempt in {wait:g} s")
        time.sleep(wait)


def _attempt(url: str, part: _MetricPart, progress: Progress | None, timeout: float) -> None:
    have, version = part.size, part.version(url)
    headers = {"User-Agent": f"deeppose/{__version__}", "Accept-Encoding": "identity"}
    if have and version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version[0]}
    else:
        have, version = 0, None
    with _open(urllib.request.Request(url, headers=headers), timeout) as response:
        start, total = _extent(response)
        if response.status == 200:
            part.restart(url, response.headers, total)
        elif version is None or start not in (None, have) or (version[1] and total not in (0, version[1])):
            raise _Stale
        if total > MAX_BYTES:
            raise _too_large(url, part)
        if start is None:  # nothing lies beyond what is here
            if total != have:
                raise _Stale
            return
        _check_room(part, url, total - part.size)
        _copy(url, response, part, total, progress)
    if not part.size:
        raise Unavailable(f"{url}: the answer is empty")
    if total and part.size != total:
        raise _Dropped(f"the connection broke off after {part.size:,} of {total:,} bytes")


def _open(request: urllib.request.Request, timeout: float) -> Response:
    """The answer, with a status of 200, 206 or 416; anything else is raised."""
    url = request.full_url
    try:
        response: http.client.HTTPResponse = urllib.request.build_opener(_Redirects).open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code == 416 and request.has_header("Range"):
            return error
        error.close()
        if error.code in _PASSING:
            raise _Dropped(f"the server answers {error.code} ({error.reason})") from None
        raise Unavailable(f"{url}: {_WORDS.get(error.code, 'the server refuses')} (HTTP {error.code})") from None
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(url, error) from None
    if response.status not in (200, 206):
        response.close()
        raise Unavailable(f"{url}: the server answers {response.status}, not a file")
    return response


def _unreachable(url: str, reason: object) -> Exception:
    host = urlsplit(url).hostname
    if isinstance(reason, socket.gaierror):
        return Unavailable(f"{url}: no address is known for {host} (no network, or the site is gone)")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Unavailable(f"{url}: the certificate of {host} is not valid ({reason.verify_message})")
    if isinstance(reason, TimeoutError):
        return _Dropped(f"{host} does not answer")
    if isinstance(reason, OSError | http.client.HTTPException):
        words = " ".join(str(getattr(reason, "strerror", None) or reason or type(reason).__name__).split())
        return _Dropped(f"{host} cannot be reached ({words})")
    return Unavailable(f"{url}: not an address that can be fetched ({reason})")


def _extent(response: Response) -> tuple[int | None, int]:
    """(first byte, size of the whole file); None: no byte is left to send; 0: the size is not told."""
    if response.status == 200:
        length = _LENGTH.fullmatch(response.headers.get("Content-Length", ""))
        return 0, int(length[1]) if length else 0
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if not match or (match[1] is None) != (response.status == 416):
        raise _Stale
    return None if match[1] is None else int(match[1]), int(match[2] or 0)


def _check_room(part: _MetricPart, url: str, needed: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if needed > free:
        raise DeepPoseError(f"{part.path.parent}: {url} needs {needed:,} more bytes, {free:,} are free on that disk")


def _copy(url: str, response: Response, part: _MetricPart, total: int, progress: Progress | None) -> None:
    have = part.size
    since, before = time.monotonic(), have
    while True:
        try:
            chunk = response.read1(_CHUNK)
        except (OSError, http.client.HTTPException):
            raise _Dropped(f"the connection broke off after {part.size:,} bytes") from None
        if not chunk:
            return
        if not have and chunk.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            part.remove()
            raise Unavailable(f"{url}: answers with a web page, not an archive")
        if have + len(chunk) > MAX_BYTES:
            raise _too_large(url, part)
        part.write(chunk)
        have += len(chunk)
        if have - before >= LEAST:
            since, before = time.monotonic(), have
        elif time.monotonic() - since > PATIENCE:
            raise _Dropped(f"only {have - before:,} bytes came in {PATIENCE:g} s")
        if progress is not None:
            progress(f"downloading {part.target.name}", have, total)


def _too_large(url: str, part: _MetricPart) -> Unavailable:
    part.remove()
    return Unavailable(f"{url}: is larger than {MAX_BYTES:,} bytes; no archive of a data set is; removed")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DeepPoseError(f"{path}: the disk is full; make room, then the same command goes on") from None
        raise DeepPoseError(f"{path}: cannot be written ({error.strerror or error})") from None
