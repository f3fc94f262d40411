"""Crop images to boxes. Training, evaluation and prediction all use `crop`, so their inputs are the same."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import Box, FloatArray, crop_matrix
from deeppose_cli.media.images import Image

MEAN_COLOR = (124, 116, 104)
"""RGB mean of ImageNet's training images. It fills the area outside the image, which becomes 0 in the network."""
COLOR_SCALE = 58.0
"""One standard deviation of ImageNet's pixel values, on all channels."""


def crop(
    image: Image, box: Box | FloatArray, size: int, out: Image | None = None, turn: FloatArray | None = None
) -> Image:
    """Crop the image to a box, N(x; b): (size, size, 3) uint8; the mean color outside the image.

    A box at least twice as large as the input is first reduced by area averaging, as bilinear sampling alone would skip
    pixels. `out`: a contiguous array to write into and return. `turn`: (2, 3) rotation of the image, in px; the box
    belongs to the rotated image, which is not computed: pixels are interpolated once.
    """
    matrix = crop_matrix(box, size)
    if turn is not None:
        matrix = _chained(turn, matrix)
    reduction = int(min(box[2], box[3]) / size)
    if reduction > 1:
        image, matrix = _reduced(image, matrix, size, reduction)
    return cv2.warpAffine(  # type: ignore[return-value]
        image,
        matrix,
        (size, size),
        dst=out,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=MEAN_COLOR,
    )


def _chained(first: FloatArray, second: FloatArray) -> NDArray[np.float64]:
    """(2, 3) affine map: `second` after `first`."""
    both = second[:, :2] @ first
    both[:, 2] += second[:, 2]
    return np.asarray(both, dtype=np.float64)


def _reduced(image: Image, matrix: NDArray[np.float64], size: int, reduction: int) -> tuple[Image, NDArray[np.float64]]:
    """Average the part of the image inside the crop over about reduction × reduction px.

    Returns that part, and the affine map (2, 3) from there to the crop.
    """
    height, width = image.shape[:2]
    a, b = -0.5, size - 0.5
    back = cv2.invertAffineTransform(matrix)
    xs, ys = back @ np.array([[a, b, a, b], [a, a, b, b], [1.0, 1.0, 1.0, 1.0]])
    margin = 2 * reduction  # so that the crop's edge is interpolated with what lies beyond it
    x1, x2 = max(0, math.floor(xs.min()) - margin), min(width, math.ceil(xs.max()) + margin + 1)
    y1, y2 = max(0, math.floor(ys.min()) - margin), min(height, math.ceil(ys.max()) + margin + 1)
    if x2 - x1 < reduction or y2 - y1 < reduction:
        return image, matrix  # all but outside: nothing to average
    (x1, x2), (y1, y2) = _whole_cells(x1, x2, width, reduction), _whole_cells(y1, y2, height, reduction)
    part = image[y1:y2, x1:x2]
    small = cv2.resize(part, ((x2 - x1) // reduction, (y2 - y1) // reduction), interpolation=cv2.INTER_AREA)
    # Each axis by its true ratio: where there was no room the division above rounds down.
    fx, fy = (x2 - x1) / small.shape[1], (y2 - y1) / small.shape[0]
    enlarge = np.array([[fx, 0.0, x1 + 0.5 * fx - 0.5], [0.0, fy, y1 + 0.5 * fy - 0.5]])
    return np.asarray(small, np.uint8), _chained(enlarge, matrix)


def _whole_cells(first: int, after: int, end: int, cell: int) -> tuple[int, int]:
    """Extend a range to a multiple of `cell` where the image has room: averaging is then several times faster."""
    after = min(end, after + (first - after) % cell)
    return max(0, first - (first - after) % cell), after


def crops(
    image: Image, boxes: FloatArray, size: int, out: Image | None = None, turn: FloatArray | None = None
) -> Image:
    """Crop the image to each box (M, 4): (M, size, size, 3). `out`: an array of that shape to write into."""
    if out is None:
        out = np.empty((len(boxes), size, size, 3), np.uint8)
    for target, box in zip(out, boxes, strict=True):
        crop(image, box, size, target, turn)
    return out
