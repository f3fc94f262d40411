"""The scores document: rows of predictions by every metric, with their intervals; and the table of single images.

Shape letters: N images of the split, K joints, L limbs, D draws of the bootstrap.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import BOOTSTRAP_DRAWS, PDJ_THRESHOLD
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation import bootstrap, metrics, pcp
from deeppose_cli.evaluation.reliability import Reliability

PCK_ALPHA = {"parse": 0.1, "buffy": 0.2}
"""α of PCK by data set (Yang & Ramanan, PAMI 2013)."""
OTHER_PCK_ALPHA = 0.2
"""α of PCK for the data sets that they did not use."""

_DIGITS = 6

Groups = tuple[tuple[int, ...], ...]
"""A score is the mean over groups of the mean over each group's columns: ((3, 4),) is the mean of two joints."""
ScoreGroups = dict[tuple[str, ...], Groups]
"""Scores by where they stand in the document: ("joints", "elbow")."""


@dataclass(frozen=True, eq=False)
class ScoredPredictions:
    """Predictions to be scored, by name."""

    name: str
    poses: NDArray[np.float64]
    """(N, K, 2) px; NaN where nothing was predicted, which is wrong."""
    known: NDArray[np.bool_]
    """(K) joints that the model knows at all; the others are left out of its scores."""
    without_prediction: int | None = None
    """Images of which a file predicts nothing; None where the predictions are not from a file."""
    confidence: NDArray[np.float64] | None = None
    """(N, K) how likely each joint is detected, as the model says; NaN where it does not. None: nowhere."""

    @staticmethod
    def of_all(name: str, poses: FloatArray) -> ScoredPredictions:
        """From a model that knows every joint."""
        return ScoredPredictions(name, np.asarray(poses, np.float64), np.ones(np.shape(poses)[-2], dtype=bool))


@dataclass(frozen=True)
class Resampling:
    """How the intervals are drawn."""

    draws: int = BOOTSTRAP_DRAWS
    """0: no intervals."""
    seed: int = 0


class _MetricPart(NamedTuple):
    """Some of a metric's scores, and what they are made of. J joints or limbs."""

    right: NDArray[Any]
    """(N, J) how much of each is right, 0 to 1."""
    counted: NDArray[np.bool_]
    """(N, J)"""
    wanted: ScoreGroups


def scores(
    row: ScoredPredictions,
    truth: FloatArray,
    skeleton: Skeleton,
    pcp_rule: pcp.PcpRule = "strict",
    pck_alpha: float = OTHER_PCK_ALPHA,
    resampling: Resampling | None = None,
    marked: FloatArray | None = None,
) -> dict[str, Any]:
    """One row of the scores document: poses (N, K, 2) px against the truth by every metric.

    Values are fractions of 1, to 6 digits; None (JSON: null) where nothing is labelled and for what the model does not
    know. Joint and limb kinds are the mean of left and right, and limb kinds that the skeleton lacks are left out;
    `each` has the joints and limbs one by one. The means of PDJ, its area under the curve (the trapezoid over 0 to 0.5,
    divided by 0.5) and PCK are over all K joints, those of PCP over limb kinds. `interval` (with `resampling`) has the
    shape of the values beside it, with [low, high] for each; None where fewer than two images count. `marked`: see
    `pcp.pcp_hits`. `official` (Buffy's own people and rule) has the scorer's three numbers, and by limb kind the
    share that is found of matched people. `without_prediction`: of how many images a file predicts nothing.
    """
    known, known_limbs = row.known, pcp.known_limbs(row.known, skeleton)
    windows = pcp.has_windows(skeleton) and bool(known_limbs[pcp.window_limbs(skeleton)].all())
    detected = metrics.pdj_hits(row.poses, truth, skeleton, PDJ_THRESHOLD).among(known)
    curve = metrics.pdj_curve_hits(row.poses, truth, skeleton).among(known)
    limbs = pcp.pcp_hits(row.poses, truth, skeleton, pcp_rule, windows=windows, marked=marked).among(known_limbs)
    near = metrics.pck_hits(row.poses, truth, pck_alpha).among(known)
    # A joint's area under the curve is a mean over images, as its detection rate is: of the images' own areas.
    areas = metrics.area_under(curve.hits.astype(np.float64))

    of_joints, of_limbs = joint_scores(skeleton), limb_scores(skeleton)
    auc: ScoreGroups = {("auc",): of_joints["mean",]}
    parts = {
        "pdj": [_MetricPart(*detected, of_joints), _MetricPart(areas, curve.counted, auc)],
        "pcp": [_MetricPart(*limbs, of_limbs)],
        "pck": [_MetricPart(*near, of_joints)],
    }
    facts: dict[str, dict[str, Any]] = {
        "pdj": {"threshold": PDJ_THRESHOLD},
        "pcp": {"rule": pcp_rule},
        "pck": {"alpha": pck_alpha},
    }
    joint_names, limb_names = skeleton.joints, [pcp.limb_name(limb) for limb in skeleton.limbs]
    for name, each in (("pdj", detected), ("pcp", limbs), ("pck", near)):
        for right, counted, wanted in parts[name]:
            rates = metrics.rate(right.sum(0), counted.sum(0))
            _set_nested(facts[name], {key: _number(averaged(rates, groups)) for key, groups in wanted.items()})
        names = limb_names if name == "pcp" else joint_names
        facts[name]["each"] = dict(zip(names, map(_number, each.rates()), strict=True))
    if pcp_rule == "buffy" and windows:
        people = pcp.window_hits(row.poses, truth, skeleton)
        of_detected = pcp.limb_kind_rates(pcp.of_detected(limbs, people).rates(), skeleton)
        facts["pcp"]["official"] = {
            **{key: _number(value) for key, value in pcp.official(limbs, people)._asdict().items()},
            "limbs_of_detected": {kind: _number(value) for kind, value in of_detected.items()},
        }
    if resampling is not None and resampling.draws:
        for name in parts:
            facts[name]["interval"] = _intervals(parts[name], resampling)
    kinds = metrics.joint_kind_rates(curve.rates(), skeleton)
    return {
        "name": row.name,
        "joints_scored": [joint for joint, is_known in zip(joint_names, known, strict=True) if is_known],
        **({} if row.without_prediction is None else {"without_prediction": row.without_prediction}),
        **({} if row.confidence is None else {"confidence": _reliability(row.confidence, detected)}),
        **facts,
        "curve": {
            "thresholds": metrics.THRESHOLDS.tolist(),
            **{kind: [_number(value) for value in values] for kind, values in kinds.items()},
        },
    }


def _reliability(confidence: FloatArray, detected: metrics.HitCounts) -> dict[str, Any]:
    """How the confidences of counted joints compare with how often these are detected: `error`, the expected
    calibration error; `bins`, of each tenth that has any: mean confidence, share detected, number of joints."""
    found = Reliability.of(confidence[detected.counted], detected.hits[detected.counted])
    bins = zip(found.confidence, found.right, found.count, strict=True)
    return {"error": _number(found.error), "bins": [[_number(c), _number(r), int(n)] for c, r, n in bins]}


def joint_scores(skeleton: Skeleton) -> ScoreGroups:
    """What is made of the rates of K joints: a score for each kind, and the mean."""
    wanted: ScoreGroups = {("joints", kind): (index,) for kind, index in skeleton.joint_kinds.items()}
    return {**wanted, ("mean",): (tuple(range(len(skeleton))),)}


def limb_scores(skeleton: Skeleton) -> ScoreGroups:
    """What is made of the rates of L limbs: a score for each kind, and two means over kinds."""
    kinds = pcp.limb_kinds(skeleton)
    arms_legs = tuple(index for kind, index in kinds.items() if kind in pcp.ARM_AND_LEG_KINDS)
    wanted: ScoreGroups = {("limbs", kind): (index,) for kind, index in kinds.items()}
    return {**wanted, ("mean_arms_legs",): arms_legs, ("mean",): tuple(kinds.values())}


def averaged(rates: FloatArray, groups: Groups) -> NDArray[np.float64]:
    """Rates (…, J) → (…): the mean over groups of the mean over their columns; what is not defined is left out."""
    return metrics.mean_rate(np.stack([metrics.mean_rate(rates[..., list(group)]) for group in groups], axis=-1))


def document(data: str, split: str, images: int, rows: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """What `--json` prints and `scores.json` holds. `more` keys stand between the facts and the rows."""
    return {"data": data, "split": split, "images": images, **more, "rows": list(rows)}


def per_image_pdj(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N) share of each image's counted joints that are detected at 0.2; NaN where none counts."""
    hits, counted = metrics.pdj_hits(row.poses, truth, skeleton, PDJ_THRESHOLD).among(row.known)
    return metrics.mean_rate(np.where(counted, hits, np.nan))


def write_per_image(
    path: Path, names: Sequence[str], rows: Sequence[ScoredPredictions], truth: FloatArray, skeleton: Skeleton
) -> None:
    """A CSV table with one line for each image and row.

    Columns: `image`; `row`, the predictions' name; `pdj`, the share of the image's joints detected at 0.2; then one for
    each joint: its error in units of the true torso. Empty: not labelled, not known to the model, or no torso to
    measure by; `inf`: labelled, not predicted.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "row", "pdj", *skeleton.joints])
        for row in rows:
            for image, share, values in zip(
                names, per_image_pdj(row, truth, skeleton), _errors(row, truth, skeleton), strict=True
            ):
                cells = ("" if math.isnan(value) else f"{value:.4f}" for value in (share, *values))
                writer.writerow([image, row.name, *cells])


def best_median_worst(
    row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton, each: int = 2
) -> dict[str, list[int]]:
    """Image numbers by the words best, median and worst, up to `each` of them; no image twice.

    Ordered by the share of joints detected at 0.2, among equals by the mean error in torsos (an error above 2 torsos
    counts as 2). Images in which no joint counts are left out.
    """
    share = per_image_pdj(row, truth, skeleton)
    error = metrics.mean_rate(np.minimum(_errors(row, truth, skeleton), 2))
    order = [int(i) for i in np.lexsort((error, -share)) if not np.isnan(share[i])]
    each = min(each, len(order))
    best, rest = order[:each], order[each:]
    worst, rest = rest[len(rest) - min(each, len(rest)) :], rest[: len(rest) - min(each, len(rest))]
    middle = max(0, (len(rest) - each) // 2)
    picks = {"best": best, "median": rest[middle : middle + each], "worst": worst}
    return {word: rows for word, rows in picks.items() if rows}


def _errors(row: ScoredPredictions, truth: FloatArray, skeleton: Skeleton) -> NDArray[np.float64]:
    """(N, K) in torsos; NaN also for joints that the model does not know."""
    return np.where(row.known, metrics.torso_errors(row.poses, truth, skeleton), np.nan)


def _intervals(parts: Sequence[_MetricPart], resampling: Resampling) -> dict[str, Any]:
    """Of one metric. Every metric and row meets the same draws, so that rows can be compared."""
    found: dict[str, Any] = {"level": bootstrap.LEVEL, "crops_per_joint": resampling.draws}
    for right, counted, wanted in parts:
        sums = bootstrap.resampled_sums(np.concatenate([right, counted], axis=1), resampling.draws, resampling.seed)
        rates = metrics.rate(*np.split(sums, 2, axis=1))  # (D, J)
        values: dict[tuple[str, ...], list[float | None] | None] = {}
        for key, groups in wanted.items():
            columns = [column for group in groups for column in group]
            ends = bootstrap.interval(averaged(rates, groups)) if counted[:, columns].any(1).sum() > 1 else None
            values[key] = None if ends is None else [_number(end) for end in ends]
        _set_nested(found, values)
    return found


def _set_nested(into: dict[str, Any], values: Mapping[tuple[str, ...], Any]) -> None:
    """{("joints", "elbow"): x, ("mean",): y} → {"joints": {"elbow": x}, "mean": y}."""
    for (*path, last), value in values.items():
        place = into
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value


def _number(value: FloatArray | float) -> float | None:
    return None if math.isnan(value) else round(float(value), _DIGITS)
