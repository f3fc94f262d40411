"""Drawn people: a random generator in, an image of an articulated person with exact joints out.

The person is a jointed figure in 3-D, posed by angles and seen from a random side, so foreshortening, what is in front
of what, and which side is the person's left all follow from geometry and cannot contradict each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.synthetic.background import paint_background, paint_thing, photograph
from deeppose_cli.data.synthetic.body import Projection, framing, random_figure
from deeppose_cli.data.synthetic.canvas import (
    ARM_PART,
    HAIR_PART,
    HEAD_PART,
    LEG_PART,
    SKIRT_PART,
    TORSO_PART,
    Canvas,
    Rng,
    random_colour,
    random_light,
)
from deeppose_cli.data.synthetic.painter import paint_person, random_look

DRAWING_VERSION = 1
"""To be raised with every change that changes an image: sets drawn by another version are drawn again."""

OCCLUDER = 0.15
"""Share of the images with a thing in front of the person."""


class Drawing(NamedTuple):
    """A drawn person."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    joints: NDArray[np.float64]
    """(14, 2) px, 0-based, in LSP14's order; left and right are the PERSON's."""
    occluded: NDArray[np.bool_]
    """(14,) whether another part of the body, or a thing, covers the joint."""


def draw_person(rng: Rng, *, clutter: bool = True) -> Drawing:
    """One image. The same state of `rng` gives the same bytes.

    `clutter=False` leaves out the background's contents, things in front of the person, blur and noise: the person on
    one even colour, pixel (0, 0).
    """
    figure = random_figure(rng)
    look = random_look(rng)
    size, scale, origin = framing(figure, rng)
    canvas = Canvas(*size, light=random_light(rng))
    if clutter:
        paint_background(canvas, (look.skin, look.hair, look.top, look.bottom), scale, rng)
    else:
        canvas.pixels[:] = random_colour(rng, saturation=(0.1, 0.4), value=(0.6, 0.95))
    stage = Projection(figure, scale, origin)
    paint_person(canvas, stage, look)
    if clutter and rng.random() < OCCLUDER:
        paint_thing(canvas, stage, rng)
    joints = np.array([stage.at(figure.points[joint])[:2] for joint in LSP14.joints])
    occluded = np.array([_is_covered(canvas, stage, joint) for joint in LSP14.joints])
    pixels = np.ascontiguousarray(canvas.pixels.transpose(1, 2, 0))
    if clutter:
        pixels = photograph(pixels, rng)
    return Drawing(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), joints, occluded)


def _is_covered(canvas: Canvas, stage: Projection, joint: str) -> bool:
    """Whether the joint's pixel was painted last by a part that the joint does not belong to."""
    x, y, _ = stage[joint]
    if joint == "head_top":
        # The joint is on the head's edge, where half a pixel decides; a little lower it is inside.
        cx, cy, _ = stage["head"]
        x, y = x + 0.25 * (cx - x), y + 0.25 * (cy - y)
    height, width = canvas.owner.shape
    owner = canvas.owner[min(max(round(y), 0), height - 1), min(max(round(x), 0), width - 1)]
    return int(owner) not in _own_parts(joint)


def _own_parts(joint: str) -> set[int]:
    """The parts of the body that may lie over a joint without hiding it."""
    side, _, kind = joint.partition("_")
    if joint == "neck":
        return {TORSO_PART, HEAD_PART, HAIR_PART}
    if joint == "head_top":
        return {HEAD_PART, HAIR_PART}
    if kind in ("shoulder", "elbow", "wrist"):
        return {ARM_PART[side], *([TORSO_PART] if kind == "shoulder" else [])}
    return {LEG_PART[side], *([TORSO_PART, SKIRT_PART] if kind == "hip" else [])}
