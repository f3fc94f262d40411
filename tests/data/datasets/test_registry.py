"""`prepare()` as a program calls it: from archives, from an address, drawn, joined, or refused."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

import deeppose_cli
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.data.datasets import demo, lsp, parse, registry
from deeppose_cli.data.datasets.registry import DATASETS, prepare
from deeppose_cli.data.prepare.download import Archive
from tests.helpers import lsp_archives, parse_archives
from tests.helpers.web import Site, serving


def test_it_is_public_and_returns_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert deeppose_cli.prepare is prepare
    small = replace(lsp.LSP, prepare=lsp_archives.SMALL_SET.prepare)
    monkeypatch.setitem(registry.DATASETS, "lsp", small)
    source = lsp_archives.write(tmp_path / "given", lsp_archives.FEW[0], lsp_archives.labels(10))
    steps: list[tuple[str, int, int]] = []
    assert not registry.is_prepared("lsp", tmp_path)
    folder = prepare("lsp", [source], data_root=tmp_path, progress=lambda *step: steps.append(step))
    assert folder == tmp_path / "lsp"
    assert registry.is_prepared("lsp", tmp_path)
    assert steps[-1] == ("unpacking", 11, 11)
    assert len(small.read(tmp_path)["test"]) == 5


def test_the_demo_is_drawn_and_takes_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "RECIPE", demo.Recipe(train=4, test=1))
    with pytest.raises(UsageError, match="--from x: demo has no archives"):
        prepare("demo", [Path("x")], data_root=tmp_path)
    assert prepare("demo", data_root=tmp_path) == tmp_path / "demo"
    assert registry.is_prepared("demo", tmp_path)


def test_a_joined_set_needs_its_parts(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match="people joins lsp and flic: lsp is not in"):
        prepare("people", data_root=tmp_path)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NAME nobody: no public data set; valid: demo, lsp"):
        prepare("nobody", data_root=tmp_path)


@pytest.mark.parametrize("name", ["flic", "buffy"])
def test_a_set_without_an_address_says_where_it_is_and_what_to_type(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        prepare(name, data_root=tmp_path)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("--from: needed")
    assert f"type: deeppose data prepare {name} --from " in line
    assert os.listdir(tmp_path) == []


def test_addresses_name_archives_and_parts_of_their_set() -> None:
    for public, parts in ((lsp.LSP, ("lsp", "lspet")), (parse.PARSE, ("train", "test"))):
        assert DATASETS[public.name].archives == public.archives
        assert all(archive.name.endswith(".zip") and archive.part in parts for archive in public.archives)
        assert not public.archives[0].optional


def test_a_set_of_which_a_part_is_here_is_downloaded_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    small, data = parse_archives.SMALL_SET, tmp_path / "data"
    small.prepare([parse_archives.write(tmp_path / "train", parse_archives.TRAIN)], data)
    whole = lsp_archives.packed(parse_archives.write(tmp_path / "whole"), tmp_path / "whole.zip")
    with serving(Site(whole.read_bytes())) as site:
        archives = (Archive(f"{site.address}/people.zip", part="test"),)
        spec = replace(parse.PARSE, prepare=small.prepare, archives=archives)
        monkeypatch.setitem(registry.DATASETS, "parse", spec)
        prepare("parse", data_root=data)
        assert {split: len(rows) for split, rows in parse.PARSE.read(data).items()} == {
            "train": 4,
            "validation": 0,
            "test": 7,
        }
        prepare("parse", data_root=data)
        assert capsys.readouterr().err.endswith(
            f"{data / 'parse' / 'images' / 'test'} is there already; --from replaces it\n"
        )
        assert site.paths == ["/people.zip"]
