"""What the networks see of an example, from the very sets that training draws from. Shape letters: K joints, S side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.schema import Augmentation, RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.geometry import FloatArray, joint_boxes
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.data.loading.stage_datasets import (
    Example,
    InitialTrainDataset,
    InitialValDataset,
    RefinementTrainDataset,
    RefinementValDataset,
)
from deeppose_cli.media.images import Image
from deeppose_cli.models.displacement import Displacement

_UNCHANGED = Augmentation(flip=0.0)


@dataclass(frozen=True, eq=False)
class Crop:
    """One network input."""

    pixels: Image
    """(S, S, 3)"""
    keypoints: NDArray[np.float64]
    """(K, 2) px of the crop; NaN: not labelled."""
    joint: int | None = None
    """The joint that it is meant for; None in stage 1."""


@dataclass(frozen=True, eq=False)
class InitialViews:
    """An example in stage 1."""

    box: NDArray[np.float64]
    """(4) px: b⁰ as it is cropped."""
    plain: Crop
    varied: list[Crop]
    """As epochs 1, 2, … of a training with the same seed see it."""


@dataclass(frozen=True, eq=False)
class RefinementViews:
    """An example in a stage s ≥ 2."""

    pose: FloatArray
    """(K, 2) px: where the boxes are centred."""
    boxes: FloatArray
    """(K, 4) px"""
    plain: list[Crop]
    """Cut at these boxes."""
    varied: list[Crop]
    """As the first epoch of a training with the same seed sees them: displaced, mirrored, …"""


@dataclass(frozen=True)
class InitialSettings:
    """All that decides what stage 1 sees."""

    stage: StagePreset
    square: bool
    seed: int


@dataclass(frozen=True)
class RefinementSettings:
    """All that decides what a stage s ≥ 2 sees."""

    stage: RefinementPreset
    square: bool
    seed: int
    sigma: float
    displacement: Displacement | None = None
    """None: not known yet; the crops are then not displaced."""


def initial_views(
    annotations: Annotations, boxes: FloatArray, rows: Sequence[int], settings: InitialSettings, copies: int
) -> list[InitialViews]:
    """Of each of the rows. boxes (N, 4) px of the whole split; those of other rows may be NaN."""
    plain = InitialValDataset(annotations, boxes, settings.square, settings.stage)
    training = InitialTrainDataset(annotations, boxes, settings.square, settings.stage, settings.seed)
    return [
        InitialViews(
            plain.initial_boxes[row],
            _initial_crop(plain[row]),
            [_initial_crop(training[SampleKey(epoch, row, 0)]) for epoch in range(copies)],
        )
        for row in rows
    ]


def refinement_views(
    annotations: Annotations,
    boxes: FloatArray,
    rows: Sequence[int],
    settings: RefinementSettings,
    poses: FloatArray | None = None,
) -> list[RefinementViews]:
    """Of each of the rows. `poses` (rows, K, 2) px: what the stage before says; without them the labels stand in."""
    still = Displacement(*(((0.0, 0.0),) * len(annotations.skeleton),) * 2)
    once = replace(settings.stage, crops_per_visit=1)
    square, sigma, seed = settings.square, settings.sigma, settings.seed
    training = RefinementTrainDataset(annotations, boxes, square, once, sigma, settings.displacement or still, seed)
    varied = [_refinement_crops(training[SampleKey(0, row, 0)]) for row in rows]
    if poses is not None:
        some = annotations.take(rows)
        validation = RefinementValDataset(some, boxes[list(rows)], square, once, sigma, poses)
        found = []
        for i in range(len(rows)):
            example = validation[i]
            where = validation.crop_boxes[i]
            target = (some.keypoints[i][None] - where[:, None, :2]) / where[:, None, 2:]
            crops = _refinement_crops({**example, "target": target, "joint_index": np.arange(len(where))})
            found.append(RefinementViews(poses[i], where, crops, varied[i]))
        return found
    unchanged = RefinementTrainDataset(
        annotations, boxes, square, replace(once, augmentation=_UNCHANGED), sigma, still, seed
    )
    return [
        RefinementViews(
            labels := annotations.keypoints[row],
            joint_boxes(labels, np.full(len(labels), sigma * unchanged.diameters[row])),
            _refinement_crops(unchanged[SampleKey(0, row, 0)]),
            crops,
        )
        for row, crops in zip(rows, varied, strict=True)
    ]


def _initial_crop(example: Example) -> Crop:
    return Crop(example["image"], _in_crop(example["target"], len(example["image"])))


def _refinement_crops(example: Example) -> list[Crop]:
    return [
        Crop(pixels, _in_crop(target, len(pixels)), int(joint))
        for pixels, target, joint in zip(example["image"], example["target"], example["joint_index"], strict=True)
    ]


def _in_crop(target: FloatArray, side: int) -> NDArray[np.float64]:
    """norm → px of the crop; see geometry.crop_matrix."""
    return np.asarray((target.astype(np.float64) + 0.5) * side - 0.5)
