"""python -m benchmarks.second_look [--weights NAME|FILE] [--data-root DIR] [--sizes PX …] [--sigma σ]

What a second look is worth without any training: stage 1's own weights as stage 2, on an upright crop of the person,
merged with the first pose. Each score and its gain on validation images of LSP, FLIC and the MPII sample.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from deeppose_cli.checkpoints.model_source import TrainedModel
from deeppose_cli.evaluation.evaluate import evaluate
from deeppose_cli.models.cascade import Cascade

SETS = {"lsp": None, "flic": "torso", "mpii-sample": None}
"""Data sets, and their initial box; None: as they are usually evaluated."""
THRESHOLDS = (0.05, 0.1, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.second_look", description=__doc__)
    parser.add_argument("--weights", default="people")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 320, 384])
    parser.add_argument("--sigma", type=float, default=1.25)
    given = parser.parse_args()
    load = TrainedModel.load
    print(f"{'px':>4} {'data':12}" + "".join(f"  PDJ@{threshold:<5}" for threshold in THRESHOLDS) + "    AUC")
    for size in given.sizes:

        def load_twice(model: TrainedModel, stages: int | None = None, size: int = size) -> Cascade:
            cascade = load(model, 1)
            (first,) = cascade.stages
            second = replace(first, input_size=size, sigma=given.sigma, view="person")
            return Cascade(cascade.skeleton, [first, second], square_initial_box=cascade.square_initial_box)

        for data, box in SETS.items():
            with patch.object(TrainedModel, "load", load_twice):
                scores = evaluate(
                    weights=given.weights,
                    data=data,
                    box=box,
                    split="validation",
                    bootstrap=0,
                    data_root=given.data_root,
                )
            first, second = (_values(row) for row in scores.rows if row["name"].startswith("stage"))
            gains = "".join(f"  {b:.3f} {b - a:+.3f}" for a, b in zip(first, second, strict=True))
            print(f"{size:4} {data:12}{gains}", flush=True)


def _values(row: dict[str, Any]) -> list[float]:
    """PDJ at the thresholds, the mean over kinds of joints; and the area under the curve."""
    curve = row["curve"]
    at = [curve["thresholds"].index(threshold) for threshold in THRESHOLDS]
    kinds = [values for kind, values in curve.items() if kind != "thresholds" and values[0] is not None]
    return [*(float(np.mean([values[i] for values in kinds])) for i in at), float(row["pdj"]["auc"])]


if __name__ == "__main__":
    main()
