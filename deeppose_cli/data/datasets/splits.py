"""Which rows are training and which validation: drawn with one fixed seed, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import SPLIT_SEED
from deeppose_cli.core.annotations import Annotations

SPLITS = ("train", "validation", "test")
Splits = dict[str, Annotations]
"""Split → its rows, for each of SPLITS in their order."""


def in_splits(rows: Annotations, **chosen: Sequence[int] | NDArray[np.integer]) -> Splits:
    """The rows by split, by their numbers; a split that is not given is empty."""
    return {split: rows.take(chosen.get(split, ())) for split in SPLITS}


def split_rows(n: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(training rows, validation rows) of n rows, both ascending; `share` of them are validation."""
    order = _random_order(n)
    cut = round(n * share)
    return np.sort(order[cut:]), np.sort(order[:cut])


def split_groups(groups: NDArray[np.integer], share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The same for rows of which some belong together: those with the same number (N) in `groups` stay together.

    Groups are drawn in a seeded order, and each that still fits into `share` of the rows becomes validation.
    """
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    room = round(len(groups) * share)
    chosen = np.zeros(len(sizes), dtype=bool)
    for group in _random_order(len(sizes)):
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    validation = chosen[members]
    return np.flatnonzero(~validation), np.flatnonzero(validation)


def _random_order(n: int) -> NDArray[np.intp]:
    # Random.random is the one generator whose values are promised to be the same in every later version.
    draw = Random(SPLIT_SEED)
    return np.argsort([draw.random() for _ in range(n)], kind="stable")
