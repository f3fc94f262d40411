"""The surroundings of a synthetic person: background, distractors, occluders, and a camera's blur and noise."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin

import cv2
import numpy as np

from deeppose_cli.core.skeleton import LSP14, SIDES
from deeppose_cli.data.synthetic.body import Projection, turn
from deeppose_cli.data.synthetic.canvas import (
    OUTLINE,
    Canvas,
    Color,
    Float,
    Part,
    Rng,
    mix,
    paint_jointed,
    random_color,
    rgb,
)


def paint_background(canvas: Canvas, colors: Sequence[Color], scale: float, rng: Rng) -> None:
    """Paint sky and ground, or a wall; texture; shapes; limb-like sticks, some in the person's colors."""
    height, width = canvas.owner.shape
    upper, lower, ground = (random_color(rng, saturation=(0.02, 0.28), value=(0.6, 1.0)) for _ in range(3))
    slope = np.linspace(0, 1, height, dtype=np.float32)[:, None] + np.linspace(0, rng.uniform(-0.5, 0.5), width)
    canvas.pixels[:] = mix(upper, lower, slope.astype(np.float32))
    if rng.random() < 0.65:
        horizon = int(rng.uniform(0.5, 0.92) * height)
        fade = np.linspace(1, rng.uniform(0.6, 1.2), height - horizon, dtype=np.float32)
        canvas.pixels[:, horizon:] = ground * fade[:, None]
    # One value for all channels, and a little of each channel's own: texture rather than confetti.
    grain = rng.normal(0, rng.uniform(1, 8), (*rng.integers(4, 24, 2), 1)).astype(np.float32)
    grain = grain + np.float32(0.3) * rng.standard_normal((*grain.shape[:2], 3), dtype=np.float32) * grain.std()
    canvas.pixels += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)
    for _ in range(int(rng.integers(0, 5))):
        _paint_object(canvas, random_color(rng, saturation=(0.02, 0.3), value=(0.5, 1.0)), rng)
    for _ in range(int(rng.integers(0, 3))):
        _paint_stick(canvas, colors, scale, rng)


def _paint_object(canvas: Canvas, color: Color, rng: Rng) -> None:
    """Paint a block, a disc, a post or a bar."""
    height, width = canvas.owner.shape
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    kind = rng.integers(4)
    if kind == 0:
        w, h = rng.uniform(0.05, 0.25) * width, rng.uniform(0.05, 0.3) * height
        tilt = turn("z", rng.normal(0, 12))[:2, :2]
        corners = np.array([(-w, -h), (-w, h), (w, h), (w, -h)]) @ tilt.T + (x, y)
        shape = canvas.polygon(corners, 1.0)
    elif kind == 1:
        r = rng.uniform(0.04, 0.2) * width
        shape = canvas.capsule((x, y), (x, y), r, r)
    else:
        r = rng.uniform(0.01, 0.035) * width
        shape = (
            canvas.capsule((x, -9), (x, height + 9), r, r)
            if kind == 2
            else canvas.capsule((-9, y), (width + 9, y), r, r)
        )
    if rng.random() < 0.4:
        canvas.line(shape, 1.0, color * np.float32(0.4))
    canvas.fill(shape, color, Part.BACKGROUND)


def _paint_stick(canvas: Canvas, colors: Sequence[Color], scale: float, rng: Rng) -> None:
    """Paint a limb without a person: a network must not take it for a person's."""
    height, width = canvas.owner.shape
    a = rng.uniform(0, width), rng.uniform(0, height)
    angle, length = rng.uniform(0, 2 * np.pi), scale * rng.uniform(0.12, 0.3)
    b = a[0] + length * cos(angle), a[1] + length * sin(angle)
    color = colors[int(rng.integers(len(colors)))] if rng.random() < 0.5 else random_color(rng)
    shape = canvas.capsule(a, b, scale * rng.uniform(0.02, 0.045), scale * rng.uniform(0.018, 0.04))
    canvas.line(shape, OUTLINE * scale, color * np.float32(0.3))
    canvas.fill(shape, color, Part.BACKGROUND)


def paint_occluder(canvas: Canvas, body: Projection, rng: Rng) -> None:
    """Paint a crate, a post, a ball or a bush in front of a part of the person."""
    # Not the neck or the head: without the face, left and right may be indistinguishable.
    limbs = [joint for joint in LSP14.joints if joint.startswith(SIDES)]
    joint = limbs[int(rng.integers(len(limbs)))]
    x, y, scale = body[joint]
    x, y = x + scale * rng.normal(0, 0.05), y + scale * rng.normal(0, 0.05)
    color = random_color(rng)
    size = scale * rng.uniform(0.05, 0.1)
    kind = rng.integers(4)
    if kind == 0:
        corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (size * rng.uniform(0.9, 1.5), size) + (x, y)
        shapes = [canvas.polygon(corners, 1.5)]
    elif kind == 1:
        shapes = [canvas.capsule((x, y), (x, canvas.owner.shape[0] + 9), 0.3 * size, 0.3 * size)]
    elif kind == 2:
        shapes = [canvas.capsule((x, y), (x, y), size, size)]
    else:
        color = rgb(60, 130, 50) * np.float32(rng.uniform(0.6, 1.3))
        offsets = rng.normal(0, 0.7 * size, (5, 2))
        shapes = [canvas.capsule((x + u, y + v), (x + u, y + v), 0.7 * size, 0.7 * size) for u, v in offsets]
    paint_jointed(canvas, shapes, [color] * len(shapes), OUTLINE * body.scale, Part.OCCLUDER)


def photograph(pixels: Float, rng: Rng) -> Float:
    """Make the image slightly soft and grainy, a little too dark or too bright."""
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.6))  # type: ignore[assignment]
    noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None] * np.float32(rng.uniform(0, 4))
    return pixels * np.float32(rng.uniform(0.8, 1.12)) + noise
