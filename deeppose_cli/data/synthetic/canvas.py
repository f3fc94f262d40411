"""Shapes given by their signed distance: edges are placed and smoothed far below a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from enum import IntEnum
from math import cos, radians, sin
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Float = NDArray[np.floating]
Color = Float
"""(3, 1, 1) RGB, 0 to 255: broadcasts against the canvas, whose channels come first."""
Point = tuple[float, float, float]
"""x, y in px, and px per stature at that depth."""
Range = tuple[float, float]

OUTLINE = 0.0065
"""Width of the dark line around each shape, in units of the stature."""


class Part(IntEnum):
    """What painted a pixel last. A joint is visible where a part that it belongs to is on top."""

    BACKGROUND, TORSO, HEAD, HAIR, SKIRT, OCCLUDER, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(10)


ARM = {"left": Part.LEFT_ARM, "right": Part.RIGHT_ARM}
LEG = {"left": Part.LEFT_LEG, "right": Part.RIGHT_LEG}


def unit(values: Float) -> Float:
    """Clip to 0 … 1. np.clip has an overhead that matters at these sizes."""
    return np.minimum(np.maximum(values, 0), 1)


class Shape(NamedTuple):
    """A shape on a window of the canvas; arrays are (h, w) of that window."""

    window: tuple[slice, slice]
    distance: Float
    """Signed distance to the edge, px; negative inside."""
    along: Float
    """0 at the shape's start, 1 at its end."""
    across: Float
    """-1 to 1 from one side to the other."""
    light: Float
    """Factor on the color: a rounded body lit from one side."""


class Canvas:
    """Pixels (3, H, W), the part that painted each last (H, W), and the direction to the light.

    Channels come first because NumPy is several times faster where the innermost axis is long.
    """

    def __init__(self, height: int, width: int, light: tuple[float, float]) -> None:
        self.pixels: Float = np.zeros((3, height, width), np.float32)
        self.owner: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
        self.light = light

    def window(
        self, xs: Sequence[float], ys: Sequence[float], reach: float
    ) -> tuple[tuple[slice, slice], Float, Float]:
        """The part of the canvas within `reach` px of the points, and its x (1, w) and y (h, 1)."""
        height, width = self.owner.shape
        x1, x2 = max(int(min(xs) - reach), 0), min(int(max(xs) + reach) + 2, width)
        y1, y2 = max(int(min(ys) - reach), 0), min(int(max(ys) + reach) + 2, height)
        x = np.arange(x1, max(x1, x2), dtype=np.float32)[None]
        y = np.arange(y1, max(y1, y2), dtype=np.float32)[:, None]
        return (slice(y1, max(y1, y2)), slice(x1, max(x1, x2))), x, y

    def blend(self, window: tuple[slice, slice], cover: Float, color: Float) -> None:
        """Blend a color, (3, 1, 1) or (3, h, w), into the window, in proportion to `cover` (h, w)."""
        under = self.pixels[:, window[0], window[1]]
        under += cover * (color - under)

    def line(self, shape: Shape, width: float, color: Color) -> None:
        self.blend(shape.window, unit(0.5 + width - shape.distance), color)

    def fill(self, shape: Shape, color: Float, part: Part) -> None:
        self.blend(shape.window, unit(0.5 - shape.distance), color * shape.light)
        self.owner[shape.window][shape.distance < 0] = part

    def capsule(self, a: Sequence[float], b: Sequence[float], ra: float, rb: float) -> Shape:
        """A limb from a to b (x, y; px) with the radii ra and rb there: its axis ends exactly at a and b."""
        window, x, y = self.window((a[0], b[0]), (a[1], b[1]), max(ra, rb) + 3)
        bx, by = b[0] - a[0], b[1] - a[1]
        length2 = bx * bx + by * by + 1e-6
        dx, dy = x - np.float32(a[0]), y - np.float32(a[1])
        along = unit((dx * bx + dy * by) / length2)
        ex, ey = dx - along * np.float32(bx), dy - along * np.float32(by)
        radius = ra + (rb - ra) * along
        off = np.sqrt(ex * ex + ey * ey)
        across = (ex * -by + ey * bx) / (radius * np.float32(np.sqrt(length2)))
        light = 1 + (0.2 * (ex * self.light[0] + ey * self.light[1]) / radius) - 0.1 * (off / radius) ** 2
        return Shape(window, off - radius, along, across, light.astype(np.float32))

    def polygon(self, corners: NDArray[np.float64], radius: float) -> Shape:
        """A polygon (M, 2) px grown by `radius`. `along` runs from the first edge's middle to the opposite one's."""
        window, x, y = self.window(corners[:, 0].tolist(), corners[:, 1].tolist(), radius + 3)
        nearest = np.full(np.broadcast_shapes(x.shape, y.shape), np.inf, np.float32)
        inside = np.zeros(nearest.shape, bool)
        for (px, py), (qx, qy) in zip(
            corners.astype(np.float32), np.roll(corners, -1, 0).astype(np.float32), strict=True
        ):
            ex, ey, dx, dy = qx - px, qy - py, x - px, y - py
            h = unit((dx * ex + dy * ey) / (ex * ex + ey * ey + np.float32(1e-6)))
            nearest = np.minimum(nearest, (dx - h * ex) ** 2 + (dy - h * ey) ** 2)
            if abs(ey) > 1e-6:
                # Even-odd rule: count the edges that a ray to the right crosses.
                inside ^= ((y >= py) != (y >= qy)) & (dx < dy * (ex / ey))
        distance = np.where(inside, -1, 1) * np.sqrt(nearest) - np.float32(radius)
        half = len(corners) // 2
        top, bottom = corners[[0, -1]].mean(0), corners[[half - 1, half]].mean(0)
        axis = bottom - top
        length = float(np.hypot(*axis)) + 1e-3
        breadth = float(np.hypot(*(corners[0] - corners[-1]))) / 2 + radius
        dx, dy = x - np.float32(top[0]), y - np.float32(top[1])
        along = ((dx * axis[0] + dy * axis[1]) / length**2).astype(np.float32)
        across = ((dx * -axis[1] + dy * axis[0]) / (length * breadth)).astype(np.float32)
        # The side of the body that is turned to the light, as for a limb.
        lit = across * ((-axis[1] * self.light[0] + axis[0] * self.light[1]) / length)
        light = 1 + 0.16 * np.clip(lit, -1, 1) - 0.08 * np.clip(across, -1, 1) ** 2
        return Shape(window, distance.astype(np.float32), along, across, light.astype(np.float32))


def mix(a: Float, b: Float, share: Float) -> Float:
    """Mix colors (3, 1, 1) or (3, h, w): a where share (h, w) is 0, b where it is 1."""
    return a + unit(share) * (b - a)


def paint_jointed(canvas: Canvas, shapes: Sequence[Shape], colors: Sequence[Float], line: float, part: Part) -> None:
    """Paint jointed shapes with one outline around all of them."""
    for shape, color in zip(shapes, colors, strict=True):
        canvas.line(shape, line, np.float32(0.28) * (color.mean((1, 2), keepdims=True)))
    for shape, color in zip(shapes, colors, strict=True):
        canvas.fill(shape, color, part)


def rgb(red: float, green: float, blue: float) -> Color:
    return np.array([red, green, blue], np.float32).reshape(3, 1, 1)


def random_color(rng: Rng, saturation: Range = (0.5, 0.9), value: Range = (0.35, 0.9)) -> Color:
    """A random RGB color; the hue is uniform."""
    red, green, blue = hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value))
    return rgb(255 * red, 255 * green, 255 * blue)


def different_color(rng: Rng, reference: Color) -> Color:
    """A random color that differs clearly from another one."""
    for _ in range(8):
        color = random_color(rng)
        if np.abs(color - reference).sum() > 150:
            break
    return color


def random_light(rng: Rng) -> tuple[float, float]:
    """A random direction to the light in the image, mostly from above."""
    angle = rng.normal(-90, 35)
    return cos(radians(angle)), sin(radians(angle))
