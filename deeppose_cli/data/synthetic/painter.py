"""A synthetic person and the surroundings, painted at several times their size and reduced at the end: smooth edges."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import LSP14, SIDES
from deeppose_cli.data.synthetic.body import HEAD_LONG, HEAD_WIDE, Projection, Range, Rng, turn

Float = NDArray[np.floating]
Color = Float
"""(3) RGB, 0 to 255."""
Shape = tuple[Float, Color]
"""A polygon's corners (M, 2) px, and its color."""

ENLARGEMENT = 3
_SHIFT = 4
"""cv2 takes whole numbers: these are 1/16 px."""
OUTLINE = 0.0065
"""Width of the dark line around each part, in units of the stature."""
_CIRCLE = np.stack([f(np.linspace(0, 2 * np.pi, 24, endpoint=False)) for f in (np.cos, np.sin)], axis=-1)
SKINS = ((255, 222, 196), (240, 194, 158), (222, 170, 126), (190, 134, 92), (150, 100, 66), (108, 70, 46))
HAIRS = ((28, 24, 24), (62, 40, 26), (104, 66, 36), (206, 164, 84), (166, 70, 32), (146, 146, 150), (150, 40, 120))


class Part(IntEnum):
    """What painted a pixel last. A joint is visible where a part that it belongs to is on top."""

    BACKGROUND, TORSO, HEAD, OCCLUDER, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(8)


ARM = {"left": Part.LEFT_ARM, "right": Part.RIGHT_ARM}
LEG = {"left": Part.LEFT_LEG, "right": Part.RIGHT_LEG}


class Canvas:
    """Pixels, and the part that painted each last, ENLARGEMENT times as many on each side as in the image."""

    def __init__(self, height: int, width: int) -> None:
        self.pixels: NDArray[np.uint8] = np.zeros((height * ENLARGEMENT, width * ENLARGEMENT, 3), np.uint8)
        self.owner: NDArray[np.uint8] = np.zeros(self.pixels.shape[:2], np.uint8)
        self.height, self.width = height, width

    def paint(self, shapes: Sequence[Shape], part: Part, line: float = 0.0, grow: float = 0.0) -> None:
        """Paint polygons, each wider by `grow` px on all sides, with one dark line of `line` px around all of them."""
        scale = ENLARGEMENT * 2**_SHIFT
        polygons = [np.round((corners + 0.5) * scale - 2 ** (_SHIFT - 1)).astype(np.int32) for corners, _ in shapes]
        if line:
            for polygon, (_, color) in zip(polygons, shapes, strict=True):
                _fill(self.pixels, polygon, (0.28 * color).tolist(), line + grow)
        for polygon, (_, color) in zip(polygons, shapes, strict=True):
            _fill(self.pixels, polygon, color.tolist(), grow)
            _fill(self.owner, polygon, int(part), grow)

    def place(self, x: float, y: float) -> tuple[int, int]:
        """Row and column of the nearest pixel."""
        row, column = (round((value + 0.5) * ENLARGEMENT - 0.5) for value in (y, x))
        return min(max(row, 0), len(self.owner) - 1), min(max(column, 0), self.owner.shape[1] - 1)

    def reduced(self) -> NDArray[np.float32]:
        """(H, W, 3) the image."""
        return np.asarray(cv2.resize(self.pixels, (self.width, self.height), interpolation=cv2.INTER_AREA), np.float32)


def _fill(target: NDArray[np.uint8], polygon: NDArray[np.int32], value: Any, grow: float) -> None:
    cv2.fillPoly(target, [polygon], value, cv2.LINE_8, _SHIFT)
    if width := round(2 * grow * ENLARGEMENT):
        cv2.polylines(target, [polygon], True, value, width, cv2.LINE_8, _SHIFT)


def capsule(a: Sequence[float] | Float, b: Sequence[float] | Float, ra: float, rb: float) -> Float:
    """The outline of a limb whose axis ends at a and b (x, y px), with these radii there."""
    circles = np.concatenate([np.array(a[:2]) + ra * _CIRCLE, np.array(b[:2]) + rb * _CIRCLE])
    return np.asarray(cv2.convexHull(circles.astype(np.float32)), np.float64)[:, 0]


def rectangle(x: float, y: float, width: float, height: float, degrees: float = 0.0) -> Float:
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (width / 2, height / 2)
    return np.asarray(corners @ turn("z", degrees)[:2, :2].T + (x, y))


def random_color(rng: Rng, saturation: Range = (0.5, 0.9), value: Range = (0.35, 0.9)) -> Color:
    """A random color; the hue is uniform."""
    return 255 * np.array(hsv_to_rgb(rng.random(), rng.uniform(*saturation), rng.uniform(*value)))


def different_color(rng: Rng, reference: Color) -> Color:
    """A random color that differs clearly from another one."""
    while np.abs((color := random_color(rng)) - reference).sum() < 150:
        pass
    return color


@dataclass(frozen=True)
class Appearance:
    """Build, clothes and colors."""

    stout: float
    skin: Color
    hair: Color
    top: Color
    trim: Color
    bottom: Color
    shoes: Color
    is_striped: bool
    sleeves: float
    """Share of the arm, 0 to 2, from the shoulder (0) over the elbow (1) to the wrist (2)."""
    legs: float
    """The same for trousers and the leg."""


def random_appearance(rng: Rng) -> Appearance:
    skin = np.array(SKINS[int(rng.integers(len(SKINS)))]) * rng.uniform(0.94, 1.0)
    hair = np.array(HAIRS[int(rng.integers(len(HAIRS)))]) * rng.uniform(0.85, 1.15)
    top = different_color(rng, skin)
    return Appearance(
        stout=rng.uniform(0.88, 1.22),
        skin=skin,
        hair=hair if np.abs(hair - skin).sum() >= 110 else np.array(HAIRS[0], float),
        top=top,
        trim=different_color(rng, top),
        bottom=different_color(rng, top),
        shoes=random_color(rng, value=(0.15, 0.9)),
        is_striped=bool(rng.random() < 0.4),
        sleeves=float(rng.choice([0.12, rng.uniform(0.4, 0.75), rng.uniform(1.75, 1.95)], p=[0.15, 0.4, 0.45])),
        legs=float(rng.choice([0.15, rng.uniform(0.5, 0.95), 1.93], p=[0.1, 0.3, 0.6])),
    )


@dataclass(frozen=True, eq=False)
class PersonPainter:
    """Paints one person onto a canvas."""

    canvas: Canvas
    body: Projection
    style: Appearance

    def paint(self) -> None:
        """Paint all parts, from the farthest to the nearest.

        The biases decide the order at equal depth: hanging arms over the torso, the torso over straight legs, the head
        over the collar.
        """
        depth = self.body.depth
        layers = [(depth("neck", "neck", "pelvis"), Part.TORSO, ""), (depth("head") + 0.06, Part.HEAD, "")]
        layers += [(depth(f"{s}_elbow", f"{s}_wrist", f"{s}_wrist") + 0.06, ARM[s], s) for s in SIDES]
        layers += [(depth(f"{s}_knee", f"{s}_ankle") - 0.05, LEG[s], s) for s in SIDES]
        for _, part, side in sorted(layers):
            if part == Part.TORSO:
                self.torso()
            elif part == Part.HEAD:
                self.head()
            else:
                self.limb(part, side)

    @property
    def _line(self) -> float:
        return OUTLINE * self.body.scale

    def limb(self, part: Part, side: str) -> None:
        """Paint an arm with its hand or a leg with its foot: three bones, the nearest on top."""
        style = self.style
        if part == ARM[side]:
            joints, radii = ("shoulder", "elbow", "wrist", "hand"), (0.038, 0.029, 0.02, 0.024)
            covered, cloth, end = style.sleeves, style.top, style.skin
        else:
            joints, radii = ("hip", "knee", "ankle", "foot"), (0.056, 0.04, 0.026, 0.024)
            covered, cloth, end = style.legs, style.bottom, style.shoes
        names = [f"{side}_{joint}" for joint in joints]
        points = [np.array(self.body[name]) for name in names]
        widths = [radius * style.stout * point[2] for radius, point in zip(radii, points, strict=True)]
        bones = []
        for i, (first, last) in enumerate(pairwise(range(4))):
            (a, b), (ra, rb) = (points[first], points[last]), (widths[first], widths[last])
            shapes = [(capsule(a, b, ra, rb), end if i == 2 else style.skin)]
            if i < 2 and (share := min(covered - i, 1.0)) > 0:
                shapes.append((capsule(a, a + share * (b - a), ra, ra + share * (rb - ra)), cloth))
            bones.append((self.body.depth(names[first], names[last]), shapes))
        bones.sort(key=lambda bone: bone[0])
        self.canvas.paint([shape for _, shapes in bones for shape in shapes], part, self._line)

    def torso(self) -> None:
        """Paint shoulders to hips. The collar is on the chest only."""
        style = self.style
        shoulders, hips = (
            np.array([self.body[f"{side}_{kind}"][:2] for side in SIDES]) for kind in ("shoulder", "hip")
        )
        neck = np.array(self.body["neck"][:2])
        middle = (neck + hips.mean(0)) / 2
        waists = 0.22 * middle + 0.78 * (0.45 * shoulders + 0.55 * hips)
        tops = 0.86 * shoulders + 0.14 * neck
        outline = np.array([tops[0], waists[0], hips[0], hips[1], waists[1], tops[1]])
        self.canvas.paint([(outline, style.top)], Part.TORSO, self._line, 0.04 * style.stout * self.body.scale)

        def band(start: float, end: float, color: Color) -> Shape:
            """From one side to the other; 0: shoulders, 1: hips."""
            sides = [tops + share * (hips - tops) for share in (start, end)]
            return np.array([*sides[0], *sides[1][::-1]]), color

        bands = [band(0.86, 1.0, style.bottom)]
        if style.is_striped:
            bands += [band(start, start + 0.12, style.trim) for start in (0.2, 0.44, 0.68)]
        if self.body.figure.torso[2, 2] > 0.15:
            bands.append((np.array([*(0.5 * (tops + tops.mean(0))), 0.6 * tops.mean(0) + 0.4 * middle]), style.skin))
        self.canvas.paint(bands, Part.TORSO)

    def head(self) -> None:
        """Paint an ellipsoid with a face on its front and hair on the rest, from any viewpoint."""
        style, canvas, (x, y, size) = self.style, self.canvas, self.body["head"]
        throat = capsule(self.body["neck"], (x, y), 0.031 * style.stout * size, 0.028 * style.stout * size)
        canvas.paint([(throat, 0.9 * style.skin)], Part.HEAD, self._line)
        top, left = canvas.place(x - HEAD_LONG * size - 3, y - HEAD_LONG * size - 3)
        bottom, right = canvas.place(x + HEAD_LONG * size + 3, y + HEAD_LONG * size + 3)
        rows, columns = np.mgrid[top : bottom + 1, left : right + 1]
        view = np.stack([(columns + 0.5) / ENLARGEMENT - 0.5 - x, y - (rows + 0.5) / ENLARGEMENT + 0.5]) / size
        # View coordinates → the unit sphere's. Each pixel shows the point of the sphere that is nearest to the viewer.
        to_sphere = self.body.figure.head.T / np.array([[HEAD_WIDE], [HEAD_LONG], [HEAD_WIDE]])
        flat, deep = np.tensordot(to_sphere[:, :2], view, 1), to_sphere[:, 2]
        a, b = deep @ deep, np.tensordot(deep, flat, 1)
        beyond = (flat**2).sum(0) - b * b / a - 1  # above 0 outside of the sphere
        left_, up, front = flat + deep[:, None, None] * (np.sqrt(np.maximum(-a * beyond, 0)) - b) / a
        eyes = np.hypot(np.abs(left_) - 0.38, 0.85 * (up - 0.02))
        inside, facing = beyond < 0, front > 0
        areas = (
            (np.sqrt(beyond + 1) < 1 + self._line / (HEAD_WIDE * size), 0.3 * style.hair),
            (inside, style.hair),
            (inside & (up < 0.42) & (front > 0.12 - 0.5 * np.maximum(-0.45 - up, 0)), style.skin),
            (inside & facing & (eyes < 0.27), np.array((250, 250, 250))),
            (inside & facing & (eyes < 0.14), np.array((20, 20, 30))),
            (inside & facing & (np.hypot(left_, 0.8 * (up + 0.24)) < 0.12), 0.78 * style.skin),
            (inside & facing & (np.abs(left_) < 0.26) & (np.abs(up + 0.53) < 0.08), np.array((150, 40, 44))),
        )
        window = canvas.pixels[top : bottom + 1, left : right + 1]
        for area, color in areas:
            window[area] = color.astype(np.uint8)
        canvas.owner[top : bottom + 1, left : right + 1][inside] = Part.HEAD


def paint_background(canvas: Canvas, colors: Sequence[Color], scale: float, rng: Rng) -> None:
    """Paint sky and ground, or a wall; texture; objects; limb-like sticks, some in the person's colors."""
    height, width = canvas.height, canvas.width
    upper, lower, ground = (random_color(rng, saturation=(0.02, 0.28), value=(0.6, 1.0)) for _ in range(3))
    wall = upper + np.linspace(0, 1, height)[:, None, None] * (lower - upper) + np.zeros((1, width, 1))
    if rng.random() < 0.65:
        wall[int(rng.uniform(0.5, 0.92) * height) :] = ground
    # One value for all channels, and a little of each channel's own: texture rather than confetti.
    cells = rng.integers(4, 24, 2)
    grain = rng.uniform(1, 8) * (rng.normal(0, 1, (*cells, 1)) + rng.normal(0, 0.3, (*cells, 3)))
    wall += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
    canvas.pixels[:] = cv2.resize(np.clip(wall, 0, 255).astype(np.uint8), canvas.owner.shape[::-1])
    for _ in range(int(rng.integers(0, 5))):
        x, y, w, h = rng.uniform(0, (width, height, 0.5 * width, 0.6 * height))
        color = random_color(rng, saturation=(0.02, 0.3), value=(0.5, 1.0))
        corners = (
            rectangle(x, y, w, h, rng.normal(0, 12)) if rng.random() < 0.5 else capsule((x, y), (x, y), w / 3, w / 3)
        )
        canvas.paint([(corners, color)], Part.BACKGROUND, float(rng.random() < 0.4))
    for _ in range(int(rng.integers(0, 3))):
        start, angle = rng.uniform(0, (width, height)), rng.uniform(0, 2 * np.pi)
        end = start + scale * rng.uniform(0.12, 0.3) * np.array([np.cos(angle), np.sin(angle)])
        color = colors[int(rng.integers(len(colors)))] if rng.random() < 0.5 else random_color(rng)
        stick = capsule(start, end, *(scale * rng.uniform(0.02, 0.045, 2)))
        canvas.paint([(stick, color)], Part.BACKGROUND, OUTLINE * scale)


def paint_occluder(canvas: Canvas, body: Projection, rng: Rng) -> None:
    """Paint a crate, a post or a ball in front of a part of the person."""
    # Not the neck or the head: without the face, left and right may be indistinguishable.
    limbs = [joint for joint in LSP14.joints if joint.startswith(SIDES)]
    x, y, scale = body[limbs[int(rng.integers(len(limbs)))]]
    x, y = x + scale * rng.normal(0, 0.05), y + scale * rng.normal(0, 0.05)
    size = scale * rng.uniform(0.05, 0.1)
    shapes = (
        rectangle(x, y, 2 * size * rng.uniform(0.9, 1.5), 2 * size),
        capsule((x, y), (x, canvas.height + 9), 0.3 * size, 0.3 * size),
        capsule((x, y), (x, y), size, size),
    )
    canvas.paint([(shapes[int(rng.integers(len(shapes)))], random_color(rng))], Part.OCCLUDER, OUTLINE * body.scale)
