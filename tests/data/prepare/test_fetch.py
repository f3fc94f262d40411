"""From a public address to a prepared set, with a server on this machine in the address's place."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.data.datasets import parse, registry
from deeppose_cli.data.datasets.registry import DATASETS, prepare
from deeppose_cli.data.prepare.download import Unavailable
from deeppose_cli.data.prepare.fetch import fetch
from deeppose_cli.data.prepare.urls import ADDRESSES, Archive
from tests.helpers.lsp_archives import packed
from tests.helpers.parse_archives import FEW, TRAIN, write
from tests.helpers.web import Site, serving

BODY = b"PK" + bytes(1000)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site(BODY)) as running:
        yield running


def unpack_into(folder: Path) -> Callable[[Path], None]:
    """Stands for a data set's own `prepare`: one file for each archive."""

    def put(archive: Path) -> None:
        part = folder / archive.stem
        part.mkdir(parents=True, exist_ok=True)
        (part / "labels").write_bytes(archive.read_bytes())

    return put


def run(site: Site, folder: Path, *archives: Archive, prepare: Callable[[Path], None] | None = None) -> list[str]:
    said: list[str] = []
    fetch(archives, folder, prepare or unpack_into(folder), "open the page", None, said.append)
    return said


def test_all_parts_come_and_no_archive_stays(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    said = run(site, folder, *(Archive(f"{site.address}/{x}.zip", part=x) for x in "ab"))
    assert {part.name: (part / "labels").read_bytes() for part in folder.iterdir()} == {"a": BODY, "b": BODY}
    assert os.listdir(tmp_path) == ["set"]
    assert "b.zip is unpacked; the archive is removed" in said


def test_a_part_that_is_there_is_not_downloaded_again(site: Site, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    archives = [Archive(f"{site.address}/{x}.zip", part=x) for x in "ab"]
    run(site, folder, archives[0])
    assert len(site.seen) == 1
    said = run(site, folder, *archives)
    assert len(site.seen) == 2
    assert said[0].startswith(f"{folder / 'a'} is there already")


def test_what_a_killed_prepare_left_is_not_a_set(site: Site, tmp_path: Path) -> None:
    (tmp_path / "set" / "a" / ".new-123").mkdir(parents=True)
    run(site, tmp_path / "set", Archive(f"{site.address}/a.zip", part="a"))
    assert len(site.seen) == 1


def test_without_an_optional_part_the_rest_is_prepared(site: Site, tmp_path: Path) -> None:
    site.status = [0, 404]
    folder = tmp_path / "set"
    archives = [Archive(f"{site.address}/{x}.zip", part=x, optional=x == "b") for x in "ab"]
    said = run(site, folder, *archives)
    assert os.listdir(folder) == ["a"]
    assert said[-1].startswith(f"warning: {site.address}/b.zip: there is no such file (HTTP 404); set does without it")
    assert said[-1].endswith("by hand: open the page")


def test_a_dead_address_says_what_to_do_by_hand(site: Site, tmp_path: Path) -> None:
    site.status = [404]
    with pytest.raises(Unavailable, match=r"HTTP 404.*by hand: open the page$"):
        run(site, tmp_path / "set", Archive(f"{site.address}/a.zip", part="a"))
    assert os.listdir(tmp_path) == []


def test_an_archive_that_cannot_be_prepared_is_kept_and_used_next_time(site: Site, tmp_path: Path) -> None:
    def refuse(archive: Path) -> None:
        raise DeepPoseError(f"{archive}: no good")

    folder, archive = tmp_path / "set", Archive(f"{site.address}/a.zip", part="a")
    kept = tmp_path / "downloads" / "a.zip"
    with pytest.raises(DeepPoseError, match=f"no good; {kept} is kept; delete it to have it downloaded again"):
        run(site, folder, archive, prepare=refuse)
    assert kept.read_bytes() == BODY
    run(site, folder, archive)
    assert len(site.seen) == 1
    assert os.listdir(tmp_path) == ["set"]


@pytest.mark.parametrize(("tested_with", "warnings"), [(BODY, 0), (b"another", 1)])
def test_labels_that_are_not_those_known_are_worth_a_warning(
    site: Site, tmp_path: Path, tested_with: bytes, warnings: int
) -> None:
    digest = hashlib.sha256(tested_with).hexdigest()
    archive = Archive(f"{site.address}/a.zip", part="a", labels="a/labels", labels_sha256=digest)
    said = run(site, tmp_path / "set", archive)
    assert sum("is not the file that this tool was tested with" in line for line in said) == warnings
    assert (tmp_path / "set" / "a" / "labels").is_file()


# ---- the addresses that are known


def test_addresses_are_of_known_sets_and_name_archives() -> None:
    assert ADDRESSES.keys() <= DATASETS.keys()
    for archives in ADDRESSES.values():
        assert all(archive.name.endswith(".zip") for archive in archives)
        assert not archives[0].optional


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - ADDRESSES.keys() - {"demo", "people"}))
def test_a_set_without_an_address_says_where_it_is_and_what_to_type(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(name, [], tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("--from: needed")
    assert f"type: deeppose data prepare {name} --from " in line
    assert os.listdir(tmp_path) == []


def test_parse_of_which_a_part_is_here_is_downloaded_whole(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = replace(ADDRESSES["parse"][0], url=f"{site.address}/people.zip")
    monkeypatch.setitem(ADDRESSES, "parse", (archive,))
    monkeypatch.setitem(registry._FROM_ARCHIVES, "parse", partial(parse.prepare, parts=FEW))
    data = tmp_path / "data"
    parse.prepare([write(tmp_path / "train", TRAIN)], data, parts=FEW)
    site.body = packed(write(tmp_path / "whole"), tmp_path / "whole.zip").read_bytes()
    said: list[str] = []
    prepare("parse", [], data, say=said.append)
    assert said[-1] == "people.zip is unpacked; the archive is removed"
    assert {split: len(rows) for split, rows in parse.read(data, FEW).items()} == {
        "train": 4,
        "validation": 0,
        "test": 7,
    }
    prepare("parse", [], data, say=said.append)
    assert said[-1] == f"{data / 'parse' / 'people_all'} is there already; --from replaces it"
    assert len(site.seen) == 1


REAL = Path(__file__).parents[4] / "shared" / "data" / "lsp_dataset.zip"


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason="the real archives are not here")
def test_the_original_labels_of_lsp_are_known(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = ADDRESSES["lsp"][0]
    archive = Archive(
        f"{site.address}/lsp_dataset.zip", "lsp", labels=original.labels, labels_sha256=original.labels_sha256
    )
    monkeypatch.setitem(ADDRESSES, "lsp", (archive,))
    site.body = REAL.read_bytes()
    site.drop_after = [4_000_000]
    said: list[str] = []
    prepare("lsp", [], tmp_path, say=said.append)
    assert not [line for line in said if line.startswith("warning")]
    assert site.seen == ["", "bytes=4000000-"]
    assert len(DATASETS["lsp"].read(tmp_path)["test"]) == 1000
