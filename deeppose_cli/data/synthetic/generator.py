"""Generator of synthetic people: images of an articulated person with exact joints.

The person is a jointed figure in 3-D, posed by angles, from a random viewpoint, so foreshortening, occlusion and the
person's left side all follow from geometry and cannot contradict each other.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.synthetic.body import Projection, Rng, framing, random_figure
from deeppose_cli.data.synthetic.painter import (
    ARM,
    LEG,
    Canvas,
    Part,
    PersonPainter,
    paint_background,
    paint_occluder,
    random_appearance,
    random_color,
)

DRAWING_VERSION = 2
"""Raise it with every change that changes an image: data sets of another version are generated again."""
OCCLUDER = 0.15
"""Share of the images with an object in front of the person."""


class SyntheticPerson(NamedTuple):
    """An image of a synthetic person, and the joints."""

    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    joints: NDArray[np.float64]
    """(14, 2) px, 0-based, in LSP14's order; left and right are the PERSON's."""
    occluded: NDArray[np.bool_]
    """(14,) whether another part of the body, or an object, covers the joint."""


def draw_person(rng: Rng, *, clutter: bool = True) -> SyntheticPerson:
    """Draw one image. The same state of `rng` gives the same bytes.

    `clutter=False` leaves out the background's contents, occluders, blur and noise: the person is on one even color,
    that of pixel (0, 0).
    """
    figure, style = random_figure(rng), random_appearance(rng)
    size, scale, origin = framing(figure, rng)
    canvas, body = Canvas(*size), Projection(figure, scale, origin)
    if clutter:
        paint_background(canvas, (style.skin, style.hair, style.top, style.bottom), scale, rng)
    else:
        canvas.pixels[:] = random_color(rng, saturation=(0.1, 0.4), value=(0.6, 0.95)).astype(np.uint8)
    PersonPainter(canvas, body, style).paint()
    if clutter and rng.random() < OCCLUDER:
        paint_occluder(canvas, body, rng)
    joints = np.array([body[joint][:2] for joint in LSP14.joints])
    occluded = np.array([_is_covered(canvas, body, joint) for joint in LSP14.joints])
    pixels = canvas.reduced()
    if clutter:  # a photograph's blur, exposure and noise
        if rng.random() < 0.5:
            pixels = np.asarray(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(0.3, 0.6)), np.float32)
        noise = rng.normal(0, rng.uniform(0, 4), (*size, 1))
        pixels = (pixels * rng.uniform(0.8, 1.12) + noise).astype(np.float32)
    return SyntheticPerson(np.clip(pixels + 0.5, 0, 255).astype(np.uint8), joints, occluded)


def _is_covered(canvas: Canvas, body: Projection, joint: str) -> bool:
    """Whether the joint's pixel was painted last by a part that the joint does not belong to."""
    x, y, _ = body[joint]
    if joint == "head_top":
        # The joint is on the head's edge, where half a pixel decides; a little lower it is inside.
        cx, cy, _ = body["head"]
        x, y = x + 0.25 * (cx - x), y + 0.25 * (cy - y)
    side, _, kind = joint.partition("_")
    if joint in ("neck", "head_top"):
        own = [Part.HEAD, Part.TORSO] if joint == "neck" else [Part.HEAD]
    else:
        own = [(ARM if kind in ("shoulder", "elbow", "wrist") else LEG)[side]]
        own += [Part.TORSO] if kind in ("shoulder", "hip") else []
    return int(canvas.owner[canvas.place(x, y)]) not in own
