"""How sure an answer is, as a probability that was measured.

A network's map says by itself how sure it is: the share of it that lies around its peak (`peak_mass`). That share is no
probability of anything. On validation images, which the network has not learned from, one sees how often a joint with
such a share lies where it should, within 0.2 of the torso (PDJ); a logistic curve of the share's logit is fitted to
that (Platt, 1999), and what it gives is the confidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray

pass


_LEAST = 1e-4
"""Shares are held between this and 1 less it."""
_STEPS, _RIDGE = 50, 1e-3
LEAST_JOINTS = 50
"""With fewer there is nothing to be measured."""


def confidence(peak_mass: FloatArray, calibration: Calibration) -> NDArray[np.float64]:
    """Probabilities, of mass's shape; NaN stays NaN."""
    return np.asarray(1 / (1 + np.exp(-(calibration.slope * _logit(peak_mass) + calibration.offset))))


def fit(peak_mass: FloatArray, right: NDArray[np.bool_]) -> Calibration | None:
    """By maximum likelihood, from labelled joints (N). None where there are too few, or no right or wrong ones."""
    known = ~np.isnan(peak_mass)
    x, y = _logit(peak_mass[known]), right[known].astype(np.float64)
    if len(x) < LEAST_JOINTS or y.min() == y.max():
        return None
    features = np.stack([x, np.ones_like(x)], axis=1)
    values = np.zeros(2)
    for _ in range(_STEPS):  # Newton's
        p = 1 / (1 + np.exp(-np.clip(features @ values, -30, 30)))
        gradient = features.T @ (y - p) - _RIDGE * values
        curvature = (features * (p * (1 - p))[:, None]).T @ features + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        values += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(float(values[0]), float(values[1]))


def _logit(peak_mass: FloatArray) -> NDArray[np.float64]:
    held = np.clip(np.asarray(peak_mass, dtype=np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(held) - np.log1p(-held))


@dataclass(frozen=True)
class Calibration:
    """What makes a confidence of the share `peak_mass` of a map around its peak, as `calibration.py` fits it:
    1 / (1 + exp(−(slope · logit(mass) + offset)))."""

    slope: float
    offset: float
