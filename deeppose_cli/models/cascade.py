"""The cascade: stage 1 → joint boxes → refinement, without Lightning (paper, section 3.2).

Needs no torch: whatever answers for a stage (`regressor.py`, `engine.py`) is handed in.

Shape letters: S stages, B images, K joints, M crops.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import DIAMETER_BOUNDS
from deeppose_cli.core.geometry import Box, FloatArray, bounded_diameter, denormalise, joint_boxes
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.images import Image
from deeppose_cli.models.confidence import Calibration
from deeppose_cli.models.confidence import confidence as to_confidence


@dataclass(frozen=True, eq=False)
class CropBatch:
    """What ψ looks at: M crops, and where they were cut."""

    pixels: Image
    """(M, size, size, 3) uint8 RGB."""
    boxes: FloatArray
    """(M, 4) px."""
    images: NDArray[np.int64]
    """(M) index of the image that each was cut from."""
    joints: NDArray[np.int64] | None
    """(M) the joint that each is meant for; None in stage 1."""
    mirrored: bool = False
    """The pixels are mirrored, and with them left and right in `joints` and in the answer; the boxes are not."""

    def mirror(self, skeleton: Skeleton) -> CropBatch:
        """The mirror image of every crop: a left wrist's shows a right wrist."""
        joints = None if self.joints is None else np.array(skeleton.mirror)[self.joints]
        return replace(self, pixels=self.pixels[:, :, ::-1], joints=joints, mirrored=not self.mirrored)


class StageOutput(NamedTuple):
    """What ψ says of M crops: of all joints (M, K, …) in stage 1, of each crop's own (M, …) later."""

    coordinates: FloatArray
    """(…, 2) norm."""
    peak_mass: FloatArray | None = None
    """(…) the share of the joint's map around its peak, where there is such a map."""


class StageModel(Protocol):
    """ψ of one stage."""

    def answer(self, cut: CropBatch) -> StageOutput: ...

    def predict_flipped(self, cut: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """For a flip test: the mean of the answers for the crops and for their mirror images, in the crops' frame.

        `mirror`: (K) each joint's partner.
        """
        one, other = self.answer(cut), self.answer(mirrored)
        pairs = [(one.coordinates, other.coordinates * (-1.0, 1.0)), (one.peak_mass, other.peak_mass)]
        if cut.joints is None:
            pairs = [(a, None if b is None else b[:, list(mirror)]) for a, b in pairs]
        both = [None if a is None or b is None else np.asarray((a + b) / 2) for a, b in pairs]
        return StageOutput(cast("FloatArray", both[0]), both[1])

    def single_threaded(self) -> AbstractContextManager[int]:
        """As Cascade says."""


@dataclass(frozen=True)
class Stage:
    """One stage of a cascade: its ψ, and how to cut what ψ sees."""

    psi: StageModel
    input_size: int
    sigma: float = 1.0
    """Side of the refinement crops in units of diam; not used by stage 1."""
    calibration: Calibration | None = None
    """What makes a confidence of its maps; None where that was not measured."""


@dataclass(frozen=True, eq=False)
class CascadeResult:
    """What a cascade says about B images."""

    poses: NDArray[np.float64]
    """(S, B, K, 2) px."""
    boxes: NDArray[np.float64]
    """(S, B, K, 4) px: where each stage looked for each joint; in stage 1 all joints share b⁰."""
    peak_mass: NDArray[np.float64]
    """(S, B, K) the share of each joint's map around its peak; NaN where there is no such map."""
    confidence: NDArray[np.float64]
    """(S, B, K) how likely each joint is within 0.2 of the torso, as measured; NaN where that was not."""


class Cascade:
    """S stages that know their skeleton. `predict` is all that evaluation and prediction need."""

    def __init__(self, skeleton: Skeleton, stages: Sequence[Stage], *, square_initial_box: bool) -> None:
        self.skeleton, self.stages, self.square_initial_box = skeleton, tuple(stages), square_initial_box

    @property
    def num_stages(self) -> int:
        return len(self.stages)

    def single_threaded(self) -> AbstractContextManager[int]:
        """As long as it lasts: how many threads are to ask at once, so that all cores are busy with many images.

        Each then has its share of the cores: two batches of sixteen, on a core each, are done a fifth sooner than one
        after the other on both.
        """
        return self.stages[0].psi.single_threaded()

    def predict(
        self,
        images: Sequence[Image],
        boxes: FloatArray,
        *,
        joints: Sequence[int] | None = None,
        crops_at_once: int = 64,
        flip_test: bool = False,
    ) -> CascadeResult:
        """Poses of one person in each image, from initial boxes b⁰ (B, 4) px.

        images: B arrays (H, W, 3) uint8 RGB, of any sizes. `joints`: refine only these, the others stay where stage 1
        put them. `crops_at_once` bounds the memory; on a CPU 32 to 64 are also a quarter faster than 256, whose
        features no cache holds. `flip_test`: every stage also looks at the mirror image of each crop, in twice the
        time. Everything that places a crop comes from the stage before: no label is looked at.
        """
        count, k = len(images), len(self.skeleton)
        chosen = np.arange(k) if joints is None else np.asarray(joints, dtype=np.int64)
        first = initial_stage_boxes(boxes, square=self.square_initial_box)
        poses = np.full((self.num_stages, count, k, 2), np.nan)
        where = np.tile(first[None, :, None, :], (self.num_stages, 1, k, 1))
        peak_mass = np.full((self.num_stages, count, k), np.nan)
        if not count:
            return CascadeResult(poses, where, peak_mass, peak_mass)
        initial, *refinements = self.stages
        for rows in _slices(count, crops_at_once):
            cut = CropBatch(_crops(images, rows, first[rows], initial.input_size), first[rows], rows, None)
            said = self._ask(initial.psi, cut, flip_test)
            poses[0, rows] = denormalise(said.coordinates, first[rows, None])
            peak_mass[0, rows] = np.nan if said.peak_mass is None else said.peak_mass
        for s, stage in enumerate(refinements, start=1):
            poses[s], peak_mass[s] = poses[s - 1], peak_mass[s - 1]
            where[s] = refinement_boxes(poses[s - 1], first, self.skeleton, stage.sigma)
            owner, joint = np.repeat(np.arange(count), len(chosen)), np.tile(chosen, count)
            for part in _slices(len(owner), crops_at_once):
                i, j = owner[part], joint[part]
                boxes_ij = where[s, i, j]
                cut = CropBatch(_crops(images, i, boxes_ij, stage.input_size), boxes_ij, i, j)
                said = self._ask(stage.psi, cut, flip_test)
                poses[s, i, j] = denormalise(said.coordinates, boxes_ij)
                peak_mass[s, i, j] = np.nan if said.peak_mass is None else said.peak_mass
        return CascadeResult(poses, where, peak_mass, self._confidence(peak_mass))

    def _confidence(self, peak_mass: NDArray[np.float64]) -> NDArray[np.float64]:
        """(S, B, K) of masses."""
        confidence = np.full_like(peak_mass, np.nan)
        for s, stage in enumerate(self.stages):
            if stage.calibration is not None:
                confidence[s] = to_confidence(peak_mass[s], stage.calibration)
        return confidence

    def _ask(self, psi: StageModel, cut: CropBatch, flip_test: bool) -> StageOutput:
        """The answer for the crops; with `flip_test` that for them and their mirror images together.

        To ψ a mirrored crop of joint i is one of its partner, as among the training crops, and gets the partner's
        density of where to expect it, as there. The mirrored image's pose is then the mirrored pose; by the mirror
        image of i's own density it would be that only if both sides err alike.
        """
        if not flip_test:
            return psi.answer(cut)
        return psi.predict_flipped(cut, cut.mirror(self.skeleton), self.skeleton.mirror)


def initial_stage_boxes(boxes: FloatArray, *, square: bool) -> NDArray[np.float64]:
    """b⁰ (N, 4) as stage 1 crops them: as they are (the paper), or widened to squares."""
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    return np.array([Box(*box).square() for box in boxes]).reshape(-1, 4) if square else boxes


def refinement_boxes(poses: FloatArray, first: FloatArray, skeleton: Skeleton, sigma: float) -> FloatArray:
    """(B, K, 4): squares around predicted joints (B, K, 2), side σ · diam of the *predicted* pose, bounded by b⁰."""
    side = sigma * bounded_diameter(poses, first, skeleton, DIAMETER_BOUNDS)
    return joint_boxes(poses, np.broadcast_to(side[:, None], poses.shape[:2]))


def _crops(images: Sequence[Image], owners: NDArray[np.int64], boxes: FloatArray, size: int) -> Image:
    """(M, size, size, 3): of image owners[m] what boxes[m] holds."""
    out = np.empty((len(owners), size, size, 3), np.uint8)
    for target, owner, box in zip(out, owners, boxes, strict=True):
        crop(images[owner], box, size, out=target)
    return out


def _slices(count: int, at_once: int) -> list[NDArray[np.int64]]:
    return [np.arange(start, min(start + at_once, count)) for start in range(0, count, at_once)]


@dataclass(frozen=True, eq=False)
class Person:
    """One pose. S stages, K joints."""

    initial_box: Box
    poses: NDArray[np.float64]
    """(S, K, 2) px."""
    boxes: NDArray[np.float64]
    """(S, K, 4) px: where each stage looked."""
    confidence: NDArray[np.float64]
    """(S, K) how likely each joint is within 0.2 of the torso; NaN where that was not measured."""
    track: int | None = None
    """In a video, the person's number, which stays."""
