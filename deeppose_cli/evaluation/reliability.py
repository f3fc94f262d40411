"""How well confidences agree with the share of joints that are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray


@dataclass(frozen=True)
class Reliability:
    """Confidences compared with outcomes, in bins of equal width that have any joint."""

    error: float
    """Expected calibration error: mean distance of confidence and accuracy, over bins weighted by size."""
    confidence: NDArray[np.float64]
    """(bins) mean confidence."""
    accuracy: NDArray[np.float64]
    """(bins) share of joints that are right."""
    count: NDArray[np.int64]
    """(bins) number of joints."""

    @classmethod
    def measure(cls, confidence: FloatArray, right: NDArray[np.bool_], bins: int = 10) -> Self:
        """Compare the confidences of N joints; joints whose confidence is NaN are left out."""
        known = ~np.isnan(confidence)
        confidence, right = confidence[known], right[known]
        place = np.minimum((confidence * bins).astype(np.int64), bins - 1)
        count = np.bincount(place, minlength=bins)
        used = count > 0
        mean = np.bincount(place, confidence, bins)[used] / count[used]
        share = np.bincount(place, right.astype(np.float64), bins)[used] / count[used]
        error = float((np.abs(mean - share) * count[used]).sum() / max(1, count.sum()))
        return cls(error, mean, share, count[used])
