"""What is around a drawn person: background, distractors, things in front, and the camera's faults."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin

import cv2
import numpy as np

from deeppose_cli.core.skeleton import LSP14, SIDES
from deeppose_cli.data.synthetic.body import Projection, turn
from deeppose_cli.data.synthetic.canvas import (
    BACKGROUND,
    OUTLINE,
    THING_PART,
    Canvas,
    Colour,
    Float,
    Rng,
    mix,
    paint_jointed,
    random_colour,
    rgb,
)


def paint_background(canvas: Canvas, own: Sequence[Colour], scale: float, rng: Rng) -> None:
    """Sky and ground, or a wall; texture; shapes; and limb-like sticks, some in the person's `own` colours."""
    height, width = canvas.owner.shape
    upper, lower, ground = (random_colour(rng, saturation=(0.02, 0.28), value=(0.6, 1.0)) for _ in range(3))
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
        _paint_scenery(canvas, random_colour(rng, saturation=(0.02, 0.3), value=(0.5, 1.0)), rng)
    for _ in range(int(rng.integers(0, 3))):
        _paint_stick(canvas, own, scale, rng)


def _paint_scenery(canvas: Canvas, colour: Colour, rng: Rng) -> None:
    """A block, a disc, a post or a bar."""
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
        canvas.line(shape, 1.0, colour * np.float32(0.4))
    canvas.fill(shape, colour, BACKGROUND)


def _paint_stick(canvas: Canvas, own: Sequence[Colour], scale: float, rng: Rng) -> None:
    """A limb that nobody wears: without a person attached it must not be taken for one."""
    height, width = canvas.owner.shape
    a = rng.uniform(0, width), rng.uniform(0, height)
    angle, length = rng.uniform(0, 2 * np.pi), scale * rng.uniform(0.12, 0.3)
    b = a[0] + length * cos(angle), a[1] + length * sin(angle)
    colour = own[int(rng.integers(len(own)))] if rng.random() < 0.5 else random_colour(rng)
    shape = canvas.capsule(a, b, scale * rng.uniform(0.02, 0.045), scale * rng.uniform(0.018, 0.04))
    canvas.line(shape, OUTLINE * scale, colour * np.float32(0.3))
    canvas.fill(shape, colour, BACKGROUND)


def paint_thing(canvas: Canvas, stage: Projection, rng: Rng) -> None:
    """A crate, a post, a ball or a bush in front of a part of the person."""
    # Not the neck or the head: without the face nothing may tell left from right.
    limbs = [joint for joint in LSP14.joints if joint.startswith(SIDES)]
    joint = limbs[int(rng.integers(len(limbs)))]
    x, y, scale = stage[joint]
    x, y = x + scale * rng.normal(0, 0.05), y + scale * rng.normal(0, 0.05)
    colour = random_colour(rng)
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
        colour = rgb(60, 130, 50) * np.float32(rng.uniform(0.6, 1.3))
        offsets = rng.normal(0, 0.7 * size, (5, 2))
        shapes = [canvas.capsule((x + u, y + v), (x + u, y + v), 0.7 * size, 0.7 * size) for u, v in offsets]
    paint_jointed(canvas, shapes, [colour] * len(shapes), OUTLINE * stage.scale, THING_PART)


def photograph(pixels: Float, rng: Rng) -> Float:
    """A slightly soft and grainy image, a little too dark or too bright."""
    if rng.random() < 0.5:
        pixels = cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.6))  # type: ignore[assignment]
    noise = rng.standard_normal(pixels.shape[:2], dtype=np.float32)[..., None] * np.float32(rng.uniform(0, 4))
    return pixels * np.float32(rng.uniform(0.8, 1.12)) + noise
