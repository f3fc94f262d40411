"""Confidence of a predicted joint, as a measured probability.

The share of a heatmap around its peak (`peak_mass`) grows with the network's certainty, but is no probability. On
validation images, which the network has not learned from, we count how often a joint with such a share lies within 0.2
of the torso of its label (PDJ), and fit a logistic curve of the share's logit to that (Platt, 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray

_LEAST = 1e-4
"""Shares are clipped to [_LEAST, 1 − _LEAST]."""
_NEWTON_STEPS, _RIDGE = 50, 1e-3
LEAST_JOINTS = 50
"""With fewer labelled joints there is no fit."""


@dataclass(frozen=True)
class Calibration:
    """confidence = 1 / (1 + exp(−(slope · logit(peak_mass) + offset)))."""

    slope: float
    offset: float


def confidence(peak_mass: FloatArray, calibration: Calibration) -> NDArray[np.float64]:
    """Turn peak masses into probabilities of the same shape; NaN stays NaN."""
    return np.asarray(1 / (1 + np.exp(-(calibration.slope * _logit(peak_mass) + calibration.offset))))


def fit(peak_mass: FloatArray, correct: NDArray[np.bool_]) -> Calibration | None:
    """Fit a calibration to N labelled joints by maximum likelihood.

    Returns None where there are too few, or all are correct, or all are wrong.
    """
    valid = ~np.isnan(peak_mass)
    x, y = _logit(peak_mass[valid]), correct[valid].astype(np.float64)
    if len(x) < LEAST_JOINTS or y.min() == y.max():
        return None
    features = np.stack([x, np.ones_like(x)], axis=1)
    values = np.zeros(2)
    for _ in range(_NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(features @ values, -30, 30)))
        gradient = features.T @ (y - p) - _RIDGE * values
        curvature = (features * (p * (1 - p))[:, None]).T @ features + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        values += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(values[0]), float(values[1]))


def _logit(peak_mass: FloatArray) -> NDArray[np.float64]:
    share = np.clip(np.asarray(peak_mass, dtype=np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(share) - np.log1p(-share))
