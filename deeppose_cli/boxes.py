"""Where the first box b⁰ comes from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from deeppose_cli.errors import DeepPoseError, UsageError
from deeppose_cli.geometry import Box
from deeppose_cli.samples import Annotations

VALID = "image, own, or x,y,w,h in px (left, top, width, height)"


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) from the file's header; no pixel is decoded. Raises DeepPoseError that names the file."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError):
        raise DeepPoseError(f"{path}: not a picture, or not readable") from None


def parse_box(spec: str) -> Box:
    """`x,y,w,h` (left, top, width, height, px) → Box. Raises UsageError."""
    try:
        x, y, w, h = (float(part) for part in spec.split(","))
    except ValueError:
        raise UsageError(f"--box {spec}: unknown; valid: {VALID}") from None
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise UsageError(f"--box {spec}: width and height must be positive numbers")
    # The box holds the pixels x … x + w − 1, whose centres are integers: its edges lie half a pixel outside of them.
    return Box.of_corners(x - 0.5, y - 0.5, x + w - 0.5, y + h - 0.5)


def first_boxes(annotations: Annotations, spec: str = "own") -> NDArray[np.float64]:
    """(N, 4) px. `own`: the annotations' box where they have one, else the full image (LSP: the paper, section 4);
    `image`: the full image always; `x,y,w,h`: one box for every picture. Raises UsageError for another spec."""
    n = len(annotations)
    if spec not in ("own", "image"):
        return np.tile(np.array(parse_box(spec)), (n, 1))
    boxes = annotations.boxes.copy() if spec == "own" else np.full((n, 4), np.nan)
    for i in np.flatnonzero(np.isnan(boxes).any(-1)):
        boxes[i] = Box.of_image(*picture_size(annotations.files[i]))
    return boxes


def readable_first_boxes(annotations: Annotations, spec: str) -> NDArray[np.float64]:
    """`first_boxes`, with NaN (4) where a picture's size is asked for and cannot be read. Raises UsageError."""
    try:
        return first_boxes(annotations, spec)
    except UsageError:
        raise
    except DeepPoseError:
        return np.concatenate([_first_box_or_nan(annotations.take([i]), spec) for i in range(len(annotations))])


def _first_box_or_nan(one: Annotations, spec: str) -> NDArray[np.float64]:
    try:
        return first_boxes(one, spec)
    except DeepPoseError:
        return np.full((1, 4), np.nan)
