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
from deeppose_cli.data.preview import columns, sheet
from deeppose_cli.data.preview.columns import Examples, initial_columns, joint_columns
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.images import read_image
from deeppose_cli.models.displacement import Displacement
from tests.helpers import dots

MOVING = Augmentation(flip=0.5, translate=0.03, scale=0.05, rotate=15.0)
INITIAL = StagePreset(input_size=160, augmentation=MOVING)
REFINEMENT = RefinementPreset(input_size=160, augmentation=MOVING, crops_per_visit=3)
SEED = 4
ROWS = [2, 0]


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells hold what they are drawn from: `input_cell` (pixels, target), `joint_cell` (pixels, target, joint)."""
    monkeypatch.setattr(sheet, "input_cell", lambda pixels, caption, skeleton=None, target=None: (pixels, target))
    monkeypatch.setattr(sheet, "joint_cell", lambda pixels, target, joint, skeleton: (pixels, target, joint))
    monkeypatch.setattr(sheet, "image_cell", lambda image, pose, boxes, skeleton, caption: (pose, boxes, caption))
    monkeypatch.setattr(columns, "JOINTS", 14)


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    return dots.annotations(tmp_path_factory.mktemp("dots"), 3)


def chosen(annotations: Annotations, rows: list[int]) -> Examples:
    """These rows; the other rows have no initial boxes."""
    boxes = np.full((len(annotations), 4), np.nan)
    boxes[rows] = initial_boxes(annotations).boxes[rows]
    images = [read_image(annotations.files[row]) for row in rows]
    return Examples(annotations, boxes, rows, images, [True, False])


@pytest.fixture
def examples(everyone: Annotations) -> Examples:
    return chosen(everyone, ROWS)


def in_px(target: np.ndarray) -> np.ndarray:
    """Normalized coordinates to px of the input."""
    return (target + 0.5) * 160 - 0.5


def dots_of(pixels: np.ndarray, target: np.ndarray) -> tuple[int, int]:
    """How many labels inside the crop lie on a dot of their joint's own color, and of their partner's."""
    own = partners = 0
    for joint, place in enumerate(in_px(target)):
        if not (np.abs(place - 79.5) < 60).all():
            continue
        for color in {joint, LSP14.mirror[joint]}:
            found = dots.find(pixels, color)
            if found is not None and np.linalg.norm(found - place) < 1.5:
                own, partners = own + (color == joint), partners + (color != joint)
    return own, partners


def test_initial_box_and_plain_input_with_labels(examples: Examples, everyone: Annotations) -> None:
    (_, whole), (_, inputs) = initial_columns(examples, INITIAL, True, SEED)[:2]
    assert [caption.partition(" px")[2] for _, _, caption in whole] == ["", ", no box found"]
    for row, (pose, [(box, _, _)], _) in zip(ROWS, whole, strict=True):
        np.testing.assert_array_equal(pose, everyone.keypoints[row])
        assert box[2] == box[3] == examples.boxes[row, 2:].max()
    for pixels, target in inputs:
        own, partners = dots_of(pixels, target)
        assert (own, partners) == (int((np.abs(in_px(target) - 79.5) < 60).all(-1).sum()), 0)
        assert own >= 6


def test_copies_are_varied_and_labels_follow_mirrored_ones_with_sides_swapped(
    examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "COPIES", 6)
    copies = [cells for _, cells in initial_columns(examples, INITIAL, True, SEED)[2:]]
    assert len({pixels.tobytes() for cells in copies for pixels, _ in cells}) == 12
    mirrored = {True: 0, False: 0}
    for cells in copies:
        for own, partners in (dots_of(*cell) for cell in cells):
            assert own + partners >= 5
            # Neck and head are their own partners.
            assert min(partners, max(own - 2, 0)) == 0
            mirrored[partners > own] += 1
    assert min(mirrored.values()) > 0


def test_copies_are_those_of_a_training_with_the_same_seed(examples: Examples, everyone: Annotations) -> None:
    training = InitialTrainDataset(everyone, initial_boxes(everyone).boxes, True, INITIAL, SEED)
    for epoch, (title, cells) in enumerate(initial_columns(examples, INITIAL, True, SEED)[2:]):
        assert title == f"stage 1, epoch {epoch + 1}"
        for row, (pixels, _) in zip(ROWS, cells, strict=True):
            np.testing.assert_array_equal(pixels, training[SampleKey(epoch, row, 0)]["image"])


def test_each_photometric_change_of_the_settings_is_there_alone(examples: Examples) -> None:
    changes = replace(INITIAL, augmentation=replace(MOVING, color=0.5, jpeg=0.1))
    plain, changed = (initial_columns(examples, settings, True, SEED) for settings in (INITIAL, changes))
    assert len(plain) == 2 + columns.COPIES
    assert [title for title, _ in changed[len(plain) :]] == ["stage 1,\ncolor alone", "stage 1,\njpeg alone"]
    for _, cells in changed[len(plain) :]:
        for (pixels, _), (unchanged, _) in zip(cells, plain[1][1], strict=True):
            assert (pixels != unchanged).any(), "although only some epochs have it"
            assert np.abs(pixels.astype(int) - unchanged).mean() < 60, "nothing moved"


def test_refinement_crops_lie_around_the_labels(examples: Examples, everyone: Annotations) -> None:
    boxes, *crops = [cells for _, cells in joint_columns(examples, REFINEMENT, True, 1.5, SEED)]
    for row, (pose, drawn, caption) in zip(ROWS, boxes, strict=True):
        labels = everyone.keypoints[row]
        side = 1.5 * np.clip(diameter(labels, LSP14), 20, 120)
        np.testing.assert_array_equal(pose, labels)
        np.testing.assert_allclose([[*box] for box, _, _ in drawn], [[*label, side, side] for label in labels])
        assert caption == f"side {side:.0f} px"
        assert {width for _, _, width in drawn} == {3}
    for cells in crops[:14]:
        for pixels, target, joint in cells:
            np.testing.assert_allclose(dots.find(pixels, joint), [79.5, 79.5], atol=1.0)
            np.testing.assert_allclose(target[joint], [0, 0], atol=1e-5)


def test_augmented_refinement_crops_are_those_of_training(examples: Examples, everyone: Annotations) -> None:
    still = Displacement(((0.0, 0.0),) * 14, ((0.0, 0.0),) * 14)
    once = replace(REFINEMENT, crops_per_visit=1)
    boxes = initial_boxes(everyone).boxes
    training = RefinementTrainDataset(everyone, boxes, True, once, 1.5, still, SEED)
    crops = joint_columns(examples, REFINEMENT, True, 1.5, SEED)[15:]
    for i, row in enumerate(ROWS):
        example = training[SampleKey(0, row, 0)]
        for pixels, target, joint in (cells[i] for _, cells in crops):
            np.testing.assert_array_equal(pixels, example["image"][joint])
            np.testing.assert_array_equal(target, example["target"][joint])


def test_joints_without_a_label_have_no_refinement_crop(tmp_path: Path) -> None:
    some = dots.annotations(tmp_path, 2)
    some.keypoints[0, 3] = np.nan
    some.keypoints[1] = np.nan
    (_, boxes), *crops = joint_columns(chosen(some, [0, 1]), REFINEMENT, True, 1.5, SEED)
    assert [len(drawn) for _, drawn, _ in boxes] == [13, 0]
    assert boxes[1][2] == "no labels"
    for i, expected in enumerate(([j for j in range(14) if j != 3], [])):
        shown = [cells[i][2] for _, cells in crops[:14] if cells[i] is not sheet.EMPTY]
        assert sorted(shown) == expected
