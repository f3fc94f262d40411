"""How sure a score is: the bootstrap over images (Efron, 1979), for everything that is made of sums over images.

A draw takes N images with replacement from the N that there are, and the score is worked out again; an interval holds
the middle 95 % of such scores. Images are drawn, not joints, since the joints of one person are right or wrong
together. What the interval does not hold: that all images come from other videos or sports than the next test's. Where
every image is right the interval is [1, 1], however few they are.

Drawing an image w times weighs its hits by w: all draws of all scores are one product, weights (D, N) @ columns (N, C).
Shape letters: D draws, N images, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Share of the draws within an interval."""

_AT_A_TIME = 2_000_000
"""Weights in memory at a time."""


def resampled_sums(columns: NDArray[np.number], draws: int, seed: int) -> NDArray[np.float64]:
    """(D, C) sums of the columns (N, C) over the images of each draw. Sums of whole numbers are exact. The draws
    are the same for the same numbers of images and draws and the same seed."""
    values = np.asarray(columns, dtype=np.float64)
    return np.concatenate([weights @ values for weights in _weights(len(values), draws, seed)])


def interval(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float] | None:
    """The percentile interval of a score's draws (D); a draw in which nothing counts (NaN) is left out. None where that
    leaves no draw."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weights(images: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """(D, N) how often each image is taken in each draw, some draws at a time: each row sums to N."""
    rng = np.random.default_rng(seed)
    step = max(1, _AT_A_TIME // max(images, 1))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        taken = rng.integers(0, images, (rows, images)) if images else np.zeros((rows, 0), dtype=np.int64)
        taken += images * np.arange(rows)[:, None]
        yield np.bincount(taken.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
