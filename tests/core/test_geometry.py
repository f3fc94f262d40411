"""N and its inverse, boxes, diameters, mirroring: properties."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from deeppose_cli.core.geometry import (
    Box,
    bounded_diameter,
    crop_matrix,
    denormalise,
    diameter,
    joint_boxes,
    mirror_points,
    normalise,
)
from deeppose_cli.core.skeleton import FLIC10, LSP14, Skeleton

pixels = st.floats(-1000, 1000, width=32)
sides = st.floats(0.5, 2000, width=32)
boxes = st.tuples(pixels, pixels, sides, sides).map(lambda values: Box(*values))
poses = arrays(np.float64, (14, 2), elements=pixels)
skeletons = pytest.mark.parametrize("skeleton", [LSP14, FLIC10], ids=lambda skeleton: skeleton.name)


@given(poses, boxes)
def test_denormalise_undoes_normalise(pose: np.ndarray, box: Box) -> None:
    there = normalise(pose, np.array(box))
    np.testing.assert_allclose(denormalise(there, np.array(box)), pose, atol=1e-6)


@given(boxes)
def test_points_inside_the_box_lie_within_half_a_unit(box: Box) -> None:
    cx, cy, w, h = box
    corners = np.array([[cx - w / 2, cy - h / 2], [cx + w / 2, cy + h / 2]])
    np.testing.assert_allclose(normalise(corners, np.array(box)), [[-0.5, -0.5], [0.5, 0.5]], atol=1e-6)


def test_torch_and_numpy_agree() -> None:
    pose, box = np.arange(28.0).reshape(14, 2), np.array([3.0, 4.0, 5.0, 6.0])
    np.testing.assert_array_equal(
        normalise(torch.from_numpy(pose), torch.from_numpy(box)).numpy(), normalise(pose, box)
    )


@skeletons
@given(data=st.data())
def test_mirroring_twice_is_the_identity(skeleton: Skeleton, data: st.DataObject) -> None:
    pose = data.draw(arrays(np.float64, (len(skeleton), 2), elements=pixels))
    width = data.draw(st.integers(1, 2000))
    np.testing.assert_allclose(mirror_points(mirror_points(pose, width, skeleton), width, skeleton), pose, atol=1e-9)


@skeletons
def test_the_mirrored_left_wrist_is_a_right_wrist(skeleton: Skeleton) -> None:
    pose = np.zeros((len(skeleton), 2))
    pose[skeleton.index("left_wrist")] = 3, 7
    mirrored = mirror_points(pose, 10, skeleton)
    assert mirrored[skeleton.index("right_wrist")].tolist() == [6, 7]
    assert mirrored[skeleton.index("left_wrist")].tolist() == [9, 0]
    assert mirrored[skeleton.index("neck")].tolist() == [9, 0]


def test_the_full_images_box_covers_every_pixel() -> None:
    cx, cy, w, h = Box.of_image(7, 4)
    assert (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2) == (-0.5, -0.5, 6.5, 3.5)


@given(boxes, st.integers(8, 256), pixels, pixels)
def test_the_crop_matrix_is_the_normalisation(box: Box, size: int, x: float, y: float) -> None:
    norm = normalise(np.array([x, y]), np.array(box))
    in_crop = crop_matrix(box, size) @ np.array([x, y, 1.0])
    np.testing.assert_allclose(in_crop, (norm + 0.5) * size - 0.5, rtol=1e-6, atol=1e-3)


def test_a_box_can_be_pickled_and_copied() -> None:
    box = Box(1.5, 2, 3, 4)
    for copied in (pickle.loads(pickle.dumps(box)), copy.deepcopy(box)):
        assert copied == box
        assert isinstance(copied, Box)


def test_boxes_around_points_ignore_missing_ones() -> None:
    points = np.array([[1.0, 2.0], [np.nan, np.nan], [5.0, 10.0]])
    assert Box.around(points) == (3, 6, 4, 8)
    with pytest.raises(ValueError, match="no labelled joint"):
        Box.around(np.full((3, 2), np.nan))


def test_the_diameter_is_left_shoulder_to_right_hip() -> None:
    pose = np.zeros((14, 2))
    pose[LSP14.index("left_shoulder")] = 3, 0
    pose[LSP14.index("right_hip")] = 0, 4
    assert diameter(pose, LSP14) == 5


@given(arrays(np.float64, (3, 14, 2), elements=pixels), arrays(np.float64, (3, 4), elements=sides))
def test_a_predicted_diameter_stays_within_bounds(found: np.ndarray, first: np.ndarray) -> None:
    held = bounded_diameter(found, first, LSP14, (0.1, 0.6))
    longer = first[:, 2:].max(-1)
    assert (held >= 0.1 * longer - 1e-9).all()
    assert (held <= 0.6 * longer + 1e-9).all()


def test_degenerate_poses_give_a_crop_all_the_same() -> None:
    first = np.array([[50.0, 50.0, 100.0, 80.0]])
    for pose in (np.zeros((1, 14, 2)), np.full((1, 14, 2), np.nan)):
        assert bounded_diameter(pose, first, LSP14, (0.1, 0.6)) == pytest.approx([10.0])


def test_joint_boxes_are_squares_around_the_joints() -> None:
    centres = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    np.testing.assert_array_equal(joint_boxes(centres, np.array([[6.0, 8.0]])), [[[1, 2, 6, 6], [3, 4, 8, 8]]])
