"""How good the initial boxes of a data set are: found how often, and with how much of the person inside."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeppose_cli.config.defaults import PLACEMENT_SHARE, Placement
from deeppose_cli.core.annotations import Annotations, labelled
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.progress import Progress
from deeppose_cli.detection.initial_boxes import InitialBoxes, faces, initial_boxes

_EDGE = 1e-6
"""px: a joint on the edge of its own box may come out a rounding step beside it."""


def report(
    annotations: Annotations, sources: Sequence[str], folder: Path, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """One entry for each source of initial boxes, of JSON's own types; see `describe`."""
    return [describe(annotations, initial_boxes(annotations, source, folder, progress)) for source in sources]


def describe(annotations: Annotations, first: InitialBoxes) -> dict[str, Any]:
    """`{"source", "people", "found": share for whom the source had a box, "all_inside": share of people all of whose
    labelled joints lie inside of b⁰, "all_inside_found": the same of those found, "joints_inside": share of joints,
    "overlap": mean intersection over union of b⁰ and the joints' tight box, "size": median of b⁰'s longer side over the
    joints' longer side}`. A share of nobody is None."""
    inside = _inside(annotations.keypoints, first.boxes)
    known = labelled(annotations.keypoints)
    counted = np.asarray(known.any(-1) & ~np.isnan(first.boxes).any(-1))
    everything = (inside | ~known).all(-1)
    overlap, size = _against_joints(annotations.keypoints, first.boxes)
    return {
        "source": first.source,
        "people": len(annotations),
        "found": _share(first.found),
        "all_inside": _share(everything[counted]),
        "all_inside_found": _share(everything[counted & first.found]),
        "joints_inside": _share(inside[known & counted[:, None]]),
        "overlap": _share(overlap[counted]),
        "size": round(float(np.median(size[counted])), 4) if counted.any() else None,
    }


def learn_placement(parts: FloatArray, keypoints: FloatArray, share: float = PLACEMENT_SHARE) -> Placement:
    """The smallest placement around parts (N, 4) that holds all labelled joints (N, K, 2) of `share` of the people.

    It reaches equally far to both sides, and so far to each side, up and down that the same share of people stay within
    each. Rows without a part (NaN) or without a label are left out. Raises ValueError where nobody is left.
    """
    some = ~np.isnan(parts).any(-1) & labelled(keypoints).any(-1)
    if not some.any():
        raise ValueError("nobody to learn a placement from")
    relative = (keypoints[some] - parts[some, None, :2]) / parts[some, None, 3:]
    aside = np.nanmax(np.abs(relative[..., 0]), axis=1)
    up, down = -np.nanmin(relative[..., 1], axis=1), np.nanmax(relative[..., 1], axis=1)
    for quantile in np.linspace(0, 1, 1001):
        a, u, d = (float(np.quantile(reach, quantile)) for reach in (aside, up, down))
        if np.mean((aside <= a) & (up <= u) & (down <= d)) >= share:
            break
    return Placement(dy=(d - u) / 2, width=2 * a, height=u + d)


def learn_from_faces(train: Annotations, folder: Path, progress: Progress | None = None) -> Placement:
    """The placement that the training people whose face was found teach."""
    return learn_placement(faces(train, folder, progress), train.keypoints)


def learn_from_torsos(train: Annotations) -> Placement | None:
    return None if train.torsos is None else learn_placement(train.torsos, train.keypoints)


def _inside(keypoints: FloatArray, boxes: FloatArray) -> Any:
    """(N, K) whether each joint lies in its row's box; False where either is NaN. A joint on the edge is inside."""
    return (np.abs(keypoints - boxes[:, None, :2]) <= boxes[:, None, 2:] / 2 + _EDGE).all(-1)


def _against_joints(keypoints: FloatArray, boxes: FloatArray) -> tuple[Any, Any]:
    """(N) intersection over union with the joints' tight box, and how many times as long the box's longer side is."""
    known = labelled(keypoints)[..., None]
    low, high = np.where(known, keypoints, np.inf).min(1), np.where(known, keypoints, -np.inf).max(1)
    near, far = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        shared = np.maximum(np.minimum(high, far) - np.maximum(low, near), 0).prod(-1)
        union = (high - low).prod(-1) + boxes[:, 2:].prod(-1) - shared
        return shared / union, boxes[:, 2:].max(-1) / (high - low).max(-1)


def _share(values: Any) -> float | None:
    return round(float(np.mean(values)), 6) if len(values) else None
