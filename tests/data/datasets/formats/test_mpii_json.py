"""MPII's JSON: what its numbers mean, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.formats.mpii_json import JOINTS
from deeppose_cli.data.datasets.formats.reader import read_labels
from deeppose_cli.data.datasets.own import add_dataset
from deeppose_cli.data.datasets.registry import get_dataset


def person(image: str = "a.jpg", **changes: Any) -> dict[str, Any]:
    joints = [[10.0 + i, 20.0 + 2 * i] for i in range(16)]
    joints[3] = [-1, -1]
    visible = [int(i != 3) for i in range(16)]
    return {"image": image, "center": [40, 60], "scale": 0.5, "joints": joints, "joints_vis": visible, **changes}


def write(folder: Path, records: Any) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    for name in "abcdefgh":
        cv2.imwrite(str(folder / "images" / f"{name}.jpg"), np.full((150, 100, 3), 90, np.uint8))
    file = folder / "train.json"
    file.write_text(json.dumps(records))
    return file


def test_coordinates_become_0_based_and_the_box_is_the_usual_one(tmp_path: Path) -> None:
    nobody = person("c.jpg", joints_vis=[0] * 16)
    (labels,) = read_labels(write(tmp_path, [person(), person("b.jpg", scale=-1), nobody]))
    assert labels.joints == JOINTS
    assert labels.file_names == ("a.jpg", "b.jpg")
    assert labels.unlabelled == 1
    assert labels.keypoints[0, 0].tolist() == [9, 19]
    assert np.isnan(labels.keypoints[0, 3]).all()
    assert labels.boxes[0].tolist() == [39, 59 + 7.5, 125, 125]
    assert np.isnan(labels.boxes[1]).all()


def test_it_becomes_a_data_set(tmp_path: Path) -> None:
    file = write(tmp_path, [person(f"{name}.jpg") for name in "abcdefgh"])
    added = add_dataset("mpii", train=file, images=tmp_path / "images", data_root=tmp_path / "data")
    assert added.spec.skeleton.mirror_pairs is not None
    assert ("left_hip", "right_hip") in {tuple(sorted(pair)) for pair in added.spec.skeleton.mirror_pairs}
    splits = get_dataset("mpii", tmp_path / "data").read(tmp_path / "data")
    assert sum(map(len, splits.values())) == 8
    np.testing.assert_allclose(splits["train"].keypoints[0, 0], [9, 19])


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ([3], "person 0: has no image"),
        ([person(), {**person(), "image": 4}], "person 1: has no image"),
        ([person(joints=[[1, 2]])], "person 0: joints: [[1, 2]]; valid: 16 × 2 number(s)"),
        ([person(joints_vis=None)], "person 0: joints_vis: None; valid: 16 number(s)"),
        ([person(scale="large")], "person 0: scale: large; valid: one number(s)"),
        ([person(center=[1e99, 0])], "person 0: center: "),
        ([person("../a.jpg")], "'../a.jpg'; valid: a path below"),
        ([person("z.jpg")], "image z.jpg: not in "),
    ],
)
def test_what_cannot_be_right_is_one_line(tmp_path: Path, records: Any, reason: str) -> None:
    with pytest.raises(DeepPoseError) as caught:
        read_labels(write(tmp_path, records))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cut_off_list_is_one_line(tmp_path: Path) -> None:
    file = write(tmp_path, [person()])
    file.write_text(file.read_text()[:50])
    with pytest.raises(DeepPoseError, match=r"train.json: cannot be read"):
        read_labels(file)
