"""Time for all scores of one row of 1,000 images: every metric, curves, and intervals from 1,000 draws."""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from benchmarks.result import Options, Result
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.evaluation.scores import ScoredPredictions, scores

TARGET = 5.0
"""Seconds."""
IMAGES, DRAWS = 1000, 1000


def measure(options: Options) -> Result:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 200, (IMAGES, len(LSP14), 2))
    row = ScoredPredictions.of_all("noise", truth + rng.normal(0, 15, truth.shape))
    seconds = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        scores(row, truth, LSP14, draws=DRAWS, seed=0)
        seconds.append(time.perf_counter() - began)
    took = median(seconds)
    options.say(f"scores: {took:.2f} s")
    return Result(
        what="scores of 1,000 images",
        ours=f"{took:.2f} s",
        target=f"≤ {TARGET:g} s",
        met=took <= TARGET,
        notes=(f"scores: PDJ with curve, PCP, PCK, intervals from {DRAWS:,} draws; median of {options.rounds}",),
    )
