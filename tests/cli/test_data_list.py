"""`deeppose data list`: what it says must be enough for a stranger, and fit a terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.cli.app import main
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets import registry
from tests.helpers import mini
from tests.helpers.memory import with_rows


def listed(capsys: pytest.CaptureFixture[str], *typed: str) -> str:
    assert main(["data", "list", *typed]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_every_set_is_described_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(listed(capsys, "--json", "--data-root", str(tmp_path)))
    assert [each["name"] for each in facts] == list(registry.DATASETS)
    for each in facts:
        known = registry.DATASETS[each["name"]]
        assert not each["is_prepared"]
        assert each["splits"] == {}
        assert each["problem"] is None
        assert each["joints"] == list(known.skeleton.joints)
        assert (each["coordinate_base"], each["sides"]) == (0, "person")
        assert each["how_to_get"]
        assert each["image_order"]
        assert {
            "title",
            "label_conventions",
            "initial_box",
            "sigma",
            "preset",
            "evaluation_only",
            "downloads",
        } <= each.keys()
    assert list(tmp_path.iterdir()) == [], "to list is not to draw the demo set"


@pytest.mark.usefixtures("mini_known")
def test_a_stranger_who_goes_by_it_scores_right_the_first_time(
    mini_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The truth in the listed order of joints and images is perfect; in any other order it is not."""
    facts = json.loads(listed(capsys, "mini", "--json", "--names", "--data-root", str(mini_root)))
    splits = mini.MINI.read(mini_root)
    truth = np.concatenate([rows.keypoints for rows in splits.values()])
    drawn = mini.MINI.skeleton.joints  # as the images' own drawing has them
    rows = [int(re.fullmatch(r"p(\d+)\.png", name)[1]) for name in facts["images"]["test"]]  # type: ignore[index]
    columns = [drawn.index(joint) for joint in facts["joints"]]
    keypoints = truth[rows][:, columns]
    assert len(keypoints) == facts["splits"]["test"] == 5

    def score(keypoints: np.ndarray) -> float:
        np.savez(tmp_path / "theirs.npz", keypoints=keypoints)
        flags = ["--data", "mini", "--data-root", str(mini_root), "--out", str(tmp_path / "eval"), "--json"]
        assert main(["eval", "--predictions", str(tmp_path / "theirs.npz"), *flags]) == 0
        scores = json.loads(capsys.readouterr().out)
        return next(row["pdj"]["mean"] for row in scores["rows"] if "theirs" in row["name"])

    assert score(keypoints) == 1.0
    assert score(keypoints[::-1]) < 0.5
    assert score(keypoints[:, ::-1]) < 0.5


@pytest.mark.usefixtures("mini_known")
@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", [[], ["mini"], ["lsp"]])
def test_it_fits_the_terminal_and_breaks_no_word(
    mini_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int, name: list[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = listed(capsys, *name, "--data-root", str(mini_root))
    assert max(map(len, out.splitlines())) <= width
    words = set(re.findall(r"\w+", out))
    sets = [registry.DATASETS[each] for each in name or registry.DATASETS]
    for known in sets:
        assert {known.name, *known.skeleton.joints} <= words
    for needed in (
        "keypoints",
        "FILE.json",
        "image_id",
        "v is ignored",
        "highest score wins",
        "0-based",
        "(0, 0) is the centre of",
        "the person's",
        "NaN",
    ):
        assert needed in " ".join(out.split())
    assert out.count("…") == sum(known.image_order.count("…") for known in sets), "nothing is cut off"


@pytest.mark.usefixtures("mini_known")
def test_one_set_in_full_numbers_its_joints(mini_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = listed(capsys, "mini", "--data-root", str(mini_root))
    assert out.startswith("mini  here: train 26, validation 7, test 5\n")
    assert re.search(r"\n *0  right_ankle *\n", out)
    assert re.search(r"\n *13  head_top *\n", out)
    assert "px, 0-based" in out


@pytest.mark.usefixtures("mini_known")
def test_a_damaged_set_is_called_so_and_hides_no_other(
    mini_root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(root: Path) -> None:
        raise DeepPoseError(f"{root}/mini/labels: record 3, x is nan; valid: finite numbers")

    monkeypatch.setitem(registry.DATASETS, "mini", with_rows(mini.MINI, read))
    monkeypatch.setenv("COLUMNS", "200")
    out = listed(capsys, "--data-root", str(mini_root))
    assert "mini  damaged\n" in out
    assert "record 3, x is nan; valid: finite numbers" in " ".join(out.split())
    assert "demo  not here\n" in out
    facts = json.loads(listed(capsys, "mini", "--json", "--data-root", str(mini_root)))
    assert not facts["is_prepared"]
    assert "record 3" in facts["problem"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [(["lspx"], "NAME lspx: unknown; valid: demo, lsp"), (["lsp", "--names"], "--names: goes with --json")],
)
def test_a_mistake_is_one_line(typed: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list", *typed]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {expected}")
    assert err.count("\n") == 1
