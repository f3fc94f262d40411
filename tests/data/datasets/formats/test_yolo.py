"""YOLO-pose sets: what is read, and what is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.formats.yolo import read_yolo
from deeppose_cli.data.datasets.own import add_dataset
from deeppose_cli.data.datasets.registry import get_dataset
from tests.helpers import label_formats, robot_arm


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return label_formats.yolo(tmp_path / "set")


def change(file: Path, **values: Any) -> Path:
    document = yaml.safe_load(file.read_text()) | values
    file.write_text(yaml.safe_dump({key: value for key, value in document.items() if value != "gone"}))
    return file


def reference(folder: Path, split: str, numbers: int) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and keypoints in px, line by line."""
    lines = [file.read_text() for file in sorted((folder / "labels" / split).glob("*.txt"))]
    values = [[float(word) * robot_arm.SIZE for word in line.split()] for line in lines]
    boxes = np.array([row[1:5] for row in values])
    return boxes, np.array([[row[5 + k * numbers : 7 + k * numbers] for k in range(7)] for row in values])


@pytest.mark.parametrize("numbers", [2, 3])
def test_boxes_and_keypoints_are_shares_of_the_image(tmp_path: Path, numbers: int) -> None:
    file = label_formats.yolo(tmp_path / "set", numbers=numbers)
    added = add_dataset("arm", [file], data_root=tmp_path / "data")
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 12, "validation": 4, "test": 0}
    spec = get_dataset("arm", tmp_path / "data")
    assert spec.skeleton.joints == robot_arm.JOINTS
    assert spec.skeleton.mirror_pairs == (("hand", "tip"),)
    assert spec.initial_box == "own"
    splits = spec.read(tmp_path / "data")
    for split, folder in (("train", "train"), ("validation", "val")):
        boxes, points = reference(file.parent, folder, numbers)
        np.testing.assert_allclose(splits[split].boxes, boxes, atol=1e-5)
        if numbers == 2:
            points[(points < 0).any(-1)] = np.nan
        np.testing.assert_allclose(splits[split].keypoints, points, atol=1e-5)
    assert splits["train"].names[0] == "images/train/arm001.png"


def test_what_is_not_labelled(tmp_path: Path) -> None:
    three, two = (label_formats.yolo(tmp_path / str(n), numbers=n) for n in (3, 2))
    for file, unlabelled in ((three, ("0.5 0.5 0", "0 0 0")), (two, ("-1 -1", "0 0"))):
        labels = file.parent / "labels" / "train" / "arm001.txt"
        words = labels.read_text().split()
        size = 5 + 2 * len(unlabelled[0].split())
        labels.write_text(" ".join([*words[:5], *unlabelled, *words[size:]]))
        found = read_yolo(file)[0]
        assert found.visibility[0].tolist() == [0, 0, 2, 2, 2, 2, 2]
        assert np.isnan(found.keypoints[0, :2]).all()
        assert not np.isnan(found.keypoints[0, 2:]).any()


def test_an_image_without_labels_shows_nobody_and_a_line_that_is_there_twice_is_one_person(arm: Path) -> None:
    folder = arm.parent / "labels" / "train"
    (folder / "arm001.txt").unlink()
    (folder / "arm002.txt").write_text("\n")
    (folder / "arm003.txt").write_text((folder / "arm003.txt").read_text() * 2)
    found = read_yolo(arm)[0]
    assert found.names == tuple(f"images/train/arm{number:03d}.png" for number in range(3, 13))
    assert len(found.images) == 10


@pytest.mark.parametrize("names", [{0: ["a", "b"]}, ["a", "b"], [["a", "b"]], None])
def test_names_of_keypoints(tmp_path: Path, names: Any) -> None:
    file = label_formats.yolo(tmp_path / "set", kpt_names=False)
    for labels in file.parent.rglob("*.txt"):
        labels.write_text(" ".join(labels.read_text().split()[:11]))
    change(file, kpt_shape=[2, 3], flip_idx="gone", kpt_names="gone" if names is None else names)
    found = read_yolo(file)[0]
    assert found.joints == (("a", "b") if names else ("joint_1", "joint_2"))
    assert found.mirror is None
    if names is None:
        assert read_yolo(file, joints=["p", "q"])[0].joints == ("p", "q")
        added = add_dataset("arm", [file], joints=["left_p", "right_p"], data_root=tmp_path / "data")
        assert added.spec.skeleton.mirror_pairs == (("left_p", "right_p"),)


def test_classes(arm: Path) -> None:
    for split in ("train", "val"):
        labels = arm.parent / "labels" / split / "arm001.txt"
        labels.write_text("1" + labels.read_text()[1:])
    change(arm, names=["arm", "leg"], kpt_names=list(robot_arm.JOINTS))
    assert [len(read_yolo(arm, category=name)[0].names) for name in (None, "arm", "leg")] == [12, 11, 1]
    change(arm, kpt_names={0: list(robot_arm.JOINTS), 1: list(robot_arm.JOINTS[::-1])})
    assert read_yolo(arm, category="arm")[0].joints == robot_arm.JOINTS
    with pytest.raises(DeepPoseError, match="kpt_names differ between the classes; valid: --category"):
        read_yolo(arm)


@pytest.mark.parametrize("layout", ["absolute", "elsewhere", "roboflow", "list", "text", "--images", "one folder"])
def test_images_are_found_where_the_tools_put_them(arm: Path, tmp_path: Path, layout: str) -> None:
    folder, images = arm.parent, None
    if layout == "absolute":
        change(arm, path=str(folder))
        arm = arm.rename(tmp_path / "data.yaml")
    elif layout == "elsewhere":  # path is of the machine on which the set was made
        change(arm, path="/content/datasets/set")
    elif layout == "roboflow":
        for kind in ("images", "labels"):
            for split in ("train", "val"):
                (folder / split).mkdir(exist_ok=True)
                (folder / kind / split).rename(folder / split / kind)
        change(arm, path="gone", train="../train/images", val="../val/images")
    elif layout == "list":
        change(arm, train=["images/train"])
    elif layout == "text":
        names = [f"./images/train/{file.name}" for file in sorted((folder / "images" / "train").iterdir())]
        (folder / "train.txt").write_text("\n".join(names) + "\n")
        change(arm, train="train.txt")
    elif layout == "--images":
        images, arm = folder, arm.rename(tmp_path / "data.yaml")
    else:  # labels beside the images
        for split in ("train", "val"):
            for file in (folder / "labels" / split).iterdir():
                file.rename(folder / "images" / split / file.name)
        (folder / "images").rename(folder / "all")
        change(arm, train="all/train", val="all/val")
    found = read_yolo(arm, images)
    assert [len(part.images) for part in found] == [12, 4]
    assert not any(name.startswith((".", "/")) for part in found for name in part.images)


def first(text: str) -> Callable[[Path], object]:
    def write(file: Path) -> None:
        labels = file.parent / "labels" / "train" / "arm001.txt"
        words = labels.read_text().split()
        number, _, value = text.partition("=")
        words[int(number)] = value
        labels.write_text(" ".join(words))

    return write


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no yaml": (lambda file: file.write_text("a: [1"), r"data\.yaml in line 1: "),
    "a list": (lambda file: file.write_text("[1, 2]"), "holds no names with values"),
    "no shape": (lambda file: change(file, kpt_shape="gone"), r"kpt_shape: None; valid: \[keypoints, 2\]"),
    "shape": (lambda file: change(file, kpt_shape=[7, 4]), r"kpt_shape: \[7, 4\]; valid: \[keypoints, 2\]"),
    "count": (lambda file: change(file, kpt_shape=[6, 3]), "kpt_names: .*; valid: 6 names, by kpt_shape"),
    "no classes": (lambda file: change(file, names="gone"), "names: None; valid: the classes"),
    "three": (lambda file: change(file, flip_idx=[1, 2, 0, 3, 4, 5, 6]), "flip_idx: 0 becomes 1, and 1 becomes 2; val"),
    "flip": (lambda file: change(file, flip_idx=[0, 1]), r"flip_idx: \[0, 1\]; valid: 7 numbers, each from 0 to 6"),
    "no train": (lambda file: change(file, train="gone"), "train: None; valid: a folder of images"),
    "no folder": (
        lambda file: change(file, val="images/none"),
        "val: 'images/none': not in .*; --images names the fold",
    ),
    "the same": (
        lambda file: change(file, val="images/train"),
        "val has the images of train; valid: others, or no val",
    ),
    "no labels": (
        lambda file: (file.parent / "labels").rename(file.parent / "label"),
        r"train: no image has labels, such as .*arm001\.txt",
    ),
    "a word": (first("6=abc"), r"arm001\.txt: line 1: '0 0\.5 .*; valid: numbers"),
    "numbers": (first("6=0.5 0.5"), r"line 1 has 27 numbers; valid: 26: class, box, keypoints by kpt_shape"),
    "class": (first("0=1"), "line 1: class 1; valid: 0"),
    "box": (first("3=0"), "line 1: box 0.5 0.5 0 0.8; valid: centre and size as shares"),
    "px": (first("1=60"), "line 1: box 60 0.5 0.9 0.8; valid: centre and size as shares"),
    "nan": (first("3=nan"), "line 1: box 0.5 0.5 nan 0.8; valid: centre and size as shares"),
    "px keypoint": (first("5=60"), "line 1: keypoints are no shares of the image's width and height"),
    "outside": (first("5=3"), "arm001.png: base is outside of it .*labels of images of another size"),
    "no text": (
        lambda file: (file.parent / "labels" / "train" / "arm001.txt").write_bytes(b"\xff\xfe\x00"),
        r"arm001\.txt: cannot be read \(no text\)",
    ),
    "no image": (
        lambda file: (file.parent / "images" / "train" / "arm001.png").write_bytes(b"abc"),
        r"arm001\.png: not an image, or not readable",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_one_line_and_nothing_is_added(arm: Path, tmp_path: Path, case: str) -> None:
    edit, expected = BAD[case]
    edit(arm)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        add_dataset("arm", [arm], data_root=tmp_path / "data")
    assert str(caught.value).startswith(f"{arm.parent}/")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("[!.]*"))


FLAGS: dict[str, tuple[dict[str, Any], str]] = {
    "category": ({"category": "leg"}, "--category leg: valid: arm, of "),
    "joints": ({"joints": ["a"]}, "--joints: .* has kpt_names; valid: without this flag"),
    "mirror of three": ({"mirror": ["base:tip", "tip:hand"]}, "mirror: 'tip' is in two places"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_a_flag_that_cannot_be_right_is_named(arm: Path, tmp_path: Path, case: str) -> None:
    more, expected = FLAGS[case]
    with pytest.raises(DeepPoseError, match=expected):
        add_dataset("arm", [arm], data_root=tmp_path / "data", **more)


def test_splits_of_a_set_are_in_its_file(arm: Path, tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"--train .*: names its splits itself; valid: --annotations"):
        add_dataset("arm", train=arm, data_root=tmp_path)
    change(arm, val="gone")
    added = add_dataset("arm", [arm.parent], validation_share=0.25, test_share=0.25, data_root=tmp_path / "data")
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 6, "validation": 3, "test": 3}
