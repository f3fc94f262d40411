"""The crops of `data show` are those of training: dots of the joints' own colors lie at the labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deeppose_cli.config.schema import Augmentation, RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import diameter
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import InitialTrainDataset, RefinementTrainDataset
from deeppose_cli.data.preview.sample_views import (
    Crop,
    InitialSettings,
    RefinementSettings,
    initial_views,
    refinement_views,
)
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.models.displacement import Displacement
from tests.helpers import dots

MOVING = Augmentation(flip=0.5, translate=0.03, scale=0.05, rotate=15.0)
INITIAL = InitialSettings(StagePreset(input_size=160, augmentation=MOVING), square=True, seed=4)
REFINEMENT = RefinementSettings(
    RefinementPreset(input_size=160, augmentation=MOVING, crops_per_visit=3), square=True, seed=4, sigma=1.5
)
ROWS = [2, 0]


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    return dots.annotations(tmp_path_factory.mktemp("dots"), 3)


@pytest.fixture
def boxes(everyone: Annotations) -> np.ndarray:
    """Initial boxes of the shown rows only."""
    found = initial_boxes(everyone).boxes
    found[1] = np.nan
    return found


def dots_of(crop: Crop) -> tuple[int, int]:
    """How many labels inside the crop lie on a dot of their joint's own color, and of their partner's."""
    own = partners = 0
    for joint, place in enumerate(crop.keypoints):
        if not (np.abs(place - 79.5) < 60).all():
            continue
        for color in {joint, LSP14.mirror[joint]}:
            found = dots.find(crop.pixels, color)
            if found is not None and np.linalg.norm(found - place) < 1.5:
                own, partners = own + (color == joint), partners + (color != joint)
    return own, partners


def test_labels_lie_on_the_joints_of_the_stage_1_input(everyone: Annotations, boxes: np.ndarray) -> None:
    for view in initial_views(everyone, boxes, ROWS, INITIAL, 0):
        assert view.varied == []
        own, partners = dots_of(view.plain)
        assert (own, partners) == (int((np.abs(view.plain.keypoints - 79.5) < 60).all(-1).sum()), 0)
        assert own >= 6


def test_copies_are_varied_and_labels_follow_mirrored_ones_with_sides_swapped(
    everyone: Annotations, boxes: np.ndarray
) -> None:
    mirrored = {True: 0, False: 0}
    for view in initial_views(everyone, boxes, ROWS, INITIAL, 6):
        assert len({crop.pixels.tobytes() for crop in view.varied}) == 6
        for crop in view.varied:
            own, partners = dots_of(crop)
            assert own + partners >= 5
            # Neck and head are their own partners.
            is_mirrored = partners > own
            assert min(partners, max(own - 2, 0)) == 0
            mirrored[is_mirrored] += 1
    assert min(mirrored.values()) > 0


def test_copies_are_those_of_a_training_with_the_same_seed(everyone: Annotations, boxes: np.ndarray) -> None:
    training = InitialTrainDataset(everyone, initial_boxes(everyone).boxes, True, INITIAL.stage, INITIAL.seed)
    for row, view in zip(ROWS, initial_views(everyone, boxes, ROWS, INITIAL, 2), strict=True):
        for epoch, crop in enumerate(view.varied):
            np.testing.assert_array_equal(crop.pixels, training[SampleKey(epoch, row, 0)]["image"])


def test_each_photometric_change_of_the_settings_is_there_alone(everyone: Annotations, boxes: np.ndarray) -> None:
    settings = replace(INITIAL, stage=replace(INITIAL.stage, augmentation=replace(MOVING, color=0.5, jpeg=0.1)))
    for plain, view in zip(
        initial_views(everyone, boxes, ROWS, INITIAL, 0), initial_views(everyone, boxes, ROWS, settings, 0), strict=True
    ):
        assert plain.photometric == {}
        assert list(view.photometric) == ["color", "jpeg"]
        for crop in view.photometric.values():
            np.testing.assert_array_equal(crop.keypoints, view.plain.keypoints)
            assert (crop.pixels != view.plain.pixels).any(), "although only some epochs have it"


def test_without_a_run_refinement_crops_lie_around_the_labels(everyone: Annotations, boxes: np.ndarray) -> None:
    for row, view in zip(ROWS, refinement_views(everyone, boxes, ROWS, REFINEMENT), strict=True):
        labels = everyone.keypoints[row]
        np.testing.assert_allclose(view.boxes[:, :2], labels)
        np.testing.assert_allclose(view.boxes[:, 2:], 1.5 * np.clip(diameter(labels, LSP14), 20, 120))
        assert [crop.joint for crop in view.plain] == list(range(14))
        for crop in view.plain:
            found = dots.find(crop.pixels, crop.joint or 0)
            np.testing.assert_allclose(found, [79.5, 79.5], atol=1.0)
            np.testing.assert_allclose(crop.keypoints[crop.joint], [79.5, 79.5], atol=1e-3)


def test_with_a_runs_poses_refinement_crops_lie_around_them(everyone: Annotations, boxes: np.ndarray) -> None:
    shift = np.array([8.0, -5.0])
    poses = everyone.keypoints[ROWS] + shift
    for view, labels in zip(
        refinement_views(everyone, boxes, ROWS, REFINEMENT, poses), everyone.keypoints[ROWS], strict=True
    ):
        np.testing.assert_allclose(view.pose, labels + shift)
        np.testing.assert_allclose(view.boxes[:, :2], labels + shift)
        for crop in view.plain:
            expected = 79.5 - shift * 160 / view.boxes[0, 2]
            np.testing.assert_allclose(dots.find(crop.pixels, crop.joint or 0), expected, atol=1.0)
            np.testing.assert_allclose(crop.keypoints[crop.joint], expected, atol=1e-3)


def test_augmented_refinement_crops_are_displaced_as_in_training(everyone: Annotations, boxes: np.ndarray) -> None:
    displacement = Displacement(((0.05, 0.1),) * 14, ((0.1, 0.1),) * 14)
    settings = replace(REFINEMENT, displacement=displacement)
    training = RefinementTrainDataset(
        everyone, initial_boxes(everyone).boxes, True, replace(settings.stage, crops_per_visit=1), 1.5, displacement, 4
    )
    for row, view in zip(ROWS, refinement_views(everyone, boxes, ROWS, settings), strict=True):
        example = training[SampleKey(0, row, 0)]
        np.testing.assert_array_equal([crop.pixels for crop in view.varied], example["image"])
        offsets = [np.linalg.norm(crop.keypoints[crop.joint] - 79.5) for crop in view.varied]
        assert min(offsets) > 0.5


def test_joints_without_a_label_have_no_refinement_crop(tmp_path: Path) -> None:
    some = dots.annotations(tmp_path, 2)
    some.keypoints[0, 3] = np.nan
    some.keypoints[1] = np.nan
    first, second = refinement_views(some, initial_boxes(some).boxes, [0, 1], REFINEMENT)
    assert [crop.joint for crop in first.plain] == [j for j in range(14) if j != 3]
    assert np.isnan(first.boxes[3]).any()
    assert second.plain == second.varied == []
