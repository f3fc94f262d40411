"""Fakes of objects that are slow to build."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray, denormalise
from deeppose_cli.core.skeleton import LSP14, Skeleton
from deeppose_cli.models.cascade import CascadeResult

RIGHT = np.array([1.0, 0.0])


class FakeCascade:
    """Two stages that predict a fixed pose in the initial box, the second 1 px to the right of the first.

    With a flip test every joint is 1 px further to the right.
    """

    def __init__(self, skeleton: Skeleton = LSP14) -> None:
        self.skeleton = skeleton
        self.stages = ()
        self.batches: list[list[tuple[int, ...]]] = []
        """The images' shapes, batch by batch."""

    @property
    def normalized_pose(self) -> NDArray[np.float64]:
        """(K, 2) the first stage's pose in its box."""
        return np.random.default_rng(0).uniform(-0.4, 0.4, (len(self.skeleton), 2))

    def predict(
        self, images: Sequence[NDArray[np.uint8]], boxes: FloatArray, *, flip_test: bool = False
    ) -> CascadeResult:
        self.batches.append([image.shape for image in images])
        first = denormalise(self.normalized_pose, np.asarray(boxes)[:, None, :]) + flip_test * RIGHT
        where = np.tile(np.asarray(boxes)[None, :, None, :], (2, 1, len(self.skeleton), 1))
        unknown = np.full(where.shape[:3], np.nan)
        return CascadeResult(np.stack([first, first + RIGHT]), where, np.zeros((2, len(first))), unknown, unknown)
