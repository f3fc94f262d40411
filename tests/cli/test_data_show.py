"""`deeppose data show`: a sheet of a preset, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from deeppose_cli.cli.app import main
from tests.helpers import mini

pytestmark = pytest.mark.usefixtures("mini_known")


@pytest.fixture
def show(mini_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """Shows the mini set; returns the sheet's pixels."""

    def run(*typed: str, out: str = "sheet.png") -> np.ndarray:
        target = tmp_path / "made" / out
        flags = ["--data-root", str(mini_root), "--out", str(target)]
        assert main(["data", "show", "mini", *flags, *typed]) == 0
        assert capsys.readouterr().out == f"{target}\n"
        assert [entry.name for entry in target.parent.iterdir() if entry.name.startswith(".")] == []
        return np.asarray(cv2.imread(str(target)))

    return run


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Of every sheet that is drawn, the titles of its columns."""
    from deeppose_cli.data.preview import sheet

    seen: list[list[str]] = []
    draw = sheet.draw_sheet
    monkeypatch.setattr(
        sheet,
        "draw_sheet",
        lambda labels, columns, title: seen.append([heading for heading, _ in columns]) or draw(labels, columns, title),
    )
    return seen


def test_a_sheet_is_the_same_for_the_same_seed_only(show) -> None:  # type: ignore[no-untyped-def]
    first, again, other = show("--count", "2"), show("--count", "2"), show("--count", "2", "--seed", "1")
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert len(show("--count", "4")) > 1.5 * len(first)


def test_stages_have_columns_of_their_own(show, columns: list[list[str]]) -> None:  # type: ignore[no-untyped-def]
    show("--count", "1")
    show("--count", "1", "--stage", "1")
    show("--count", "1", "--stage", "2", "--split", "test")
    both, first, second = columns
    assert both == first + second
    assert first[:2] == ["labels, initial box", "stage 1 input"]
    assert first[-1] == "stage 1,\ncolor alone"
    assert second[0] == "stage 2 boxes,\naround labels"
    assert "not displaced" in second[-1]


def test_the_default_place_is_below_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = mini.make(tmp_path / "data")
    assert main(["data", "show", "mini", "--count", "1", "--stage", "1", "--data-root", str(root)]) == 0
    assert capsys.readouterr().out == f"{root / 'sheets' / 'mini-train-stage1.png'}\n"
    assert (root / "sheets" / "mini-train-stage1.png").is_file()


def test_images_that_cannot_be_read_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = mini.make(tmp_path / "data")
    for number in range(33, 37):  # all but one of the test split
        (root / "mini" / "images" / f"p{number:02d}.png").write_bytes(b"no image")
    flags = ["--split", "test", "--stage", "1", "--data-root", str(root), "--out", str(tmp_path / "a.png")]
    assert main(["data", "show", "mini", *flags]) == 0
    assert capsys.readouterr().err.count("skipped: ") == 4
    (root / "mini" / "images" / "p37.png").write_bytes(b"no image")
    (tmp_path / "a.png").unlink()
    assert main(["data", "show", "mini", *flags]) == 1
    assert capsys.readouterr().err.endswith("error: none of 5 images can be read; type: deeppose data check mini\n")
    assert not (tmp_path / "a.png").exists()


def test_the_initial_box_may_be_chosen(show) -> None:  # type: ignore[no-untyped-def]
    one = show("--count", "1", "--stage", "1")
    assert (one != show("--count", "1", "--stage", "1", "--box", "10,10,60,60")).any()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["--out", "a.jpg"], "--out a.jpg: must end in .png"),
        (["--split", "tset"], "--split tset: mini has no images in it; valid: train, validation, test"),
        (["--stage", "3"], "--stage 3: valid: 1, 2"),
        (["--preset", "huge"], "--preset huge: unknown; valid: "),
        (["--box", "1,2,3"], "--box 1,2,3: unknown; valid: "),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    typed: list[str], expected: str, mini_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(mini_root.rglob("*"))
    code = main(["data", "show", "mini", "--data-root", str(mini_root), *typed])
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {expected}")
    assert err.count("\n") == 1
    assert sorted(mini_root.rglob("*")) == before


def test_a_sheet_that_cannot_be_written_is_one_line(
    mini_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    flags = ["--count", "1", "--stage", "1", "--out", str(tmp_path / "file" / "a.png")]
    assert main(["data", "show", "mini", "--data-root", str(mini_root), *flags]) == 1
    assert capsys.readouterr().err.startswith(f"error: --out {tmp_path / 'file' / 'a.png'}: cannot be written")
