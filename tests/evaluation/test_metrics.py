"""The metrics against slow references written from their definitions, on random and on degenerate input."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, PEOPLE19, Limb, Skeleton
from deeppose_cli.evaluation import metrics, scores
from deeppose_cli.evaluation.metrics import THRESHOLDS
from tests.helpers.poses import INPUTS, SKELETONS, Make, Poses, is_defined, random_poses, share, with_gaps, zero_lengths

ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "lsp_dataset.zip"

TORSOS = {
    "lsp14": ("left_shoulder", "right_hip"),
    "flic10": ("left_shoulder", "right_hip"),
    "people19": ("left_shoulder", "right_hip"),
    "buffy10": ("neck", "mid_hip"),
}


# --- References: one image, one joint, one number at a time ----------------------------------------------------------


def slow_pdj(pred: Poses, truth: Poses, skeleton: Skeleton, threshold: float) -> list[float]:
    return slow_rates(pred, truth, skeleton, TORSOS[skeleton.name], threshold)


def slow_rates(pred: Poses, truth: Poses, skeleton: Skeleton, unit: tuple[str, str], threshold: float) -> list[float]:
    """Of each joint; `unit`: the two joints whose distance is the unit of the threshold."""
    rates = []
    for joint in range(len(skeleton)):
        outcomes = []
        for p, t in zip(pred, truth, strict=True):
            a, b = (t[skeleton.index(name)] for name in unit)
            if is_defined(a) and is_defined(b) and is_defined(t[joint]):
                outcomes.append(is_defined(p[joint]) and math.dist(p[joint], t[joint]) <= threshold * math.dist(a, b))
        rates.append(share(outcomes))
    return rates


def slow_pck(pred: Poses, truth: Poses, alpha: float) -> list[float]:
    rates = []
    for joint in range(truth.shape[1]):
        outcomes = []
        for p, t in zip(pred, truth, strict=True):
            if is_defined(t[joint]):
                xs, ys = zip(*(point for point in t if is_defined(point)), strict=True)
                side = max(max(xs) - min(xs), max(ys) - min(ys))
                outcomes.append(is_defined(p[joint]) and math.dist(p[joint], t[joint]) <= alpha * side)
        rates.append(share(outcomes))
    return rates


HEADS = {"lsp14": ("neck", "head_top"), "people19": ("neck", "head_top"), "buffy10": ("chin", "head_top")}


def slow_pckh(pred: Poses, truth: Poses, skeleton: Skeleton, alpha: float) -> list[float]:
    return slow_rates(pred, truth, skeleton, HEADS[skeleton.name], alpha)


def slow_rmse(pred: Poses, truth: Poses) -> tuple[list[float], float, int]:
    """Of each joint; the mean distance; the number of labelled joints without a prediction."""
    roots, distances, missing = [], [], 0
    for joint in range(truth.shape[1]):
        own = []
        for p, t in zip(pred[:, joint], truth[:, joint], strict=True):
            if is_defined(t) and is_defined(p):
                own.append(math.dist(p, t))
            missing += is_defined(t) and not is_defined(p)
        roots.append(math.sqrt(sum(d * d for d in own) / len(own)))
        distances += own
    return roots, sum(distances) / len(distances), missing


# --- Against the references ------------------------------------------------------------------------------------------


@SKELETONS
@INPUTS
def test_pdj_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    thresholds = THRESHOLDS[::7]
    expected = [slow_pdj(pred, truth, skeleton, float(t)) for t in thresholds]
    np.testing.assert_allclose(metrics.pdj_hits(pred, truth, skeleton, thresholds).rates(), expected)


@SKELETONS
@INPUTS
def test_pck_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    for alpha in (0.1, 0.2):
        np.testing.assert_allclose(metrics.pck_hits(pred, truth, alpha).rates(), slow_pck(pred, truth, alpha))


@pytest.mark.parametrize("skeleton", [LSP14, BUFFY10, PEOPLE19], ids=lambda skeleton: skeleton.name)
@INPUTS
def test_pckh_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    for alpha in (0.1, 0.5):
        found = metrics.pckh_hits(pred, truth, skeleton, alpha).rates()
        np.testing.assert_allclose(found, slow_pckh(pred, truth, skeleton, alpha))


def test_the_head_is_the_limb_of_that_name_or_the_one_to_the_top_of_the_head() -> None:
    joints = ("hip", "upper_neck", "head_top")
    limbs = (
        Limb("hip-upper_neck", ("hip",), ("upper_neck",)),
        Limb("upper_neck-head_top", ("upper_neck",), ("head_top",)),
    )
    assert metrics.head_limb(Skeleton("mpii", joints, limbs)) == 1
    assert metrics.head_limb(Skeleton("none", joints, limbs[:1])) is None
    assert metrics.head_limb(Skeleton("named", joints, (*limbs, Limb("head", ("hip",), ("head_top",))))) == 2
    with pytest.raises(ValueError, match="flic10 has no head limb"):
        metrics.pckh_hits(*random_poses(FLIC10), FLIC10)


@SKELETONS
@pytest.mark.parametrize("make", [random_poses, with_gaps])
def test_rmse_is_its_definition(make: Make, skeleton: Skeleton) -> None:
    pred, truth = make(skeleton)
    found = scores.scores(scores.ScoredPredictions.of_all("x", pred), truth, skeleton)["rmse"]
    roots, mean_error, missing = slow_rmse(pred, truth)
    assert list(found["per_joint"].values()) == pytest.approx(roots, abs=1e-6)
    assert found["mean"] == pytest.approx(np.mean(roots), abs=1e-6)
    assert (found["mean_error"], found["missing"]) == (pytest.approx(mean_error, abs=1e-6), missing)
    if "elbow" in found["joints"]:
        sides = [found["per_joint"][f"{side}_elbow"] for side in ("left", "right")]
        assert found["joints"]["elbow"] == pytest.approx(np.mean(sides), abs=1e-6)


def test_rmse_without_any_prediction_is_none() -> None:
    pred, truth = random_poses(LSP14)
    found = scores.scores(scores.ScoredPredictions.of_all("x", np.full_like(pred, np.nan)), truth, LSP14, draws=100)
    assert found["rmse"]["mean"] is found["rmse"]["mean_error"] is found["rmse"]["joints"]["knee"] is None
    assert found["rmse"]["missing"] == truth[..., 0].size


# --- Properties ------------------------------------------------------------------------------------------------------


def every_rate(pred: Poses, truth: Poses, skeleton: Skeleton) -> list[NDArray[np.float64]]:
    return [metrics.pdj_hits(pred, truth, skeleton, THRESHOLDS).rates(), metrics.pck_hits(pred, truth, 0.1).rates()]


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


def test_a_shift_of_exactly_the_threshold_is_detected() -> None:
    _, truth = random_poses(LSP14, n=300)
    a, b = LSP14.scale_index
    torso = np.linalg.norm(truth[:, a] - truth[:, b], axis=-1)[:, None, None]
    angle = np.random.default_rng(6).uniform(0, 2 * np.pi, (300, 14))
    pred = truth + 0.3 * torso * np.stack([np.cos(angle), np.sin(angle)], -1)
    assert (metrics.pdj(pred, truth, LSP14, 0.3) == 1).all()
    assert (metrics.pdj(pred, truth, LSP14, 0.2) == 0).all()
    assert (metrics.pdj(pred, truth, LSP14, 0.2999) == 0).all()


def test_a_millionth_over_the_threshold_is_not_detected() -> None:
    truth = np.zeros((1, 14, 2))
    truth[0, LSP14.scale_index[1]] = 30, 40
    over = truth + np.array([10 * (1 + 1e-7), 0])
    assert (metrics.pdj(over, truth, LSP14, 0.2) == 0).all()
    over[0, :, 0] = truth[0, :, 0] + 10 * (1 + 1e-10)
    assert (metrics.pdj(over, truth, LSP14, 0.2) == 1).all()


def test_a_missing_prediction_is_wrong_and_an_unlabelled_joint_does_not_count() -> None:
    _, truth = random_poses(LSP14, n=4)
    pred = truth.copy()
    pred[0, 10], pred[1, 10] = np.nan, np.inf
    truth[2, 10] = np.nan
    assert metrics.pdj(pred, truth, LSP14)[10] == pytest.approx(1 / 3)
    assert metrics.pck_hits(pred, truth, 0.1).rates()[10] == pytest.approx(1 / 3)


def test_columns_that_are_left_out_leave_every_denominator() -> None:
    pred, truth = with_gaps(LSP14)
    chosen = np.arange(14) % 3 > 0
    counts = metrics.pdj_hits(pred, truth, LSP14, THRESHOLDS)
    rates = counts.restrict_to(chosen).rates()
    assert np.isnan(rates[:, ~chosen]).all()
    np.testing.assert_array_equal(rates[:, chosen], counts.rates()[:, chosen])


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


def test_kinds_average_left_and_right_and_the_mean_is_over_joints() -> None:
    rates = np.zeros(14)
    rates[LSP14.index("left_elbow")], rates[LSP14.index("neck")] = 0.5, 1.0
    kinds = metrics.kind_rates(rates, LSP14.joint_kinds)
    assert (float(kinds["elbow"]), float(kinds["neck"])) == (0.25, 1.0)
    assert float(metrics.mean_rate(rates)) == pytest.approx(1.5 / 14)


def test_a_kind_with_one_labelled_side_is_that_sides_rate() -> None:
    rates = np.full(14, np.nan)
    rates[LSP14.index("left_elbow")] = 0.5
    kinds = metrics.kind_rates(rates, LSP14.joint_kinds)
    assert float(kinds["elbow"]) == 0.5
    assert np.isnan(kinds["wrist"])


def test_area_of_a_step() -> None:
    """Found from 0.25 on: the trapezoid's area is (0.5 − 0.245) / 0.5."""
    curve = (THRESHOLDS >= 0.25).astype(float)
    assert float(metrics.area_under(curve)) == pytest.approx(0.51)
    np.testing.assert_allclose(metrics.area_under(np.stack([curve, np.ones(51)], 1)), [0.51, 1])


def test_shapes_that_differ_are_refused() -> None:
    pred, truth = random_poses(LSP14, n=3)
    with pytest.raises(ValueError, match=r"\(3, 1, 2\).*\(3, 14, 2\)"):
        metrics.pdj(pred[:, :1], truth, LSP14)


# --- Observer-centric labels -----------------------------------------------------------------------------------------


def standing() -> Poses:
    """(1, 14, 2): someone upright who faces the camera, so the person's right is on the image's left."""
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


def test_a_person_with_half_a_torso_is_not_relabelled() -> None:
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
