"""The cascade of DeepPose (Toshev & Szegedy, CVPR 2014, section 3.2): stage 1 → crops around joints → refinement.

    stage 1:      y¹ = N⁻¹(ψ(N(x; b⁰); θ_1); b⁰)              all joints from one crop of the initial box b⁰
    stage s ≥ 2:  y_iˢ = N⁻¹(ψ_i(N(x; b_i); θ_s); b_i)        each joint i from its own crop,
                  b_i = (y_iˢ⁻¹, side σ · diam(yˢ⁻¹))         a square around the joint's last position

A stage may also see the whole person once more, upright (`person_view.py`; ours, not the paper's).

N(x; b) is the image x cropped to b; N⁻¹ turns normalized coordinates into px of the image (`core/geometry.py`).

This file needs no torch: the model ψ of each stage is passed in (`regressor.py`, `checkpoints/onnx_cascade.py`).

Shape letters: S stages, B images, K joints, M crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import (
    Box,
    FloatArray,
    bounded_diameter,
    denormalise,
    joint_boxes,
    turn_matrix,
    turn_points,
)
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.images import Image
from deeppose_cli.models.confidence import Calibration, confidence
from deeppose_cli.models.displacement import diameter_bounds
from deeppose_cli.models.person_view import merge_poses, place_person_crops

IntArray = NDArray[np.int64]


PIXELS_AT_ONCE = 2**20
"""Pixels of the crops that a network sees at once: 16 crops of 256 px."""


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Input of a stage: M crops, and where they come from."""

    pixels: Image
    """(M, size, size, 3) uint8 RGB."""
    boxes: FloatArray
    """(M, 4) px."""
    image_index: IntArray
    """(M) the image of each crop."""
    joint_index: IntArray | None
    """(M) the joint of each crop; None where the crops show the whole person."""
    mirrored: bool = False
    """Whether `pixels` and `joint_index` are mirrored; `boxes` never are."""

    def mirror(self, skeleton: Skeleton) -> CropBatch:
        """Mirror every crop. A mirrored left wrist is a right wrist."""
        joints = None if self.joint_index is None else np.array(skeleton.mirror)[self.joint_index]
        return replace(self, pixels=self.pixels[:, :, ::-1], joint_index=joints, mirrored=not self.mirrored)


class StageOutput(NamedTuple):
    """Output of a stage for M crops: of all joints (M, K, …) of whole people, else of each crop's own joint (M, …)."""

    coordinates: FloatArray
    """(…, 2) normalized coordinates."""
    peak_mass: FloatArray | None = None
    """(…) the share of the joint's heatmap around its peak; None where there is no such heatmap."""


class StageModel(Protocol):
    """ψ(·; θ_s), the model of one stage."""

    def predict(self, crops: CropBatch) -> StageOutput: ...

    def predict_flipped(self, crops: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """Flip test: average the predictions for the crops and for their mirror images, in the frame of the crops.

        mirror: (K) the partner of each joint.
        """
        return average_flipped(self.predict(crops), self.predict(mirrored), crops, mirror)


def average_flipped(output: StageOutput, mirrored: StageOutput, crops: CropBatch, mirror: Sequence[int]) -> StageOutput:
    """Average the coordinates for crops with those for their mirror images, which are reflected back first."""
    reflected = mirrored.coordinates * (-1.0, 1.0)
    if crops.joint_index is None:
        reflected = reflected[:, list(mirror)]
    return StageOutput((output.coordinates + reflected) / 2)


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade: its model, and how its crops are made."""

    model: StageModel
    input_size: int
    """px, side of the square crops."""
    sigma: float = 1.0
    """σ: side of the refinement crops in units of diam, or of the pose's box; not used by stage 1."""
    view: str = "joint"
    """What a refinement crop shows: `joint` or `person`."""
    calibration: Calibration | None = None
    """Turns peak masses into confidences; None where it was not measured."""


@dataclass(frozen=True, eq=False)
class CascadeResult:
    """Poses of one person in each of B images, after each of S stages."""

    poses: NDArray[np.float64]
    """(S, B, K, 2) px."""
    boxes: NDArray[np.float64]
    """(S, B, K, 4) px: the crop of each joint; in stage 1 all joints share b⁰."""
    angles: NDArray[np.float64]
    """(S, B) degrees by which the crops are turned around their own centres (`turn_points`)."""
    peak_mass: NDArray[np.float64]
    """(S, B, K) the share of each joint's heatmap around its peak; NaN where there is no such heatmap."""
    confidence: NDArray[np.float64]
    """(S, B, K) probability that the joint is within 0.2 of the torso, as measured; NaN where it was not measured."""

    def person(self, index: int, initial_box: Box, track: int | None = None) -> Person:
        """The person of one image."""
        poses, boxes, confidences = self.poses[:, index], self.boxes[:, index], self.confidence[:, index]
        return Person(initial_box, poses, boxes, self.angles[:, index], confidences, track)


@dataclass(frozen=True, eq=False)
class Person:
    """Poses of one person, after each of S stages."""

    initial_box: Box
    poses: NDArray[np.float64]
    """(S, K, 2) px."""
    boxes: NDArray[np.float64]
    """(S, K, 4) px: the crop of each joint."""
    angles: NDArray[np.float64]
    """(S) degrees by which the crops are turned around their own centres."""
    confidence: NDArray[np.float64]
    """(S, K) probability that the joint is within 0.2 of the torso; NaN where it was not measured."""
    track: int | None = None
    """In a video: the number of the person, the same in every frame."""

    def up_to(self, stages: int) -> Person:
        """The person as the first stages alone give it."""
        n = slice(stages)
        return Person(self.initial_box, self.poses[n], self.boxes[n], self.angles[n], self.confidence[n], self.track)


_Points = tuple[FloatArray, FloatArray]
"""Points in px (M, …, 2) and peak masses (M, …)."""


class Cascade:
    """S stages and their skeleton. Evaluation and prediction need no more than `predict`."""

    def __init__(self, skeleton: Skeleton, stages: Sequence[Stage], *, square_initial_box: bool) -> None:
        self.skeleton, self.stages, self.square_initial_box = skeleton, tuple(stages), square_initial_box

    @property
    def num_stages(self) -> int:
        return len(self.stages)

    def predict(
        self,
        images: Sequence[Image],
        boxes: FloatArray,
        *,
        joints: Sequence[int] | None = None,
        crops_at_once: int = 64,
        flip_test: bool = False,
    ) -> CascadeResult:
        """Predict the pose of one person in each image. Every crop is placed by a prediction, never by a label.

        images: B arrays (H, W, 3) uint8 RGB, of any sizes.
        boxes: (B, 4) px, the initial boxes b⁰.
        joints: refine these joints only; the others keep their position of stage 1.
        crops_at_once: fewer where PIXELS_AT_ONCE are reached; both bound the memory. On a CPU 32 to 64 small crops
            are also a quarter faster than 256, whose features fit in no cache.
        flip_test: every stage also predicts from the mirror image of each crop, in twice the time.
        """
        count, k = len(images), len(self.skeleton)
        initial_boxes = initial_stage_boxes(boxes, square=self.square_initial_box)
        poses = np.full((self.num_stages, count, k, 2), np.nan)
        peak_mass = np.full((self.num_stages, count, k), np.nan)
        crop_boxes = np.tile(initial_boxes[:, None], (self.num_stages, 1, k, 1))
        angles = np.zeros((self.num_stages, count))
        if not count:
            return CascadeResult(poses, crop_boxes, angles, peak_mass, peak_mass)

        def forward(
            stage: Stage, boxes: FloatArray, image: IntArray, joint: IntArray | None, angles: FloatArray | None = None
        ) -> _Points:
            """N⁻¹(ψ(N(x; b)); b) for M boxes: points in px and peak masses."""
            at_once = min(crops_at_once, max(1, PIXELS_AT_ONCE // stage.input_size**2))
            parts = [slice(start, start + at_once) for start in range(0, len(boxes), at_once)]
            batches = [
                self._forward(
                    stage,
                    images,
                    boxes[part],
                    image[part],
                    None if joint is None else joint[part],
                    None if angles is None else angles[part],
                    flip_test,
                )
                for part in parts
            ]
            points, masses = zip(*batches, strict=True)
            return np.concatenate(points), np.concatenate(masses)

        # Stage 1: all joints from one crop of each image.
        rows = np.arange(count)
        poses[0], peak_mass[0] = forward(self.stages[0], initial_boxes, rows, None)

        # Later stages: each joint from its own crop, or all from one of the whole person.
        chosen = np.arange(k) if joints is None else np.asarray(joints, dtype=np.int64)
        image, joint = np.repeat(rows, len(chosen)), np.tile(chosen, count)
        for s, stage in enumerate(self.stages[1:], start=1):
            poses[s], peak_mass[s] = poses[s - 1], peak_mass[s - 1]
            if stage.view == "person":
                placed, angles[s] = place_person_crops(poses[s - 1], initial_boxes, self.skeleton, stage.sigma)
                crop_boxes[s] = placed[:, None]
                points, masses = forward(stage, placed, rows, None, angles[s])
                merged = merge_poses(poses[s], peak_mass[s], points, masses, initial_boxes, self.skeleton)
                poses[s, :, chosen], peak_mass[s, :, chosen] = (
                    np.moveaxis(values[:, chosen], 1, 0) for values in merged
                )
                continue
            crop_boxes[s] = refinement_boxes(poses[s - 1], initial_boxes, self.skeleton, stage.sigma)
            points, masses = forward(stage, crop_boxes[s, image, joint], image, joint)
            poses[s, image, joint], peak_mass[s, image, joint] = points, masses
        return CascadeResult(poses, crop_boxes, angles, peak_mass, self._confidence(peak_mass))

    def _forward(
        self,
        stage: Stage,
        images: Sequence[Image],
        boxes: FloatArray,
        image_index: IntArray,
        joint_index: IntArray | None,
        angles: FloatArray | None,
        flip_test: bool,
    ) -> _Points:
        pixels = np.empty((len(boxes), stage.input_size, stage.input_size, 3), np.uint8)
        for row, (target, index, box) in enumerate(zip(pixels, image_index, boxes, strict=True)):
            turn = None if angles is None else turn_matrix(box, angles[row])
            crop(images[index], box, stage.input_size, out=target, turn=turn)
        crops = CropBatch(pixels, boxes, image_index, joint_index)
        if flip_test:
            # A mirrored crop of joint i counts as one of its partner, as in training, and gets the partner's prior:
            # so the mirrored image has the mirrored pose, also where left and right have different priors.
            output = stage.model.predict_flipped(crops, crops.mirror(self.skeleton), self.skeleton.mirror)
        else:
            output = stage.model.predict(crops)
        points = denormalise(output.coordinates, boxes[:, None] if joint_index is None else boxes)
        if angles is not None:
            points = turn_points(points, boxes[:, None, :2], -angles[:, None])
        return points, np.full(points.shape[:-1], np.nan) if output.peak_mass is None else output.peak_mass

    def _confidence(self, peak_mass: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, B, K) peak masses → (S, B, K) probabilities."""
        found = np.full_like(peak_mass, np.nan)
        for s, stage in enumerate(self.stages):
            if stage.calibration is not None:
                found[s] = confidence(peak_mass[s], stage.calibration)
        return found


def initial_stage_boxes(boxes: FloatArray, *, square: bool) -> NDArray[np.float64]:
    """b⁰ (N, 4) as stage 1 crops them: unchanged (the paper), or widened to squares."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.array([Box(*box).square() for box in boxes]).reshape(-1, 4) if square else boxes


def refinement_boxes(poses: FloatArray, initial_boxes: FloatArray, skeleton: Skeleton, sigma: float) -> FloatArray:
    """b_i (B, K, 4): squares around predicted joints (B, K, 2) px, side σ · diam of the *predicted* pose.

    diam is bounded by b⁰ (B, 4), so that one bad pose cannot give an empty or an image-sized crop.
    """
    side = sigma * bounded_diameter(poses, initial_boxes, skeleton, diameter_bounds(skeleton))
    return joint_boxes(poses, np.broadcast_to(side[:, None], poses.shape[:2]))
