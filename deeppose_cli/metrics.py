"""PDJ, PCP and PCK as pure functions of arrays.

`pred` and `truth` are (N, K, 2) in px of the source pictures. NaN in `truth` means not labelled: such a joint is left
out of the denominator. A `pred` that is not finite means that nothing was predicted: a labelled joint without a
prediction is wrong. Rates are fractions of 1, and NaN where nothing was labelled.

Nothing is divided by a torso, a limb or a box: errors are compared with a share of its length, so that a length of zero
is met by an exact prediction and by no other.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.geometry import FloatArray, diameter
from deeppose_cli.presets import PDJ_THRESHOLD
from deeppose_cli.skeleton import Limb, Skeleton, kind_of

PcpRule = Literal["strict", "mean", "buffy"]
PCP_RULES: tuple[PcpRule, ...] = get_args(PcpRule)
ARM_AND_LEG_KINDS = ("upper_arm", "lower_arm", "upper_leg", "lower_leg")
"""The limb kinds over which DeepPose's average PCP is taken."""

THRESHOLDS: NDArray[np.float64] = np.arange(51) / 100
"""0, 0.01 … 0.5 of the torso: where the PDJ curve is read."""

_SLACK = 1 + 1e-6
"""A limit is inclusive. An error that equals it on paper may come out a rounding step above it (a float32 step is 1e-7
of the value), so limits are this much wider: 0.1 µm on a limb of 10 cm."""


def joint_errors(pred: FloatArray, truth: FloatArray) -> NDArray[np.float64]:
    """(N, K) distance in px: NaN where the joint is not labelled, +inf where it is labelled but was not predicted."""
    pred, truth = _checked(pred, truth)
    distance = np.linalg.norm(pred - truth, axis=-1)
    distance[np.isnan(pred).any(-1)] = np.inf
    distance[np.isnan(truth).any(-1)] = np.nan
    return distance


def torso_errors(pred: FloatArray, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, K) distance in units of the true torso, for tables and figures.

    As `joint_errors`; NaN also where the torso is not labelled. On a torso of length zero an exact prediction has error
    0 and any other +inf.
    """
    distance, torso = joint_errors(pred, truth), diameter(truth, skeleton)[:, None]
    out = np.where(distance == 0, 0.0, np.inf)
    np.divide(distance, torso, out=out, where=torso > 0)
    out[np.isnan(distance) | np.isnan(torso)] = np.nan
    return out


def pdj_hits(
    pred: FloatArray, truth: FloatArray, skeleton: Skeleton, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(N, K) which joints are detected, and (N, K) which count at all.

    A joint is detected if its error ≤ threshold · torso, torso = |left shoulder − right hip| of the truth (paper,
    section 4.1). A joint counts if it is labelled and its torso is: without the torso there is nothing to measure its
    error by, so such an image is left out whole.
    """
    distance, torso = joint_errors(pred, truth), diameter(truth, skeleton)[:, None]
    counted = ~np.isnan(distance) & ~np.isnan(torso)
    return counted & (distance <= threshold * torso * _SLACK), counted


def pdj(
    pred: FloatArray, truth: FloatArray, skeleton: Skeleton, threshold: float = PDJ_THRESHOLD
) -> NDArray[np.float64]:
    """(K) share of each joint's counted occurrences that are detected at one threshold."""
    hits, counted = pdj_hits(pred, truth, skeleton, threshold)
    return _rate(hits, counted)


def pdj_curve(
    pred: FloatArray, truth: FloatArray, skeleton: Skeleton, thresholds: FloatArray = THRESHOLDS
) -> NDArray[np.float64]:
    """(T, K) detection rate of each joint at each threshold; see `pdj_hits`."""
    return np.stack([pdj(pred, truth, skeleton, float(threshold)) for threshold in thresholds])


def area_under(curve: FloatArray, thresholds: FloatArray = THRESHOLDS) -> NDArray[np.float64]:
    """Area under a curve (T, …) by the trapezoid rule, divided by the range of thresholds: (…), 1 for a perfect model
    that is exact everywhere."""
    widths = np.diff(thresholds).reshape(-1, *(1,) * (np.ndim(curve) - 1))
    return np.asarray(((curve[1:] + curve[:-1]) / 2 * widths).sum(0) / widths.sum())


def pcp(pred: FloatArray, truth: FloatArray, skeleton: Skeleton, rule: PcpRule = "strict") -> NDArray[np.float64]:
    """(L) share of each limb's labelled occurrences that are found, in the order of `skeleton.limbs`.

    `strict`: both ends lie within half the limb's length of the truth.
    `mean`: the mean of the two ends' errors is within half the length.
    `buffy`: the stick rule of the scorer that comes with Buffy Stickmen: in the frame of the true stick, the mean
    absolute error of the ends along it and the mean absolute error across it are both less than half its length. Only
    the stick rule: the matching of predictions with annotated windows that comes before it there is not done here.

    A limb's end may be the mean of several joints (the torso's: both shoulders, both hips); it is labelled, or
    predicted, if all of them are. Raises ValueError for another rule.
    """
    pred, truth = _checked(pred, truth)
    p, q = (
        np.stack([_ends(pose, skeleton, side) for side in ("start", "end")]) for pose in (pred, truth)
    )  # (2, N, L, 2)
    counted = np.asarray(~np.isnan(q).any((0, -1)))
    offset, stick = p - q, q[1] - q[0]
    error, length = np.linalg.norm(offset, axis=-1), np.linalg.norm(stick, axis=-1)  # (2, N, L), (N, L)
    # A missing prediction's error is NaN, and NaN is within no limit.
    found: NDArray[np.bool_]
    if rule == "strict":
        found = error.max(0) <= 0.5 * length * _SLACK
    elif rule == "mean":
        found = error.mean(0) <= 0.5 * length * _SLACK
    elif rule == "buffy":
        # Both errors are multiplied by the length, and so is the limit.
        along = np.abs((offset * stick).sum(-1)).mean(0)
        across = np.abs(offset[..., 0] * stick[..., 1] - offset[..., 1] * stick[..., 0]).mean(0)
        exact = error.max(0) == 0  # also where the true stick has no length, and so no frame
        found = (np.maximum(along, across) < 0.5 * length**2) | exact
    else:
        raise ValueError(f"PCP rule '{rule}' is unknown; valid: {', '.join(PCP_RULES)}")
    return _rate(counted & found, counted)


def pck(pred: FloatArray, truth: FloatArray, alpha: float) -> NDArray[np.float64]:
    """(K) share of each joint's labelled occurrences with error ≤ alpha · max(height, width) of the tight box around
    the image's labelled joints (Yang & Ramanan, PAMI 2013)."""
    distance = joint_errors(pred, truth)
    counted = ~np.isnan(distance)
    known = counted[..., None]
    low = np.where(known, truth, np.inf).min(1)
    high = np.where(known, truth, -np.inf).max(1)
    side = np.where(counted.any(1), (high - low).max(-1), np.nan)[:, None]
    return _rate(counted & (distance <= alpha * side * _SLACK), counted)


def joint_kind_rates(rates: FloatArray, skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """Rates (…, K) → kind → (…): the mean of the left and the right joint's rate."""
    return {kind: mean_rate(rates[..., list(index)]) for kind, index in skeleton.joint_kinds.items()}


def limb_kind_rates(rates: FloatArray, skeleton: Skeleton) -> dict[str, NDArray[np.float64]]:
    """Rates (…, L) → kind → (…), for the limb kinds that the skeleton has."""
    kinds: dict[str, list[int]] = {}
    for i, limb in enumerate(skeleton.limbs):
        kinds.setdefault(limb.kind, []).append(i)
    return {kind: mean_rate(rates[..., index]) for kind, index in kinds.items()}


def mean_rate(rates: FloatArray) -> NDArray[np.float64]:
    """Mean over the last axis of those rates that are defined; NaN where none is.

    PDJ's and PCK's mean is this over all K joints, not over joint kinds: `neck` weighs half of `elbow`. PCP's is over
    limb kinds."""
    known = ~np.isnan(rates)
    total, count = np.where(known, rates, 0.0).sum(-1), known.sum(-1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def observer_centric(poses: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """Person-centric poses (N, K, 2) relabelled as an observer sees them (Eichner & Ferrari, ACCV 2012).

    Each person is turned so that the torso (mid-shoulder to mid-hip) points down; if then the right hip lies right of
    the left hip both legs change sides, and independently, if the right shoulder lies right of the left one, both arms
    do. A person whose four torso joints are not all there, or whose torso has no length, is returned as it is.
    """
    relabelled = np.array(poses, dtype=np.float64)
    left_shoulder, right_shoulder, left_hip, right_hip = (
        relabelled[:, skeleton.index(joint)].copy()
        for joint in ("left_shoulder", "right_shoulder", "left_hip", "right_hip")
    )
    torso = (left_hip + right_hip - left_shoulder - right_shoulder) / 2
    # With the torso pointing down, this direction points right.
    rightwards = np.stack([torso[:, 1], -torso[:, 0]], axis=-1)
    mirrored = relabelled[:, list(skeleton.mirror)]
    for kinds, across in (
        (("hip", "knee", "ankle"), right_hip - left_hip),
        (("shoulder", "elbow", "wrist"), right_shoulder - left_shoulder),
    ):
        swap = (across * rightwards).sum(-1) > 0  # False where something is NaN
        members = np.array([kind_of(joint) in kinds for joint in skeleton.joints])
        chosen = swap[:, None] & members
        relabelled[chosen] = mirrored[chosen]
    return relabelled


def _ends(poses: FloatArray, skeleton: Skeleton, side: Literal["start", "end"]) -> NDArray[np.float64]:
    """(N, L, 2) the limbs' ends on one side."""

    def end(limb: Limb) -> NDArray[np.float64]:
        joints = limb.start if side == "start" else limb.end
        return np.asarray(poses[:, [skeleton.index(joint) for joint in joints]].mean(1))

    return np.stack([end(limb) for limb in skeleton.limbs], axis=1)


def _rate(hits: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    total = counted.sum(0)
    return np.where(total > 0, hits.sum(0) / np.maximum(total, 1), np.nan)


def _checked(pred: FloatArray, truth: FloatArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as float64. Broadcasting (N, 1, 2) against (N, K, 2) would score nonsense without a word."""
    if np.shape(pred) != np.shape(truth):
        raise ValueError(f"predictions {np.shape(pred)} and truth {np.shape(truth)} differ in shape")
    return np.where(np.isfinite(pred), pred, np.nan).astype(np.float64), np.asarray(truth, np.float64)
