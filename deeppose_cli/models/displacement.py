"""Displacement of a stage's predictions from the labels: it places the training crops of the next stage.

Shape letters: N images, K joints, M crops.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from deeppose_cli.config.defaults import BOX_DIAMETER_BOUNDS, DIAMETER_BOUNDS, TORSO_SHARE
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import FloatArray, diameter
from deeppose_cli.core.skeleton import Skeleton

_LEAST_LABELS = 10
"""A joint with fewer labels has no statistics of its own."""


@dataclass(frozen=True)
class Displacement:
    """Normal distribution of the previous stage's error y_i^{s−1} − y_i, joint by joint, in units of diam.

    Measured on training images (the paper), or on validation images.
    """

    mean: tuple[tuple[float, float], ...]
    """(K, 2)"""
    std: tuple[tuple[float, float], ...]
    """(K, 2)"""

    @classmethod
    def from_pairs(cls, mean: Iterable[Iterable[float]], std: Iterable[Iterable[float]]) -> Displacement:
        """Convert from lists or arrays (K, 2)."""
        return cls(*(tuple((float(x), float(y)) for x, y in values) for values in (mean, std)))

    @classmethod
    def measure(cls, predicted: FloatArray, annotations: Annotations, initial_boxes: FloatArray) -> Displacement:
        """Measure it on the previous stage's poses (N, K, 2) px of annotated images with boxes b⁰ (N, 4) px."""
        side = training_diameters(annotations.keypoints, initial_boxes, annotations.skeleton)
        units = (predicted - annotations.keypoints) / side[:, None, None]
        labelled = ~np.isnan(units).any(-1)
        pooled = units[labelled]
        # A joint that is hardly ever labelled takes the statistics of all joints together.
        own = (labelled.sum(0) >= _LEAST_LABELS)[:, None]
        filled = np.where(own[None], units, 0.0)
        mean = np.where(own, np.nanmean(filled, axis=0), pooled.mean(0) if len(pooled) else 0.0)
        std = np.where(own, np.nanstd(filled, axis=0), pooled.std(0) if len(pooled) else 0.0)
        return cls.from_pairs(mean, std)

    def draw(self, rng: np.random.Generator, joints: Sequence[int], skeleton: Skeleton, mirrored: bool) -> FloatArray:
        """Draw displacements δ (M, 2) in units of diam. In a mirrored image a left joint errs as its right partner."""
        index = [skeleton.mirror[j] for j in joints] if mirrored else list(joints)
        mean, std = np.array(self.mean)[index], np.array(self.std)[index]
        if mirrored:
            mean = mean * np.array([-1.0, 1.0])
        return mean + std * rng.standard_normal(mean.shape)


def diameter_bounds(skeleton: Skeleton) -> tuple[float, float]:
    """Bounds of diam in units of b⁰'s longer side, by what it is measured on."""
    return BOX_DIAMETER_BOUNDS if skeleton.scale_by is None else DIAMETER_BOUNDS


def training_diameters(keypoints: FloatArray, initial_boxes: FloatArray, skeleton: Skeleton) -> FloatArray:
    """diam of labelled poses (N, K, 2) → (N) px, within the same bounds as at prediction.

    Fallback where one of its two joints is not labelled: their mirror partners; then a share of the labelled joints'
    box.
    """
    own = diameter(keypoints, skeleton)
    opposite = diameter(keypoints[:, list(skeleton.mirror)], skeleton)
    span = np.fmax.reduce(keypoints, axis=1) - np.fmin.reduce(keypoints, axis=1)
    found = np.where(np.isnan(own), np.where(np.isnan(opposite), TORSO_SHARE * span.max(-1), opposite), own)
    side = initial_boxes[:, 2:].max(-1)
    least, most = diameter_bounds(skeleton)
    return np.clip(found, least * side, most * side)
