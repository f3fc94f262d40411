"""FLIC, FLIC-full and FLIC-plus in miniature, in the layout and the conventions of the originals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

from deeppose_cli.data.datasets import flic
from tests.helpers.lsp_archives import jpeg


@dataclass(frozen=True)
class Release:
    """One of the two archives: its name and its number of examples."""

    name: str
    count: int


FEW = (Release("FLIC", 12), Release("FLIC-full", 20))
SMALL_SET = flic.flic_dataset(own=12, full=20)
"""FLIC with so few examples."""
LABELLED = (0, 1, 2, 3, 4, 5, 6, 9, 12, 13, 16)
"""The places that the originals fill; all others are NaN."""

Record = dict[str, object]


def record(row: int, movie: str, frame: int, test: bool) -> Record:
    """One person as MATLAB has it, counting from 1, in the number types of the original."""
    random = np.random.default_rng([row, frame])
    coords = np.full((2, 29), np.nan)
    coords[:, LABELLED] = random.uniform(1, 40, (2, len(LABELLED))).round(2)
    return {
        "poselet_hit_idx": random.integers(0, 300, (5 + row % 3, 1)).astype(np.uint16),
        "moviename": movie,
        "coords": coords,
        "filepath": f"{movie}-{frame:08d}.jpg",
        "imgdims": np.array([[50.0, 40.0, 3.0]]),
        "currframe": np.array([[frame]], np.uint16 if frame < 2**16 else np.int32),
        "torsobox": np.array([[5.5, 6.25, 20.5, 30.75 + row]], np.float32),
        "istrain": np.array([[not test]]),
        "istest": np.array([[test]]),
    }


def few(release: Release = FEW[0]) -> list[Record]:
    """Two movies; rows 2, 3 and 4 (from 0) are of one frame; the first of them is the test's."""
    people = []
    for row in range(release.count):
        movie = "along-came-polly" if row < release.count // 2 else "mr-mrs-smith-ws"
        frame = 60001 + 2000 * (2 if row in (3, 4) else row)
        one = record(row, movie, frame, test=row % 3 == 2 and row != 5)
        if release.name == "FLIC-full":
            one |= {"isbad": np.array([[row == 1]]), "isunchecked": np.array([[row == 2]])}
        people.append(one)
    return people


def save(file: Path, people: Sequence[Record], compressed: bool = True, name: str = "examples") -> None:
    fields = list(people[0])
    array = np.empty((1, len(people)), dtype=[(field, object) for field in fields])
    for column, person in enumerate(people):
        for field in fields:
            array[0, column][field] = person[field]
    scipy.io.savemat(file, {name: array}, do_compression=compressed)


def write(folder: Path, people: Sequence[Record]) -> Path:
    """An extracted archive's folder: `examples.mat` and the images that it names."""
    (folder / "images").mkdir(parents=True)
    image = jpeg()
    for person in people:
        (folder / "images" / str(person["filepath"])).write_bytes(image)
    save(folder / "examples.mat", people)
    return folder


def write_plus(folder: Path, numbers: Sequence[float]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / "tr_plus_indices.mat", {"tr_plus_indices": np.array(numbers)[:, None]})
    return folder
