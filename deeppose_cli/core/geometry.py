"""Boxes, the paper's normalisation N and its inverse, pose diameter, joint boxes, and the crop transform.

Coordinates are px of the source image, 0-based, pixel centres at integers, x right, y down. An image of width W
therefore covers [-0.5, W - 0.5]. A box is (centre x, centre y, width, height) in px. Normalized coordinates are
relative to a box: a point inside lies in [-0.5, 0.5]^2.

The array functions take NumPy arrays and torch tensors alike: they use nothing but arithmetic and indexing.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import Skeleton

Array = TypeVar("Array")
"""A NumPy array or a torch tensor; what comes out is of the kind that went in."""

FloatArray = NDArray[np.floating]


class Box(tuple[float, float, float, float]):
    """One box b = (cx, cy, w, h) in px; anywhere in the project an array (..., 4) holds boxes in this order."""

    __slots__ = ()

    def __new__(cls, cx: float, cy: float, w: float, h: float) -> Box:
        return super().__new__(cls, (float(cx), float(cy), float(w), float(h)))

    def __getnewargs__(self) -> tuple[float, float, float, float]:
        """What a copy or an unpickled box is made of."""
        return self[0], self[1], self[2], self[3]

    @classmethod
    def of_image(cls, width: int, height: int) -> Box:
        """The box that covers every pixel of an image of this size."""
        return cls((width - 1) / 2, (height - 1) / 2, width, height)

    @classmethod
    def of_corners(cls, x1: float, y1: float, x2: float, y2: float) -> Box:
        return cls((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1)

    @classmethod
    def of_left_top(cls, left: float, top: float, width: float, height: float) -> Box:
        """As COCO writes boxes: pixels left … left + width − 1; the edges lie half a pixel outside of their centres."""
        return cls.of_corners(left - 0.5, top - 0.5, left + width - 0.5, top + height - 0.5)

    @classmethod
    def around(cls, points: FloatArray) -> Box:
        """The tight box of the points (K, 2) that are not NaN. Raises ValueError where there is none."""
        points = points[~np.isnan(points).any(-1)]
        if not len(points):
            raise ValueError("no labelled joint to put a box around")
        (x1, y1), (x2, y2) = points.min(0), points.max(0)
        return cls.of_corners(x1, y1, x2, y2)

    def left_top(self) -> tuple[float, float, float, float]:
        """left, top, width, height as COCO writes them: the whole image is 0, 0, W, H."""
        cx, cy, w, h = self
        return cx - w / 2 + 0.5, cy - h / 2 + 0.5, w, h

    def square(self) -> Box:
        """Same centre, both sides as long as the longer one: a crop that does not distort the person."""
        cx, cy, w, h = self
        return Box(cx, cy, max(w, h), max(w, h))


def overlap(a: FloatArray | Box, b: FloatArray | Box) -> float:
    """Intersection over union of two boxes (4); 0 where neither has an extent."""
    shared = 1.0
    for i in (0, 1):
        extent = min(box[i] + box[i + 2] / 2 for box in (a, b)) - max(box[i] - box[i + 2] / 2 for box in (a, b))
        shared *= max(float(extent), 0.0)
    union = float(a[2] * a[3] + b[2] * b[3]) - shared
    return shared / union if union > 0 else 0.0


def normalise(points: Array, boxes: Array) -> Array:
    """N(y; b): px (..., 2) to normalized coordinates, for boxes (..., 4) that broadcast (paper, eq. 1)."""
    return (points - boxes[..., :2]) / boxes[..., 2:]  # type: ignore[index]


def denormalise(points: Array, boxes: Array) -> Array:
    """N⁻¹: normalized coordinates (..., 2) back to px."""
    return points * boxes[..., 2:] + boxes[..., :2]  # type: ignore[index]


def diameter(poses: FloatArray, skeleton: Skeleton) -> FloatArray:
    """diam(y) of poses (..., K, 2): distance of the skeleton's `scale_by` joints, px (...,); NaN without a label.

    Without such joints it is the diagonal of the box of the labelled ones; NaN where that has no extent.
    """
    if skeleton.scale_index is None:
        low, high = np.fmin.reduce(poses, axis=-2), np.fmax.reduce(poses, axis=-2)
        diagonal = np.linalg.norm(high - low, axis=-1)
        return np.where(diagonal > 0, diagonal, np.nan)
    a, b = skeleton.scale_index
    return np.linalg.norm(poses[..., a, :] - poses[..., b, :], axis=-1)


def bounded_diameter(
    poses: FloatArray, initial_boxes: FloatArray, skeleton: Skeleton, bounds: tuple[float, float]
) -> FloatArray:
    """diam of *predicted* poses (..., K, 2), held within `bounds` × the longer side of b⁰ (..., 4).

    So one bad estimate (both torso joints on one spot, or at opposite corners) gives no empty or image-sized crop.
    """
    side = initial_boxes[..., 2:].max(-1)
    return np.clip(np.nan_to_num(diameter(poses, skeleton)), bounds[0] * side, bounds[1] * side)


def joint_boxes(centres: FloatArray, sides: FloatArray) -> FloatArray:
    """Square boxes (..., 4) around points (..., 2) with sides (...,) in px (paper, section 3.2)."""
    sides = np.broadcast_to(np.asarray(sides)[..., None], centres.shape)
    return np.concatenate([centres, sides], axis=-1)


def crop_matrix(box: Box | FloatArray, size: int) -> NDArray[np.float64]:
    """(2, 3) affine map from px of the image to px of N(x; b), a size × size image.

    The box's edges go to the crop's edges: normalized n is at crop px (n + 0.5) · size − 0.5.
    """
    cx, cy, w, h = box
    sx, sy, half = size / w, size / h, size / 2 - 0.5
    return np.array([[sx, 0.0, half - sx * cx], [0.0, sy, half - sy * cy]])


def turn_points(points: FloatArray, centres: FloatArray, angles: FloatArray) -> NDArray[np.float64]:
    """Turn points (..., 2) around centres (..., 2) by angles (...), degrees counter-clockwise as one sees the image."""
    cos, sin = np.cos(np.radians(angles)), np.sin(np.radians(angles))
    x, y = np.moveaxis(points - centres, -1, 0)
    return np.stack([cos * x + sin * y, cos * y - sin * x], axis=-1) + centres


def turn_matrix(centre: FloatArray | Box, angle: float) -> NDArray[np.float64]:
    """(2, 3) affine map of `turn_points`."""
    cos, sin = float(np.cos(np.radians(angle))), float(np.sin(np.radians(angle)))
    cx, cy = centre[:2]
    return np.array([[cos, sin, (1 - cos) * cx - sin * cy], [-sin, cos, sin * cx + (1 - cos) * cy]])


def box_corners(box: Box | FloatArray, angle: float = 0.0) -> NDArray[np.float64]:
    """(4, 2) px of the image: corners of a box (4) of the image turned by `angle` around the box's centre."""
    cx, cy, w, h = box
    offsets = np.array([(-w, -h), (w, -h), (w, h), (-w, h)]) / 2
    centre = np.array([cx, cy])
    return turn_points(centre + offsets, centre, np.array(-angle))


def mirror_points(poses: FloatArray, width: int, skeleton: Skeleton) -> FloatArray:
    """Poses (..., K, 2) of the mirrored image: x is reflected, and left and right joints change places."""
    mirrored = poses[..., list(skeleton.mirror), :].copy()
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    return mirrored
