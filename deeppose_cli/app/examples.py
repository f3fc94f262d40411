"""Images to try the page with, drawn by the toolkit: nobody's photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deeppose_cli.data.synthetic.generator import draw_person
from deeppose_cli.visualization.drawing import write_image

SEEDS = (3, 5, 8)


def draw_examples(folder: Path) -> list[Path]:
    """Draw the examples into the folder: their files."""
    files = [folder / f"drawing-{number}.jpg" for number in range(1, len(SEEDS) + 1)]
    for file, seed in zip(files, SEEDS, strict=True):
        write_image(file, draw_person(np.random.default_rng(seed)).image)
    return files
