"""A user's own labelled images: from a COCO file to a data set, or refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

import deeppose_cli
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import OPPOSING
from deeppose_cli.data.datasets.own import add_dataset, remove_dataset
from deeppose_cli.data.datasets.registry import get_dataset, list_datasets
from deeppose_cli.data.datasets.splits import SPLITS
from tests.helpers import robot_arm

CLIMBER = (
    "left_shoulder",
    "right_shoulder",
    "left_hand",
    "right_hand",
    "left_hip",
    "right_hip",
    "left_foot",
    "right_foot",
)


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    return robot_arm.draw(tmp_path / "labelled", 12)


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return file


def line_of(error: pytest.ExceptionInfo[DeepPoseError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_robot_arm_has_no_sides_and_is_measured_by_its_box(arm: Path, tmp_path: Path) -> None:
    added = deeppose_cli.add_dataset("arm", [arm], test_share=0.25, data_root=tmp_path / "data")
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 7, "validation": 2, "test": 3}
    spec = get_dataset("arm", tmp_path / "data")
    assert spec.skeleton == added.spec.skeleton
    assert (spec.skeleton.joints, spec.skeleton.mirror_pairs, spec.skeleton.scale_by) == (robot_arm.JOINTS, (), None)
    assert (len(spec.skeleton.limbs), spec.initial_box, spec.sigma) == (6, "own", 0.6)
    splits = spec.read(tmp_path / "data")
    names = [name for rows in splits.values() for name in rows.names]
    assert len(set(names)) == 12
    labels = {row["id"]: row for row in json.loads(arm.read_text())["annotations"]}
    for rows in splits.values():
        for name, points, box in zip(rows.names, rows.keypoints, rows.boxes, strict=True):
            label = labels[int(name[3:6])]
            np.testing.assert_array_equal(points, np.reshape(label["keypoints"], (-1, 3))[:, :2])
            left, top, width, height = label["bbox"]
            np.testing.assert_allclose(box, [left + width / 2, top + height / 2, width, height], atol=1e-5)


def test_every_file_is_one_that_pycocotools_loads(arm: Path, tmp_path: Path) -> None:
    add_dataset("arm", [arm], test_share=0.2, data_root=tmp_path)
    for split in SPLITS:
        coco = COCO(str(tmp_path / "arm" / "annotations" / f"{split}.json"))
        assert len(coco.getAnnIds()) == len(get_dataset("arm", tmp_path).read(tmp_path)[split])


def climbers(folder: Path, change: Callable[[dict[str, Any]], object] = lambda document: None) -> Path:
    """Two images with two climbers each, one of them a crowd and one without a label."""
    (folder / "images").mkdir(parents=True)
    images = [{"id": i, "file_name": f"wall{i}.jpg", "width": 80, "height": 60} for i in range(3)]
    for image in images:
        cv2.imwrite(str(folder / "images" / str(image["file_name"])), np.full((60, 80, 3), 90, np.uint8))
    people = []
    for i in range(6):
        points = np.random.default_rng(i).integers(5, 50, (8, 2))
        keypoints = np.hstack([points, np.full((8, 1), 1 + i % 2)])
        keypoints[0, 2] = 0
        person = {"id": i, "image_id": i % 3, "category_id": 1, "bbox": [1, 2, 50, 40], "area": 700, "iscrowd": 0}
        people.append(person | {"keypoints": keypoints.ravel().tolist()})
    people[4]["iscrowd"] = 1
    people[5]["keypoints"] = [0] * 24
    category = {"id": 1, "name": "climber", "keypoints": list(CLIMBER), "skeleton": [[1, 3], [4, 2]]}
    document = {"images": images, "annotations": people, "categories": [category, {"id": 2, "name": "wall"}]}
    change(document)
    (folder / "people.json").write_text(json.dumps(document))
    return folder / "people.json"


def test_sides_limbs_and_scale_come_from_the_names_and_people_without_labels_are_left_out(tmp_path: Path) -> None:
    added = add_dataset("wall", [climbers(tmp_path / "a")], validation_share=0.4, data_root=tmp_path)
    skeleton = added.spec.skeleton
    assert skeleton.mirror_pairs == tuple((CLIMBER[i], CLIMBER[i + 1]) for i in range(0, 8, 2))
    assert skeleton.scale_by == OPPOSING
    assert {limb.kind for limb in skeleton.limbs} == {"shoulder-hand"}, "one kind, whichever end is named first"
    assert (added.crowds, added.unlabelled) == (1, 1)
    assert sum(people for _, people in added.counts.values()) == 4
    rows = [rows for rows in added.spec.read(tmp_path).values() if len(rows)]
    assert all(not part.labelled[:, 0].any() and part.labelled[:, 1:].all() for part in rows)
    files = [set(part.files) for part in rows]
    assert not files[0] & files[1], "people of one image stay together"
    assert any(name.endswith("#2") for part in rows for name in part.names)
    stored = json.loads((tmp_path / "wall" / "annotations" / "train.json").read_text())["annotations"]
    assert {row["area"] for row in stored} == {700}
    assert {flag for row in stored for flag in row["keypoints"][5::3]} <= {1, 2}


def test_images_are_links_or_copies_and_removing_leaves_the_users_files(arm: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in arm.parent.rglob("*.png")}
    for copies in (False, True):
        add_dataset("arm", [arm], copy=copies, overwrite=True, data_root=tmp_path / "data")
        images = list((tmp_path / "data" / "arm" / "images").iterdir())
        assert len(images) == 12
        assert all(image.is_symlink() != copies for image in images)
    add_dataset("arm", [arm], overwrite=True, data_root=tmp_path / "data")
    assert not Path((tmp_path / "data" / "arm" / "images" / "arm001.png").readlink()).is_absolute()
    assert remove_dataset("arm", data_root=tmp_path / "data") == tmp_path / "data" / "arm"
    assert "arm" not in list_datasets(tmp_path / "data")
    assert {file: file.read_bytes() for file in arm.parent.rglob("*.png")} == before
    with pytest.raises(UsageError, match="holds no data set"):
        remove_dataset("arm", data_root=tmp_path / "data")


def test_given_splits_are_kept_and_a_validation_part_is_drawn_where_none_is_given(tmp_path: Path) -> None:
    first, second = robot_arm.draw(tmp_path / "a", 10), robot_arm.draw(tmp_path / "b", 4, seed=1)
    second = second.rename(second.with_name("held-out.json"))
    added = add_dataset("arm", train=first, test=second, validation_share=0.2, data_root=tmp_path)
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 8, "validation": 2, "test": 4}
    splits = added.spec.read(tmp_path)
    assert all(name.startswith("held-out/") for name in splits["test"].names)


def test_two_files_of_one_name_keep_their_images_apart(tmp_path: Path) -> None:
    files = [robot_arm.draw(tmp_path / folder, 4, seed) for seed, folder in enumerate("ab")]
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.png")}
    add_dataset("arm", files, data_root=tmp_path / "data")
    assert {file: file.read_bytes() for file in before} == before
    images = {file.resolve() for file in (tmp_path / "data").rglob("*.png")}
    assert images == {file.resolve() for file in before}


def test_the_smaller_of_two_folders_is_validation_even_if_it_is_too_large(tmp_path: Path) -> None:
    files = [robot_arm.draw(tmp_path / folder, count) for folder, count in (("a", 6), ("b", 5))]
    files = [file.rename(file.with_name(f"{file.parent.name}.json")) for file in files]
    added = add_dataset("arm", files, split_by="folder", data_root=tmp_path / "data")
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 6, "validation": 5, "test": 0}


def test_without_boxes_the_initial_box_is_the_image(tmp_path: Path) -> None:
    added = add_dataset("arm", [robot_arm.draw(tmp_path / "a", 8, boxes=False)], data_root=tmp_path)
    assert added.spec.initial_box == "image"
    assert all(np.isnan(rows.boxes).all() for rows in added.spec.read(tmp_path).values())


def test_frames_of_one_video_stay_together(tmp_path: Path) -> None:
    def rename(document: dict[str, Any]) -> None:
        for image in document["images"]:
            old, number = image["file_name"], image["id"]
            image["file_name"] = f"clip{'abc'[number % 3]}_{number:04d}.png"
            (tmp_path / "labelled" / "images" / old).rename(tmp_path / "labelled" / "images" / image["file_name"])

    file = changed(robot_arm.draw(tmp_path / "labelled", 12), rename)
    splits = add_dataset("arm", [file], split_by="video", validation_share=0.4, data_root=tmp_path).spec.read(tmp_path)
    clips = [{name[4] for name in splits[split].names} for split in ("train", "validation")]
    assert clips[0]
    assert clips[1]
    assert not clips[0] & clips[1]


Change = Callable[[dict[str, Any]], object]
BAD: dict[str, tuple[Change, str]] = {
    "keypoints": (
        lambda d: d["annotations"][3]["keypoints"].pop(),
        r"annotation 3 \(id 4\): keypoints has 20 numbers; valid: 21",
    ),
    "a word": (
        lambda d: d["annotations"][3]["keypoints"].__setitem__(0, "x"),
        r"annotation 3 \(id 4\): keypoints holds 'x'; valid: numbers",
    ),
    "image": (lambda d: d["images"][2].update(file_name="gone.png"), r"image gone\.png: not in .*; --images names"),
    "outside": (
        lambda d: d["images"][2].update(file_name="../x.png"),
        r"image 2 \(id 3\): file_name '\.\./x\.png'; valid",
    ),
    "no such image": (
        lambda d: d["annotations"][0].update(image_id=99),
        r"annotation 0 \(id 1\): image_id 99: no image has this id",
    ),
    "twice": (lambda d: d["images"][1].update(id=1), "two have the same id"),
    "far away": (
        lambda d: d["annotations"][2].update(keypoints=[5000, 10, 2] * 7),
        r"arm003\.png: base is outside of it \(120 × 120 px\), as are .* of images of another size\?",
    ),
    "huge": (lambda d: d["annotations"][2].update(keypoints=[1e9, 10, 2] * 7), "keypoints: 1e.09; valid: within"),
    "box": (
        lambda d: d["annotations"][2].update(bbox=[1, 2, 0, 4]),
        r"bbox \[1, 2, 0, 4\]; valid: width and height above 0",
    ),
    "no category": (
        lambda d: d.update(categories=[{"id": 3, "name": "arm"}]),
        "no category with keypoints; found: 'arm'",
    ),
    "two categories": (lambda d: d["categories"].append(d["categories"][0]), "more than one category has keypoints"),
    "limbs": (lambda d: d["categories"][0].update(skeleton=[[0, 9]]), r"skeleton: \[0, 9\]; valid: pairs of keypoint"),
    "the same joint": (
        lambda d: d["categories"][0]["keypoints"].__setitem__(1, "base"),
        "keypoints: 'base' is there twice",
    ),
    "nobody": (lambda d: d.update(annotations=[]), "nobody has a labelled keypoint"),
    "instances": (
        lambda d: [row.pop("keypoints") for row in d["annotations"]],
        "no annotation has keypoints of category 'arm'",
    ),
    "results": (lambda d: d.pop("images"), "'images' is no list of records; valid: COCO's keypoint format"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_one_line_and_nothing_is_added(arm: Path, tmp_path: Path, case: str) -> None:
    change, expected = BAD[case]
    changed(arm, change)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        add_dataset("arm", [arm], data_root=tmp_path / "data")
    assert line_of(caught).startswith(f"{arm}: ")
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("[!.]*"))


FLAGS: dict[str, tuple[dict[str, Any], str]] = {
    "name": ({"name": "My Set"}, "NAME 'My Set': valid: 1 to 64 small letters"),
    "up": ({"name": "../x"}, "NAME '../x'"),
    "public": ({"name": "lsp"}, "NAME lsp: a public data set"),
    "share": ({"validation_share": 1.0}, "--validation-share 1: valid: 0 or more, below 1"),
    "no validation": ({"validation_share": 0.0}, "--validation: nobody is in this split"),
    "mirror of three": ({"mirror": ["base:tip", "tip:hand"]}, "mirror: 'tip' is in two places"),
    "mirror of none": ({"mirror": ["base:nose"]}, "--mirror base:nose: valid: two keypoints as a:b, of base, shoulder"),
    "scale": ({"scale_by": "base"}, "--scale-by base: valid: two keypoints as a:b, or box, of base"),
    "category": ({"category": "leg"}, "no category 'leg' with keypoints; found: 'arm'"),
    "nothing": ({"annotations": []}, "--annotations: needed, or --train"),
    "both": ({"train": Path("x.json")}, "--annotations: needed, or --train"),
}


@pytest.mark.parametrize("case", FLAGS)
def test_a_flag_that_cannot_be_right_is_named(arm: Path, tmp_path: Path, case: str) -> None:
    more, expected = FLAGS[case]
    with pytest.raises(DeepPoseError, match=expected) as caught:
        add_dataset(**({"name": "arm", "annotations": [arm], "data_root": tmp_path / "data"} | more))
    line_of(caught)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("[!.]*"))


def test_a_set_that_is_there_stays_without_overwrite(arm: Path, tmp_path: Path) -> None:
    add_dataset("arm", [arm], data_root=tmp_path)
    before = {file: file.read_bytes() for file in (tmp_path / "arm").rglob("*.*")}
    with pytest.raises(UsageError, match="is there already; --overwrite replaces a data set"):
        add_dataset("arm", [arm], data_root=tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(UsageError, match="is there already"):
        add_dataset("other", [arm], overwrite=True, data_root=tmp_path)
    assert {file: file.read_bytes() for file in (tmp_path / "arm").rglob("*.*")} == before
