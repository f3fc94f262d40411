"""From a public address to a prepared set, with a server on this machine in the address's place."""

from __future__ import annotations

import gc
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.prepare import download as module
from deeppose_cli.data.prepare.download import Archive, Unavailable, download, fetch
from tests.helpers.web import Site, serving

BODY = b"PK" + os.urandom(100_000)
# pooch leaves the closing of a broken connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site(BODY)) as running:
        yield running
    gc.collect()


def refused(archive: Archive, folder: Path, expected: str) -> None:
    """The download fails with one line, and leaves nothing."""
    with pytest.raises(Unavailable, match=expected) as caught:
        download(archive, folder / "a.zip")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(archive.url)
    assert os.listdir(folder) == []


def test_the_file_arrives_whole_with_its_checksum_and_progress(site: Site, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    archive = Archive(f"{site.address}/a.zip", part="a", sha256=hashlib.sha256(BODY).hexdigest())
    download(archive, tmp_path / "new" / "a.zip", lambda *step: steps.append(step))
    assert (tmp_path / "new" / "a.zip").read_bytes() == BODY
    assert os.listdir(tmp_path / "new") == ["a.zip"]
    assert steps[-1] == ("downloading a.zip", len(BODY), len(BODY))
    assert [done for _, done, _ in steps] == sorted(done for _, done, _ in steps)


def test_a_wrong_checksum_is_refused(site: Site, tmp_path: Path) -> None:
    archive = Archive(f"{site.address}/a.zip", part="a", sha256="0" * 64)
    refused(archive, tmp_path, r"its sha256 is not 0{64}: damaged or changed$")


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b"\n<!doctype html><title>Moved</title>", "sends a web page, not an archive"), (b"", "sends nothing, not an")],
)
def test_what_is_no_archive_is_refused(site: Site, tmp_path: Path, body: bytes, expected: str) -> None:
    site.body = body
    refused(Archive(f"{site.address}/a.zip", part="a"), tmp_path, expected)


@pytest.mark.parametrize("code", [403, 404, 500])
def test_a_server_that_refuses_is_named_with_its_code(site: Site, tmp_path: Path, code: int) -> None:
    site.status = [code]
    refused(Archive(f"{site.address}/a.zip", part="a"), tmp_path, rf"127\.0\.0\.1 refuses it \(HTTP {code}\)$")


def test_a_connection_that_breaks_off_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.cut = 50_000
    refused(Archive(f"{site.address}/a.zip", part="a"), tmp_path, r"no connection to 127\.0\.0\.1, or it broke off")


def test_without_a_network_the_host_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    refused(Archive("http://sets.invalid/a.zip", part="a"), tmp_path, r"no connection to sets\.invalid, or it broke")


def test_a_file_larger_than_any_set_is_stopped(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 5000)
    refused(Archive(f"{site.address}/a.zip", part="a"), tmp_path, "larger than 5000 bytes; no archive")


def test_a_folder_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DeepPoseError, match=r"file/downloads: cannot be written"):
        download(Archive(f"{site.address}/a.zip", part="a"), tmp_path / "file" / "downloads" / "a.zip")


def test_ctrl_c_leaves_nothing(site: Site, tmp_path: Path) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(Archive(f"{site.address}/a.zip", part="a"), tmp_path / "a.zip", interrupt)
    assert os.listdir(tmp_path) == []


# ---- a set of several archives


def unpack_into(folder: Path) -> Callable[[Path], None]:
    """In place of a data set's own `prepare`: one file for each archive."""

    def put(archive: Path) -> None:
        part = folder / "images" / archive.stem
        part.mkdir(parents=True, exist_ok=True)
        (part / "labels").write_bytes(archive.read_bytes())

    return put


def run(site: Site, folder: Path, names: str, optional: str = "") -> None:
    archives = [Archive(f"{site.address}/{x}.zip", part=x, optional=x in optional) for x in names]
    fetch(archives, folder, unpack_into(folder), "open the page")


def test_all_parts_come_once_and_no_archive_stays(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "set"
    (folder / "images" / "a" / ".cache").mkdir(parents=True)  # a leftover is no part
    run(site, folder, "a")
    run(site, folder, "ab")
    assert site.paths == ["/a.zip", "/b.zip"]
    assert {part: (folder / "images" / part / "labels").read_bytes() for part in "ab"} == {"a": BODY, "b": BODY}
    assert os.listdir(tmp_path) == ["set"]
    assert capsys.readouterr().err.splitlines() == [
        f"downloading {site.address}/a.zip",
        f"{folder / 'images' / 'a'} is there already; --from replaces it",
        f"downloading {site.address}/b.zip",
    ]


def test_without_an_optional_part_the_rest_is_prepared(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.status = [0, 404]
    run(site, tmp_path / "set", "ab", optional="b")
    assert os.listdir(tmp_path / "set" / "images") == ["a"]
    warning = capsys.readouterr().err.splitlines()[-1]
    assert warning.startswith(
        f"warning: {site.address}/b.zip: 127.0.0.1 refuses it (HTTP 404); set is prepared without"
    )
    assert warning.endswith("by hand: open the page")


def test_a_dead_address_names_the_way_by_hand(site: Site, tmp_path: Path) -> None:
    site.status = [404]
    with pytest.raises(Unavailable, match=r"HTTP 404.*by hand: open the page$"):
        run(site, tmp_path / "set", "a")
    assert os.listdir(tmp_path) == []


def test_an_archive_that_cannot_be_prepared_leaves_nothing(site: Site, tmp_path: Path) -> None:
    def refuse(archive: Path) -> None:
        raise DeepPoseError(f"{archive}: no good")

    with pytest.raises(DeepPoseError, match=r"a\.zip: no good$"):
        fetch([Archive(f"{site.address}/a.zip", part="a")], tmp_path / "set", refuse, "open the page")
    assert os.listdir(tmp_path) == []
