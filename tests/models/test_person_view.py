"""The view of the whole person: its place, its turn and the merging of two poses."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from deeppose_cli.core.geometry import mirror_points, turn_matrix, turn_points
from deeppose_cli.core.skeleton import LSP14, Skeleton
from deeppose_cli.models.cascade import Cascade, CropBatch, Stage, StageModel, StageOutput
from deeppose_cli.models.person_view import AGREEMENT, SIDE_BOUNDS, merge_poses, place_person_crops, upright_angles

HIPS = [LSP14.index("left_hip"), LSP14.index("right_hip")]
SHOULDERS = [LSP14.index("left_shoulder"), LSP14.index("right_shoulder")]


def standing(rng: np.random.Generator) -> np.ndarray:
    """(14, 2) a person with shoulders above hips, about 100 px tall, in an image of 200 × 200 px."""
    pose = rng.uniform(70, 130, (14, 2))
    for pair, y in ((HIPS, 110.0), (SHOULDERS, 80.0)):
        pose[pair] = [[90.0, y], [110.0, y]]
    return pose


def test_turned_points_are_those_of_opencv() -> None:
    points, centre = np.array([[3.0, 4.0], [10.0, -2.0]]), (5.0, 7.0)
    matrix = cv2.getRotationMatrix2D(centre, 33.0, 1.0)
    np.testing.assert_allclose(turn_matrix(np.array(centre), 33.0), matrix, atol=1e-12)
    turned = turn_points(points, np.array(centre), np.array(33.0))
    np.testing.assert_allclose(turned, points @ matrix[:, :2].T + matrix[:, 2], atol=1e-9)


@pytest.mark.parametrize("angle", [-170, -90, -20, 0, 45, 120, 180])
def test_a_turned_person_stands_upright_in_the_crop(angle: int) -> None:
    rng = np.random.default_rng(angle + 200)
    upright = standing(rng)
    pose = turn_points(upright, np.array([100.0, 100.0]), np.array(-float(angle)))
    boxes, angles = place_person_crops(pose[None], np.array([[100.0, 100, 200, 200]]), LSP14, 1.3)
    assert math.cos(math.radians(angles[0] - angle)) == pytest.approx(1)
    turned = turn_points(pose, boxes[0, :2], angles[0])
    offset = turned - boxes[0, :2]
    np.testing.assert_allclose(turned[SHOULDERS].mean(0)[0], turned[HIPS].mean(0)[0], atol=1e-9)
    assert turned[SHOULDERS].mean(0)[1] < turned[HIPS].mean(0)[1]
    extent = np.ptp(upright, axis=0).max()
    assert boxes[0, 2] == boxes[0, 3] == pytest.approx(1.3 * extent)
    np.testing.assert_allclose(offset.max(0), -offset.min(0), atol=1e-9), "the pose lies in the middle of the box"


def test_a_mirrored_person_has_the_mirrored_crop() -> None:
    rng = np.random.default_rng(3)
    poses, first = rng.uniform(20, 180, (5, 14, 2)), np.tile([99.5, 99.5, 200.0, 200.0], (5, 1))
    boxes, angles = place_person_crops(poses, first, LSP14, 1.3)
    mirrored, mirrored_angles = place_person_crops(mirror_points(poses, 200, LSP14), first, LSP14, 1.3)
    np.testing.assert_allclose(mirrored_angles, -angles)
    np.testing.assert_allclose(mirrored[:, 0], 199 - boxes[:, 0])
    np.testing.assert_allclose(mirrored[:, 1:], boxes[:, 1:])


def test_bad_poses_give_a_crop_of_bounded_size_and_unlabelled_joints_do_not_count() -> None:
    first = np.tile([50.0, 50.0, 100.0, 100.0], (4, 1))
    poses = np.random.default_rng(4).uniform(30, 70, (4, 14, 2))
    poses[0] = np.nan
    poses[1] = 50.0
    poses[2] *= 1000
    poses[3, 0] = np.nan
    boxes, angles = place_person_crops(poses, first, LSP14, 1.3)
    np.testing.assert_array_equal(boxes[:2], first[:2])
    np.testing.assert_array_equal(angles[:2], 0)
    assert boxes[2, 2] == SIDE_BOUNDS[1] * 100
    rest = Skeleton("rest", LSP14.joints[1:])
    np.testing.assert_allclose(boxes[3], place_person_crops(poses[3:, 1:], first[3:], rest, 1.3)[0][0])
    assert np.isfinite(boxes).all()


def test_a_skeleton_without_a_torso_is_not_turned() -> None:
    arm = Skeleton("arm", ("base", "elbow", "tip"))
    assert upright_angles(np.array([[[0.0, 0], [5, 9], [20, 3]]]), arm).tolist() == [0.0]


def test_merged_poses_are_those_of_a_loop_over_joints() -> None:
    rng = np.random.default_rng(5)
    count = 40
    before = np.stack([standing(rng) for _ in range(count)])
    after = before + rng.normal(0, 8, before.shape)
    masses = rng.uniform(0.05, 1, (2, count, 14))
    first = np.tile([100.0, 100, 200, 200], (count, 1))
    merged, mass = merge_poses(before, masses[0], after, masses[1], first, LSP14)
    apart = 0
    for image in range(count):
        torso = math.dist(before[image, LSP14.index("left_shoulder")], before[image, LSP14.index("right_hip")])
        for joint in range(14):
            old, new, a, b = before[image, joint], after[image, joint], *masses[:, image, joint]
            if math.dist(old, new) <= AGREEMENT * torso:
                expected = (a**2 * old + b**2 * new) / (a**2 + b**2)
            else:
                expected, apart = (old if a > b else new), apart + 1
            np.testing.assert_allclose(merged[image, joint], expected)
            assert mass[image, joint] == max(a, b)
    assert 50 < apart < count * 14 - 50


def test_without_peak_masses_the_later_stage_counts() -> None:
    before, after = np.zeros((1, 14, 2)), np.ones((1, 14, 2))
    nothing, some, first = np.full((1, 14), np.nan), np.full((1, 14), 0.9), np.array([[5.0, 5, 10, 10]])
    for masses in ((nothing, some), (some, nothing), (nothing, nothing)):
        merged, mass = merge_poses(before, masses[0], after, masses[1], first, LSP14)
        np.testing.assert_array_equal(merged, after)
        np.testing.assert_array_equal(np.isnan(mass), np.isnan(masses[1]))


class Constant(StageModel):
    """Predicts the same normalized coordinates for every crop."""

    def __init__(self, coordinates: np.ndarray, mass: float) -> None:
        self.coordinates, self.mass = coordinates, mass

    def predict(self, crops: CropBatch) -> StageOutput:
        count = len(crops.pixels)
        return StageOutput(np.tile(self.coordinates, (count, 1, 1)), np.full((count, len(self.coordinates)), self.mass))


class ColorReader(StageModel):
    """Finds each joint in the crop by the color of its dot."""

    def __init__(self, colors: np.ndarray) -> None:
        self.colors = colors

    def predict(self, crops: CropBatch) -> StageOutput:
        side, found = crops.pixels.shape[1], []
        for pixels in crops.pixels:
            distance = np.abs(pixels[None].astype(int) - self.colors[:, None, None]).sum(-1)
            rows, columns = np.unravel_index(distance.reshape(len(self.colors), -1).argmin(-1), (side, side))
            found.append((np.stack([columns, rows], axis=-1) + 0.5) / side - 0.5)
        return StageOutput(np.stack(found), np.ones((len(found), len(self.colors))))


@pytest.mark.parametrize("angle", [0, 30, 145, -100])
def test_points_found_in_the_turned_crop_are_those_of_the_image(angle: int) -> None:
    """Dots of 14 colors in an image; stage 1 is off, stage 2 reads the dots in its own crop."""
    colors = np.array([(40 + 70 * (k % 3), 40 + 70 * (k // 3 % 3), 60 + 90 * (k // 9)) for k in range(14)])
    across, down = np.meshgrid([-20.0, 0, 20], [-40.0, -20, 0, 20, 40])
    grid = np.stack([across.ravel(), down.ravel()], -1)
    order = [0, 1, 9, 11, 2, 4, 5, 6, 3, 8, 10, 12, 13, 14]
    upright = grid[order] + 100
    truth = turn_points(upright, np.array([100.0, 100.0]), np.array(-float(angle)))
    image = np.zeros((200, 200, 3), np.uint8)
    for color, point in zip(colors, truth, strict=True):
        cv2.circle(image, np.round(point).astype(int).tolist(), 4, color.tolist(), cv2.FILLED)
    first = np.array([[99.5, 99.5, 200.0, 200.0]])
    off = (truth - first[0, :2]) / 200 + np.array([0.04, 0.0])
    stages = [Stage(Constant(off, 0.01), 32), Stage(ColorReader(colors), 128, 1.3, "person")]
    result = Cascade(LSP14, stages, square_initial_box=True).predict([image], first)
    assert np.abs(result.poses[1, 0] - truth).max() < 5
    assert np.abs(result.poses[0, 0] - truth).max() > 7
    assert result.angles[1, 0] == pytest.approx(upright_angles(result.poses[0], LSP14)[0])
    assert (result.boxes[1, 0] == result.boxes[1, 0, 0]).all()
