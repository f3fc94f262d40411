"""The labels of a split, in one convention for all data sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import Skeleton

_ARRAYS = ("keypoints", "boxes", "torsos", "sticks", "areas")
BOX_AREA_SHARE = 0.53
"""Share of a box that its person covers, where only the box is known. xtcocotools, which scores CrowdPose and others,
and Ultralytics' pose validation take the same share."""


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
    areas: NDArray[np.float64] | None = None
    """(N) px² that the person covers in the image, COCO's `area`; NaN where it is not known."""

    def __post_init__(self) -> None:
        n, skeleton = len(self.files), self.skeleton
        shapes = {"names": (n,), "keypoints": (n, len(skeleton), 2), "boxes": (n, 4), "torsos": (n, 4), "areas": (n,)}
        for column, shape in (shapes | {"sticks": (n, len(skeleton.limbs), 2, 2)}).items():
            values = getattr(self, column)
            if values is not None and np.shape(values) != shape:
                raise ValueError(f"columns disagree: {n} files, {column} {np.shape(values)}")

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(N, K) which joints have a label."""
        return labelled(self.keypoints)

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Annotations:
        """The given rows, in the given order."""
        index = np.asarray(rows, dtype=int)
        columns = {name: getattr(self, name) for name in _ARRAYS}
        taken: dict[str, Any] = {name: None if values is None else values[index] for name, values in columns.items()}
        files, names = (tuple(values[i] for i in index) for values in (self.files, self.names))
        return replace(self, files=files, names=names, **taken)

    @staticmethod
    def join(parts: Sequence[Annotations]) -> Annotations:
        """All rows of the parts, which have one skeleton. A column that only some parts have is NaN for the others."""
        joined: dict[str, Any] = {}
        for name in _ARRAYS:
            columns = [getattr(part, name) for part in parts]
            shape = next((values.shape[1:] for values in columns if values is not None), None)
            if shape is not None:
                missing = [np.full((len(part), *shape), np.nan) for part in parts]
                filled = (gap if values is None else values for gap, values in zip(missing, columns, strict=True))
                joined[name] = np.concatenate(list(filled))
        files = tuple(file for part in parts for file in part.files)
        names = tuple(name for part in parts for name in part.names)
        return replace(parts[0], files=files, names=names, **joined)
