"""Training and validation examples of each stage. Shape letters: K joints, M crops of one image, S input side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from deeppose_cli.config.schema import RefinementPreset, StagePreset
from deeppose_cli.core.annotations import Annotations, labelled
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import Box, FloatArray, joint_boxes, normalise, turn_matrix, turn_points
from deeppose_cli.data.loading.augmentation import Augmenter
from deeppose_cli.data.loading.samplers import SampleKey
from deeppose_cli.media.cropping import MEAN_COLOR, crop, crops
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.models.cascade import initial_stage_boxes, refinement_boxes
from deeppose_cli.models.displacement import Displacement, training_diameters
from deeppose_cli.models.person_view import place_person_crops

Example = dict[str, NDArray[Any]]
Reserve = Callable[[tuple[int, ...]], NDArray[np.uint8] | None]
Read = Callable[[Path], Image]

REFINEMENT_REACH = 3.0
"""Crops around joints extend beyond b⁰: augmentation keeps so many of its sides of a training image."""

_GRAY = np.full((8, 8, 3), MEAN_COLOR, np.uint8)


class _StageDataset(Dataset[Example]):
    """Rows of annotations with their b⁰. `read` decodes an image; the result is not written to."""

    def __init__(self, annotations: Annotations, boxes: FloatArray, square: bool, read: Read) -> None:
        self.annotations, self.skeleton, self.read = annotations, annotations.skeleton, read
        self.initial_boxes = initial_stage_boxes(boxes, square=square)

    def __len__(self) -> int:
        return len(self.annotations)

    def load(self, row: int) -> tuple[Image, FloatArray, NDArray[np.bool_]]:
        """The image, its labels (K, 2) px, and whether it is unreadable.

        An unreadable image is gray and has no labels: nothing is learned or counted of it, and the training reports it.
        Row −1 is the same, without being reported.
        """
        no_labels = np.full((len(self.skeleton), 2), np.nan)
        if row < 0:
            return _GRAY, no_labels, np.array(False)
        try:
            return self.read(self.annotations.files[row]), self.annotations.keypoints[row], np.array(False)
        except DeepPoseError:
            return _GRAY, no_labels, np.array(True)


class InitialTrainDataset(_StageDataset):
    """Stage 1: `image` (S, S, 3) uint8, S being that of the key's epoch, `target` (K, 2) normalized coordinates (NaN:
    not labelled), `index` (the row), `unreadable`."""

    def __init__(
        self,
        annotations: Annotations,
        boxes: FloatArray,
        square: bool,
        settings: StagePreset,
        seed: int,
        read: Read = read_image,
    ) -> None:
        super().__init__(annotations, boxes, square, read)
        self.settings, self.seed = settings, seed
        self.augment = Augmenter(settings.augmentation, self.skeleton)

    def __getitem__(self, key: SampleKey) -> Example:
        rng = np.random.default_rng([self.seed, *key])
        image, keypoints, unreadable = self.load(key.row)
        box, angle = self.place(key.row, rng)
        view = self.augment(image, keypoints, box, rng, angle)
        pixels = crop(view.image, view.box, self.settings.input_size_at(key.epoch), turn=view.turn)
        self.augment.finish(pixels[None], rng)
        return {
            "image": pixels,
            "target": normalise(view.keypoints, np.array(view.box)).astype(np.float32),
            "index": np.array(key.row),
            "unreadable": unreadable,
        }

    def place(self, row: int, rng: np.random.Generator) -> tuple[Box, float]:
        """The crop before its variation: its box, px, and the angle by which it is turned, degrees."""
        return Box(*self.initial_boxes[row]), 0.0


class PersonTrainDataset(InitialTrainDataset):
    """Stage s ≥ 2 that sees the whole person: as stage 1, but placed by the labels, displaced like the errors of the
    stage before."""

    def __init__(
        self,
        annotations: Annotations,
        boxes: FloatArray,
        square: bool,
        settings: RefinementPreset,
        sigma: float,
        displacement: Displacement,
        seed: int,
        read: Read = read_image,
    ) -> None:
        super().__init__(annotations, boxes, square, settings, seed, read)
        self.sigma, self.displacement = sigma, displacement
        self.diameters = training_diameters(annotations.keypoints, self.initial_boxes, self.skeleton)

    def place(self, row: int, rng: np.random.Generator) -> tuple[Box, float]:
        delta = self.displacement.draw(rng, range(len(self.skeleton)), self.skeleton, mirrored=False)
        pose = self.annotations.keypoints[row] + delta * self.diameters[row]
        boxes, angles = place_person_crops(pose[None], self.initial_boxes[row][None], self.skeleton, self.sigma)
        return Box(*boxes[0]), float(angles[0])


class InitialValDataset(_StageDataset):
    """Stage 1, nothing random: adds `box` (4) and `keypoints` (K, 2) px. Row −1 is an example without labels."""

    def __init__(
        self, annotations: Annotations, boxes: FloatArray, square: bool, settings: StagePreset, read: Read = read_image
    ) -> None:
        super().__init__(annotations, boxes, square, read)
        self.size = settings.input_size

    def __getitem__(self, row: int) -> Example:
        image, keypoints, unreadable = self.load(row)
        box = self.initial_boxes[max(row, 0)]
        return {
            "image": crop(image, box, self.size),
            "target": normalise(keypoints, box).astype(np.float32),
            "keypoints": keypoints.astype(np.float32),
            "box": box.astype(np.float32),
            "index": np.array(row),
            "unreadable": unreadable,
        }


class PersonValDataset(_StageDataset):
    """Stage s ≥ 2 that sees the whole person, on the previous stage's poses: as `InitialValDataset`, and `angle` (),
    degrees, and the previous stage's `pose` (K, 2) px and `peak_mass` (K), NaN where it has none."""

    def __init__(
        self,
        annotations: Annotations,
        boxes: FloatArray,
        square: bool,
        settings: RefinementPreset,
        sigma: float,
        poses: FloatArray,
        peak_mass: FloatArray,
        read: Read = read_image,
    ) -> None:
        """Shape: poses (N, K, 2) px and peak_mass (N, K) of the previous stage."""
        super().__init__(annotations, boxes, square, read)
        self.size, self.poses, self.peak_mass = settings.input_size, poses, peak_mass
        self.boxes, self.angles = place_person_crops(poses, self.initial_boxes, self.skeleton, sigma)

    def __getitem__(self, row: int) -> Example:
        image, keypoints, unreadable = self.load(row)
        place = max(row, 0)
        box, angle = self.boxes[place], self.angles[place]
        return {
            "image": crop(image, box, self.size, turn=turn_matrix(box, angle)),
            "target": normalise(turn_points(keypoints, box[:2], angle), box).astype(np.float32),
            "keypoints": keypoints.astype(np.float32),
            "initial_box": self.initial_boxes[place].astype(np.float32),
            "box": box.astype(np.float32),
            "angle": np.float32(angle),
            "pose": self.poses[place].astype(np.float32),
            "peak_mass": self.peak_mass[place].astype(np.float32),
            "index": np.array(row),
            "unreadable": unreadable,
        }


class RefinementTrainDataset(_StageDataset):
    """Stage s ≥ 2: M crops around displaced labels: `image` (M, S, S, 3), `joint_index` (M), `target` (M, K, 2)
    normalized coordinates; and of the image `index` (1), `unreadable` (1).

    Each labelled joint has `crops_per_visit` crops of one decoded image (paper, section 3.2).
    """

    def __init__(
        self,
        annotations: Annotations,
        boxes: FloatArray,
        square: bool,
        settings: RefinementPreset,
        sigma: float,
        displacement: Displacement,
        seed: int,
        reserve: Reserve = lambda shape: None,
        read: Read = read_image,
    ) -> None:
        """`reserve`: memory for crops of that shape, at their place in the batch; None: the crops have their own."""
        super().__init__(annotations, boxes, square, read)
        self.settings, self.sigma, self.displacement, self.seed = settings, sigma, displacement, seed
        self.reserve = reserve
        self.augment = Augmenter(settings.augmentation, self.skeleton, REFINEMENT_REACH)
        self.diameters = training_diameters(annotations.keypoints, self.initial_boxes, self.skeleton)

    def __getitem__(self, key: SampleKey) -> Example:
        rng = np.random.default_rng([self.seed, *key])
        image, keypoints, unreadable = self.load(key.row)
        initial_box, diam = self.initial_boxes[key.row], self.diameters[key.row]
        view = self.augment(image, keypoints, Box(*initial_box), rng)
        s = self.settings
        crops_per_joint = min(s.crops_per_visit, s.crops_per_joint - key.repeat * s.crops_per_visit)
        joints = np.repeat(np.flatnonzero(labelled(view.keypoints)), crops_per_joint)
        # The size jitter of b⁰ is that of the crops here; the rotation and the mirror keep lengths.
        zoom = view.box[2] / initial_box[2]
        delta = self.displacement.draw(rng, list(joints), self.skeleton, view.mirrored)
        boxes = joint_boxes(view.keypoints[joints] + delta * diam, np.full(len(joints), self.sigma * diam * zoom))
        size = s.input_size
        pixels = crops(view.image, boxes, size, self.reserve((len(boxes), size, size, 3)), view.turn)
        self.augment.finish(pixels, rng)
        return {
            "image": pixels,
            "joint_index": joints,
            "target": normalise(view.keypoints[None], boxes[:, None]).astype(np.float32),
            "index": np.array([key.row]),
            "unreadable": unreadable[None],
        }


class RefinementValDataset(_StageDataset):
    """Stage s ≥ 2 on the previous stage's poses: `image` (K, S, S, 3), `boxes` (K, 4), `keypoints` (K, 2) px."""

    def __init__(
        self,
        annotations: Annotations,
        boxes: FloatArray,
        square: bool,
        settings: RefinementPreset,
        sigma: float,
        poses: FloatArray,
        read: Read = read_image,
    ) -> None:
        """Shape: poses (N, K, 2) px of the previous stage."""
        super().__init__(annotations, boxes, square, read)
        self.size = settings.input_size
        self.crop_boxes = refinement_boxes(poses, self.initial_boxes, self.skeleton, sigma)

    def __getitem__(self, row: int) -> Example:
        image, keypoints, unreadable = self.load(row)
        boxes = self.crop_boxes[max(row, 0)]
        return {
            "image": crops(image, boxes, self.size),
            "boxes": boxes.astype(np.float32),
            "keypoints": keypoints.astype(np.float32),
            "index": np.array(row),
            "unreadable": unreadable,
        }


def join_crops(examples: list[Example]) -> dict[str, torch.Tensor]:
    """Join refinement examples, each with its own number of crops, into one batch of crops."""
    return {key: torch.from_numpy(np.concatenate([example[key] for example in examples])) for key in examples[0]}
