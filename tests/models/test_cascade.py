"""The cascade with an oracle for ψ; the regressor as a stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deeppose_cli.config.presets import TINY
from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.geometry import mirror_points, normalise
from deeppose_cli.core.skeleton import FLIC10, LSP14, Skeleton
from deeppose_cli.media.cropping import crop
from deeppose_cli.models.cascade import (
    Cascade,
    CropBatch,
    Stage,
    StageModel,
    StageOutput,
    initial_stage_boxes,
    refinement_boxes,
)
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.heads import HeadOutput, expected_coordinates
from deeppose_cli.models.regressor import JointPrior, Regressor

NETWORK = StagePreset(network="integral", input_size=32, head_channels=4, heatmap_weight=1.0)


class Oracle(StageModel):
    """Predicts the truth; in stage 1 with an error `off`."""

    def __init__(self, truth: np.ndarray, off: np.ndarray | float = 0.0) -> None:
        self.truth, self.off = truth, off

    def predict(self, crops: CropBatch) -> StageOutput:
        return StageOutput(self.coordinates(crops))

    def coordinates(self, crops: CropBatch) -> np.ndarray:
        if crops.mirrored:
            joints = None if crops.joint_index is None else self.mirror[crops.joint_index]
            mirrored = self.coordinates(replace(crops, joint_index=joints, mirrored=False)) * (-1.0, 1.0)
            return mirrored[:, self.mirror] if crops.joint_index is None else mirrored
        if crops.joint_index is None:
            return normalise(self.truth[crops.image_index], crops.boxes[:, None]) + self.off
        return normalise(self.truth[crops.image_index, crops.joint_index], crops.boxes)

    @property
    def mirror(self) -> np.ndarray:
        skeleton = LSP14 if self.truth.shape[1] == len(LSP14) else FLIC10
        return np.array(skeleton.mirror)


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    skeleton=st.sampled_from([LSP14, FLIC10]),
    stages=st.integers(1, 4),
    square=st.booleans(),
    flip_test=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_with_an_oracle_the_cascade_predicts_the_truth(
    data: st.DataObject, skeleton: Skeleton, stages: int, square: bool, flip_test: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    count = data.draw(st.integers(1, 3))
    shapes = [(data.draw(st.integers(1, 300)), data.draw(st.integers(1, 300))) for _ in range(count)]
    images = [np.zeros((*shape, 3), np.uint8) for shape in shapes]
    boxes = np.stack([[*rng.uniform(-50, 350, 2), *rng.uniform(1, 400, 2)] for _ in range(count)])
    truth = rng.uniform(-100, 400, (count, len(skeleton), 2))
    joints = sorted(data.draw(st.sets(st.integers(0, len(skeleton) - 1), min_size=1)))
    far = rng.normal(0, 0.3, (1, len(skeleton), 2))
    cascade = Cascade(
        skeleton,
        [Stage(Oracle(truth, off=far if stages > 1 else 0.0), 8)]
        + [Stage(Oracle(truth), 8, float(rng.uniform(0.2, 3))) for _ in range(stages - 1)],
        square_initial_box=square,
    )
    at_once = data.draw(st.integers(1, 40))
    result = cascade.predict(images, boxes, joints=joints, crops_at_once=at_once, flip_test=flip_test)
    assert result.poses.shape == (stages, count, len(skeleton), 2)
    assert np.abs(result.poses[-1][:, joints] - truth[:, joints]).max() < 0.01
    others = [k for k in range(len(skeleton)) if k not in joints]
    np.testing.assert_array_equal(result.poses[-1][:, others], result.poses[0][:, others])


def test_no_image_gives_no_pose() -> None:
    cascade = Cascade(LSP14, [Stage(Oracle(np.zeros((0, 14, 2))), 8)], square_initial_box=False)
    assert cascade.predict([], np.zeros((0, 4))).poses.shape == (1, 0, 14, 2)


def test_stage_two_crops_around_the_prediction_of_stage_one_not_around_the_truth() -> None:
    rng = np.random.default_rng(0)
    predicted = rng.uniform(20, 80, (2, 14, 2))
    truth = predicted + rng.normal(0, 5, predicted.shape)
    images = [rng.integers(0, 256, (100, 100, 3), np.uint8) for _ in range(2)]
    first = np.tile([49.5, 49.5, 100.0, 100.0], (2, 1))
    seen: list[CropBatch] = []

    class Watching(Oracle):
        def predict(self, crops: CropBatch) -> StageOutput:
            seen.append(crops)
            return super().predict(crops)

    stages = [Stage(Oracle(predicted), 16), Stage(Watching(truth), 16, 1.5)]
    result = Cascade(LSP14, stages, square_initial_box=False).predict(images, first)
    expected = refinement_boxes(predicted, first, LSP14, 1.5)
    np.testing.assert_allclose(result.boxes[1], expected)
    np.testing.assert_allclose(seen[0].boxes, expected.reshape(-1, 4))
    for pixels, box, owner in zip(seen[0].pixels, seen[0].boxes, seen[0].image_index, strict=True):
        np.testing.assert_array_equal(pixels, crop(images[owner], box, 16))


def noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Smooth, so that it does not matter between which pixels a crop is sampled."""
    return cv2.GaussianBlur(rng.integers(0, 256, (height, width, 3), np.uint8), (0, 0), 4)


class Projections(StageModel):
    """Predicts fixed projections of the pixels, different for each joint and axis: nothing in it is symmetric."""

    def __init__(self, joints: int, size: int, seed: int) -> None:
        self.weights = np.random.default_rng(seed).normal(0, 1e-4, (joints, 2, size * size * 3))

    def of(self, pixels: np.ndarray, joint: int) -> np.ndarray:
        return self.weights[joint] @ pixels.astype(float).ravel()

    def predict(self, crops: CropBatch) -> StageOutput:
        if crops.joint_index is None:
            return StageOutput(
                np.stack([[self.of(pixels, j) for j in range(len(self.weights))] for pixels in crops.pixels])
            )
        return StageOutput(
            np.stack([self.of(pixels, j) for pixels, j in zip(crops.pixels, crops.joint_index, strict=True)])
        )


@pytest.mark.parametrize("skeleton", [LSP14, FLIC10], ids=lambda skeleton: skeleton.name)
def test_flip_test_averages_joint_by_joint(skeleton: Skeleton) -> None:
    k, (first_model, second_model) = len(skeleton), (Projections(len(skeleton), 8, seed) for seed in (1, 2))
    cascade = Cascade(skeleton, [Stage(first_model, 8), Stage(second_model, 8, 1.5)], square_initial_box=False)
    image = noise(np.random.default_rng(0), 60, 90)
    box = np.array([40.0, 30.0, 70.0, 50.0])
    result = cascade.predict([image], box[None], flip_test=True)

    def flipped(model: Projections, box: np.ndarray, joint: int) -> np.ndarray:
        pixels = crop(image, box, 8)
        side, _, rest = skeleton.joints[joint].partition("_")
        partner = {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, skeleton.joints[joint])
        x, y = model.of(pixels, joint)
        other_x, other_y = model.of(cv2.flip(pixels, 1), skeleton.index(partner))
        return box[:2] + box[2:] * [(x - other_x) / 2, (y + other_y) / 2]

    first = np.stack([flipped(first_model, box, joint) for joint in range(k)])
    np.testing.assert_allclose(result.poses[0, 0], first)
    boxes = refinement_boxes(first[None], box[None], skeleton, 1.5)[0]
    np.testing.assert_allclose(result.poses[1, 0], [flipped(second_model, boxes[j], j) for j in range(k)])


@pytest.mark.parametrize("per_joint", [False, True])
def test_with_flip_test_the_mirrored_image_has_the_mirrored_pose(
    per_joint: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The peak of a random map jumps with the last bit of a pixel.
    monkeypatch.setattr(
        "deeppose_cli.models.heads.peak_coordinates",
        lambda logits: HeadOutput(expected_coordinates(logits), logits),
    )
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    displacement = Displacement.from_pairs(rng.normal(0, 0.3, (14, 2)), rng.uniform(0.1, 0.6, (14, 2)))
    models = [Regressor(NETWORK, 14), Regressor(NETWORK, 14, per_joint, JointPrior(displacement, 1.5))]
    for model in models:
        for network in model.networks:
            torch.nn.init.normal_(network.heatmaps[-1].weight, std=0.5)  # else heatmaps hardly differ from the prior
    cascade = Cascade(LSP14, [Stage(model, 32, 1.5) for model in models], square_initial_box=False)
    image, box = noise(rng, 120, 160), np.array([[79.5, 59.5, 160.0, 120.0]])
    mirrored = np.ascontiguousarray(image[:, ::-1])

    def apart(flip_test: bool) -> float:
        poses = cascade.predict([image], box, flip_test=flip_test).poses
        other = cascade.predict([mirrored], box, flip_test=flip_test).poses
        return float(np.abs(mirror_points(other, 160, LSP14) - poses).max())

    assert apart(False) > 5
    assert apart(True) < 0.5


def test_flip_test_averages_heatmaps_and_takes_no_point_between_two_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crop's heatmap has .6 at column 2 and .4 at 12; the mirror image's .3 and .7 there."""
    regressor = Regressor(replace(NETWORK, input_size=64), 14)
    columns = torch.full((2, 14, 16, 16), 1e-9)
    columns[0, :, 8, 2], columns[0, :, 8, 12] = 0.6, 0.4
    columns[1, :, 8, 13], columns[1, :, 8, 3] = 0.3, 0.7
    outputs = iter([HeadOutput(torch.zeros(1, 14, 2), torch.log(columns[i : i + 1])) for i in range(2)])
    monkeypatch.setattr(regressor, "_forward", lambda crops: next(outputs))
    crops = CropBatch(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 4)), np.zeros(1, np.int64), None)
    both = regressor.predict_flipped(crops, crops.mirror(LSP14), LSP14.mirror)
    np.testing.assert_allclose(both.coordinates[0], [[12.5 / 16 - 0.5, 8.5 / 16 - 0.5]] * 14, atol=1e-6)


def test_a_square_initial_box_holds_the_whole_box() -> None:
    boxes = np.array([[10.0, 20.0, 30.0, 50.0]])
    np.testing.assert_array_equal(initial_stage_boxes(boxes, square=True), [[10, 20, 50, 50]])
    np.testing.assert_array_equal(initial_stage_boxes(boxes, square=False), boxes)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (6, 32, 32, 3), np.uint8)


def test_a_shared_network_predicts_a_joint_by_its_own_pair_of_outputs(pixels: np.ndarray) -> None:
    torch.manual_seed(0)
    regressor = Regressor(NETWORK, 14).eval()
    joints = np.array([0, 13, 5, 5, 7, 2])
    boxes = np.zeros((6, 4))
    everything = regressor.predict(CropBatch(pixels, boxes, np.arange(6), None)).coordinates
    own = regressor.predict(CropBatch(pixels, boxes, np.arange(6), joints)).coordinates
    np.testing.assert_array_equal(own, everything[np.arange(6), joints])


def test_per_joint_networks_predict_their_own_joint(pixels: np.ndarray) -> None:
    torch.manual_seed(0)
    regressor = Regressor(NETWORK, 14, per_joint=True).eval()
    assert len(regressor.networks) == 14
    joints = np.array([3, 1, 3, 0, 13, 1])
    found = regressor.predict(CropBatch(pixels, np.zeros((6, 4)), np.arange(6), joints)).coordinates
    for row, joint in enumerate(joints):
        alone = regressor.predict_joint(torch.from_numpy(pixels[row : row + 1]), joint)[0][0, 0]
        np.testing.assert_allclose(found[row], alone.detach().numpy(), atol=1e-6)


def test_predict_uses_no_dropout_and_leaves_the_mode_unchanged(pixels: np.ndarray) -> None:
    torch.manual_seed(0)
    regressor = Regressor(StagePreset(input_size=100), 14).train()
    big = np.repeat(np.repeat(pixels[:1], 4, 1), 4, 2)[:, :100, :100]
    crops = CropBatch(big, np.zeros((1, 4)), np.arange(1), None)
    np.testing.assert_array_equal(regressor.predict(crops).coordinates, regressor.predict(crops).coordinates)
    assert regressor.training


def as_trained(regressor: Regressor) -> Regressor:
    """Batch statistics as no new network has them."""
    for layer in regressor.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            torch.nn.init.normal_(layer.running_mean, std=0.3)
            torch.nn.init.uniform_(layer.running_var, 0.3, 3.0)
            torch.nn.init.uniform_(layer.weight, 0.5, 2.0)
            torch.nn.init.normal_(layer.bias, std=0.3)
    return regressor


def test_predict_equals_forward(pixels: np.ndarray) -> None:
    torch.manual_seed(0)
    prior = JointPrior(Displacement(((0.1, -0.2),) * 14, ((0.3, 0.3),) * 14), sigma=2.0)
    regressor = as_trained(Regressor(NETWORK, 14, prior=prior)).eval()
    plain = regressor(torch.from_numpy(pixels))[0].detach().numpy()
    output = regressor.predict(CropBatch(pixels, np.zeros((6, 4)), np.arange(6), None))
    np.testing.assert_allclose(output.coordinates, plain, atol=1e-5)


def learn(regressor: Regressor, pixels: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(regressor.parameters(), lr=0.1)
    regressor.train()(pixels)[1].std().backward()
    optimizer.step()
    regressor.eval()


def load(regressor: Regressor, pixels: torch.Tensor) -> None:
    regressor.load_state_dict(as_trained(Regressor(NETWORK, 14)).state_dict())


def normalise_anew(regressor: Regressor, pixels: torch.Tensor) -> None:
    with torch.no_grad():
        regressor.train()(pixels)
    regressor.eval()


def move(regressor: Regressor, pixels: torch.Tensor) -> None:
    regressor.double().float()
    for layer in regressor.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            assert layer.running_mean is not None
            layer.running_mean += 1.0


@pytest.mark.parametrize("change", [learn, load, normalise_anew, move])
def test_predictions_follow_changed_weights(
    pixels: np.ndarray, change: Callable[[Regressor, torch.Tensor], None]
) -> None:
    torch.manual_seed(0)
    regressor = as_trained(Regressor(NETWORK, 14)).eval()
    torch.nn.init.normal_(regressor.networks[0].heatmaps[-1].weight, std=0.5)
    crops = CropBatch(pixels, np.zeros((6, 4)), np.arange(6), None)
    before = regressor.predict(crops).coordinates
    change(regressor, torch.from_numpy(pixels))
    after = regressor(torch.from_numpy(pixels))[0].detach().numpy()
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(regressor.predict(crops).coordinates, after, atol=1e-5)


def test_the_fused_copy_is_made_once_and_is_no_part_of_the_state(pixels: np.ndarray) -> None:
    regressor = Regressor(NETWORK, 14)
    keys = list(regressor.state_dict())
    regressor.predict(CropBatch(pixels, np.zeros((6, 4)), np.arange(6), None))
    ready = regressor.fused_copy()
    regressor.predict(CropBatch(pixels, np.zeros((6, 4)), np.arange(6), None))
    assert regressor.fused_copy() is ready
    assert list(regressor.state_dict()) == keys
    assert regressor.training


def test_the_mean_color_becomes_zero() -> None:
    outside = crop(np.zeros((4, 4, 3), np.uint8), np.array([500.0, 500.0, 10.0, 10.0]), 32)
    prepared = Regressor(NETWORK, 14).prepare(torch.from_numpy(outside[None]))
    assert prepared.shape == (1, 3, 32, 32)
    assert not prepared.any()


def test_the_prior_has_the_mean_and_deviation_of_the_undone_error() -> None:
    displacement = Displacement(mean=((0.2, -0.1), (0.0, 0.0)), std=((0.2, 0.1), (0.15, 0.25)))
    density = JointPrior(displacement, sigma=2.0).log_density(64, 1.0).flatten(1).softmax(-1).view(2, 64, 64).double()
    cells = (torch.arange(64).double() + 0.5) / 64 - 0.5
    for joint, (mean, std) in enumerate(zip(displacement.mean, displacement.std, strict=True)):
        for axis, sum_over in ((0, 0), (1, 1)):
            marginal = density[joint].sum(sum_over)
            found = float((marginal * cells).sum())
            spread = float((marginal * (cells - found) ** 2).sum()) ** 0.5
            assert found == pytest.approx(-mean[axis] / 2, abs=1e-3)  # the crop is off by δ: the joint lies at −δ / σ
            assert spread == pytest.approx(std[axis] / 2, rel=0.02)


def test_refinement_trains_with_the_whole_deviation_and_predicts_with_a_share() -> None:
    prior = JointPrior(Displacement(((0.0, 0.0),) * 14, ((0.3, 0.3),) * 14), sigma=2.0)
    regressor = Regressor(NETWORK, 14, prior=prior)
    wide, narrow = regressor.train().joint_prior(), regressor.eval().joint_prior()
    assert wide is not None
    assert narrow is not None
    shares = [float(density.flatten(1).softmax(-1).amax()) for density in (wide, narrow)]
    assert shares[1] > 1.2 * shares[0]


def test_refinement_settings_survive_as_primitives() -> None:
    from deeppose_cli.config.schema import from_primitives, to_primitives

    assert from_primitives(RefinementPreset, to_primitives(TINY.refinement)) == TINY.refinement
    assert isinstance(TINY.refinement, RefinementPreset)
