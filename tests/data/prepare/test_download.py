"""Downloads from a server on this machine that drops, lies, redirects and forgets."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare import download as module
from deeppose_cli.data.prepare.download import ATTEMPTS, Unavailable, download
from tests.helpers.web import Site, serving

BODY = b"PK\x03\x04" + np.random.default_rng(0).bytes(700_000)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site(BODY)) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "a.zip"


def fetch(site: Site, target: Path, path: str = "/a.zip", **more: object) -> list[str]:
    """Downloads without waiting; what was said."""
    said: list[str] = []
    download(site.address + path, target, say=said.append, pause=0.0, timeout=5.0, **more)  # type: ignore[arg-type]
    return said


def failure(site: Site, target: Path, path: str = "/a.zip", **more: object) -> DeepPoseError:
    with pytest.raises(DeepPoseError) as caught:
        fetch(site, target, path, **more)
    line = str(caught.value)
    assert "\n" not in line
    assert not target.exists()
    return caught.value


def part_of(target: Path) -> Path:
    return target.with_name("a.zip.part")


def test_a_file_comes_whole_and_leaves_nothing_else(site: Site, target: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    assert fetch(site, target, progress=lambda *step: seen.append(step)) == []
    assert target.read_bytes() == BODY
    assert os.listdir(target.parent) == ["a.zip"]
    assert {what for what, _, _ in seen} == {"downloading a.zip"}
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    assert seen[-1][1:] == (len(BODY), len(BODY))


def test_without_a_length_it_comes_too(site: Site, target: Path) -> None:
    site.length = False
    fetch(site, target, progress=lambda what, done, total: None if total == 0 else pytest.fail(str(total)))
    assert target.read_bytes() == BODY


@pytest.mark.parametrize(("etag", "modified"), [('"one"', None), (None, "Thu, 06 May 2010 20:18:52 GMT")])
def test_a_dropped_line_is_gone_on_with(site: Site, target: Path, etag: str | None, modified: str | None) -> None:
    site.etag, site.modified, site.drop_after = etag, modified, [300_000, 100_000]
    said = fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == ["", "bytes=300000-", "bytes=400000-"]
    assert len(said) == 2
    assert "broke off after 300,000 of 700,004 bytes" in said[0]


def test_more_drops_than_attempts_do_no_harm_while_bytes_come(site: Site, target: Path) -> None:
    site.drop_after = [60_000] * (2 * ATTEMPTS)
    fetch(site, target)
    assert target.read_bytes() == BODY


def test_an_earlier_part_is_gone_on_with(site: Site, target: Path) -> None:
    site.drop_after = [500_000] + [0] * ATTEMPTS
    error = failure(site, target)
    assert f"500,000 bytes are kept in {part_of(target)}" in str(error)
    assert not isinstance(error, Unavailable)
    site.seen.clear()
    site.drop_after = []
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == ["bytes=500000-"]


def broken_off(site: Site, target: Path) -> None:
    """Leaves a part of 500,000 bytes."""
    site.drop_after = [500_000] + [0] * ATTEMPTS
    failure(site, target)
    site.seen.clear()
    site.drop_after = []


def test_a_file_that_has_changed_starts_anew(site: Site, target: Path) -> None:
    broken_off(site, target)
    site.etag, site.body = '"two"', BODY[::-1]
    fetch(site, target)
    assert target.read_bytes() == BODY[::-1]
    assert site.seen == ["bytes=500000-"]


def test_a_server_that_ignores_ranges_starts_anew(site: Site, target: Path) -> None:
    site.ranges = False
    broken_off(site, target)
    fetch(site, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_without_a_mark_nothing_is_joined(site: Site, target: Path, etag: str | None) -> None:
    site.etag = etag
    broken_off(site, target)
    site.body = BODY[::-1]
    fetch(site, target)
    assert target.read_bytes() == BODY[::-1]
    assert site.seen == [""]


def test_the_part_of_another_address_is_not_used(site: Site, target: Path) -> None:
    broken_off(site, target)
    fetch(site, target, "/mirror/a.zip")
    assert target.read_bytes() == BODY
    assert site.seen == [""]


@pytest.mark.parametrize("notes", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"url": "URL", "mark": "m", "size": Infinity}'])
def test_damaged_notes_start_anew(site: Site, target: Path, notes: bytes) -> None:
    broken_off(site, target)
    target.with_name("a.zip.part.json").write_bytes(notes.replace(b"URL", f"{site.address}/a.zip".encode()))
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == [""]


def test_a_part_that_is_whole_already_is_taken(site: Site, target: Path) -> None:
    broken_off(site, target)
    part_of(target).write_bytes(BODY)
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == [f"bytes={len(BODY)}-"]


def test_a_part_longer_than_the_file_starts_anew(site: Site, target: Path) -> None:
    broken_off(site, target)
    part_of(target).write_bytes(BODY + b"more")
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == [f"bytes={len(BODY) + 4}-", ""]


def test_a_server_that_claims_more_than_it_has_is_given_up(site: Site, target: Path) -> None:
    site.claimed = len(BODY) + 10_000
    error = failure(site, target)
    assert len(site.seen) <= 2 * ATTEMPTS + 1
    assert f"{ATTEMPTS} times" in str(error)


def test_a_server_that_always_says_416_is_given_up(site: Site, target: Path) -> None:
    broken_off(site, target)
    site.status = [416] * 20
    assert "HTTP 416" in str(failure(site, target))


@pytest.mark.parametrize(
    ("code", "words"),
    [(404, "there is no such file"), (410, "has been removed"), (401, "login"), (403, "refused"), (418, "refuses")],
)
def test_a_dead_address_is_not_asked_twice(site: Site, target: Path, code: int, words: str) -> None:
    site.status = [code]
    error = failure(site, target)
    assert isinstance(error, Unavailable)
    assert words in str(error)
    assert f"{site.address}/a.zip" in str(error)
    assert f"HTTP {code}" in str(error)
    assert len(site.seen) == 1
    assert os.listdir(target.parent) == []


def test_a_server_with_a_bad_moment_is_asked_again(site: Site, target: Path) -> None:
    site.status = [500, 503, 429]
    said = fetch(site, target)
    assert target.read_bytes() == BODY
    assert ["500" in said[0], "503" in said[1], "429" in said[2]] == [True] * 3


def test_a_server_that_stays_bad_is_given_up(site: Site, target: Path) -> None:
    site.status = [500] * 50
    error = failure(site, target)
    assert isinstance(error, Unavailable)
    assert "the server answers 500" in str(error)
    assert len(site.seen) == ATTEMPTS


def test_pauses_grow(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    site.status = [500] * 50
    with pytest.raises(Unavailable):
        download(f"{site.address}/a.zip", target)
    assert waits == [2, 4, 8, 16]


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><p>moved", b"\xef\xbb\xbf\n <html>"])
def test_a_web_page_is_no_archive(site: Site, target: Path, page: bytes) -> None:
    site.body = page
    error = failure(site, target)
    assert isinstance(error, Unavailable)
    assert "a web page, not an archive" in str(error)
    assert os.listdir(target.parent) == []


def test_an_empty_answer_is_no_file(site: Site, target: Path) -> None:
    site.body = b""
    assert "empty" in str(failure(site, target))
    assert os.listdir(target.parent) == []


def test_redirects_are_followed(site: Site, target: Path) -> None:
    site.redirects = {"/a.zip": "/b.zip", "/b.zip": f"{site.address}/c.zip"}
    site.drop_after = [400_000]
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == ["", "bytes=400000-"]


@pytest.mark.parametrize("to", ["/a.zip", "file:///etc/hostname", "ftp://127.0.0.1/a.zip"])
def test_redirects_in_a_circle_or_to_no_web_address_are_not(site: Site, target: Path, to: str) -> None:
    site.redirects = {"/a.zip": to}
    error = failure(site, target)
    assert isinstance(error, Unavailable)
    assert "redirects" in str(error)


def test_a_safe_address_never_leads_to_an_open_one() -> None:
    request = module.urllib.request.Request("https://a.example/x.zip")
    with pytest.raises(Unavailable, match="from https to http; not followed"):
        module._Redirects().redirect_request(request, BytesIO(), 302, "", {}, "http://a.example/x.zip")
    open_one = module.urllib.request.Request("http://a.example/x.zip")
    followed = module._Redirects().redirect_request(open_one, BytesIO(), 302, "", {}, "https://a.example/y.zip")
    assert followed is not None
    assert followed.full_url == "https://a.example/y.zip"


def test_a_host_without_an_address(target: Path) -> None:
    with pytest.raises(Unavailable, match=r"no address is known for nowhere\.invalid"):
        download("http://nowhere.invalid/a.zip", target, pause=0.0)
    assert os.listdir(target.parent) == []


def test_a_host_that_does_not_listen(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site(b"")) as gone:
        address = gone.address
    with pytest.raises(Unavailable, match=f"cannot be reached .*{ATTEMPTS} times"):
        download(f"{address}/a.zip", target, pause=0.0)


@pytest.mark.parametrize(("length", "claimed"), [(True, None), (False, None), (True, 10**14)])
def test_more_than_any_archive_has_is_refused(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch, length: bool, claimed: int | None
) -> None:
    site.length, site.claimed = length, claimed
    monkeypatch.setattr(module, "MAX_BYTES", len(BODY) - 1)
    largest = 0

    def watch(what: str, done: int, total: int) -> None:
        nonlocal largest
        largest = max(largest, done)

    error = failure(site, target, progress=watch)
    assert isinstance(error, Unavailable)
    assert str(error) == f"{site.address}/a.zip: is larger than 700,003 bytes; no archive of a data set is; removed"
    assert len(site.seen) == 1
    assert os.listdir(target.parent) == []
    assert 0 < largest < len(BODY) if not length else largest == 0
    monkeypatch.setattr(module, "MAX_BYTES", len(BODY))
    site.claimed = None
    fetch(site, target)
    assert target.read_bytes() == BODY


def test_a_server_that_gives_a_few_bytes_at_a_time_is_given_up(site: Site, target: Path) -> None:
    site.drop_after = [100] * 1000
    error = failure(site, target)
    assert f"{ATTEMPTS} times" in str(error)
    assert f"{100 * ATTEMPTS:,} bytes are kept in {part_of(target)}" in str(error)
    assert len(site.seen) == ATTEMPTS


def test_a_line_that_drips_is_given_up(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    site.drip = 0.01
    error = failure(site, target)
    assert "bytes came in 0.1 s, 5 times" in str(error)
    assert len(site.seen) == ATTEMPTS


@pytest.mark.parametrize("digits", ["9" * 5000, "-5", "many", ""])
def test_a_length_that_is_no_number_of_bytes_is_not_believed(site: Site, target: Path, digits: str) -> None:
    site.says = {"Content-Length": digits}
    fetch(site, target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("extent", ["bytes {huge}-{huge}/*", "bytes 500000-700003/{huge}", "bytes */{huge}"])
def test_an_extent_with_thousands_of_digits_starts_anew(site: Site, target: Path, extent: str) -> None:
    broken_off(site, target)
    site.says = {"Content-Range": extent.format(huge="9" * 5000)}
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == ["bytes=500000-", ""]


def test_what_was_there_stays_until_the_new_one_is_whole(site: Site, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    site.status = [404]
    with pytest.raises(Unavailable):
        fetch(site, target)
    assert target.read_bytes() == b"old"


def test_a_full_disk_is_said_before_it_fills(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert "needs 700,004 more bytes, 1,000 are free" in str(failure(site, target))


def test_a_disk_that_fills_keeps_the_part(site: Site, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = module._MetricPart.write

    def full(part: module._MetricPart, chunk: bytes) -> None:
        if part.size > 300_000:
            with module._writing(part.path):
                raise OSError(errno.ENOSPC, "No space left on device")
        write(part, chunk)

    monkeypatch.setattr(module._MetricPart, "write", full)
    error = failure(site, target)
    assert "the disk is full" in str(error)
    assert part_of(target).stat().st_size > 300_000
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "*")
    site.seen.clear()
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen[0].startswith("bytes=")


def test_a_folder_that_cannot_be_written(site: Site, target: Path) -> None:
    target.parent.write_text("a file")
    with pytest.raises(DeepPoseError, match="downloads: cannot be written"):
        fetch(site, target)


def test_ctrl_c_keeps_the_part(site: Site, target: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if done > 300_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(site, target, progress=stop)
    kept = part_of(target).stat().st_size
    assert 300_000 < kept < len(BODY)
    site.seen.clear()
    fetch(site, target)
    assert target.read_bytes() == BODY
    assert site.seen == [f"bytes={kept}-"]


def test_two_at_once_do_not_mix(site: Site, target: Path) -> None:
    target.parent.mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import fcntl, sys\nf = open(sys.argv[1], 'ab')\nfcntl.flock(f, fcntl.LOCK_EX)\n"
         "f.write(b'x'); f.flush()\nsys.stdin.read()", str(part_of(target))],
        stdin=subprocess.PIPE,
    )  # fmt: skip
    try:
        end = time.monotonic() + 20
        while not (part_of(target).is_file() and part_of(target).stat().st_size):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert "another process is downloading it" in str(failure(site, target))
        assert part_of(target).read_bytes() == b"x"
    finally:
        holder.communicate()
