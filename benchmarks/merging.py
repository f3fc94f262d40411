"""python -m benchmarks.merging [--weights NAME|FILE] [--data-root DIR]

What the second stage of a cascade gains on validation images of LSP, FLIC and the MPII sample, by how it is merged with
the pose before it: PDJ at 0.1 and 0.2 of all labelled joints, and the gains on stage 1.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.second_look import SETS
from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import RUNS_ROOT
from deeppose_cli.core.geometry import FloatArray, bounded_diameter
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.detection.initial_boxes import initial_boxes
from deeppose_cli.evaluation.metrics import pdj_hits
from deeppose_cli.evaluation.predict_split import predict_split, to_skeleton
from deeppose_cli.models import cascade as cascades
from deeppose_cli.models.displacement import diameter_bounds
from deeppose_cli.models.person_view import merge_poses

THRESHOLDS = (0.1, 0.2)


def _rule(weight: Callable[[FloatArray], Any], agreement: float) -> Callable[..., Any]:
    """`merge_poses` with other weights and another distance."""

    def merged(before: Any, before_mass: Any, after: Any, after_mass: Any, boxes: Any, skeleton: Any) -> Any:
        diam = bounded_diameter(before, boxes, skeleton, diameter_bounds(skeleton))
        agree = np.linalg.norm(after - before, axis=-1) <= agreement * diam[:, None]
        one, other = weight(before_mass), weight(after_mass)
        share = np.where(agree, one / (one + other), one > other)[..., None]
        return share * before + (1 - share) * after, np.fmax(before_mass, after_mass)

    return merged


RULES: dict[str, Callable[..., Any]] = {
    "as it is": merge_poses,
    "replaced": lambda before, before_mass, after, after_mass, *_: (after, after_mass),
    "the surer one": _rule(lambda mass: mass, 0.0),
    "plain mean": _rule(lambda mass: np.ones_like(mass), 0.3),
    "weights: peak mass": _rule(lambda mass: mass, 0.3),
    "mean within 0.15": _rule(np.square, 0.15),
    "mean within 0.5": _rule(np.square, 0.5),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.merging", description=__doc__)
    parser.add_argument("--weights", default="people")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    given = parser.parse_args()
    cascade = resolve_model(RUNS_ROOT, None, given.weights).load()
    for data, box in SETS.items():
        dataset = get_dataset(data, given.data_root)
        people = dataset.read(given.data_root)["validation"]
        boxes = initial_boxes(people, box or dataset.initial_box, given.data_root / data).boxes
        merges: list[tuple[Any, ...]] = []

        def recorded(*both: Any, merges: list[tuple[Any, ...]] = merges) -> Any:
            merges.append(copy.deepcopy(both))  # the cascade writes the result over the pose before
            return merge_poses(*both)

        with patch.object(cascades, "merge_poses", recorded):
            predict_split(cascade, people, boxes)
        before = np.concatenate([poses for poses, *_ in merges])
        for name, rule in RULES.items():
            after = np.concatenate([rule(*both)[0] for both in merges])
            scores = []
            for pose in to_skeleton(np.stack([before, after]), cascade.skeleton, people.skeleton):
                hits = [pdj_hits(pose, people.keypoints, people.skeleton, threshold) for threshold in THRESHOLDS]
                scores.append([right[valid & ~np.isnan(pose).any(-1)].mean() for right, valid in hits])
            gains = "".join(f"  {last:.3f} {last - first:+.3f}" for first, last in zip(*scores, strict=True))
            print(f"{data:12} {name:20}{gains}", flush=True)


if __name__ == "__main__":
    main()
