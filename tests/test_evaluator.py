"""The mean pose, running a cascade over a split, and what the scores document holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppose_cli import evaluator, metrics
from deeppose_cli.boxes import readable_first_boxes
from deeppose_cli.errors import DeepPoseError, UsageError
from deeppose_cli.samples import Annotations
from deeppose_cli.skeleton import FLIC10, LSP14, Skeleton

Poses = NDArray[np.float64]


def split(folder: Path, n: int = 7, skeleton: Skeleton = LSP14, seed: int = 0) -> Annotations:
    """Pictures of different sizes; the blue value of each picture's pixels is its number."""
    rng = np.random.default_rng(seed)
    files, poses = [], []
    for i in range(n):
        width, height = (int(side) for side in rng.integers(30, 60, 2))
        files.append(folder / f"im{i}.png")
        cv2.imwrite(str(files[-1]), np.full((height, width, 3), (i, 0, 0), np.uint8))
        poses.append(rng.uniform(0, [width, height], (len(skeleton), 2)))
    return Annotations(
        skeleton, tuple(files), np.array(poses), np.full((n, 4), np.nan), tuple(file.name for file in files)
    )


class Oracle:
    """Knows the picture by its colour. Stage 1 is 5 px off, stage 2 right; says what it was asked."""

    num_stages = 2

    def __init__(self, truth: Annotations) -> None:
        self.truth, self.skeleton, self.asked = truth, truth.skeleton, []  # type: ignore[var-annotated]

    def predict(self, pictures: Sequence[NDArray[np.uint8]], boxes: Poses, /) -> SimpleNamespace:
        numbers = [int(picture[0, 0, 2]) for picture in pictures]
        self.asked.append((numbers, boxes.copy()))
        right = self.truth.keypoints[numbers]
        return SimpleNamespace(poses=np.stack([right + 5, right]))


# --- Mean pose -------------------------------------------------------------------------------------------------------


def test_the_mean_pose_is_the_mean_of_relative_positions_put_into_each_box() -> None:
    """Two people at the same place of their boxes, and one joint that only one of them shows."""
    train_boxes, test_boxes = np.array([[10, 10, 20, 40], [100, 50, 40, 10.0]]), np.array([[0, 0, 100, 200.0]])
    points = np.zeros((2, 14, 2))
    points[0], points[1] = (15, 20), (110, 52.5)  # both a quarter of the box right of and below its centre
    points[1, 3] = np.nan
    points[0, 4], points[1, 4] = (10, 10), (120, 50)  # 0 and a half box right: a quarter in the mean
    points[:, 5] = np.nan
    train = Annotations(LSP14, (Path("a"), Path("b")), points, train_boxes, ("a", "b"))
    found = evaluator.mean_pose_predictions(train, train_boxes, test_boxes)
    assert found.shape == (1, 14, 2)
    assert found[0, 0].tolist() == found[0, 3].tolist() == [25, 50]
    assert found[0, 4].tolist() == [25, 0]
    assert np.isnan(found[0, 5]).all()


def test_the_mean_pose_is_the_same_place_in_every_box(tmp_path: Path) -> None:
    train = split(tmp_path)
    boxes = readable_first_boxes(train, "image")
    found = evaluator.mean_pose_predictions(train, boxes, boxes)
    relative = (found - boxes[:, None, :2]) / boxes[:, None, 2:]
    assert np.ptp(relative, axis=0).max() < 1e-9


# --- Boxes and cascades ----------------------------------------------------------------------------------------------


def test_a_picture_that_is_gone_has_no_box_and_the_others_keep_theirs(tmp_path: Path) -> None:
    part = split(tmp_path)
    whole = readable_first_boxes(part, "image")
    part.files[2].unlink()
    boxes = readable_first_boxes(part, "own")
    assert np.isnan(boxes[2]).all()
    np.testing.assert_array_equal(np.delete(boxes, 2, 0), np.delete(whole, 2, 0))
    with pytest.raises(UsageError):
        readable_first_boxes(part, "none")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_poses_and_boxes_stay_with_their_picture_in_batches_of_any_size(tmp_path: Path, batch_size: int) -> None:
    part = split(tmp_path)
    boxes = readable_first_boxes(part, "image")
    oracle, told = Oracle(part), []
    poses = evaluator.predict_split(oracle, part, boxes, batch_size, told.append)
    np.testing.assert_array_equal(poses, [part.keypoints + 5, part.keypoints])
    assert sum(told) == 7
    assert max(len(numbers) for numbers, _ in oracle.asked) <= batch_size
    for numbers, asked in oracle.asked:
        np.testing.assert_array_equal(asked, boxes[numbers])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_unreadable_picture_is_reported_and_counts_as_wrong(
    tmp_path: Path, batch_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    part = split(tmp_path)
    boxes = readable_first_boxes(part, "image")
    part.files[4].write_bytes(b"no picture")
    poses = evaluator.predict_split(Oracle(part), part, boxes, batch_size)
    assert np.isnan(poses[:, 4]).all()
    np.testing.assert_array_equal(np.delete(poses[1], 4, 0), np.delete(part.keypoints, 4, 0))
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith(f"skipped: {part.files[4]}: ")
    assert metrics.pdj(poses[1], part.keypoints, LSP14) == pytest.approx(6 / 7)
    caught: list[DeepPoseError] = []
    evaluator.predict_split(Oracle(part), part, boxes, batch_size, on_unreadable=caught.append)
    assert len(caught) == 1


def test_poses_of_another_skeleton_are_matched_by_name() -> None:
    poses = np.arange(2 * 14 * 2.0).reshape(2, 14, 2)
    found = evaluator.to_skeleton(poses, LSP14, FLIC10)
    assert found.shape == (2, 10, 2)
    for j, joint in enumerate(FLIC10.joints):
        if joint in LSP14.joints:
            np.testing.assert_array_equal(found[:, j], poses[:, LSP14.index(joint)])
        else:
            assert joint == "nose"
            assert np.isnan(found[:, j]).all()
    np.testing.assert_array_equal(evaluator.to_skeleton(poses, LSP14, LSP14), poses)


# --- The document ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skeleton", [LSP14, FLIC10])
def test_a_row_holds_every_metric_by_kind(skeleton: Skeleton) -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(0, 100, (50, len(skeleton), 2))
    pred = truth + rng.normal(0, 10, truth.shape)
    row = evaluator.scores("stage 1", pred, truth, skeleton, "mean", 0.1)
    kinds = list(skeleton.joint_kinds)
    limbs = ["upper_arm", "lower_arm", *(["upper_leg", "lower_leg"] if skeleton is LSP14 else []), "torso"]
    limbs += ["head"] if skeleton is LSP14 else []
    assert list(row) == ["name", "pdj", "pcp", "pck", "curve"]
    assert list(row["pdj"]["joints"]) == list(row["pck"]["joints"]) == kinds
    assert list(row["pcp"]["limbs"]) == limbs
    assert list(row["curve"]) == ["thresholds", *kinds]
    assert row["curve"]["thresholds"][20] == row["pdj"]["threshold"] == 0.2
    assert {kind: row["curve"][kind][20] for kind in kinds} == row["pdj"]["joints"]

    elbows = metrics.pdj(pred, truth, skeleton)[[skeleton.index("left_elbow"), skeleton.index("right_elbow")]]
    assert row["pdj"]["joints"]["elbow"] == pytest.approx(elbows.mean(), abs=1e-6)
    weights = [len(skeleton.joint_kinds[kind]) for kind in kinds]
    for part in ("pdj", "pck"):
        mean = np.average(list(row[part]["joints"].values()), weights=weights)
        assert row[part]["mean"] == pytest.approx(mean, abs=2e-6)
    curves = np.array([row["curve"][kind] for kind in kinds])
    areas = (curves[:, 1:] + curves[:, :-1]).mean(1) / 2
    assert row["pdj"]["auc"] == pytest.approx(np.average(areas, weights=weights), abs=2e-6)
    arms_legs = [row["pcp"]["limbs"][kind] for kind in limbs if kind[:5] in ("upper", "lower")]
    assert row["pcp"]["mean_arms_legs"] == pytest.approx(np.mean(arms_legs), abs=2e-6)
    assert row["pcp"]["mean"] == pytest.approx(np.mean(list(row["pcp"]["limbs"].values())), abs=2e-6)
    assert (row["pcp"]["rule"], row["pck"]["alpha"]) == ("mean", 0.1)


def test_where_nothing_is_labelled_the_document_says_null() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (3, 14, 2))
    truth[:, [LSP14.index("left_wrist"), LSP14.index("right_wrist")]] = np.nan
    row = evaluator.scores("x", truth, truth, LSP14)
    document = json.loads(json.dumps(evaluator.document("lsp", "test", 3, [row], run=None), allow_nan=False))
    assert document["rows"][0]["pdj"]["joints"]["wrist"] is None
    assert document["rows"][0]["pcp"]["limbs"]["lower_arm"] is None
    assert document["rows"][0]["pdj"]["mean"] == document["rows"][0]["pcp"]["mean_arms_legs"] == 1
    assert document["rows"][0]["curve"]["wrist"] == [None] * 51
    assert list(document) == ["data", "split", "images", "run", "rows"]


def test_the_table_of_images_says_what_is_not_labelled_and_what_not_predicted(tmp_path: Path) -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (3, 14, 2))
    pred = truth.copy()
    a, b = LSP14.torso_index
    pred[0, 0] += (truth[0, a] - truth[0, b]) / 2
    truth[1, 5], pred[1, 6] = np.nan, np.nan
    truth[2, a] = np.nan
    evaluator.write_per_image(tmp_path / "t.csv", ("p", "q,r", "s"), {"one": pred, "two": truth}, truth, LSP14)
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["image"], row["row"]) for row in rows[:4]] == [
        ("p", "one"),
        ("q,r", "one"),
        ("s", "one"),
        ("p", "two"),
    ]
    assert rows[0]["right_ankle"] == "0.5000"
    assert rows[0]["pdj"] == f"{13 / 14:.4f}"
    assert (rows[1]["left_ankle"], rows[1]["right_wrist"], rows[1]["pdj"]) == ("", "inf", f"{12 / 13:.4f}")
    assert rows[2]["pdj"] == rows[2]["neck"] == ""


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 7, 40])
def test_best_median_and_worst_are_that(n: int) -> None:
    rng = np.random.default_rng(n)
    truth = rng.uniform(0, 100, (n + 1, 14, 2))
    pred = truth + rng.uniform(0, 60, (n + 1, 1, 1))
    truth[n] = np.nan  # cannot be ranked
    picks = evaluator.best_median_worst(pred, truth, LSP14, each=2)
    rank = evaluator.per_image_pdj(pred, truth, LSP14)
    chosen = [i for images in picks.values() for i in images]
    assert len(chosen) == len(set(chosen)) == min(n, 6)
    assert n not in chosen
    assert rank[picks["best"][0]] == np.nanmax(rank)
    if "worst" in picks:
        assert rank[picks["worst"][-1]] == np.nanmin(rank)
    if n == 40:
        assert list(picks) == ["best", "median", "worst"]
        assert all(np.mean(rank[:n] >= rank[i]) > 0.4 or rank[i] == np.median(rank[:n]) for i in picks["median"])
        errors = metrics.torso_errors(pred, truth, LSP14)[:n].clip(max=2).mean(1)
        order = np.argsort(errors)  # one shift for all joints: the share detected falls with the error
        assert {int(i) for i in order[18:22]} >= set(picks["median"]) or len(set(rank[:n])) < 5
