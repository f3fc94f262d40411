"""The metrics against slow references written from their definitions, on random and on degenerate input."""

from __future__ import annotations

import io
import math
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
import torch
from numpy.typing import NDArray

from deeppose_cli import metrics
from deeppose_cli.metrics import PCP_RULES, THRESHOLDS, PcpRule
from deeppose_cli.skeleton import FLIC10, LSP14, Limb, Skeleton
from deeppose_cli.torch_metrics import PDJ

Poses = NDArray[np.float64]
ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "lsp_dataset.zip"

SKELETONS = pytest.mark.parametrize("skeleton", [LSP14, FLIC10], ids=lambda skeleton: skeleton.name)


# --- References: one image, one joint, one number at a time ----------------------------------------------------------


def known(point: Any) -> bool:
    return not (math.isnan(point[0]) or math.isnan(point[1]))


def share(outcomes: list[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else math.nan


def slow_pdj(pred: Poses, truth: Poses, skeleton: Skeleton, threshold: float) -> list[float]:
    rates = []
    for joint in range(len(skeleton)):
        outcomes = []
        for p, t in zip(pred, truth, strict=True):
            a, b = t[skeleton.index("left_shoulder")], t[skeleton.index("right_hip")]
            if known(a) and known(b) and known(t[joint]):
                outcomes.append(known(p[joint]) and math.dist(p[joint], t[joint]) <= threshold * math.dist(a, b))
        rates.append(share(outcomes))
    return rates


def middle(pose: Poses, skeleton: Skeleton, joints: tuple[str, ...]) -> tuple[float, float]:
    points = [pose[skeleton.index(joint)] for joint in joints]
    return sum(point[0] for point in points) / len(points), sum(point[1] for point in points) / len(points)


def slow_pcp(pred: Poses, truth: Poses, skeleton: Skeleton, rule: PcpRule) -> list[float]:
    def found(p: Poses, t: Poses, limb: Limb) -> bool | None:
        t1, t2 = middle(t, skeleton, limb.start), middle(t, skeleton, limb.end)
        p1, p2 = middle(p, skeleton, limb.start), middle(p, skeleton, limb.end)
        if not (known(t1) and known(t2)):
            return None
        if not (known(p1) and known(p2)):
            return False
        length, e1, e2 = math.dist(t1, t2), math.dist(p1, t1), math.dist(p2, t2)
        if rule == "strict":
            return e1 <= length / 2 and e2 <= length / 2
        if rule == "mean":
            return (e1 + e2) / 2 <= length / 2
        if length == 0:
            return e1 == e2 == 0
        # Turn the picture so that the true stick lies on the x axis.
        angle = -math.atan2(t2[1] - t1[1], t2[0] - t1[0])
        turned = [
            (x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle))
            for x, y in ((p1[0] - t1[0], p1[1] - t1[1]), (p2[0] - t2[0], p2[1] - t2[1]))
        ]
        along, across = (sum(abs(offset[axis]) for offset in turned) / 2 for axis in (0, 1))
        return along < length / 2 and across < length / 2

    rates = []
    for limb in skeleton.limbs:
        outcomes = [found(p, t, limb) for p, t in zip(pred, truth, strict=True)]
        rates.append(share([outcome for outcome in outcomes if outcome is not None]))
    return rates


def slow_pck(pred: Poses, truth: Poses, alpha: float) -> list[float]:
    rates = []
    for joint in range(truth.shape[1]):
        outcomes = []
        for p, t in zip(pred, truth, strict=True):
            if known(t[joint]):
                xs, ys = zip(*(point for point in t if known(point)), strict=True)
                side = max(max(xs) - min(xs), max(ys) - min(ys))
                outcomes.append(known(p[joint]) and math.dist(p[joint], t[joint]) <= alpha * side)
        rates.append(share(outcomes))
    return rates


# --- Input ---------------------------------------------------------------------------------------------------------


def random_poses(skeleton: Skeleton, n: int = 60, noise: float = 12, seed: int = 0) -> tuple[Poses, Poses]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 100, (n, len(skeleton), 2))
    return truth + rng.normal(0, noise, truth.shape) * rng.gamma(1, 1, (n, 1, 1)), truth


def with_gaps(skeleton: Skeleton) -> tuple[Poses, Poses]:
    """Predictions and labels missing here and there, half missing, or missing for a whole image."""
    pred, truth = random_poses(skeleton, seed=1)
    rng = np.random.default_rng(2)
    pred[rng.random(pred.shape[:2]) < 0.1] = np.nan
    truth[rng.random(truth.shape[:2]) < 0.2] = np.nan
    pred[3, 1, 0], truth[4, 1, 1] = np.nan, np.nan
    pred[5], truth[6] = np.nan, np.nan
    return pred, truth


def zero_lengths(skeleton: Skeleton) -> tuple[Poses, Poses]:
    """All of a person on one spot, and a person without a torso length; predicted exactly and nearly."""
    pred, truth = random_poses(skeleton, n=8, seed=3)
    truth[:4] = truth[:4, :1]
    a, b = skeleton.torso_index
    truth[4:, a] = truth[4:, b]
    pred[::2] = truth[::2]
    pred[1] = truth[1] + 1e-9
    return pred, truth


def one_image(skeleton: Skeleton) -> tuple[Poses, Poses]:
    return random_poses(skeleton, n=1)


def no_image(skeleton: Skeleton) -> tuple[Poses, Poses]:
    return random_poses(skeleton, n=0)


def no_label(skeleton: Skeleton) -> tuple[Poses, Poses]:
    pred, truth = random_poses(skeleton, n=5)
    return pred, np.full_like(truth, np.nan)


INPUTS = pytest.mark.parametrize("make", [random_poses, with_gaps, zero_lengths, one_image, no_image, no_label])
Make = Callable[[Skeleton], tuple[Poses, Poses]]


# --- Against the references ------------------------------------------------------------------------------------------


@SKELETONS
@INPUTS
def test_pdj_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    thresholds = THRESHOLDS[::7]
    expected = [slow_pdj(pred, truth, skeleton, float(t)) for t in thresholds]
    np.testing.assert_allclose(metrics.pdj_curve(pred, truth, skeleton, thresholds), expected)


@SKELETONS
@INPUTS
@pytest.mark.parametrize("rule", PCP_RULES)
def test_pcp_is_its_definition(make: Make, skeleton: Skeleton, rule: PcpRule) -> None:
    pred, truth = make(skeleton)
    np.testing.assert_allclose(metrics.pcp(pred, truth, skeleton, rule), slow_pcp(pred, truth, skeleton, rule))


@SKELETONS
@INPUTS
def test_pck_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    for alpha in (0.1, 0.2):
        np.testing.assert_allclose(metrics.pck(pred, truth, alpha), slow_pck(pred, truth, alpha))


@INPUTS
def test_the_class_adds_batches_up_to_the_function(make: Make) -> None:
    pred, truth = make(LSP14)
    parts = [PDJ("lsp14"), PDJ("lsp14")]
    for i in range(0, len(pred), 7):
        parts[i % 2].update(torch.tensor(pred[i : i + 7]), torch.tensor(truth[i : i + 7]))
    # What a sum over two processes does to the states.
    total = PDJ("lsp14")
    total.update(torch.zeros(0, 14, 2), torch.zeros(0, 14, 2))
    total.correct, total.counted = (parts[0].correct + parts[1].correct, parts[0].counted + parts[1].counted)
    expected = float(metrics.mean_rate(metrics.pdj(pred, truth, LSP14, 0.2)))
    assert float(total.compute()) == pytest.approx(expected, nan_ok=True)


def test_the_class_can_be_logged_and_reset() -> None:
    pred, truth = (torch.tensor(poses, dtype=torch.float32) for poses in random_poses(LSP14))
    metric = PDJ("lsp14", threshold=0.5)
    first = metric(pred, truth)
    assert first.shape == ()
    assert float(first) > float(PDJ("lsp14")(pred, truth))
    metric.reset()
    assert float(metric(truth, truth)) == 1


# --- Properties ------------------------------------------------------------------------------------------------------


def every_rate(pred: Poses, truth: Poses, skeleton: Skeleton) -> list[NDArray[np.float64]]:
    found = [metrics.pdj_curve(pred, truth, skeleton), metrics.pck(pred, truth, 0.1)]
    return found + [metrics.pcp(pred, truth, skeleton, rule) for rule in PCP_RULES]


@SKELETONS
@pytest.mark.parametrize("make", [random_poses, zero_lengths])
def test_the_truth_itself_scores_one(make: Make, skeleton: Skeleton) -> None:
    _, truth = make(skeleton)
    assert all((rates == 1).all() for rates in every_rate(truth, truth, skeleton))


@SKELETONS
def test_the_order_of_images_does_not_matter(skeleton: Skeleton) -> None:
    pred, truth = with_gaps(skeleton)
    order = np.random.default_rng(5).permutation(len(pred))
    shuffled = every_rate(pred[order], truth[order], skeleton)
    for rates, other in zip(every_rate(pred, truth, skeleton), shuffled, strict=True):
        np.testing.assert_array_equal(rates, other)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_shift_of_exactly_the_threshold_is_detected(dtype: type[np.floating]) -> None:
    _, truth = random_poses(LSP14, n=300)
    a, b = LSP14.torso_index
    torso = np.linalg.norm(truth[:, a] - truth[:, b], axis=-1)[:, None, None]
    angle = np.random.default_rng(6).uniform(0, 2 * np.pi, (300, 14))
    pred = (truth + 0.3 * torso * np.stack([np.cos(angle), np.sin(angle)], -1)).astype(dtype)
    if dtype is np.float64:
        assert (metrics.pdj(pred, truth, LSP14, 0.3) == 1).all()
    else:  # a coordinate of 100 px is stored to 4e-6 px: short torsos may miss by that
        assert (metrics.pdj(pred, truth, LSP14, 0.3) > 0.97).all()
    assert (metrics.pdj(pred, truth, LSP14, 0.2) == 0).all()
    assert (metrics.pdj(pred, truth, LSP14, 0.2999) == 0).all()


def test_a_missing_prediction_is_wrong_and_an_unlabelled_joint_does_not_count() -> None:
    _, truth = random_poses(LSP14, n=4)
    pred = truth.copy()
    pred[0, 10], pred[1, 10] = np.nan, np.inf
    truth[2, 10] = np.nan
    assert metrics.pdj(pred, truth, LSP14)[10] == pytest.approx(1 / 3)
    assert metrics.pck(pred, truth, 0.1)[10] == pytest.approx(1 / 3)


def test_an_image_without_a_labelled_torso_is_left_out_of_pdj() -> None:
    _, truth = random_poses(LSP14, n=2)
    truth[0, LSP14.index("right_hip")] = np.nan
    pred = truth.copy()
    pred[0] += 1000
    assert (metrics.pdj(pred, truth, LSP14) == 1).all()
    errors = metrics.torso_errors(pred, truth, LSP14)
    assert np.isnan(errors[0]).all()
    assert (errors[1] == 0).all()


def test_torso_errors_without_a_torso_are_zero_or_infinite() -> None:
    pred, truth = zero_lengths(LSP14)
    errors = metrics.torso_errors(pred, truth, LSP14)
    assert (errors[::2] == 0).all()
    assert np.isinf(errors[1]).all()


def test_strict_is_the_strictest_rule() -> None:
    pred, truth = random_poses(LSP14, n=400, noise=20)
    strict, mean = (metrics.pcp(pred, truth, LSP14, rule) for rule in ("strict", "mean"))
    assert (strict < mean).all()


def test_buffys_rule_measures_in_the_sticks_frame() -> None:
    """Errors along the stick of opposite sign do not cancel, and 0.4 along with 0.4 across is still found."""
    limb = LSP14.limbs[0]
    start, end = LSP14.index(limb.start[0]), LSP14.index(limb.end[0])
    truth = np.zeros((1, 14, 2))
    truth[0, end] = 30, 40

    def found(along: tuple[float, float], across: tuple[float, float]) -> bool:
        pred = truth.copy()
        for joint, a, b in zip((start, end), along, across, strict=True):
            pred[0, joint] += np.array([0.6, 0.8]) * a * 50 + np.array([-0.8, 0.6]) * b * 50
        return bool(metrics.pcp(pred, truth, LSP14, "buffy")[0])

    assert found((0.4, 0.4), (0.4, -0.4))
    assert found((0.9, 0.0), (0.0, 0.9))
    assert not found((0.6, -0.6), (0.0, 0.0))
    assert not found((0.0, 0.0), (0.9, 0.2))


def test_kinds_average_left_and_right_and_the_mean_is_over_joints() -> None:
    rates = np.zeros(14)
    rates[LSP14.index("left_elbow")], rates[LSP14.index("neck")] = 0.5, 1.0
    kinds = metrics.joint_kind_rates(rates, LSP14)
    assert (float(kinds["elbow"]), float(kinds["neck"])) == (0.25, 1.0)
    assert float(metrics.mean_rate(rates)) == pytest.approx(1.5 / 14)
    assert list(metrics.limb_kind_rates(np.ones(len(FLIC10.limbs)), FLIC10)) == ["upper_arm", "lower_arm", "torso"]


def test_a_kind_with_one_labelled_side_is_that_sides_rate() -> None:
    rates = np.full(14, np.nan)
    rates[LSP14.index("left_elbow")] = 0.5
    kinds = metrics.joint_kind_rates(rates, LSP14)
    assert float(kinds["elbow"]) == 0.5
    assert np.isnan(kinds["wrist"])


def test_area_of_a_step() -> None:
    """Found from 0.25 on: the trapezoid's area is (0.5 − 0.245) / 0.5."""
    curve = (THRESHOLDS >= 0.25).astype(float)
    assert float(metrics.area_under(curve)) == pytest.approx(0.51)
    np.testing.assert_allclose(metrics.area_under(np.stack([curve, np.ones(51)], 1)), [0.51, 1])


def test_shapes_that_differ_and_unknown_rules_are_refused() -> None:
    pred, truth = random_poses(LSP14, n=3)
    with pytest.raises(ValueError, match=r"\(3, 1, 2\).*\(3, 14, 2\)"):
        metrics.pdj(pred[:, :1], truth, LSP14)
    with pytest.raises(ValueError, match="'loose' is unknown; valid: strict, mean, buffy"):
        metrics.pcp(pred, truth, LSP14, "loose")  # type: ignore[arg-type]


def test_a_thousand_images_take_well_under_a_second() -> None:
    pred, truth = random_poses(LSP14, n=1000)
    start = time.process_time()
    every_rate(pred, truth, LSP14)
    assert time.process_time() - start < 1


# --- Observer-centric labels -----------------------------------------------------------------------------------------


def standing() -> Poses:
    """(1, 14, 2): someone upright who faces the camera, so the person's right is on the picture's left."""
    pose = {
        "ankle": (10, 100),
        "knee": (10, 80),
        "hip": (10, 60),
        "wrist": (25, 60),
        "elbow": (22, 45),
        "shoulder": (15, 30),
        "neck": (0, 25),
        "head_top": (0, 5),
    }
    sides = {"right": -1, "left": 1}
    points = []
    for joint in LSP14.joints:
        side, _, kind = joint.partition("_")
        x, y = pose[kind if side in sides else joint]
        points.append((50 + sides.get(side, 1) * x, y))
    return np.array([points], dtype=float)


def mirrored_joints(pose: Poses, kinds: tuple[str, ...]) -> Poses:
    out = pose.copy()
    for joint, name in enumerate(LSP14.joints):
        if name.endswith(kinds):
            out[:, joint] = pose[:, LSP14.mirror[joint]]
    return out


ARMS, LEGS = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")


@pytest.mark.parametrize("degrees", [0, 50, 90, 180, 270])
@pytest.mark.parametrize("swapped", [(), ARMS, LEGS, ARMS + LEGS])
def test_arms_and_legs_are_relabelled_apart_however_the_person_lies(degrees: float, swapped: tuple[str, ...]) -> None:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    facing = standing() @ np.array([[c, s], [-s, c]])
    seen = mirrored_joints(facing, swapped) if swapped else facing
    np.testing.assert_array_equal(metrics.observer_centric(seen, LSP14), facing)


def test_relabelling_twice_changes_nothing_more_and_the_input_is_left_alone() -> None:
    _, poses = with_gaps(LSP14)
    before = poses.copy()
    once = metrics.observer_centric(poses, LSP14)
    np.testing.assert_array_equal(poses, before)
    np.testing.assert_array_equal(metrics.observer_centric(once, LSP14), once)
    assert not np.array_equal(once, before, equal_nan=True)


def test_a_person_whose_torso_is_not_known_is_not_relabelled() -> None:
    back_view = mirrored_joints(standing(), ARMS + LEGS)
    back_view[0, LSP14.index("left_hip")] = np.nan
    np.testing.assert_array_equal(metrics.observer_centric(back_view, LSP14), back_view)


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.is_file(), reason="the real LSP archive is not here")
def test_how_many_people_of_lsp_are_relabelled() -> None:
    with zipfile.ZipFile(ARCHIVE) as archive:
        name = next(name for name in archive.namelist() if name.endswith("joints.mat"))
        joints = scipy.io.loadmat(io.BytesIO(archive.read(name)))["joints"]
    poses = joints[:2].transpose(2, 1, 0) - 1
    changed = (metrics.observer_centric(poses, LSP14) != poses).any((1, 2))
    assert (len(changed), int(changed.sum())) == (2000, 756)
