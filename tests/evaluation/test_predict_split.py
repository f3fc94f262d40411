"""The mean pose, running a cascade over a split, and poses of one skeleton in another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, PEOPLE19, Skeleton
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation import metrics, predict_split

Poses = NDArray[np.float64]


def split(folder: Path, n: int = 7, skeleton: Skeleton = LSP14, seed: int = 0) -> Annotations:
    """Images of different sizes; the blue value of each image's pixels is its number."""
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
    """Recognizes the image by its color. Stage 1 is 5 px off, stage 2 right. Records its inputs."""

    num_stages = 2

    def __init__(self, truth: Annotations) -> None:
        self.truth, self.skeleton, self.calls = truth, truth.skeleton, []  # type: ignore[var-annotated]
        self.flip_test: bool | None = None

    def predict(self, images: Sequence[NDArray[np.uint8]], boxes: Poses, /, *, flip_test: bool) -> SimpleNamespace:
        self.flip_test = flip_test
        numbers = [int(image[0, 0, 2]) for image in images]
        self.calls.append((numbers, boxes.copy()))
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
    found = predict_split.mean_pose_row(train, train_boxes, train, test_boxes).poses
    assert found.shape == (1, 14, 2)
    assert found[0, 0].tolist() == found[0, 3].tolist() == [25, 50]
    assert found[0, 4].tolist() == [25, 0]
    assert np.isnan(found[0, 5]).all()


def test_the_mean_pose_is_the_same_place_in_every_box(tmp_path: Path) -> None:
    train = split(tmp_path)
    boxes = initial_boxes(train, "image").boxes
    found = predict_split.mean_pose_row(train, boxes, train, boxes).poses
    relative = (found - boxes[:, None, :2]) / boxes[:, None, 2:]
    assert np.ptp(relative, axis=0).max() < 1e-9


# --- Boxes and cascades ----------------------------------------------------------------------------------------------


def test_an_image_that_is_gone_has_no_box_and_the_others_keep_theirs(tmp_path: Path) -> None:
    part = split(tmp_path)
    whole = initial_boxes(part, "image").boxes
    part.files[2].unlink()
    boxes = initial_boxes(part, "own").boxes
    assert np.isnan(boxes[2]).all()
    np.testing.assert_array_equal(np.delete(boxes, 2, 0), np.delete(whole, 2, 0))
    with pytest.raises(UsageError):
        initial_boxes(part, "none")


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_poses_and_boxes_stay_with_their_image_in_batches_of_any_size(tmp_path: Path, batch_size: int) -> None:
    part = split(tmp_path)
    boxes = initial_boxes(part, "image").boxes
    oracle, steps = Oracle(part), []  # type: ignore[var-annotated]
    poses = predict_split.predict_split(oracle, part, boxes, batch_size, lambda *step: steps.append(step))
    np.testing.assert_array_equal(poses, [part.keypoints + 5, part.keypoints])
    assert steps[-1] == ("predicting", 7, 7)
    assert max(len(numbers) for numbers, _ in oracle.calls) <= batch_size
    for numbers, used in oracle.calls:
        np.testing.assert_array_equal(used, boxes[numbers])


@pytest.mark.parametrize("flip_test", [False, True])
def test_the_flip_test_is_the_cascades(tmp_path: Path, flip_test: bool) -> None:
    part = split(tmp_path)
    oracle = Oracle(part)
    predict_split.predict_split(oracle, part, initial_boxes(part, "image").boxes, flip_test=flip_test)
    assert oracle.flip_test is flip_test


@pytest.mark.parametrize("batch_size", [1, 3])
def test_an_unreadable_image_is_reported_and_counts_as_wrong(
    tmp_path: Path, batch_size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    part = split(tmp_path)
    boxes = initial_boxes(part, "image").boxes
    part.files[4].write_bytes(b"no image")
    poses = predict_split.predict_split(Oracle(part), part, boxes, batch_size)
    assert np.isnan(poses[:, 4]).all()
    np.testing.assert_array_equal(np.delete(poses[1], 4, 0), np.delete(part.keypoints, 4, 0))
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.startswith(f"skipped: {part.files[4]}: ")
    assert metrics.pdj(poses[1], part.keypoints, LSP14) == pytest.approx(6 / 7)
    caught: list[DeepPoseError] = []
    predict_split.predict_split(Oracle(part), part, boxes, batch_size, unreadable=caught)
    assert len(caught) == 1


def test_poses_of_another_skeleton_are_matched_by_name() -> None:
    poses = np.arange(2 * 14 * 2.0).reshape(2, 14, 2)
    found = predict_split.to_skeleton(poses, LSP14, FLIC10)
    assert found.shape == (2, 10, 2)
    for j, joint in enumerate(FLIC10.joints):
        if joint == "neck":
            continue  # made of the shoulders: below
        if joint in LSP14.joints:
            np.testing.assert_array_equal(found[:, j], poses[:, LSP14.index(joint)])
        else:
            assert joint == "nose"
            assert np.isnan(found[:, j]).all()
    np.testing.assert_array_equal(predict_split.to_skeleton(poses, LSP14, LSP14), poses)


def test_the_mid_hip_of_a_model_with_hips_is_their_mean() -> None:
    poses = np.random.default_rng(0).uniform(0, 100, (2, 3, 14, 2))
    found = predict_split.to_skeleton(poses, LSP14, BUFFY10)
    hips = [poses[..., LSP14.index(f"{side}_hip"), :] for side in ("left", "right")]
    np.testing.assert_allclose(found[..., BUFFY10.index("mid_hip"), :], (hips[0] + hips[1]) / 2)
    assert np.isnan(found[..., BUFFY10.index("chin"), :]).all()


@pytest.mark.parametrize("source", [LSP14, PEOPLE19, BUFFY10], ids=lambda skeleton: skeleton.name)
def test_the_neck_that_flic_means_is_the_middle_of_the_shoulders(source: Skeleton) -> None:
    """Another point than the neck that these models learned. A model of FLIC predicts it."""
    poses = np.random.default_rng(0).uniform(0, 100, (2, 3, len(source), 2))
    found = predict_split.to_skeleton(poses, source, FLIC10)[..., FLIC10.index("neck"), :]
    shoulders = [poses[..., source.index(f"{side}_shoulder"), :] for side in ("left", "right")]
    np.testing.assert_allclose(found, (shoulders[0] + shoulders[1]) / 2)
    own = np.random.default_rng(1).uniform(0, 100, (3, len(FLIC10), 2))
    np.testing.assert_array_equal(predict_split.to_skeleton(own, FLIC10, FLIC10), own)


@pytest.mark.parametrize("target", [LSP14, BUFFY10], ids=lambda skeleton: skeleton.name)
def test_a_labelled_neck_is_taken_from_the_model_of_all_joints(target: Skeleton) -> None:
    poses = np.random.default_rng(0).uniform(0, 100, (2, len(PEOPLE19), 2))
    found = predict_split.to_skeleton(poses, PEOPLE19, target)
    for joint in {*target.joints} & {*PEOPLE19.joints}:
        np.testing.assert_array_equal(found[:, target.index(joint)], poses[:, PEOPLE19.index(joint)])


@pytest.mark.parametrize(
    ("source", "target", "lacking"),
    [
        (LSP14, LSP14, []),
        (LSP14, FLIC10, ["nose"]),
        (LSP14, BUFFY10, ["chin"]),
        (FLIC10, BUFFY10, ["chin", "head_top"]),
        (BUFFY10, FLIC10, ["nose", "left_hip", "right_hip"]),
        (PEOPLE19, LSP14, []),
        (PEOPLE19, FLIC10, []),
        (PEOPLE19, BUFFY10, ["chin"]),
        (LSP14, PEOPLE19, ["nose", *(f"{side}_{part}" for part in ("eye", "ear") for side in ("left", "right"))]),
    ],
)
def test_which_joints_of_another_set_a_model_predicts(source: Skeleton, target: Skeleton, lacking: list[str]) -> None:
    shared = predict_split.shared_joints(source, target)
    assert [joint for joint, is_shared in zip(target.joints, shared, strict=True) if not is_shared] == lacking
    poses = np.ones((1, len(source), 2))
    np.testing.assert_array_equal(~np.isnan(predict_split.to_skeleton(poses, source, target)).any((0, 2)), shared)
