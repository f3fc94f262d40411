"""The labels of a split, in one convention for all data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import Skeleton


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
    """(N) image files. Two rows may name the same image (FLIC)."""
    keypoints: NDArray[np.float64]
    """(N, K, 2) px; NaN where the joint is not labelled."""
    boxes: NDArray[np.float64]
    """(N, 4) the person's box: centre x, centre y, width, height in px, where the data set has one or derives one for
    training. NaN rows: full image."""
    names: tuple[str, ...]
    """(N) the example's name for people: `im0001.jpg`."""
    torsos: NDArray[np.float64] | None = None
    """(N, 4) the person's torso box, in the same order, where the data set shows by it which person is meant (FLIC)."""

    sticks: NDArray[np.float64] | None = None
    """(N, L, 2, 2) start and end in px of the skeleton's limbs, where the data set labels limbs, not joints (Buffy):
    two of them that meet at a joint have each an end of their own."""

    def __post_init__(self) -> None:
        n, k = len(self.files), len(self.skeleton)
        expected = {"keypoints": (n, k, 2), "boxes": (n, 4), "names": (n,)}
        expected |= {"torsos": (n, 4), "sticks": (n, len(self.skeleton.limbs), 2, 2)}
        for column, shape in expected.items():
            values = getattr(self, column)
            found = (len(values),) if column == "names" else np.shape(values)
            if values is not None and found != shape:
                raise ValueError(f"columns disagree: {n} files, {column} {found}")

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
            sticks=None if self.sticks is None else self.sticks[index],
        )

    @staticmethod
    def join(parts: Sequence[Annotations]) -> Annotations:
        """All rows of the parts, which have one skeleton."""
        limbs = len(parts[0].skeleton.limbs)
        return Annotations(
            skeleton=parts[0].skeleton,
            files=tuple(file for part in parts for file in part.files),
            keypoints=np.concatenate([part.keypoints for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            names=tuple(name for part in parts for name in part.names),
            torsos=_joined([part.torsos for part in parts], [(len(part), 4) for part in parts]),
            sticks=_joined([part.sticks for part in parts], [(len(part), limbs, 2, 2) for part in parts]),
        )


def _joined(
    columns: Sequence[NDArray[np.float64] | None], shapes: Sequence[tuple[int, ...]]
) -> NDArray[np.float64] | None:
    """None where no part has the column; NaN where only this part has not."""
    if all(column is None for column in columns):
        return None
    return np.concatenate(
        [np.full(shape, np.nan) if column is None else column for column, shape in zip(columns, shapes, strict=True)]
    )
