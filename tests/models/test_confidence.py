"""Confidences are frequencies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deeppose_cli.evaluation.metrics import calibration_error
from deeppose_cli.models.confidence import Calibration, confidence, fit

KINDS = ("hip", "hip", "wrist", "wrist")
NOBODY = np.full((0, 4), 0.5)


def drawn(slope: float, offsets: tuple[float, ...], count: int = 10_000) -> tuple[np.ndarray, np.ndarray]:
    """Shares (N, 4) of which at least the surer half is large, and whether each joint was right: with the probability
    that the curve says."""
    rng = np.random.default_rng(0)
    peak_mass = rng.uniform(0.01, 0.99, (count, 4))
    peak_mass[:, :2] = rng.uniform(0.5, 0.99, (count, 2))
    peak_mass = rng.permuted(peak_mass, axis=1)
    odds = np.exp(offsets) * (peak_mass / (1 - peak_mass)) ** slope
    return peak_mass, rng.uniform(size=peak_mass.shape) < odds / (1 + odds)


def fitted(peak_mass: np.ndarray, right: np.ndarray, empty: np.ndarray = NOBODY) -> Calibration:
    found = fit(peak_mass, right, np.ones_like(right), empty, KINDS)
    assert found is not None
    return found


@pytest.mark.parametrize(("slope", "hip", "wrist"), [(1.0, 0.0, 0.0), (0.4, 1.5, -1.0), (2.0, -1.0, 0.5)])
def test_the_curve_that_the_joints_were_drawn_from_is_found(slope: float, hip: float, wrist: float) -> None:
    found = fitted(*drawn(slope, (hip, hip, wrist, wrist)))
    assert found.slope == pytest.approx(slope, abs=0.06)
    assert found.offsets == pytest.approx((hip, hip, wrist, wrist), abs=0.08)


def test_a_confidence_is_how_often_it_comes_true() -> None:
    peak_mass, right = drawn(0.7, (0.5, 0.5, -0.5, -0.5))
    calibration = fitted(peak_mass[::2], right[::2])
    found = confidence(peak_mass[1::2], calibration)
    error, bins = calibration_error(found.ravel(), right[1::2].ravel())
    assert error < 0.02
    assert bins[:, 2].sum() == found.size
    assert calibration_error(peak_mass[1::2].ravel(), right[1::2].ravel())[0] > 0.05  # as they are, they mean less


def test_a_sure_joint_of_an_unsure_pose_is_not_believed() -> None:
    """As of noise, where some heatmap always has a peak. People's confidences stay what they were."""
    peak_mass, right = drawn(1.0, (0.0,) * 4)
    rng = np.random.default_rng(1)
    empty = rng.uniform(0.01, 0.2, (2000, 4))
    empty[:, 3] = 0.7
    before, after = fitted(peak_mass, right), fitted(peak_mass, right, empty)
    assert confidence(empty, before)[:, 3].min() > 0.6
    assert confidence(empty, after)[:, 3].max() < 0.2
    np.testing.assert_allclose(confidence(peak_mass, after), confidence(peak_mass, before), atol=0.05)


def test_joints_without_labels_are_as_often_right_as_the_others() -> None:
    """And not never, as in images without people."""
    peak_mass, right = drawn(1.0, (1.0,) * 4)
    labelled = np.ones_like(right)
    labelled[:, 2:] = False
    found = fit(peak_mass, right, labelled, np.full((100, 4), 0.1), KINDS)
    assert found is not None
    assert found.offsets[2] == pytest.approx(found.offsets[0], abs=0.1)


def test_joints_without_a_heatmap_have_no_confidence() -> None:
    peak_mass, right = drawn(1.0, (0.0,) * 4, 1000)
    peak_mass[::3] = math.nan
    calibration = fitted(peak_mass, right)
    found = confidence(peak_mass, calibration)
    assert (np.isnan(found) == np.isnan(peak_mass)).all()
    assert calibration_error(found.ravel(), right.ravel())[1][:, 2].sum() == np.isfinite(peak_mass).sum()


@pytest.mark.parametrize(
    "right", [np.ones((25, 4), bool), np.zeros((25, 4), bool), np.arange(28).reshape(7, 4) % 2 == 0]
)
def test_what_cannot_be_measured_is_not(right: np.ndarray) -> None:
    masses = np.linspace(0.1, 0.9, right.size).reshape(right.shape)
    assert fit(masses, right, np.ones_like(right), NOBODY, KINDS) is None


def test_shares_that_tell_right_from_wrong_for_sure_give_a_steep_curve_and_no_error() -> None:
    peak_mass = np.repeat(np.linspace(0, 1, 200)[:, None], 4, axis=1)
    found = fitted(peak_mass, peak_mass > 0.5)
    assert np.isfinite([found.slope, found.doubt_slope, *found.offsets]).all()
    sure, unsure = confidence(np.array([[1.0] * 4, [0.0] * 4]), found)
    assert sure == pytest.approx(1, abs=1e-3)
    assert unsure == pytest.approx(0, abs=1e-3)


def test_the_expected_error_by_hand() -> None:
    """Two bins: of confidence .25 half are right, of .9 all."""
    error, bins = calibration_error(np.array([0.25, 0.25, 0.9, 0.9]), np.array([True, False, True, True]))
    assert error == pytest.approx((0.25 * 2 + 0.1 * 2) / 4)
    np.testing.assert_allclose(bins, [[0.25, 0.5, 2], [0.9, 1, 2]])
