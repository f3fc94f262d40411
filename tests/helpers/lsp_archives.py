"""LSP and LSPET in miniature, in the layout and the conventions of the originals."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import scipy.io
from numpy.typing import NDArray

from deeppose_cli.data.datasets import lsp

WIDTH, HEIGHT = 40, 50


@dataclass(frozen=True)
class Release:
    """One of the two archives: its name, its number of images, and the width of the number in an image's name."""

    name: str
    count: int
    digits: int

    def stem(self, row: int) -> str:
        return f"im{row + 1:0{self.digits}d}"


FEW = (Release("lsp", 10, 4), Release("lspet", 6, 5))
SMALL_SET = lsp.lsp_dataset(lsp=10, lspet=6)
"""LSP with so few images."""


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))[1].tobytes()


def labels(count: int, seed: int = 0) -> NDArray[np.float64]:
    """(N, 14, 3) as MATLAB counts, from 1; flag 0."""
    joints = np.zeros((count, 14, 3))
    joints[..., :2] = np.random.default_rng(seed).uniform(1, WIDTH, (count, 14, 2)).round(2)
    return joints


def write(folder: Path, release: Release, joints: NDArray[np.float64]) -> Path:
    """An extracted archive, joints (N, 14, 3) laid out as this release has them."""
    (folder / "images").mkdir(parents=True)
    image = jpeg()
    for row in range(release.count):
        (folder / "images" / f"{release.stem(row)}.jpg").write_bytes(image)
    stored = joints.transpose(2, 1, 0) if release.name == "lsp" else joints.transpose(1, 2, 0)
    scipy.io.savemat(folder / "joints.mat", {"joints": stored}, do_compression=True)
    (folder / "README.txt").write_text("miniature")
    return folder


def packed(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
