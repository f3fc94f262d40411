"""Confidence intervals of scores: the bootstrap over images (Efron, 1979), for scores made of sums over images.

A draw takes N images with replacement from the N images of the split, and the score is computed again; an interval
holds the middle 95 % of these scores. Images are drawn, not joints, since the joints of one person are right or wrong
together. The interval does not cover the difference to other videos or sports. Where every image is right it is [1, 1],
however few images there are.

To draw an image w times is to weigh its hits by w, so all draws of all scores are one product: weights (D, N) @
columns (N, C). Shape letters: D draws, N images, C columns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Share of the draws within an interval."""

_WEIGHTS_IN_MEMORY = 2_000_000


def resampled_sums(columns: NDArray[np.number], draws: int, seed: int) -> NDArray[np.float64]:
    """(D, C) sums of the columns (N, C) over the images of each draw; exact for whole numbers.

    The same numbers of images and draws and the same seed give the same draws.
    """
    values = np.asarray(columns, dtype=np.float64)
    return np.concatenate([weights @ values for weights in _weights(len(values), draws, seed)])


def interval(values: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of a score's draws (D), without those in which nothing counts (NaN); None if none is left."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _weights(images: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """(D, N) how often each draw takes each image, some draws at a time: each row sums to N."""
    rng = np.random.default_rng(seed)
    step = max(1, _WEIGHTS_IN_MEMORY // max(images, 1))
    for start in range(0, draws, step):
        rows = min(step, draws - start)
        taken = rng.integers(0, images, (rows, images)) if images else np.zeros((rows, 0), dtype=np.int64)
        taken += images * np.arange(rows)[:, None]
        yield np.bincount(taken.ravel(), minlength=rows * images).reshape(rows, images).astype(np.float64)
