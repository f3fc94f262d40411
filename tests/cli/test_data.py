"""`deeppose data …` as it is typed: what stands on stdout, what on stderr, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.cli.app import main
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets import demo, registry
from deeppose_cli.data.prepare.download import Archive
from tests.helpers.lsp_archives import Release, jpeg, labels, packed, write
from tests.helpers.memory import with_rows
from tests.helpers.web import Site, serving

GET = "deeppose data prepare lsp --from lsp_dataset.zip [--from lspet_dataset.zip]"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many images as LSP has, all the same."""
    folder = tmp_path_factory.mktemp("archives")
    return packed(
        write(folder / "lsp", Release("lsp", 2000, 4), labels(2000)), folder / "lsp_dataset.zip", "lsp_dataset/"
    )


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Makes `lsp` three images, one a split; returns their folder."""
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg())

    def read(root: Path) -> dict[str, Annotations]:
        return {
            split: Annotations(
                LSP14, (tmp_path / f"{x}.jpg",), labels(1)[..., :2], np.full((1, 4), np.nan), (f"{x}.jpg",)
            )
            for split, x in zip(("train", "validation", "test"), "abc", strict=True)
        }

    monkeypatch.setitem(registry.DATASETS, "lsp", with_rows(registry.DATASETS["lsp"], read))
    return tmp_path


def test_prepare_then_check_then_list(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--data-root", str(tmp_path / "data")]
    assert main(["data", "prepare", "lsp", "--from", str(archive), *root]) == 0
    out, err = capsys.readouterr()
    assert out == f"lsp is in {tmp_path / 'data' / 'lsp'}: train 800, validation 200, test 1,000\n"
    assert err == ""

    assert main(["data", "check", "lsp", "--json", *root]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: split["images"] for name, split in report["splits"].items()} == {
        "train": 800,
        "validation": 200,
        "test": 1000,
    }

    assert main(["data", "list", *root]) == 0
    out = capsys.readouterr().out
    assert "lsp  here: train 800, validation 200, test 1,000\n" in out
    assert "demo  not here\n" in out


def test_check_prints_a_table_that_fits_a_terminal(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["data", "check", "lsp"]) == 0
    out = capsys.readouterr().out
    assert all(joint in out for joint in LSP14.joints)
    assert "…" not in out
    assert "outside of the initial box\n  train: 1 labels (7.1%), box: own\n" in out
    assert "lsp is whole" in out


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_check_ends_with_1_where_an_image_is_bad(
    tiny: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    (tiny / "b.jpg").write_bytes(b"<html>")
    assert main(["data", "check", "lsp", *flags]) == 1
    out = capsys.readouterr().out
    assert f"{tiny / 'b.jpg'}: not an image" in out
    assert "is whole" not in out
    if flags:
        assert len(json.loads(out)["problems"]) == 1


def test_the_demo_set_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "RECIPE", demo.Recipe(train=20, test=5))
    assert main(["data", "prepare", "demo", "--data-root", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"demo is in {tmp_path / 'demo'}: train 18, validation 2, test 5\n"


@pytest.mark.parametrize(
    ("typed", "code", "expected"),
    [
        (["prepare", "lspx", "--from", "x"], 2, "NAME lspx: no public data set; valid: demo, lsp"),
        (["check", "lspx"], 2, "NAME lspx: unknown; valid: demo, lsp"),
        (["prepare", "flic"], 2, "type: deeppose data prepare flic --from FLIC.zip"),
        (["prepare", "flic", "--from", "no.zip"], 1, "no.zip: no such file or folder"),
        (["prepare", "demo", "--from", "x"], 2, "--from x: demo has no archives; nothing to get"),
        (["prepare", "lsp", "--from", "no.zip"], 1, "no.zip: no such file or folder; valid: a .zip"),
        (
            ["check", "lsp"],
            1,
            "lsp is not in data/lsp; archives from sam.johnson.io/research/lsp.html and lspet.html; "
            f"type: {GET}; without --from it is downloaded\n",
        ),
        (["check", "lsp", "--json"], 1, "lsp is not in"),
    ],
)
def test_a_mistake_is_one_line_on_stderr(
    typed: list[str],
    code: int,
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["data", *typed]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert expected in err


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, archive: Path) -> Iterator[Site]:
    """Has LSP, and LSPET not any more."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(Site(archive.read_bytes())) as running:
        files = (("lsp_dataset.zip", "lsp", False), ("lspet_dataset.zip", "lspet", True))
        archives = tuple(Archive(f"{running.address}/{x}", part, late) for x, part, late in files)
        monkeypatch.setitem(registry.DATASETS, "lsp", replace(registry.DATASETS["lsp"], archives=archives))
        yield running


def test_without_from_the_set_is_downloaded(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.status = [0, 404]
    root = tmp_path / "data"
    assert main(["data", "prepare", "lsp", "--data-root", str(root)]) == 0
    out, err = capsys.readouterr()
    assert out == f"lsp is in {root / 'lsp'}: train 800, validation 200, test 1,000\n"
    first, second, warning = err.splitlines()
    assert first == f"downloading {site.address}/lsp_dataset.zip"
    assert second == f"downloading {site.address}/lspet_dataset.zip"
    assert warning.startswith(f"warning: {site.address}/lspet_dataset.zip: 127.0.0.1 refuses it (HTTP 404); lsp is")
    assert {entry.name for entry in root.iterdir()} == {"lsp", ".lsp.lock"}


def test_a_dead_address_is_one_more_line(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.body = b"<!doctype html><title>Moved</title>"
    assert main(["data", "prepare", "lsp", "--data-root", str(tmp_path / "data")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    error = err.splitlines()[-1]
    assert error.startswith(f"error: {site.address}/lsp_dataset.zip: sends a web page, not an archive; by hand: ")
    assert error.endswith(GET)


def test_check_copes_with_empty_splits_and_shared_images(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = registry.DATASETS["lsp"]

    def read(root: Path) -> dict[str, Annotations]:
        splits = known.read(root)
        train = splits["train"]
        return {"train": train.take([]), "validation": train.take([]), "test": train.take([0, 0])}

    monkeypatch.setitem(registry.DATASETS, "lsp", with_rows(known, read))
    assert main(["data", "check", "lsp", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {split: values["images"] for split, values in report["splits"].items()} == {
        "train": 0,
        "validation": 0,
        "test": 2,
    }
    assert report["splits"]["test"]["joints"].keys() == set(LSP14.joints)
    assert report["problems"] == []
    assert main(["data", "check", "lsp"]) == 0
    out = capsys.readouterr().out
    assert "train" not in out
    assert "lsp is whole" in out


def test_without_a_verb_it_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data"]) == 0
    out = capsys.readouterr().out
    assert all(verb in out for verb in ("prepare", "check", "list", "show"))
