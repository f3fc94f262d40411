"""The rows of the scores document: predictions by every metric, with intervals; and the table of single images.

The intervals are those of the bootstrap over images (Efron, 1979): a draw takes N images with replacement from the N
images of the split, and the score is computed again; an interval holds the middle 95 % of these scores. Images are
drawn, not joints, since the joints of one person are right or wrong together. Where every image is right it is [1, 1].
To draw an image w times is to weigh its hits by w: all draws are one product, weights (D, N) @ columns (N, C).

Shape letters: N images of the split, K joints, L limbs, D draws of the bootstrap, J joints or limbs, C columns.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
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

MEAN_POSE = "mean pose"
"""Name of the row of a model that never uses the image."""
PCK_ALPHA = {"parse": 0.1, "buffy": 0.2}
"""α of PCK by data set (Yang & Ramanan, PAMI 2013)."""
OTHER_PCK_ALPHA = 0.2
INTERVAL_LEVEL = 0.95
_DIGITS = 6
_WEIGHTS_IN_MEMORY = 2_000_000

Groups = tuple[tuple[int, ...], ...]
"""A score is the mean over groups of the mean over each group's columns: ((3, 4),) is the mean of two joints."""


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
    scores: NDArray[np.float64] | None = None
    """(N) scores of the whole poses, from a file."""

    @staticmethod
    def of_all(name: str, poses: FloatArray) -> ScoredPredictions:
        """Predictions of a model that predicts every joint."""
        return ScoredPredictions(name, np.asarray(poses, np.float64), np.ones(np.shape(poses)[-2], dtype=bool))

    def person_scores(self) -> NDArray[np.float64]:
        """(N) scores from the file, else the mean confidence of the person's joints, else 1."""
        if self.scores is not None:
            return self.scores
        if self.confidence is None:
            return np.ones(len(self.poses))
        return np.nan_to_num(metrics.mean_rate(self.confidence))


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
    """Score poses against the truth (N, K, 2) px by every metric but OKS: one row of the scores document.

    Values are fractions of 1, RMSE px, to 6 digits; None (JSON: null) where nothing is labelled and for joints that the
    model does not predict. `joints` and `limbs` hold kinds, the mean of left and right; `per_joint` and `per_limb` each
    one. Means are over all K joints, those of PCP over limb kinds. `auc`: area under the PDJ curve (trapezoid rule over
    0 to 0.5, divided by 0.5). RMSE is of the predicted joints; `mean_error` is the mean distance, `missing` the number
    of labelled joints without a prediction. `interval` (`draws` of the bootstrap) has [low, high] for the values beside
    it; None where fewer than two images count. `marked`: see `pcp.pcp_hits`; `buffy_official`: `pcp.buffy_scores`.
    """
    predicted, poses = row.predicted, row.poses
    joints = tuple(range(len(skeleton)))
    kinds = skeleton.joint_kinds

    def of_joints(shares: NDArray[Any], valid: NDArray[np.bool_], root: bool = False, **more: Groups) -> dict[str, Any]:
        groups = {"joints": {kind: (index,) for kind, index in kinds.items()}, "mean": (joints,), **more}
        per_joint = {joint: ((i,),) for i, joint in enumerate(skeleton.joints)}
        found = _metric(shares, valid, groups, draws, seed, root=root)
        return found | _metric(shares, valid, {"per_joint": per_joint}, root=root)

    detected = metrics.pdj_hits(poses, truth, skeleton).restrict_to(predicted)
    curve = metrics.pdj_hits(poses, truth, skeleton, metrics.THRESHOLDS).restrict_to(predicted)
    # A joint's area under the curve is the mean of the images' own areas, as its detection rate is a mean over images.
    areas = metrics.area_under(curve.hits.astype(np.float64))
    shares, valid = np.concatenate([detected.hits, areas], axis=1), np.tile(detected.valid, 2)
    near = metrics.pck_hits(poses, truth, pck_alpha).restrict_to(predicted)
    errors = np.where(predicted, metrics.joint_errors(poses, truth), np.nan)
    measured = np.isfinite(errors)
    curves = metrics.kind_rates(curve.rates(), kinds)

    found: dict[str, Any] = {"name": row.name}
    found["joints_scored"] = [joint for joint, scored in zip(skeleton.joints, predicted, strict=True) if scored]
    if row.images_without_prediction is not None:
        found["images_without_prediction"] = row.images_without_prediction
    if row.confidence is not None:
        counted = detected.valid
        error, bins = metrics.calibration_error(row.confidence[counted], detected.hits[counted])
        listed = [[_number(confidence), _number(share), int(count)] for confidence, share, count in bins]
        found["confidence"] = {"error": _number(error), "bins": listed}
    auc = (tuple(len(joints) + joint for joint in joints),)
    found["pdj"] = {"threshold": PDJ_THRESHOLD, **of_joints(shares, valid, auc=auc)}
    if skeleton.limbs:
        found["pcp"] = _pcp(row, truth, skeleton, pcp_rule, marked, draws, seed)
    found["pck"] = {"alpha": pck_alpha, **of_joints(*near)}
    if metrics.head_limb(skeleton) is not None:
        within = metrics.pckh_hits(poses, truth, skeleton).restrict_to(predicted)
        found["pckh"] = {"alpha": metrics.PCKH_ALPHA, **of_joints(*within)}
    found["rmse"] = of_joints(np.where(measured, errors, 0) ** 2, measured, root=True)
    found["rmse"]["mean_error"] = _number(errors[measured].mean()) if measured.any() else None
    found["rmse"]["missing"] = int(np.isinf(errors).sum())
    found["curve"] = {"thresholds": metrics.THRESHOLDS.tolist()}
    found["curve"] |= {kind: [_number(value) for value in values] for kind, values in curves.items()}
    return found


def _pcp(
    row: ScoredPredictions,
    truth: FloatArray,
    skeleton: Skeleton,
    rule: PcpRule,
    marked: FloatArray | None,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    matched = pcp.predicts_windows(row.predicted, skeleton)
    limbs = pcp.pcp_hits(row.poses, truth, skeleton, rule, windows=matched, marked=marked)
    limbs = limbs.restrict_to(pcp.limbs_of_joints(row.predicted, skeleton))
    kinds = pcp.limb_kinds(skeleton)
    groups: dict[str, Any] = {"limbs": {kind: (index,) for kind, index in kinds.items()}, "mean": tuple(kinds.values())}
    if arms_legs := tuple(index for kind, index in kinds.items() if kind in pcp.ARM_AND_LEG_KINDS):
        groups["mean_arms_legs"] = arms_legs
    found = {"rule": rule, **_metric(*limbs, groups, draws, seed)}
    found["per_limb"] = dict(zip(pcp.limb_names(skeleton), map(_number, limbs.rates()), strict=True))
    if rule == "buffy" and matched:
        people = pcp.window_hits(row.poses, truth, skeleton)
        found["buffy_official"] = _map(_number, pcp.buffy_scores(limbs, people, skeleton))
    return found


def group_means(rates: FloatArray, groups: Groups) -> NDArray[np.float64]:
    """Rates (…, J) → (…): the mean over groups of the mean over their columns; undefined rates are left out."""
    return metrics.mean_rate(np.stack([metrics.mean_rate(rates[..., list(group)]) for group in groups], axis=-1))


def _metric(
    shares: NDArray[Any],
    valid: NDArray[np.bool_],
    groups: Mapping[str, Any],
    draws: int = 0,
    seed: int = 0,
    *,
    root: bool = False,
) -> dict[str, Any]:
    """The scores of a metric and their intervals, from (N, J) shares that are right, and which count at all.

    `groups`: `Groups` by name, nested as the scores will be. `root`: the scores are roots of the columns' means. Every
    metric and row is resampled with the same draws of images, so that rows can be compared.
    """

    def rates(sums: FloatArray, counts: FloatArray) -> NDArray[np.float64]:
        means = metrics.rate(sums, counts)
        return np.sqrt(means) if root else means

    whole = rates(shares.sum(0), valid.sum(0))
    found = _map(lambda columns: _number(group_means(whole, columns)), groups)
    if not draws:
        return found
    drawn = rates(*np.split(resampled_sums(np.concatenate([shares, valid], axis=1), draws, seed), 2, axis=1))  # (D, J)

    def ends(columns: Groups) -> list[float | None] | None:
        used = [column for group in columns for column in group]
        limits = interval(group_means(drawn, columns)) if valid[:, used].any(1).sum() > 1 else None
        return None if limits is None else [_number(end) for end in limits]

    return {**found, "interval": {"level": INTERVAL_LEVEL, "draws": draws, **_map(ends, groups)}}


def resampled_sums(columns: NDArray[np.number], draws: int, seed: int) -> NDArray[np.float64]:
    """(D, C) sums of the columns (N, C) over the images of each draw; the same seed and sizes give the same draws."""
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


def per_image_pdj(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N) share of each image's valid joints that are detected at 0.2; NaN where no joint is valid."""
    hits, valid = metrics.pdj_hits(row.poses, truth, skeleton).restrict_to(row.predicted)
    return metrics.mean_rate(np.where(valid, hits, np.nan))


def report_unmatched(rows: Sequence[ScoredPredictions], skeleton: Skeleton) -> None:
    """Report the rows without the head and torso from which Buffy's scorer makes its windows."""
    without = [row.name for row in rows if not pcp.predicts_windows(row.predicted, skeleton)]
    if without and pcp.window_limbs(skeleton):
        report(f"{', '.join(without)}: no head or torso to match windows by; the stick rule alone is applied")


def write_per_image(
    path: Path, names: Sequence[str], rows: Sequence[ScoredPredictions], truth: FloatArray, skeleton: Skeleton
) -> None:
    """Write a CSV table with one line for each image and row.

    Columns: `image`; `row`, the predictions' name; `pdj`, the share of the image's joints detected at 0.2; each joint's
    error in true torsos. Empty: not labelled, not of this model, or no torso; `inf`: not predicted in this image.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "row", "pdj", *skeleton.joints])
        for row in rows:
            shares, errors = per_image_pdj(row, truth, skeleton), joint_errors(row, truth, skeleton)
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
    error = metrics.mean_rate(np.minimum(joint_errors(row, truth, skeleton), 2))
    order = [int(i) for i in np.lexsort((error, -share)) if not np.isnan(share[i])]
    best, rest = order[:count], order[count:]
    last = max(0, len(rest) - count)
    middle = max(0, (last - count) // 2)
    picks = {"best": best, "median": rest[:last][middle : middle + count], "worst": rest[last:]}
    return {word: images for word, images in picks.items() if images}


def joint_errors(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, K) in torsos; NaN also for joints that the model does not predict."""
    return np.where(row.predicted, metrics.torso_errors(row.poses, truth, skeleton), np.nan)


def _map(function: Callable[[Any], Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Apply a function to the leaves of nested mappings."""
    return {k: _map(function, v) if isinstance(v, Mapping) else function(v) for k, v in values.items()}


def _number(value: FloatArray | float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DIGITS)
