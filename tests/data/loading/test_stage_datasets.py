"""Examples of each stage: a crop in training is the crop of prediction."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from deeppose_cli.config.defaults import DIAMETER_BOUNDS, TORSO_SHARE
from deeppose_cli.config.schema import Augmentation, RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import denormalise, normalise, turn_points
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.loading.image_cache import ImageCache
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import (
    InitialTrainDataset,
    InitialValDataset,
    PersonTrainDataset,
    PersonValDataset,
    RefinementTrainDataset,
    RefinementValDataset,
    join_crops,
)
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.media.cropping import MEAN_COLOR, crop
from deeppose_cli.media.images import read_image
from deeppose_cli.models.cascade import Cascade, CropBatch, Stage, StageOutput, initial_stage_boxes
from deeppose_cli.models.displacement import Displacement, training_diameters
from tests.helpers import dots

STILL = Augmentation(flip=0.0)
SIZE = 96
SIGMA = 1.3
LEFT, RIGHT = LSP14.index("left_wrist"), LSP14.index("right_wrist")


class Recorder:
    """A stage model that records its crops and predicts poses that it was given."""

    def __init__(self, poses: np.ndarray) -> None:
        self.poses, self.batches = poses, []

    def predict(self, crops: CropBatch) -> StageOutput:
        self.batches.append(crops)
        if crops.joint_index is None:
            return StageOutput(normalise(self.poses[crops.image_index], crops.boxes[:, None]))
        return StageOutput(np.zeros((len(crops.pixels), 2)))

    @property
    def pixels(self) -> np.ndarray:
        return np.concatenate([crops.pixels for crops in self.batches])


@pytest.fixture(scope="module")
def everyone(tmp_path_factory: pytest.TempPathFactory) -> Annotations:
    return dots.annotations(tmp_path_factory.mktemp("dots"), 3)


def with_boxes(annotations: Annotations) -> np.ndarray:
    """Full image for the first, a person's box partly outside for the others."""
    boxes = initial_boxes(annotations).boxes
    boxes[1] = [60.3, 70.1, 150, 90]
    boxes[2] = [150.2, 90.7, 120, 160]
    return boxes


def refined(settings: Augmentation = STILL, **more: object) -> RefinementPreset:
    return RefinementPreset(input_size=SIZE, augmentation=settings, crops_per_visit=1, **more)


def constant(shift: tuple[float, float], spread: float = 0.0) -> Displacement:
    return Displacement(mean=(shift,) * 14, std=((spread, spread),) * 14)


@pytest.mark.parametrize("square", [True, False])
def test_stage_one_trains_validates_and_predicts_on_the_same_pixels(everyone: Annotations, square: bool) -> None:
    boxes, settings = with_boxes(everyone), StagePreset(input_size=SIZE, augmentation=STILL)
    training = InitialTrainDataset(everyone, boxes, square, settings, seed=0)
    validation = InitialValDataset(everyone, boxes, square, settings)
    model = Recorder(everyone.keypoints)
    cascade = Cascade(LSP14, [Stage(model, SIZE)], square_initial_box=square)
    cascade.predict([read_image(file) for file in everyone.files], boxes)
    for row in range(3):
        example, checked = training[SampleKey(4, row, 0)], validation[row]
        np.testing.assert_array_equal(example["image"], model.pixels[row])
        np.testing.assert_array_equal(checked["image"], model.pixels[row])
        np.testing.assert_allclose(checked["box"], model.batches[0].boxes[row], rtol=1e-6)
        for target in (example["target"], checked["target"]):
            np.testing.assert_allclose(denormalise(target, checked["box"]), everyone.keypoints[row], atol=1e-4)
        np.testing.assert_allclose(checked["keypoints"], everyone.keypoints[row], atol=1e-4)
        assert example["index"] == checked["index"] == row
        assert not example["unreadable"]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.21, -0.13)])
def test_refinement_trains_on_the_pixels_that_prediction_cuts(
    everyone: Annotations, shift: tuple[float, float]
) -> None:
    """A stage before that is off by the same vector everywhere leaves the diameter as it is: the crops must agree."""
    boxes = with_boxes(everyone)
    first = initial_stage_boxes(boxes, square=True)
    diam = training_diameters(everyone.keypoints, first, LSP14)
    predicted = everyone.keypoints + np.array(shift) * diam[:, None, None]
    initial, recorder = Recorder(predicted), Recorder(predicted)
    cascade = Cascade(LSP14, [Stage(initial, SIZE), Stage(recorder, SIZE, SIGMA)], square_initial_box=True)
    cascade.predict([read_image(file) for file in everyone.files], boxes)
    training = RefinementTrainDataset(everyone, boxes, True, refined(), SIGMA, constant(shift), seed=0)
    validation = RefinementValDataset(everyone, boxes, True, refined(), SIGMA, predicted)
    shown = recorder.pixels.reshape(3, 14, SIZE, SIZE, 3)
    where = recorder.batches[0].boxes.reshape(3, 14, 4)
    for row in range(3):
        example, checked = training[SampleKey(0, row, 0)], validation[row]
        np.testing.assert_array_equal(example["joint_index"], np.arange(14))
        np.testing.assert_array_equal(example["image"], shown[row])
        np.testing.assert_array_equal(checked["image"], shown[row])
        np.testing.assert_allclose(checked["boxes"], where[row], rtol=1e-6)
        all_joints = np.broadcast_to(everyone.keypoints[row], (14, 14, 2))
        np.testing.assert_allclose(denormalise(example["target"], where[row][:, None]), all_joints, atol=1e-3)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.21, -0.13)])
def test_a_view_of_the_person_trains_on_the_pixels_that_prediction_cuts(
    everyone: Annotations, shift: tuple[float, float]
) -> None:
    boxes = with_boxes(everyone)
    first = initial_stage_boxes(boxes, square=True)
    diam = training_diameters(everyone.keypoints, first, LSP14)
    predicted = everyone.keypoints + np.array(shift) * diam[:, None, None]
    recorder = Recorder(everyone.keypoints)
    cascade = Cascade(
        LSP14, [Stage(Recorder(predicted), SIZE), Stage(recorder, SIZE, SIGMA, "person")], square_initial_box=True
    )
    result = cascade.predict([read_image(file) for file in everyone.files], boxes)
    assert np.abs(result.angles[1]).min() > 1, "none of them stands upright"
    training = PersonTrainDataset(everyone, boxes, True, refined(), SIGMA, constant(shift), seed=0)
    masses = np.full((3, 14), 0.5)
    validation = PersonValDataset(everyone, boxes, True, refined(), SIGMA, predicted, masses)
    for row in range(3):
        example, checked = training[SampleKey(0, row, 0)], validation[row]
        np.testing.assert_array_equal(example["image"], recorder.pixels[row])
        np.testing.assert_array_equal(checked["image"], recorder.pixels[row])
        np.testing.assert_allclose(example["target"], checked["target"], atol=1e-5)
        turned = denormalise(example["target"], checked["box"])
        labels = turn_points(turned, checked["box"][:2], -checked["angle"])
        np.testing.assert_allclose(labels, everyone.keypoints[row], atol=1e-3)


def test_displaced_crops_are_what_their_targets_give(everyone: Annotations) -> None:
    boxes = with_boxes(everyone)
    data = RefinementTrainDataset(everyone, boxes, False, refined(), SIGMA, constant((0.05, 0.0), 0.2), seed=3)
    diam = training_diameters(everyone.keypoints, boxes, LSP14)
    centres = []
    for row in range(3):
        example = data[SampleKey(0, row, 0)]
        side = SIGMA * diam[row]
        image = read_image(everyone.files[row])
        for pixels, joint, target in zip(example["image"], example["joint_index"], example["target"], strict=True):
            centre = everyone.keypoints[row, joint] - target[joint].astype(float) * side
            centres.append((centre - everyone.keypoints[row, joint]) / diam[row])
            again = crop(image, np.array([*centre, side, side]), SIZE)
            assert np.abs(again.astype(int) - pixels).max() <= 16  # targets are float32
            assert np.abs(again.astype(int) - pixels).mean() < 0.1
    assert np.std(centres, axis=0) == pytest.approx(0.2, rel=0.35)


@pytest.mark.parametrize("refinement", [False, True])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_dot_at_each_joint_is_where_the_target_is(everyone: Annotations, refinement: bool, flip: float) -> None:
    large = 192
    vary = Augmentation(flip=flip, translate=0.05, scale=0.1, rotate=5.0)
    boxes, checked = with_boxes(everyone), 0
    for epoch in range(8):
        for row in range(3):
            if refinement:
                sigma = 2.5
                data = RefinementTrainDataset(
                    everyone,
                    boxes,
                    True,
                    replace(refined(vary), input_size=large),
                    sigma,
                    constant((0.1, 0.0), 0.1),
                    seed=1,
                )
                example = data[SampleKey(epoch, row, 0)]
                shown = [(p, t[j], j) for p, t, j in zip(*(example[k] for k in ("image", "target", "joint_index")))]  # noqa: B905
            else:
                settings = StagePreset(input_size=large, augmentation=vary)
                example = InitialTrainDataset(everyone, boxes, True, settings, seed=1)[SampleKey(epoch, row, 0)]
                shown = [(example["image"], target, joint) for joint, target in enumerate(example["target"])]
            for pixels, target, joint in shown:
                at = (target + 0.5) * large - 0.5
                if (np.abs(target) > 0.4).any():
                    continue
                # In a mirrored image the dot has the partner's color.
                # A dot that the rotation took out of the image, or cut, is none.
                spot = dots.find(pixels, LSP14.mirror[joint] if flip else joint, least=45)
                if spot is not None:
                    assert np.abs(spot - at).max() < 1.5, (epoch, row, joint)
                    checked += 1
    assert checked > 100


def test_refinement_crops_of_a_small_box_show_the_image_wherever_there_is_one(tmp_path: Path) -> None:
    """A crop around a joint at the rim of a person's box reaches far out of the box: there, too, is image."""
    file = tmp_path / "bright.png"
    cv2.imwrite(str(file), np.full((400, 400, 3), 250, np.uint8))
    keypoints = np.full((1, 14, 2), 200.0)
    keypoints[0, :, 1] = np.linspace(150, 250, 14)
    box = np.array([[200.0, 200.0, 100.0, 100.0]])
    one = Annotations(LSP14, (file,), keypoints, box, (file.name,))
    data = RefinementTrainDataset(
        one, box, True, refined(Augmentation(flip=0.5, rotate=20.0)), 2.0, constant((0.0, 0.0)), seed=0
    )
    for epoch in range(6):
        example = data[SampleKey(epoch, 0, 0)]
        assert (example["image"] > 200).all(-1).mean() > 0.999


def test_every_example_is_a_function_of_seed_epoch_row_and_repeat(everyone: Annotations) -> None:
    vary = Augmentation(flip=0.5, translate=0.05, scale=0.1, rotate=15.0, color=0.2)
    boxes = initial_boxes(everyone).boxes

    def example(draw: SampleKey, seed: int = 5) -> dict[str, np.ndarray]:
        data = RefinementTrainDataset(everyone, boxes, True, refined(vary), SIGMA, constant((0.0, 0.0), 0.1), seed)
        return data[draw]

    one, same = example(SampleKey(1, 2, 0)), example(SampleKey(1, 2, 0))
    for key, value in one.items():
        np.testing.assert_array_equal(value, same[key])
    for other in (example(SampleKey(2, 2, 0)), example(SampleKey(1, 2, 1)), example(SampleKey(1, 2, 0), seed=6)):
        assert not np.array_equal(one["target"], other["target"])


@pytest.mark.parametrize("refinement", [False, True])
def test_an_erased_patch_is_all_that_erasing_changes(everyone: Annotations, refinement: bool) -> None:
    boxes = with_boxes(everyone)

    def example(erase: float) -> dict[str, np.ndarray]:
        settings = replace(STILL, flip=0.5, scale=0.1, erase=erase)
        if refinement:
            return RefinementTrainDataset(everyone, boxes, True, refined(settings), SIGMA, constant((0, 0), 0.1), 0)[at]
        stage = StagePreset(input_size=SIZE, augmentation=settings)
        return InitialTrainDataset(everyone, boxes, True, stage, 0)[at]

    at = SampleKey(1, 2, 0)
    plain, erased = example(0.0), example(1.0)
    for key in plain.keys() - {"image"}:
        np.testing.assert_array_equal(plain[key], erased[key])
    changed = (plain["image"] != erased["image"]).any(-1)
    assert changed.any((-1, -2)).all(), "each crop has a patch of its own"
    assert (erased["image"][changed] == MEAN_COLOR).all()


def test_each_labelled_joint_has_as_many_crops_as_the_settings_give(everyone: Annotations) -> None:
    keypoints = everyone.keypoints.copy()
    keypoints[1, [2, LEFT]] = np.nan
    some = replace(everyone, keypoints=keypoints)
    settings = replace(refined(), crops_per_visit=3)
    data = RefinementTrainDataset(
        some, initial_boxes(some).boxes, True, settings, SIGMA, constant((0.0, 0.0), 0.1), seed=0
    )
    example = data[SampleKey(0, 1, 0)]
    expected = [joint for joint in range(14) if joint not in (2, LEFT) for _ in range(3)]
    assert example["joint_index"].tolist() == expected
    own = example["target"][np.arange(len(expected)), expected]
    assert np.isfinite(own).all()
    assert len(np.unique(own[:3, 0])) == 3
    assert np.isnan(example["target"][:, [2, LEFT]]).all()


def test_displacement_is_measured_in_diameters_joint_by_joint(everyone: Annotations) -> None:
    rng = np.random.default_rng(0)
    count = 40
    truth = rng.uniform(0, 100, (count, 14, 2))
    truth[rng.random((count, 14)) < 0.2] = np.nan
    truth[3:, 5] = np.nan  # a joint that is labelled three times at most
    truth[:, [9, 2]] = np.where(np.isnan(truth[:, [9, 2]]), 50 + rng.normal(0, 30, (count, 2, 2)), truth[:, [9, 2]])
    predicted = truth + rng.normal(3, 5, truth.shape)
    predicted[np.isnan(truth)] = 7.0
    first = np.tile([50.0, 50.0, 100.0, 140.0], (count, 1))
    labels = SimpleNamespace(keypoints=truth, skeleton=LSP14)
    found = Displacement.measure(predicted, labels, first)

    own: dict[int, list[np.ndarray]] = {joint: [] for joint in range(14)}
    for n in range(count):
        diam = np.linalg.norm(truth[n, 9] - truth[n, 2])  # left shoulder, right hip
        diam = min(max(diam, DIAMETER_BOUNDS[0] * 140), DIAMETER_BOUNDS[1] * 140)
        for joint in range(14):
            if not np.isnan(truth[n, joint]).any():
                own[joint].append((predicted[n, joint] - truth[n, joint]) / diam)
    pooled = np.array([delta for deltas in own.values() for delta in deltas])
    for joint in range(14):
        deltas = np.array(own[joint]) if joint != 5 else pooled
        assert len(deltas) >= 10
        np.testing.assert_allclose(found.mean[joint], deltas.mean(0), rtol=1e-9)
        np.testing.assert_allclose(found.std[joint], deltas.std(0), rtol=1e-9)


def test_without_any_label_there_is_no_displacement() -> None:
    nothing = SimpleNamespace(keypoints=np.full((3, 14, 2), np.nan), skeleton=LSP14)
    found = Displacement.measure(np.zeros((3, 14, 2)), nothing, np.ones((3, 4)))
    assert found == constant((0.0, 0.0))


@pytest.mark.parametrize("mirrored", [False, True])
def test_draws_have_the_statistics_of_the_joint_and_in_a_mirror_of_its_partner(mirrored: bool) -> None:
    mean, std = np.zeros((14, 2)), np.full((14, 2), 0.01)
    mean[LEFT], std[LEFT] = (0.3, 0.1), (0.2, 0.05)
    mean[RIGHT], std[RIGHT] = (-0.5, -0.2), (0.1, 0.3)
    displacement = Displacement(tuple(map(tuple, mean.tolist())), tuple(map(tuple, std.tolist())))
    drawn = displacement.draw(np.random.default_rng(0), [LEFT] * 4000, LSP14, mirrored)
    expected = ((0.5, -0.2), (0.1, 0.3)) if mirrored else ((0.3, 0.1), (0.2, 0.05))
    np.testing.assert_allclose(drawn.mean(0), expected[0], atol=0.02)
    np.testing.assert_allclose(drawn.std(0), expected[1], rtol=0.05)


def test_a_diameter_without_torso_labels_has_a_fallback() -> None:
    pose = np.random.default_rng(0).uniform(20, 80, (14, 2))
    own, across = np.linalg.norm(pose[9] - pose[2]), np.linalg.norm(pose[8] - pose[3])
    poses = np.stack([pose] * 4)
    poses[1, 9] = np.nan
    poses[2, [9, 8]] = np.nan
    poses[3] = np.nan
    rest = np.delete(pose, [8, 9], axis=0)
    found = training_diameters(poses, np.tile([50.0, 50.0, 90.0, 100.0], (4, 1)), LSP14)
    share = TORSO_SHARE * max(np.ptp(rest[:, 0]), np.ptp(rest[:, 1]))
    np.testing.assert_allclose(found[:3], np.clip([own, across, share], 10, 60))
    assert np.isnan(found[3])


def test_a_diameter_stays_within_bounds_of_the_initial_box() -> None:
    low, high = DIAMETER_BOUNDS
    for torso, expected in ((0.0, low * 200), (1e4, high * 200)):
        pose = np.zeros((1, 14, 2))
        pose[0, 9, 0] = torso
        assert training_diameters(pose, np.array([[0.0, 0.0, 100.0, 200.0]]), LSP14) == pytest.approx(expected)


def test_an_unreadable_image_has_no_labels_and_is_marked(everyone: Annotations, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing more")
    some = replace(everyone, files=(everyone.files[0], broken, everyone.files[2]))
    boxes = with_boxes(everyone)
    vary = Augmentation(flip=0.5, translate=0.05, scale=0.1, rotate=15.0, color=0.2)
    settings = StagePreset(input_size=SIZE, augmentation=vary)
    example = InitialTrainDataset(some, boxes, True, settings, seed=0)[SampleKey(0, 1, 0)]
    assert example["unreadable"]
    assert np.isnan(example["target"]).all()
    checked = InitialValDataset(some, boxes, True, settings)[1]
    assert checked["unreadable"]
    assert np.isnan(checked["keypoints"]).all()
    assert checked["image"].shape == (SIZE, SIZE, 3)

    training = RefinementTrainDataset(some, boxes, True, refined(vary), SIGMA, constant((0.0, 0.0)), seed=0)
    parts = [training[SampleKey(0, row, 0)] for row in range(3)]
    assert parts[1]["image"].shape == (0, SIZE, SIZE, 3)
    batch = join_crops(parts)
    assert batch["unreadable"].tolist() == [False, True, False]
    assert batch["index"].tolist() == [0, 1, 2]
    assert len(batch["image"]) == len(batch["joint_index"]) == len(batch["target"]) == 28
    assert join_crops(parts[1:2])["image"].shape == (0, SIZE, SIZE, 3)
    kept = RefinementValDataset(some, boxes, True, refined(), SIGMA, everyone.keypoints)[1]
    assert kept["unreadable"]
    assert np.isnan(kept["keypoints"]).all()


@pytest.mark.parametrize("vary", [STILL, Augmentation(flip=0.5, translate=0.1, scale=0.1, rotate=20.0, color=0.3)])
def test_examples_from_decoded_images_are_those_from_the_files(
    everyone: Annotations, tmp_path: Path, vary: Augmentation
) -> None:
    folder = tmp_path / "dots"
    folder.mkdir()
    files = tuple(Path(shutil.copy(file, folder)) for file in everyone.files)
    some, boxes = replace(everyone, files=files), with_boxes(everyone)
    cache, initial, still = (
        ImageCache(tmp_path, files),
        StagePreset(input_size=SIZE, augmentation=vary),
        constant((0.0, 0.0)),
    )

    def examples(read: Callable[[Path], np.ndarray]) -> list[dict[str, np.ndarray]]:
        training = (
            InitialTrainDataset(some, boxes, True, initial, 1, read),
            RefinementTrainDataset(some, boxes, True, refined(vary), SIGMA, still, 1, read=read),
        )
        validation = (
            InitialValDataset(some, boxes, True, initial, read),
            RefinementValDataset(some, boxes, True, refined(), SIGMA, some.keypoints, read),
        )
        drawn = [data[SampleKey(epoch, row, 0)] for data in training for epoch in range(4) for row in range(3)]
        return drawn + [data[row] for data in validation for row in range(-1, 3)]

    pairs = list(zip(examples(cache.read), examples(read_image), strict=True))
    for kept, decoded in pairs:
        assert kept.keys() == decoded.keys()
        for key, value in decoded.items():
            np.testing.assert_array_equal(kept[key], value)
    assert len(pairs) == 32
    for file in files:  # and they do come from there
        assert Path(cache.file_of(file)).is_file()


def test_row_minus_one_is_an_example_that_counts_nowhere(everyone: Annotations) -> None:
    boxes = with_boxes(everyone)
    initial = InitialValDataset(everyone, boxes, True, StagePreset(input_size=SIZE))
    refinement = RefinementValDataset(everyone, boxes, True, refined(), SIGMA, everyone.keypoints)
    for data in (initial, refinement):
        filler, real = data[-1], data[2]
        assert np.isnan(filler["keypoints"]).all()
        assert not filler["unreadable"]
        assert {key: value.shape for key, value in filler.items()} == {key: v.shape for key, v in real.items()}
        assert {key: value.dtype for key, value in filler.items()} == {key: v.dtype for key, v in real.items()}


def test_early_epochs_have_smaller_crops_of_the_same_place(everyone: Annotations) -> None:
    settings = StagePreset(input_size=64, progressive_size="32:0.5", max_epochs=4, augmentation=STILL)
    boxes = initial_boxes(everyone, "image").boxes
    data = InitialTrainDataset(everyone, boxes, True, settings, seed=0)
    examples = [data[SampleKey(epoch, 0, 0)] for epoch in range(4)]
    assert [example["image"].shape for example in examples] == [(32, 32, 3)] * 2 + [(64, 64, 3)] * 2
    for example in examples:
        np.testing.assert_array_equal(example["target"], examples[0]["target"])
