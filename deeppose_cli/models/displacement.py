"""How far a stage misses, which says where the crops of the next stage are drawn.

Shape letters: N images, K joints, M crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deeppose_cli.config.defaults import DIAMETER_BOUNDS, TORSO_SHARE
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import FloatArray, diameter
from deeppose_cli.core.skeleton import Skeleton


@dataclass(frozen=True)
class Displacement:
    """How far the previous stage is off (y_i^{s−1} − y_i), joint by joint, in units of diam: on training images (the
    paper), or on validation images."""

    mean: tuple[tuple[float, float], ...]
    """(K, 2)"""
    std: tuple[tuple[float, float], ...]
    """(K, 2)"""

    @staticmethod
    def measure(predicted: FloatArray, annotations: Annotations, first: FloatArray) -> Displacement:
        """From the previous stage's poses (N, K, 2) px on the annotations, and their b⁰ (N, 4)."""
        side = training_diameters(annotations.keypoints, first, annotations.skeleton)
        units = (predicted - annotations.keypoints) / side[:, None, None]
        counts = (~np.isnan(units).any(-1)).sum(0)
        pooled = units[~np.isnan(units).any(-1)]
        # A joint that is hardly ever labelled has no statistics of its own: all joints' stand in.
        own = (counts >= 10)[:, None]
        filled = np.where(own[None], units, 0.0)
        mean = np.where(own, np.nanmean(filled, axis=0), pooled.mean(0) if len(pooled) else 0.0)
        std = np.where(own, np.nanstd(filled, axis=0), pooled.std(0) if len(pooled) else 0.0)
        return Displacement(_pairs(mean), _pairs(std))

    def draw(self, rng: np.random.Generator, joints: Sequence[int], skeleton: Skeleton, mirrored: bool) -> FloatArray:
        """(M, 2) displacements δ in units of diam. In a mirrored image a left joint behaves as its right partner."""
        index = [skeleton.mirror[j] for j in joints] if mirrored else list(joints)
        mean, std = np.array(self.mean)[index], np.array(self.std)[index]
        if mirrored:
            mean = mean * np.array([-1.0, 1.0])
        return mean + std * rng.standard_normal(mean.shape)


def _pairs(values: FloatArray) -> tuple[tuple[float, float], ...]:
    return tuple((float(x), float(y)) for x, y in values)


def training_diameters(keypoints: FloatArray, first: FloatArray, skeleton: Skeleton) -> FloatArray:
    """diam of labelled poses (N, K, 2), within the same bounds as at prediction, px (N).

    Where a torso joint is not labelled, the opposite diagonal stands in; where that is not either, a share of the
    labelled joints' box.
    """
    across = diameter(keypoints[:, list(skeleton.mirror)], skeleton)
    span = np.fmax.reduce(keypoints, axis=1) - np.fmin.reduce(keypoints, axis=1)
    own = diameter(keypoints, skeleton)
    found = np.where(np.isnan(own), np.where(np.isnan(across), TORSO_SHARE * span.max(-1), across), own)
    side = first[:, 2:].max(-1)
    return np.clip(found, DIAMETER_BOUNDS[0] * side, DIAMETER_BOUNDS[1] * side)
