"""`data check`: what it finds, on a set of four images whose faults are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.check import check_dataset
from deeppose_cli.data.datasets.lsp import LSP
from tests.helpers.lsp_archives import HEIGHT, WIDTH, jpeg
from tests.helpers.memory import with_rows

K = len(LSP14)


def poses(count: int) -> NDArray[np.float64]:
    """(N, K, 2) px, inside the image, every limb longer than a pixel."""
    return np.tile(np.stack([2.0 + 2 * np.arange(K), 3.0 + 3 * np.arange(K)], -1), (count, 1, 1))


def rows(folder: Path, names: list[str], keypoints: NDArray[np.float64]) -> Annotations:
    files = tuple(folder / name for name in names)
    for file in files:
        file.write_bytes(jpeg())
    return Annotations(LSP14, files, keypoints, np.full((len(names), 4), np.nan), tuple(names))


@pytest.fixture
def splits(tmp_path: Path) -> dict[str, Annotations]:
    return {
        "train": rows(tmp_path, ["a.jpg", "b.jpg"], poses(2)),
        "validation": rows(tmp_path, ["c.jpg"], poses(1)),
        "test": rows(tmp_path, ["d.jpg"], poses(1)),
    }


def report(splits: dict[str, Annotations], tmp_path: Path) -> dict[str, object]:
    made = check_dataset(with_rows(LSP, lambda root: splits), data_root=tmp_path)
    json.dumps(made, allow_nan=False)
    return made


def test_a_whole_set_has_neither_problems_nor_notes(splits: dict[str, Annotations], tmp_path: Path) -> None:
    made = report(splits, tmp_path)
    assert (made["name"], made["problems"], made["notes"]) == ("lsp", [], [])
    train = made["splits"]["train"]  # type: ignore[index]
    assert train["images"] == 2
    assert train["joints"] == dict.fromkeys(LSP14.joints, 1.0)
    assert train["out_of_image"] == dict.fromkeys(LSP14.joints, 0)


def test_images_that_cannot_be_decoded_are_problems(splits: dict[str, Annotations], tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_bytes(jpeg()[:-100])
    (tmp_path / "c.jpg").write_bytes(b"<html>")
    (tmp_path / "d.jpg").unlink()
    problems = report(splits, tmp_path)["problems"]
    assert [line.split(":")[0] for line in problems] == [str(tmp_path / f"{x}.jpg") for x in "bcd"]  # type: ignore[attr-defined]


def test_labels_outside_the_image_are_counted_from_its_last_pixel_on(
    splits: dict[str, Annotations], tmp_path: Path
) -> None:
    neck, head = LSP14.index("neck"), LSP14.index("head_top")
    keypoints = splits["train"].keypoints
    keypoints[0, neck] = WIDTH - 0.5, -0.5  # the very edge
    keypoints[0, head] = WIDTH - 0.4, 10
    keypoints[1, neck] = 10, HEIGHT
    keypoints[1, head] = -0.6, 10
    outside = report(splits, tmp_path)["splits"]["train"]["out_of_image"]  # type: ignore[index]
    assert {joint: count for joint, count in outside.items() if count} == {"neck": 1, "head_top": 2}


def test_labels_outside_the_initial_box_are_counted_with_their_share(
    splits: dict[str, Annotations], tmp_path: Path
) -> None:
    """Training starts from a row's own box where there is one; the test of LSP from the whole image."""
    train = splits["train"]
    train.keypoints[0, 0] = np.nan
    train.boxes[0] = [15, 15, 30, 30]  # 0 … 30: joints 10 to 13 are lower than 30
    train.boxes[1] = [50, 50, 100, 100]
    splits["test"].keypoints[0, 0] = -1, 5
    found = {name: part["out_of_initial_box"] for name, part in report(splits, tmp_path)["splits"].items()}  # type: ignore[attr-defined]
    assert found["train"] == {"box": "own", "labels": 4, "share": pytest.approx(4 / (2 * K - 1), abs=1e-6)}
    assert found["validation"] == {"box": "image", "labels": 0, "share": 0.0}
    assert found["test"] == {"box": "image", "labels": 1, "share": pytest.approx(1 / K, abs=1e-6)}


def test_shares_are_of_labelled_joints_and_a_row_without_any_is_noted(
    splits: dict[str, Annotations], tmp_path: Path
) -> None:
    splits["train"].keypoints[0] = np.nan
    splits["train"].keypoints[1, LSP14.index("neck")] = np.nan
    made = report(splits, tmp_path)
    joints = made["splits"]["train"]["joints"]  # type: ignore[index]
    assert (joints["neck"], joints["left_hip"]) == (0.0, 0.5)
    assert made["notes"] == ["train, a.jpg: no joint is labelled"]


def test_lengths_that_scores_divide_by_are_noted_the_tests_first(
    splits: dict[str, Annotations], tmp_path: Path
) -> None:
    at = LSP14.index
    train, test = splits["train"].keypoints, splits["test"].keypoints
    train[1, at("left_shoulder")] = train[1, at("right_hip")]
    test[0, at("right_ankle")] = test[0, at("right_knee")] + [0, 0.5]
    assert report(splits, tmp_path)["notes"] == [
        "test, d.jpg: lower_leg (right_knee to right_ankle) is 0.5 px",
        "train, b.jpg: left_shoulder to right_hip is 0 px",
    ]


def test_an_image_in_two_splits_is_noted(splits: dict[str, Annotations], tmp_path: Path) -> None:
    splits["test"] = Annotations.join([splits["test"], splits["train"].take([1])])
    assert report(splits, tmp_path)["notes"] == [f"train and test share 1 images, {tmp_path / 'b.jpg'} among them"]


def test_each_image_is_decoded_once_and_a_set_may_lack_a_split(splits: dict[str, Annotations], tmp_path: Path) -> None:
    splits["validation"] = splits["validation"].take([])
    splits["train"] = Annotations.join([splits["train"], splits["train"]])
    seen: list[tuple[int, int]] = []
    spec = with_rows(LSP, lambda root: splits)
    made = check_dataset(spec, data_root=tmp_path, progress=lambda what, done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert made["splits"]["train"]["images"] == 4
    assert made["splits"]["validation"]["joints"]["neck"] == 0.0


def test_labels_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match="lsp is not in"):
        check_dataset("lsp", data_root=tmp_path)
