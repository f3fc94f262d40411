"""Confidences are frequencies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from deeppose_cli.evaluation.metrics import calibration_error
from deeppose_cli.models.confidence import confidence, fit


def drawn(slope: float, offset: float, count: int = 40_000) -> tuple[np.ndarray, np.ndarray]:
    """Shares, and whether the joint was right: with the probability that the curve says."""
    rng = np.random.default_rng(0)
    peak_mass = rng.uniform(0.01, 0.99, count)
    odds = np.exp(offset) * (peak_mass / (1 - peak_mass)) ** slope
    return peak_mass, rng.uniform(size=count) < odds / (1 + odds)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.4, 1.5), (2.0, -1.0)])
def test_the_curve_that_the_joints_were_drawn_from_is_found(slope: float, offset: float) -> None:
    found = fit(*drawn(slope, offset))
    assert found is not None
    assert (found.slope, found.offset) == (pytest.approx(slope, abs=0.05), pytest.approx(offset, abs=0.05))


def test_a_confidence_is_how_often_it_comes_true() -> None:
    peak_mass, right = drawn(0.7, 0.5)
    calibration = fit(peak_mass[::2], right[::2])
    assert calibration is not None
    error, bins = calibration_error(confidence(peak_mass[1::2], calibration), right[1::2])
    assert error < 0.02
    assert bins[:, 2].sum() == len(peak_mass) / 2
    assert calibration_error(peak_mass[1::2], right[1::2])[0] > 0.05  # as they are, they say something else


def test_joints_that_no_map_stands_behind_have_no_confidence() -> None:
    peak_mass, right = drawn(1.0, 0.0, 1000)
    peak_mass[::3] = math.nan
    calibration = fit(peak_mass, right)
    assert calibration is not None
    assert np.isnan(confidence(peak_mass, calibration))[::3].all()
    assert calibration_error(confidence(peak_mass, calibration), right)[1][:, 2].sum() == np.isfinite(peak_mass).sum()


@pytest.mark.parametrize("right", [np.ones(100, bool), np.zeros(100, bool), np.arange(30) % 2 == 0])
def test_what_cannot_be_measured_is_not(right: np.ndarray) -> None:
    assert fit(np.linspace(0.1, 0.9, len(right)), right) is None


def test_shares_that_tell_right_from_wrong_for_sure_give_a_steep_curve_and_no_error() -> None:
    peak_mass = np.linspace(0, 1, 200)
    found = fit(peak_mass, peak_mass > 0.5)
    assert found is not None
    assert np.isfinite([found.slope, found.offset]).all()
    assert confidence(np.array([0.0, 1.0]), found) == pytest.approx([0, 1], abs=1e-3)


def test_the_expected_error_by_hand() -> None:
    """Two bins: of confidence .25 half are right, of .9 all."""
    error, bins = calibration_error(np.array([0.25, 0.25, 0.9, 0.9]), np.array([True, False, True, True]))
    assert error == pytest.approx((0.25 * 2 + 0.1 * 2) / 4)
    np.testing.assert_allclose(bins, [[0.25, 0.5, 2], [0.9, 1, 2]])
