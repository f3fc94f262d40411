"""What a reader hands on, whatever the data set: pictures' files and their labels, in one convention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.skeleton import Skeleton


def labelled(keypoints: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(..., 2) → (...): which points are not NaN."""
    return np.asarray(~np.isnan(keypoints).any(-1))


@dataclass(frozen=True, eq=False)
class Annotations:
    """One split of a data set, by column. Row n is one labelled person.

    Coordinates are px, 0-based, pixel centres at integers, x right, y down; left and right are the PERSON's.
    """

    skeleton: Skeleton
    files: tuple[Path, ...]
    """(N) picture files. Two rows may name the same picture (FLIC)."""
    keypoints: NDArray[np.float64]
    """(N, K, 2) px; NaN where the joint is not labelled."""
    boxes: NDArray[np.float64]
    """(N, 4) the person's box in px, where the data set has one or derives one for training; NaN rows: full image."""
    names: tuple[str, ...]
    """(N) what a person calls the example: `im0001.jpg`."""
    torsos: NDArray[np.float64] | None = None
    """(N, 4) the person's torso box in px, where the data set says with it which person is meant (FLIC)."""

    def __post_init__(self) -> None:
        n, k = len(self.files), len(self.skeleton)
        torsos = (n, 4) if self.torsos is None else self.torsos.shape
        shapes = (self.keypoints.shape, self.boxes.shape, torsos, len(self.names))
        if shapes != ((n, k, 2), (n, 4), (n, 4), n):
            raise ValueError(
                f"columns disagree: {n} files, keypoints {shapes[0]}, boxes {shapes[1]}, torsos {shapes[2]}, "
                f"{shapes[3]} names"
            )

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) which joints have a label."""
        return labelled(self.keypoints)

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Annotations:
        """The given rows, in the given order."""
        index = np.asarray(rows, dtype=int)
        return Annotations(
            skeleton=self.skeleton,
            files=tuple(self.files[i] for i in index),
            keypoints=self.keypoints[index],
            boxes=self.boxes[index],
            names=tuple(self.names[i] for i in index),
            torsos=None if self.torsos is None else self.torsos[index],
        )

    @staticmethod
    def join(parts: Sequence[Annotations]) -> Annotations:
        """All rows of the parts, which have one skeleton."""
        torsos = None
        if any(part.torsos is not None for part in parts):
            torsos = np.concatenate(
                [np.full((len(part), 4), np.nan) if part.torsos is None else part.torsos for part in parts]
            )
        return Annotations(
            skeleton=parts[0].skeleton,
            files=tuple(file for part in parts for file in part.files),
            keypoints=np.concatenate([part.keypoints for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            names=tuple(name for part in parts for name in part.names),
            torsos=torsos,
        )
