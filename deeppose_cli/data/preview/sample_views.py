"""Inputs of the networks for some examples, from the data sets of training. Shape letters: K joints, S side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
PHOTOMETRIC = ("color", "gray", "gamma", "blur", "noise", "jpeg", "erase")
"""Fields of `Augmentation` that change the colors of an image."""
STRENGTHS = ("color", "gamma")
"""Those of them that are a strength; the others are a probability."""
_ATTEMPTS = 50


@dataclass(frozen=True, eq=False)
class Crop:
    """One network input."""

    pixels: Image
    """(S, S, 3)"""
    keypoints: NDArray[np.float64]
    """(K, 2) px of the crop; NaN: not labelled."""
    joint: int | None = None
    """The joint at its middle; None in stage 1."""


@dataclass(frozen=True, eq=False)
class InitialViews:
    """An example in stage 1."""

    box: NDArray[np.float64]
    """(4) px: b⁰ as it is cropped."""
    plain: Crop
    varied: list[Crop]
    """Those of epochs 1, 2, … of a training with the same seed."""
    photometric: dict[str, Crop] = field(default_factory=dict)
    """For each photometric change of the settings: that change alone."""


@dataclass(frozen=True, eq=False)
class RefinementViews:
    """An example in a stage s ≥ 2."""

    pose: FloatArray
    """(K, 2) px: the middles of the boxes."""
    boxes: FloatArray
    """(K, 4) px"""
    plain: list[Crop]
    """The crops of these boxes."""
    varied: list[Crop]
    """Those of the first epoch of a training with the same seed: displaced, mirrored, …"""


@dataclass(frozen=True)
class InitialSettings:
    """Everything that decides the inputs of stage 1."""

    stage: StagePreset
    square: bool
    seed: int

    @property
    def photometric(self) -> list[str]:
        """The photometric changes that the settings have."""
        return [name for name in PHOTOMETRIC if getattr(self.stage.augmentation, name)]

    def amount(self, name: str) -> str:
        value = getattr(self.stage.augmentation, name)
        return f"strength {value:g}" if name in STRENGTHS else f"in {value:.0%} of images"


@dataclass(frozen=True)
class RefinementSettings:
    """Everything that decides the inputs of a stage s ≥ 2."""

    stage: RefinementPreset
    square: bool
    seed: int
    sigma: float
    displacement: Displacement | None = None
    """None: not known yet; the crops are then not displaced."""
    number: int = 2


def initial_views(
    annotations: Annotations, boxes: FloatArray, rows: Sequence[int], settings: InitialSettings, copies: int
) -> list[InitialViews]:
    """Inputs for each of the rows. Shape: boxes (N, 4) px of the whole split; those of other rows may be NaN."""

    def training(augmentation: Augmentation) -> InitialTrainDataset:
        stage = replace(settings.stage, augmentation=augmentation)
        return InitialTrainDataset(annotations, boxes, settings.square, stage, settings.seed)

    plain = InitialValDataset(annotations, boxes, settings.square, settings.stage)
    varied = training(settings.stage.augmentation)
    strength = {name: getattr(settings.stage.augmentation, name) if name in STRENGTHS else 1.0 for name in PHOTOMETRIC}
    alone = {name: training(replace(_UNCHANGED, **{name: strength[name]})) for name in settings.photometric}
    return [
        InitialViews(
            plain.initial_boxes[row],
            _initial_crop(plain[row]),
            [_initial_crop(varied[SampleKey(epoch, row, 0)]) for epoch in range(copies)],
            {name: _first_changed(dataset, row, plain[row]) for name, dataset in alone.items()},
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
    """Inputs for each of the rows. Shape: poses (rows, K, 2) px of the previous stage; None: the labels are used."""
    still = Displacement(*(((0.0, 0.0),) * len(annotations.skeleton),) * 2)
    once = replace(settings.stage, crops_per_visit=1)
    square, sigma, seed = settings.square, settings.sigma, settings.seed
    training = RefinementTrainDataset(annotations, boxes, square, once, sigma, settings.displacement or still, seed)
    varied = [_refinement_crops(training[SampleKey(0, row, 0)]) for row in rows]
    if poses is not None:
        some = annotations.take(rows)
        validation = RefinementValDataset(some, boxes[list(rows)], square, once, sigma, poses)
        found = []
        for i, where in enumerate(validation.crop_boxes):
            target = (some.keypoints[i][None] - where[:, None, :2]) / where[:, None, 2:]
            crops = _refinement_crops({**validation[i], "target": target, "joint_index": np.arange(len(where))})
            found.append(RefinementViews(poses[i], where, crops, varied[i]))
        return found
    plain = replace(once, augmentation=_UNCHANGED)
    unchanged = RefinementTrainDataset(annotations, boxes, square, plain, sigma, still, seed)
    return [
        RefinementViews(
            labels := annotations.keypoints[row],
            joint_boxes(labels, np.full(len(labels), sigma * unchanged.diameters[row])),
            _refinement_crops(unchanged[SampleKey(0, row, 0)]),
            crops,
        )
        for row, crops in zip(rows, varied, strict=True)
    ]


def _first_changed(dataset: InitialTrainDataset, row: int, plain: Example) -> Crop:
    """The crop of the first epoch that differs from the plain one: some changes leave out some epochs."""
    for epoch in range(_ATTEMPTS):
        example = dataset[SampleKey(epoch, row, 0)]
        if not np.array_equal(example["image"], plain["image"]):
            break
    return _initial_crop(example)


def _initial_crop(example: Example) -> Crop:
    return Crop(example["image"], _in_crop(example["target"], len(example["image"])))


def _refinement_crops(example: Example) -> list[Crop]:
    return [
        Crop(pixels, _in_crop(target, len(pixels)), int(joint))
        for pixels, target, joint in zip(example["image"], example["target"], example["joint_index"], strict=True)
    ]


def _in_crop(target: FloatArray, side: int) -> NDArray[np.float64]:
    """Normalized coordinates → px of the crop; see geometry.crop_matrix."""
    return np.asarray((target.astype(np.float64) + 0.5) * side - 0.5)
