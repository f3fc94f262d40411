"""Quality of a data set's initial boxes: how often they are found, and how much of the person they hold.

python -m benchmarks.box_quality flic --box face --box torso

Prints JSON, with the placement around faces and torso boxes that the training split teaches.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deeppose_cli.config.defaults import BOX_SOURCES, DATA_ROOT, Placement
from deeppose_cli.core.annotations import Annotations, labelled
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.progress import Progress, progress_bar
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import InitialBoxes, faces, initial_boxes
from deeppose_cli.evaluation.metrics import extent, intersection_and_union

PLACEMENT_SHARE = 0.95
"""Share of training people of whom a placement holds all labelled joints. The paper takes all; the last twentieth would
make the box half as large again, and everyone in it smaller."""
_EDGE = 1e-6
"""px: rounding may put a joint on the edge of its own box so far outside."""


def measure_boxes(
    name: str, sources: Sequence[str] = (), *, data_root: Path = DATA_ROOT, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure the initial boxes of a prepared data set by each of the sources; by default by all that it has.

    Returns `{"name", "splits": {split: rows of `describe`}, "learned": {"face" | "torso": placement}}` in JSON's types:
    the placement around faces and torso boxes is learned from the training split.
    """
    spec, folder = get_dataset(name, data_root, "NAME"), data_root / name
    document: dict[str, Any] = {"name": name, "splits": {}, "learned": {}}
    for split, part in spec.read(data_root).items():
        if not len(part):
            continue
        used = sources or _available_sources(part)
        document["splits"][split] = [describe(part, initial_boxes(part, source, folder, progress)) for source in used]
        if split == "train" and not spec.evaluation_only:
            if "face" in used:
                placement = learn_placement(faces(part, folder, progress), part.keypoints)
                document["learned"]["face"] = vars(placement)
            if part.torsos is not None:
                document["learned"]["torso"] = vars(learn_placement(part.torsos, part.keypoints))
    return document


def _available_sources(annotations: Annotations) -> list[str]:
    """Sources that can give a box here; without boxes of its own, `own` would be `image` again."""
    missing = {"torso"} if annotations.torsos is None else set()
    if np.isnan(annotations.boxes).any(-1).all():
        missing.add("own")
    return [source for source in BOX_SOURCES if source not in missing]


def describe(annotations: Annotations, initial: InitialBoxes) -> dict[str, Any]:
    """Measure the boxes of one source; values of JSON's own types, None for a share of nobody.

    `found`: share of people for whom the source has a box; `all_inside`: with all labelled joints inside of b⁰;
    `all_inside_found`: of those found; `joints_inside`: share of joints; `overlap`: mean intersection over union of b⁰
    and the joints' tight box; `size`: median of b⁰'s longer side over that of the tight box.
    """
    keypoints, boxes = annotations.keypoints, initial.boxes
    is_labelled = labelled(keypoints)
    valid = np.asarray(is_labelled.any(-1) & ~np.isnan(boxes).any(-1))
    inside = np.asarray((np.abs(keypoints - boxes[:, None, :2]) <= boxes[:, None, 2:] / 2 + _EDGE).all(-1))
    all_inside = np.asarray((inside | ~is_labelled).all(-1))
    tight, centres, sizes = extent(keypoints[valid]), boxes[valid, :2].T, boxes[valid, 2:].T
    shared, union = intersection_and_union(np.concatenate([centres - sizes / 2, centres + sizes / 2]), tight)
    with np.errstate(divide="ignore"):
        size = sizes.max(0) / (tight[2:] - tight[:2]).max(0)
    return {
        "source": initial.source,
        "people": len(annotations),
        "found": _share(initial.found),
        "all_inside": _share(all_inside[valid]),
        "all_inside_found": _share(all_inside[valid & initial.found]),
        "joints_inside": _share(inside[is_labelled & valid[:, None]]),
        "overlap": _share(shared / union),
        "size": round(float(np.median(size)), 4) if len(size) else None,
    }


def learn_placement(parts: FloatArray, keypoints: FloatArray, share: float = PLACEMENT_SHARE) -> Placement:
    """The smallest placement around parts (N, 4) that holds all labelled joints (N, K, 2) of `share` of the people.

    Its reach to the sides (the same left and right), up and down is one quantile of the people's. Rows without a part
    (NaN) or a label are left out. Raises ValueError where nobody is left.
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


def _share(values: Any) -> float | None:
    return round(float(np.mean(values)), 6) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the initial boxes of a prepared data set.")
    parser.add_argument("data", help="data set")
    parser.add_argument("--box", action="append", default=[], help="source, repeatable; default: all that it has")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT)
    options = parser.parse_args()
    with progress_bar() as progress:
        document = measure_boxes(options.data, options.box, data_root=options.data_root, progress=progress)
    print(json.dumps(document, indent=2, allow_nan=False))


if __name__ == "__main__":
    main()
