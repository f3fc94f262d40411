"""Poses to score: random, with gaps, degenerate; and helpers of the slow references of the metrics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, PEOPLE19, Skeleton

Poses = NDArray[np.float64]
Make = Callable[[Skeleton], tuple[Poses, Poses]]

ARM7 = Skeleton("arm7", ("base", "turret", "shoulder", "elbow", "wrist", "flange", "tool"))
"""A robot arm: no sides, no limbs, no pair for the diameter."""
SKELETONS = pytest.mark.parametrize("skeleton", [LSP14, FLIC10, BUFFY10, PEOPLE19], ids=lambda skeleton: skeleton.name)


def is_defined(point: Any) -> bool:
    return not (math.isnan(point[0]) or math.isnan(point[1]))


def share(outcomes: list[bool]) -> float:
    return sum(outcomes) / len(outcomes) if outcomes else math.nan


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
    a, b = skeleton.scale_index
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


def nothing_predicted(skeleton: Skeleton) -> tuple[Poses, Poses]:
    pred, truth = random_poses(skeleton, n=5)
    return np.full_like(pred, np.nan), truth


INPUTS = pytest.mark.parametrize(
    "make", [random_poses, with_gaps, zero_lengths, one_image, no_image, no_label, nothing_predicted]
)
