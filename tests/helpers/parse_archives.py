"""Image Parse in miniature, in the layout and the conventions of the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io
from numpy.typing import NDArray

from deeppose_cli.data.datasets import parse
from tests.helpers.lsp_archives import WIDTH, jpeg

SMALL_SET = parse.parse_dataset(train=4, total=11)
"""Image Parse with so few images."""
ALL = range(1, 12)
TRAIN, TEST = range(1, 5), range(5, 12)


def labels(numbers: range = ALL) -> NDArray[np.float64]:
    """(14, 2, N) as MATLAB counts, from 1; an image's labels depend on its number alone."""
    each = [np.random.default_rng(number).uniform(1, WIDTH, (14, 2)).round(2) for number in numbers]
    return np.stack(each, axis=-1)


def write(folder: Path, images: range = ALL, records: range | None = None) -> Path:
    """An extracted archive: its images and the labels of those, or of other records."""
    place = folder / "people_all"
    place.mkdir(parents=True)
    scipy.io.savemat(place / "labels.mat", {"ptsAll": labels(records or images)}, do_compression=True)
    for number in images:
        (place / f"im{number:04d}.jpg").write_bytes(jpeg())
    return folder
