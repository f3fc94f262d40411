"""Tables of DeepLabCut and Lightning Pose: what is read, and what is refused in one line."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.formats.keypoint_csv import read_keypoint_csv
from deeppose_cli.data.datasets.own import MARGIN, add_dataset
from deeppose_cli.data.datasets.registry import get_dataset
from tests.helpers import label_formats, robot_arm


def rows_of(file: Path) -> list[list[str]]:
    with file.open(newline="") as stream:
        return list(csv.reader(stream))


def change(file: Path, edit: Callable[[list[list[str]]], object]) -> Path:
    rows = rows_of(file)
    edit(rows)
    return label_formats.write_rows(file, rows)


@pytest.mark.parametrize("columns", [1, 3])
def test_labels_are_those_that_pandas_reads(tmp_path: Path, columns: int) -> None:
    def empty(rows: list[list[str]]) -> None:
        rows[4][columns : columns + 2] = ["", ""]
        rows[5][columns:] = [""] * 14

    file = change(label_formats.deeplabcut(tmp_path, columns=columns), empty)
    found = read_keypoint_csv(file)
    table = pd.read_csv(file, header=[0, 1, 2], index_col=list(range(columns)))
    expected = table.to_numpy().reshape(12, 7, 2)
    np.testing.assert_array_equal(found.keypoints, np.delete(expected, 2, axis=0))
    assert found.joints == robot_arm.JOINTS
    assert found.file_names[0] == "labeled-data/left/img0000.png"
    assert found.unlabelled == 1
    np.testing.assert_array_equal(found.visibility, 2 * ~np.isnan(found.keypoints[..., 0]))
    assert set(found.sizes.values()) == {(120, 120)}


def test_likelihoods_and_the_split_of_lightning_pose_are_not_read(tmp_path: Path) -> None:
    file = label_formats.deeplabcut(tmp_path, columns=1)
    before = read_keypoint_csv(file)

    def add(rows: list[list[str]]) -> None:
        for row, extra in zip(
            rows, [["Ann", "set"], ["base", ""], ["likelihood", ""], *[["0.5", "train"]] * 12], strict=True
        ):
            row.extend(extra)

    after = read_keypoint_csv(change(file, add))
    np.testing.assert_array_equal(before.keypoints, after.keypoints)
    assert after.joints == before.joints


@pytest.mark.parametrize("place", ["project", "beside", "videos", "backslashes"])
def test_images_are_found_where_the_tools_put_them(tmp_path: Path, place: str) -> None:
    file = label_formats.deeplabcut(tmp_path / "project", videos=["one"], columns=1)
    images = None
    if place == "beside":  # DeepLabCut's own place
        file = file.rename(file.parent / "labeled-data" / "one" / file.name)
    elif place == "videos":
        images, file = file.parent / "labeled-data", file.rename(tmp_path / file.name)
    elif place == "backslashes":  # written on Windows
        change(file, lambda rows: [row.__setitem__(0, row[0].replace("/", "\\")) for row in rows])
    found = read_keypoint_csv(file, images)
    assert len(found.images) == 12
    assert all(path.samefile(tmp_path / "project" / name) for name, path in found.images.items())


def several(folder: Path) -> Path:
    """Two mice and the corner of their cage, in two images; the second mouse is in one of them."""
    (folder / "labeled-data" / "cage").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        cv2.imwrite(str(folder / "labeled-data" / "cage" / name), np.full((60, 80, 3), 90, np.uint8))
    animals = ["one"] * 4 + ["two"] * 4 + ["single"] * 2
    parts = ["leftear", "leftear", "rightear", "rightear"] * 2 + ["corner"] * 2
    rows = [["scorer", "", "", *["Ann"] * 10], ["individuals", "", "", *animals], ["bodyparts", "", "", *parts]]
    rows += [["coords", "", "", *["x", "y"] * 5]]
    rows += [["labeled-data", "cage", "a.png", *map(str, range(10, 20))]]
    rows += [["labeled-data", "cage", "b.png", *map(str, range(20, 24)), "", "", "", "", "1", "2"]]
    rows += [["labeled-data", "cage", "c.png", *[""] * 8, "1", "2"]]
    return label_formats.write_rows(folder / "CollectedData_Ann.csv", rows)


def test_several_animals_are_several_people_with_a_box_around_each(tmp_path: Path) -> None:
    file = several(tmp_path)
    found = read_keypoint_csv(file)
    assert found.joints == ("leftear", "rightear")
    assert [name[-5] for name in found.file_names] == ["a", "a", "b"]
    np.testing.assert_array_equal(found.keypoints.reshape(3, 4), [[10, 11, 12, 13], [14, 15, 16, 17], [20, 21, 22, 23]])
    assert found.unlabelled == 1
    added = add_dataset("mice", [file], validation_share=0.4, data_root=tmp_path / "data")
    assert added.spec.initial_box == "own"
    assert added.spec.skeleton.mirror_pairs == (("leftear", "rightear"),)
    for rows in added.spec.read(tmp_path / "data").values():
        for box, points in zip(rows.boxes, rows.keypoints, strict=True):
            low, high = box[:2] - box[2:] / 2, box[:2] + box[2:] / 2
            np.testing.assert_allclose(points.min(0) - low, 8)
            np.testing.assert_allclose(high - points.max(0), 8)


def test_the_initial_box_is_the_image_or_around_the_labels(tmp_path: Path) -> None:
    file = label_formats.deeplabcut(tmp_path)
    assert add_dataset("arm", [file], data_root=tmp_path / "data").spec.initial_box == "image"
    for rows in get_dataset("arm", tmp_path / "data").read(tmp_path / "data").values():
        assert np.isnan(rows.boxes).all()
    add_dataset("arm", [file], box="labels", overwrite=True, data_root=tmp_path / "data")
    spec = get_dataset("arm", tmp_path / "data")
    assert spec.initial_box == "own"
    rows = spec.read(tmp_path / "data")["train"]
    extent = rows.keypoints.max(1) - rows.keypoints.min(1)
    expected = extent + 2 * np.maximum(8, MARGIN * extent.max(1, keepdims=True))
    np.testing.assert_allclose(rows.boxes[:, 2:], expected, atol=1e-5)


def test_two_tables_of_one_project_are_one_set_whose_videos_stay_together(tmp_path: Path) -> None:
    file = label_formats.deeplabcut(tmp_path, videos=("one", "two", "three"))
    rows = rows_of(file)
    first = label_formats.write_rows(file.with_name("first.csv"), rows[:9])
    second = label_formats.write_rows(file.with_name("second.csv"), rows[:3] + rows[9:])
    add_dataset("arm", [first, second], split_by="video", validation_share=0.34, data_root=tmp_path / "data")
    splits = get_dataset("arm", tmp_path / "data").read(tmp_path / "data")
    videos = {split: {name.split("/")[1] for name in rows.names} for split, rows in splits.items()}
    assert {split: len(names) for split, names in videos.items()} == {"train": 2, "validation": 1, "test": 0}
    assert not videos["train"] & videos["validation"]
    assert sum(map(len, splits.values())) == 12


def test_a_table_for_each_split_keeps_the_splits(tmp_path: Path) -> None:
    file = label_formats.deeplabcut(tmp_path)
    rows = rows_of(file)
    train = label_formats.write_rows(file.with_name("train.csv"), rows[:11])
    test = label_formats.write_rows(file.with_name("test.csv"), rows[:3] + rows[11:])
    added = add_dataset("arm", train=train, test=test, validation_share=0.25, data_root=tmp_path / "data")
    assert {split: people for split, (_, people) in added.counts.items()} == {"train": 6, "validation": 2, "test": 4}


BAD: dict[str, tuple[Callable[[list[list[str]]], object], str]] = {
    "no table": (
        lambda rows: rows.insert(0, ["frame", *rows[0][1:]]),
        "its rows begin with 'frame', 'scorer', .*; valid: sc",
    ),
    "empty": (lambda rows: rows.clear(), "its rows begin with nothing; valid: scorer, bodyparts, coords"),
    "only heads": (lambda rows: rows.__delitem__(slice(3, None)), "nobody has a labelled keypoint"),
    "a short row": (lambda rows: rows[6].pop(), "line 7 has 16 cells; valid: 17, as the first"),
    "a word": (lambda rows: rows[6].__setitem__(4, "abc"), "line 7: y of base: 'abc'; valid: a number within"),
    "infinite": (lambda rows: rows[6].__setitem__(5, "-inf"), "line 7: x of shoulder: '-inf'; valid: a number within"),
    "huge": (lambda rows: rows[6].__setitem__(5, "1e9"), "line 7: x of shoulder: '1e9'; valid: a number within"),
    "half": (lambda rows: rows[6].__setitem__(6, ""), "line 7: x of shoulder: '.*'; valid: x and y, or none"),
    "no image": (lambda rows: rows[6].__setitem__(2, "x.png"), "image labeled-data/right/x.png: not in "),
    "up": (lambda rows: rows[6].__setitem__(0, ".."), r"image '\.\./right/img0003.png'; valid: a path below"),
    "twice": (
        lambda rows: rows[6].__setitem__(slice(0, 3), rows[5][:3]),
        "img0002.png' is there twice; valid: one row",
    ),
    "a joint twice": (lambda rows: rows[1].__setitem__(5, "base"), "bodyparts: x of 'base' is there twice"),
    "no y": (lambda rows: rows[2].__setitem__(4, "z"), "bodyparts: 'base' has no y"),
    "no x": (lambda rows: rows.__setitem__(2, ["coords", *"z" * 16]), "coords: no column is 'x'"),
    "outside": (lambda rows: rows[6].__setitem__(3, "900"), "base is outside of it .*labels of images of another size"),
    "no name": (lambda rows: rows[1].__setitem__(slice(3, 5), ["", ""]), "keypoints: ''; valid: names of keypoints"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_right_is_one_line_and_nothing_is_added(tmp_path: Path, case: str) -> None:
    edit, expected = BAD[case]
    file = change(label_formats.deeplabcut(tmp_path), edit)
    with pytest.raises(DeepPoseError, match=expected) as caught:
        add_dataset("arm", [file], data_root=tmp_path / "data")
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists() or not list((tmp_path / "data").glob("[!.]*"))


def test_animals_with_other_bodyparts_are_refused(tmp_path: Path) -> None:
    file = change(several(tmp_path), lambda rows: rows[2].__setitem__(slice(3, 5), ["nose", "nose"]))
    with pytest.raises(DeepPoseError, match="individuals: 'two' has other bodyparts than 'one'"):
        read_keypoint_csv(file)
