"""Confidence of a predicted joint, as a measured probability.

The share of a heatmap around its peak (`peak_mass`) grows with the network's certainty, but is no probability. On
validation images, which the network has not learned from, we count how often a joint with such a share lies within 0.2
of the torso of its label (PDJ), and fit a logistic curve to that (Platt, 1999): of the share's logit; of the doubt
whether there is a person at all, which images without people show; and with an offset for each kind of joint, as hips
are harder to place than ankles.

Shape letters: N people, M images without people, K joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray

_LEAST = 1e-4
"""Shares are clipped to [_LEAST, 1 − _LEAST]."""
_NEWTON_STEPS, _RIDGE = 50, 1e-3
_OFFSET_RIDGE = 1.0
"""Of what a kind of joint has beside the common offset: a kind with few labels has little."""
_EMPTY_WEIGHT = 0.1
"""Weight of all joints in images without people together, in units of the labelled joints."""
LEAST_JOINTS = 50
"""With fewer labelled joints there is no fit."""


@dataclass(frozen=True)
class Calibration:
    """confidence = 1 / (1 + exp(−(slope · logit(peak_mass) + doubt_slope · doubt + offset)))."""

    slope: float
    doubt_slope: float
    offsets: tuple[float, ...]
    """(K)"""


def confidence(peak_mass: FloatArray, calibration: Calibration) -> NDArray[np.float64]:
    """Turn the peak masses of poses (…, K) into probabilities of the same shape; NaN stays NaN."""
    shares = _logit(peak_mass)
    odds = calibration.slope * shares + calibration.doubt_slope * _doubt(shares) + np.array(calibration.offsets)
    return _sigmoid(odds)


def fit(
    peak_mass: FloatArray,
    correct: NDArray[np.bool_],
    labelled: NDArray[np.bool_],
    empty_peak_mass: FloatArray,
    kinds: Sequence[str],
) -> Calibration | None:
    """Fit a calibration by maximum likelihood.

    peak_mass, correct, labelled: (N, K) of people; only labelled joints count. empty_peak_mass: (M, K) of poses where
    nobody is. kinds: (K) names of the kinds of joints.

    Returns None where there are too few labelled joints, or all are correct, or all are wrong.
    """
    index = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
    of_joint = np.eye(len(index))[[index[kind] for kind in kinds]]

    def features(masses: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
        shares = _logit(masses)
        common = np.stack([shares, np.broadcast_to(_doubt(shares), shares.shape), np.ones_like(shares)], axis=-1)
        return np.concatenate([common, np.broadcast_to(of_joint, (*shares.shape, len(index)))], axis=-1)[chosen]

    chosen = labelled & ~np.isnan(peak_mass)
    y = correct[chosen].astype(np.float64)
    if len(y) < LEAST_JOINTS or y.min() == y.max():
        return None
    # A kind without labels must not learn from images without people alone that it is never right.
    known = np.array([chosen[:, [other == kind for other in kinds]].any() for kind in kinds])
    empty = ~np.isnan(empty_peak_mass) & known
    x = np.concatenate([features(peak_mass, chosen), features(empty_peak_mass, empty)])
    weights = np.concatenate([np.ones(len(y)), np.full(empty.sum(), _EMPTY_WEIGHT * len(y) / max(1, empty.sum()))])
    values = _logistic_regression(x, np.concatenate([y, np.zeros(empty.sum())]), weights)
    slope, doubt_slope, offset, *own = values.tolist()
    return Calibration(slope, doubt_slope, tuple(offset + own[index[kind]] for kind in kinds))


def _logistic_regression(x: FloatArray, y: FloatArray, weights: FloatArray) -> NDArray[np.float64]:
    """Coefficients of the features (J, F), of which the first three are common to all kinds of joints."""
    values = np.zeros(x.shape[1])
    ridge = np.where(np.arange(len(values)) < 3, _RIDGE, _OFFSET_RIDGE)
    for _ in range(_NEWTON_STEPS):
        p = _sigmoid(x @ values)
        gradient = x.T @ (weights * (y - p)) - ridge * values
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        values += np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-9:
            break
    return values


def _sigmoid(odds: FloatArray) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(odds, -30, 30))))


def _doubt(logits: FloatArray) -> NDArray[np.float64]:
    """(…, K) → (…, 1): the mean logit of the surer half of a pose's joints where that is below 0, else 0.

    The surer half: of people cut by the image's border the other joints say nothing.
    """
    surer = -np.sort(-logits, axis=-1)[..., : max(1, logits.shape[-1] // 2)]
    return np.minimum(surer.mean(-1, keepdims=True), 0.0)


def _logit(peak_mass: FloatArray) -> NDArray[np.float64]:
    share = np.clip(np.asarray(peak_mass, dtype=np.float64), _LEAST, 1 - _LEAST)
    return np.asarray(np.log(share) - np.log1p(-share))
