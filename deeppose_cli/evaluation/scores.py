"""The rows of the scores document: predictions by every metric, with intervals; and the table of single images.

The intervals are those of the bootstrap over images (Efron, 1979): a draw takes N images with replacement from the N
images of the split, and the score is computed again; an interval holds the middle 95 % of these scores. Images are
drawn, not joints, since the joints of one person are right or wrong together. The interval does not cover the
difference to other videos or sports. Where every image is right it is [1, 1], however few images there are. To draw an
image w times is to weigh its hits by w, so all draws of all scores are one product: weights (D, N) @ columns (N, C).

Shape letters: N images of the split, K joints, L limbs, D draws of the bootstrap, J joints or limbs, C columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import PDJ_THRESHOLD, PcpRule
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.progress import report
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation import metrics, pcp
from deeppose_cli.evaluation.metrics import HitCounts

MEAN_POSE = "mean pose"
"""Name of the row of a model that never uses the image."""
PCK_ALPHA = {"parse": 0.1, "buffy": 0.2}
"""α of PCK by data set (Yang & Ramanan, PAMI 2013)."""
OTHER_PCK_ALPHA = 0.2
"""α of PCK for other data sets."""

INTERVAL_LEVEL = 0.95
"""Share of the draws within an interval."""

_DIGITS = 6
_WEIGHTS_IN_MEMORY = 2_000_000

Groups = tuple[tuple[int, ...], ...]
"""A score is the mean over groups of the mean over each group's columns: ((3, 4),) is the mean of two joints."""
ScoreGroups = dict[tuple[str, ...], Groups]
"""The groups of each score, by the score's path in the document: ("joints", "elbow")."""


@dataclass(eq=False)
class ScoredPredictions:
    """Predictions to score, by name."""

    name: str
    poses: NDArray[np.float64]
    """(N, K, 2) px; NaN where nothing was predicted, which is wrong."""
    predicted: NDArray[np.bool_]
    """(K) joints that the model predicts at all; the others are left out of its scores."""
    images_without_prediction: int | None = None
    """Images for which a file predicts nothing; None where the predictions are not from a file."""
    confidence: NDArray[np.float64] | None = None
    """(N, K) the model's estimate of how likely each joint is detected; NaN or None where it has none."""

    @staticmethod
    def of_all(name: str, poses: FloatArray) -> ScoredPredictions:
        """Predictions of a model that predicts every joint."""
        return ScoredPredictions(name, np.asarray(poses, np.float64), np.ones(np.shape(poses)[-2], dtype=bool))


def scores(
    row: ScoredPredictions,
    truth: FloatArray,
    skeleton: Skeleton,
    pcp_rule: PcpRule = "strict",
    pck_alpha: float = OTHER_PCK_ALPHA,
    marked: FloatArray | None = None,
    draws: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Score poses against the truth (N, K, 2) px by every metric: one row of the scores document.

    Values are fractions of 1, to 6 digits; None (JSON: null) where nothing is labelled and for joints that the model
    does not predict. Joint and limb kinds are the mean of left and right; limb kinds that the skeleton lacks are left
    out. `per_joint` and `per_limb` hold the joints and limbs one by one. The means of PDJ, its area under the curve
    (trapezoid rule over 0 to 0.5, divided by 0.5) and PCK are over all K joints, those of PCP over limb kinds.
    `interval` (with `draws` of the bootstrap, by `seed`) has the shape of the values beside it, with [low, high] for
    each; None where fewer than two images count. `marked`: see `pcp.pcp_hits`. `buffy_official` (Buffy's own people
    and rule) holds the scorer's three numbers, and by limb kind the share of the matched people's limbs that is found.
    """
    predicted, predicted_limbs = row.predicted, pcp.limbs_of_joints(row.predicted, skeleton)
    windows = pcp.has_windows(skeleton) and bool(predicted_limbs[pcp.window_limbs(skeleton)].all())
    detected = metrics.pdj_hits(row.poses, truth, skeleton, PDJ_THRESHOLD).restrict_to(predicted)
    curve = metrics.pdj_curve_hits(row.poses, truth, skeleton).restrict_to(predicted)
    limbs = pcp.pcp_hits(row.poses, truth, skeleton, pcp_rule, windows=windows, marked=marked)
    limbs = limbs.restrict_to(predicted_limbs)
    near = metrics.pck_hits(row.poses, truth, pck_alpha).restrict_to(predicted)
    # A joint's area under the curve is the mean of the images' own areas, as its detection rate is a mean over images.
    areas = metrics.area_under(curve.hits.astype(np.float64))
    shares, valid = np.concatenate([detected.hits, areas], axis=1), np.tile(detected.valid, 2)

    joints = np.arange(len(skeleton))
    of_joints = _kind_groups("joints", skeleton.joint_kinds) | {("mean",): (tuple(joints),)}
    of_areas: ScoreGroups = {("auc",): (tuple(len(skeleton) + joints),)}
    kinds = pcp.limb_kinds(skeleton)
    arms_legs = tuple(index for kind, index in kinds.items() if kind in pcp.ARM_AND_LEG_KINDS)
    of_limbs = _kind_groups("limbs", kinds) | {("mean",): tuple(kinds.values())}
    if arms_legs:
        of_limbs[("mean_arms_legs",)] = arms_legs
    official = {}
    if pcp_rule == "buffy" and windows:
        numbers = pcp.buffy_scores(limbs, pcp.window_hits(row.poses, truth, skeleton), skeleton)
        of_detected = {kind: _number(rate) for kind, rate in numbers.pop("limbs_of_detected").items()}
        numbers = {name: _number(value) for name, value in numbers.items()}
        official = {"buffy_official": {**numbers, "limbs_of_detected": of_detected}}
    missing = row.images_without_prediction
    curves = metrics.kind_rates(curve.rates(), skeleton.joint_kinds)
    of_pcp = {}
    if skeleton.limbs:
        of_pcp["pcp"] = {
            "rule": pcp_rule,
            **_metric(*limbs, of_limbs, draws, seed),
            "per_limb": _by_name([pcp.limb_name(limb) for limb in skeleton.limbs], limbs.rates()),
            **official,
        }
    return {
        "name": row.name,
        "joints_scored": [joint for joint, scored in zip(skeleton.joints, predicted, strict=True) if scored],
        **({} if missing is None else {"images_without_prediction": missing}),
        **({} if row.confidence is None else {"confidence": _reliability(row.confidence, detected)}),
        "pdj": {
            "threshold": PDJ_THRESHOLD,
            **_metric(shares, valid, of_joints | of_areas, draws, seed),
            "per_joint": _by_name(skeleton.joints, detected.rates()),
        },
        **of_pcp,
        "pck": {
            "alpha": pck_alpha,
            **_metric(*near, of_joints, draws, seed),
            "per_joint": _by_name(skeleton.joints, near.rates()),
        },
        "curve": {
            "thresholds": metrics.THRESHOLDS.tolist(),
            **{kind: [_number(value) for value in values] for kind, values in curves.items()},
        },
    }


def _kind_groups(part: str, kinds: Mapping[str, tuple[int, ...]]) -> ScoreGroups:
    return {(part, kind): (index,) for kind, index in kinds.items()}


def group_means(rates: FloatArray, groups: Groups) -> NDArray[np.float64]:
    """Rates (…, J) → (…): the mean over groups of the mean over their columns; undefined rates are left out."""
    return metrics.mean_rate(np.stack([metrics.mean_rate(rates[..., list(group)]) for group in groups], axis=-1))


def _metric(hits: NDArray[Any], valid: NDArray[np.bool_], groups: ScoreGroups, draws: int, seed: int) -> dict[str, Any]:
    """The scores of a metric and their intervals, from (N, J) shares that are right, and which count at all.

    Every metric and row is resampled with the same draws of images, so that rows can be compared.
    """
    rates = metrics.rate(hits.sum(0), valid.sum(0))
    found = _nested({path: _number(group_means(rates, columns)) for path, columns in groups.items()})
    if not draws:
        return found
    sums = resampled_sums(np.concatenate([hits, valid], axis=1), draws, seed)
    drawn_rates = metrics.rate(*np.split(sums, 2, axis=1))  # (D, J)
    intervals: dict[tuple[str, ...], list[float | None] | None] = {}
    for path, columns in groups.items():
        used = [column for group in columns for column in group]
        ends = interval(group_means(drawn_rates, columns)) if valid[:, used].any(1).sum() > 1 else None
        intervals[path] = None if ends is None else [_number(end) for end in ends]
    return {**found, "interval": {"level": INTERVAL_LEVEL, "draws": draws, **_nested(intervals)}}


def resampled_sums(columns: NDArray[np.number], draws: int, seed: int) -> NDArray[np.float64]:
    """(D, C) sums of the columns (N, C) over the images of each draw; exact for whole numbers.

    The same numbers of images and draws and the same seed give the same draws.
    """
    values = np.asarray(columns, dtype=np.float64)
    images, rng = len(values), np.random.default_rng(seed)
    if not images:
        return np.zeros((draws, values.shape[1]))
    step = max(1, _WEIGHTS_IN_MEMORY // images)
    sums = []
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        taken = rng.integers(0, images, (rows, images)) + images * np.arange(rows)[:, None]
        weights = np.bincount(taken.ravel(), minlength=rows * images).reshape(rows, images)
        sums.append(weights.astype(np.float64) @ values)
    return np.concatenate(sums)


def interval(values: NDArray[np.float64], level: float = INTERVAL_LEVEL) -> tuple[float, float] | None:
    """Percentile interval of a score's draws (D), without those in which nothing counts (NaN); None if none is left."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _reliability(confidence: FloatArray, detected: HitCounts) -> dict[str, Any]:
    """How the confidences compare with the shares detected: `error`, the expected calibration error, and `bins`.

    A bin is [mean confidence, share detected, number of joints] of a tenth of the range that has any joint.
    """
    error, bins = metrics.calibration_error(confidence[detected.valid], detected.hits[detected.valid])
    return {"error": _number(error), "bins": [[_number(c), _number(share), int(n)] for c, share, n in bins]}


def per_image_pdj(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N) share of each image's valid joints that are detected at 0.2; NaN where no joint is valid."""
    hits, valid = metrics.pdj_hits(row.poses, truth, skeleton, PDJ_THRESHOLD).restrict_to(row.predicted)
    return metrics.mean_rate(np.where(valid, hits, np.nan))


def report_unmatched(rows: Sequence[ScoredPredictions], skeleton: Skeleton) -> None:
    """Report the rows without the head and torso from which Buffy's scorer makes its windows."""
    if not pcp.has_windows(skeleton):
        return
    needed = pcp.window_limbs(skeleton)
    without = [row.name for row in rows if not pcp.limbs_of_joints(row.predicted, skeleton)[needed].all()]
    if without:
        report(f"{', '.join(without)}: no head or torso to match windows by; the stick rule alone is applied")


def write_per_image(
    path: Path, names: Sequence[str], rows: Sequence[ScoredPredictions], truth: FloatArray, skeleton: Skeleton
) -> None:
    """Write a CSV table with one line for each image and row.

    Columns: `image`; `row`, the predictions' name; `pdj`, the share of the image's joints detected at 0.2; then for
    each joint its error in units of the true torso. Empty: not labelled, not predicted by this model at all, or no
    torso to measure by; `inf`: labelled, not predicted in this image.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "row", "pdj", *skeleton.joints])
        for row in rows:
            shares, errors = per_image_pdj(row, truth, skeleton), _errors(row, truth, skeleton)
            for image, share, values in zip(names, shares, errors, strict=True):
                cells = ("" if math.isnan(value) else f"{value:.4f}" for value in (share, *values))
                writer.writerow([image, row.name, *cells])


def best_median_worst(
    row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton, count: int = 2
) -> dict[str, list[int]]:
    """Image numbers by the words best, median and worst, up to `count` for each; no image twice.

    Ordered by the share of joints detected at 0.2, among equals by the mean error in torsos (an error above 2 torsos
    counts as 2). Images without a valid joint are left out.
    """
    share = per_image_pdj(row, truth, skeleton)
    error = metrics.mean_rate(np.minimum(_errors(row, truth, skeleton), 2))
    order = [int(i) for i in np.lexsort((error, -share)) if not np.isnan(share[i])]
    count = min(count, len(order))
    best, rest = order[:count], order[count:]
    worst, rest = rest[len(rest) - min(count, len(rest)) :], rest[: len(rest) - min(count, len(rest))]
    middle = max(0, (len(rest) - count) // 2)
    picks = {"best": best, "median": rest[middle : middle + count], "worst": worst}
    return {word: images for word, images in picks.items() if images}


def _errors(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, K) in torsos; NaN also for joints that the model does not predict."""
    return np.where(row.predicted, metrics.torso_errors(row.poses, truth, skeleton), np.nan)


def _by_name(names: Sequence[str], rates: FloatArray) -> dict[str, float | None]:
    return {name: _number(rate) for name, rate in zip(names, rates, strict=True)}


def _nested(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    """{("joints", "elbow"): x, ("mean",): y} → {"joints": {"elbow": x}, "mean": y}."""
    nested: dict[str, Any] = {}
    for (*path, last), value in values.items():
        part = nested
        for key in path:
            part = part.setdefault(key, {})
        part[last] = value
    return nested


def _number(value: FloatArray | float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DIGITS)
