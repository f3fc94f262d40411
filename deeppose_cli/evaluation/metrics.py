"""PDJ, PCK and PCKh as pure functions of arrays, and what all rates share; PCP is in `pcp`.

`pred` and `truth` are (N, K, 2) in px of the source images. NaN in `truth`: not labelled, left out of the denominator.
A `pred` that is not finite: nothing was predicted, which is wrong where there is a label. Rates are fractions of 1, and
NaN where nothing was labelled.

A metric gives `HitCounts`: per image which joints are right and which are valid. Rates, their intervals (`scores`) and
the sums of several processes (`training.metrics`) are computed from these. No error is divided by a torso, a limb or a
box; it is compared with a share of that length: where the length is zero, only an exact prediction is right.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.geometry import FloatArray, diameter
from deeppose_cli.core.skeleton import Skeleton

THRESHOLDS: NDArray[np.float64] = np.arange(51) / 100
"""0, 0.01 … 0.5 of the torso: the thresholds of the PDJ curve."""
PCKH_ALPHA = 0.5
"""Share of the head's length at which PCKh is read (Andriluka et al., CVPR 2014)."""
SLACK = 1 + 1e-9
"""Limits are inclusive, and this much wider: an error that equals the limit may be computed some rounding steps (1e-16
of a coordinate, which is up to some thousand times the limit) above it."""
SIDE_JOINTS = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
"""They decide which side is left for an observer."""


class HitCounts(NamedTuple):
    """Per image, which of J joints or limbs are right; `hits` may have further axes in front."""

    hits: NDArray[np.bool_]
    """(…, N, J) which are right; False where not valid."""
    valid: NDArray[np.bool_]
    """(N, J) which count at all."""

    def restrict_to(self, columns: NDArray[np.bool_]) -> HitCounts:
        """Only the chosen columns (J) stay valid."""
        return HitCounts(self.hits & columns, self.valid & columns)

    def rates(self) -> NDArray[np.float64]:
        """(…, J) share of the valid ones that are right; NaN where none is valid."""
        return rate(self.hits.sum(-2), self.valid.sum(-2))


def rate(hits: NDArray[np.number], valid: NDArray[np.number]) -> NDArray[np.float64]:
    """hits / valid, element by element; NaN where nothing is valid."""
    return np.where(valid > 0, hits / np.maximum(valid, 1), np.nan)


def joint_errors(pred: FloatArray, truth: FloatArray) -> NDArray[np.float64]:
    """(N, K) distance in px: NaN where the joint is not labelled, +inf where it is labelled but not predicted."""
    pred, truth = checked(pred, truth)
    distance = np.linalg.norm(pred - truth, axis=-1)
    distance[np.isnan(pred).any(-1)] = np.inf
    distance[np.isnan(truth).any(-1)] = np.nan
    return distance


def torso_errors(pred: FloatArray, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, K) `joint_errors` in true torsos (0 px are 0, however short); NaN also where the torso is not labelled."""
    distance, torso = joint_errors(pred, truth), diameter(truth, skeleton)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((distance == 0) & (torso == 0), 0.0, distance / torso)


def hits_within(pred: FloatArray, truth: FloatArray, unit: FloatArray, thresholds: FloatArray | float) -> HitCounts:
    """(N, K) which joints have an error ≤ threshold · unit (N) px; (T, N, K) for T thresholds.

    A joint is valid if it is labelled and its image's unit is not NaN.
    """
    distance, unit = joint_errors(pred, truth), np.asarray(unit)[:, None]
    valid = ~np.isnan(distance) & ~np.isnan(unit)
    limits = np.asarray(thresholds)[..., None, None] * unit * SLACK
    return HitCounts(valid & (distance <= limits), valid)


def pdj_hits(
    pred: FloatArray, truth: FloatArray, skeleton: Skeleton, thresholds: FloatArray | float = PDJ_THRESHOLD
) -> HitCounts:
    """Which joints are detected: error ≤ threshold · torso, the true left shoulder to right hip (paper, section 4.1).

    An image without a labelled torso is left out whole. Other skeletons: see `Skeleton.scale_by`.
    """
    return hits_within(pred, truth, diameter(truth, skeleton), thresholds)


def pdj(
    pred: FloatArray, truth: FloatArray, skeleton: Skeleton, threshold: float = PDJ_THRESHOLD
) -> NDArray[np.float64]:
    """(K) percentage of detected joints (as a fraction of 1) at one threshold."""
    return pdj_hits(pred, truth, skeleton, threshold).rates()


def area_under(curve: FloatArray, thresholds: FloatArray = THRESHOLDS) -> NDArray[np.float64]:
    """(…) area under a curve (T, …) by the trapezoid rule, divided by the range of thresholds: at most 1."""
    widths = np.diff(thresholds).reshape(-1, *(1,) * (np.ndim(curve) - 1))
    return np.asarray(((curve[1:] + curve[:-1]) / 2 * widths).sum(0) / widths.sum())


def extent(keypoints: FloatArray) -> NDArray[np.float64]:
    """(4, N) left, top, right, bottom of the labelled joints (N, K, 2), px; infinite where none is labelled."""
    missing = np.isnan(keypoints).any(-1, keepdims=True)
    low, high = np.where(missing, np.inf, keypoints).min(1), np.where(missing, -np.inf, keypoints).max(1)
    return np.concatenate([low, high], axis=1).T


def intersection_and_union(a: FloatArray, b: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N) areas that the rectangles (4, N) left, top, right, bottom share, and that they cover together."""
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod(0)
    return shared, (a[2:] - a[:2]).prod(0) + (b[2:] - b[:2]).prod(0) - shared


def pck_hits(pred: FloatArray, truth: FloatArray, alpha: float) -> HitCounts:
    """Which joints have an error ≤ alpha · the longer side of the tight box around the labelled joints.

    Source: Yang & Ramanan, PAMI 2013. Their published MATLAB code adds one pixel to each side of the box; it is not
    added here.
    """
    left_top, right_bottom = np.split(extent(truth), 2)
    return hits_within(pred, truth, (right_bottom - left_top).max(0), alpha)


def pckh_hits(pred: FloatArray, truth: FloatArray, skeleton: Skeleton, alpha: float = PCKH_ALPHA) -> HitCounts:
    """Which joints have an error ≤ alpha · the length of the true head, a limb of the skeleton.

    MPII, where PCKh comes from, takes 0.6 of the diagonal of its labelled head boxes instead; other data sets have no
    such boxes. An image without a labelled head is left out whole. Raises ValueError for a skeleton without a head.
    """
    if (head := head_limb(skeleton)) is None:
        raise ValueError(f"{skeleton.name} has no head limb")
    start, end = limb_ends(truth, skeleton)[:, :, head]
    return hits_within(pred, truth, np.linalg.norm(end - start, axis=-1), alpha)


def head_limb(skeleton: Skeleton) -> int | None:
    """The limb to measure PCKh by: of the kind `head`, else one that ends in `head_top`; None: there is none."""
    limbs = [(limb.kind, *limb.start, *limb.end) for limb in skeleton.limbs]
    heads = [i for name in ("head", "head_top") for i, names in enumerate(limbs) if name in names]
    return heads[0] if heads else None


def limb_ends(poses: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(2, N, L, 2) the limbs' starts and ends: means of their joints."""
    ends = np.empty((2, len(poses), len(skeleton.limbs), 2))
    for number, limb in enumerate(skeleton.limbs):
        for end, joints in enumerate((limb.start, limb.end)):
            ends[end, :, number] = np.asarray(poses)[:, [skeleton.index(joint) for joint in joints]].mean(1)
    return ends


def kind_rates(rates: FloatArray, kinds: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float64]]:
    """Rates (…, J) → kind → (…): the mean of left and right."""
    return {kind: mean_rate(rates[..., list(index)]) for kind, index in kinds.items()}


def mean_rate(rates: FloatArray) -> NDArray[np.float64]:
    """Mean over the last axis of the rates that are defined; NaN where none is."""
    defined = ~np.isnan(rates)
    return rate(np.where(defined, rates, 0.0).sum(-1), defined.sum(-1))


def observer_centric(poses: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """Change left and right of person-centric poses (N, K, 2) to an observer's (Eichner & Ferrari, ACCV 2012).

    Each person is turned so that the torso (mid-shoulder to mid-hip) points down. If then the right hip lies right of
    the left hip, both legs change sides; independently, if the right shoulder lies right of the left one, both arms do.
    A person without all four torso joints, or without a torso length, stays as it is.
    """
    relabelled = np.array(poses, dtype=np.float64)
    places = [skeleton.index(joint) for joint in SIDE_JOINTS]
    left_shoulder, right_shoulder, left_hip, right_hip = np.moveaxis(relabelled[:, places], 1, 0)
    torso = (left_hip + right_hip - left_shoulder - right_shoulder) / 2
    rightwards = np.stack([torso[:, 1], -torso[:, 0]], axis=-1)  # points right when the torso points down
    mirrored = relabelled[:, list(skeleton.mirror)]
    for kinds, across in (
        (("hip", "knee", "ankle"), right_hip - left_hip),
        (("shoulder", "elbow", "wrist"), right_shoulder - left_shoulder),
    ):
        swap = (across * rightwards).sum(-1) > 0  # False where something is NaN
        members = np.array([kind in kinds for kind in skeleton.kinds])
        chosen = swap[:, None] & members
        relabelled[chosen] = mirrored[chosen]
    return relabelled


def calibration_error(
    confidence: FloatArray, right: NDArray[np.bool_], bins: int = 10
) -> tuple[float, NDArray[np.float64]]:
    """The expected calibration error of confidences (J): their mean distance to the share right, over bins by size.

    Also of each bin that has any joint (B, 3): mean confidence, share right, number of joints. NaN: no confidence.
    """
    defined = ~np.isnan(confidence)
    confidence, right = confidence[defined], right[defined]
    place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
    sums = np.stack([np.bincount(place, weights, bins) for weights in (confidence, right, np.ones(len(right)))])
    sums = sums[:, sums[2] > 0]
    error = float(np.abs(sums[0] - sums[1]).sum() / max(1, len(right)))
    return error, np.stack([sums[0] / sums[2], sums[1] / sums[2], sums[2]], axis=1)


def checked(pred: FloatArray, truth: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64. Raises ValueError for different shapes, which NumPy would broadcast without an error."""
    if np.shape(pred) != np.shape(truth):
        raise ValueError(f"predictions {np.shape(pred)} and truth {np.shape(truth)} differ in shape")
    return np.where(np.isfinite(pred), pred, np.nan).astype(np.float64), np.asarray(truth, np.float64)
