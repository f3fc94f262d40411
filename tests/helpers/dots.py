"""Images with a dot of another color at every joint, and a detector of these dots."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import LSP14

COLORS = np.array(
    [[r, g, b] for r in (0, 128, 255) for g in (0, 128, 255) for b in (0, 128, 255) if len({r, g, b}) > 1][:14]
)
"""(14, 3) RGB, each at least 127 away from the others in some channel."""
BACKGROUND = (70, 190, 60)
RADIUS = 5


def joints_on_a_grid(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """(14, 2) px, at least four radii apart and inside the image."""
    columns, rows = 5, 3
    cells = np.array([[c, r] for r in range(rows) for c in range(columns)])[rng.permutation(columns * rows)[:14]]
    size = np.array([width / columns, height / rows])
    return (cells + 0.5) * size + rng.uniform(-0.15, 0.15, (14, 2)) * size - 0.5


def draw(keypoints: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, width, 3) RGB: dots drawn with sub-pixel centres."""
    image = np.full((height, width, 3), BACKGROUND, np.uint8)
    for (x, y), color in zip(keypoints, COLORS, strict=True):
        if not np.isnan([x, y]).any():
            centre = (round(x * 16), round(y * 16))
            cv2.circle(image, centre, RADIUS * 16, color.tolist(), -1, cv2.LINE_AA, shift=4)
    return image


def find(image: np.ndarray, joint: int, least: int = 12) -> np.ndarray | None:
    """The centroid (x, y) of the spot with the joint's color; None where none has at least so many pixels."""
    near = np.abs(image.astype(int) - COLORS[joint]).max(-1) < 40
    # Where two colors meet, a pixel may have a third one by chance: the largest spot is the dot.
    count, _, spots, centres = cv2.connectedComponentsWithStats(near.astype(np.uint8))
    if count < 2 or spots[1:, cv2.CC_STAT_AREA].max() < least:
        return None
    return np.asarray(centres[1 + spots[1:, cv2.CC_STAT_AREA].argmax()])


def annotations(folder: Path, count: int, width: int = 200, height: int = 150) -> Annotations:
    """Write `count` such images, every joint labelled."""
    keypoints = np.stack([joints_on_a_grid(np.random.default_rng([3, i]), width, height) for i in range(count)])
    files = tuple(folder / f"dots{i}.png" for i in range(count))
    for file, pose in zip(files, keypoints, strict=True):
        cv2.imwrite(str(file), draw(pose, width, height)[..., ::-1])
    return Annotations(LSP14, files, keypoints, np.full((count, 4), np.nan), tuple(file.name for file in files))
