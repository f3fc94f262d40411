"""A pose drawn over its picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.geometry import FloatArray
from deeppose_cli.skeleton import Limb, Skeleton

SIDE_COLOURS = {"left": (230, 159, 0), "right": (86, 180, 233), "": (240, 240, 240)}
"""RGB by the PERSON's side, "" being the midline. Orange and sky blue are told apart with every kind of colour
blindness (Okabe & Ito, 2008)."""
_EDGE = (0, 0, 0)
_SHIFT = 4  # cv2 takes whole numbers: these are 1/16 px
_FAR = 4.0  # in picture sizes; beyond it cv2's whole numbers would run over


def draw_pose(picture: NDArray[np.uint8], pose: FloatArray, skeleton: Skeleton) -> NDArray[np.uint8]:
    """A copy of the picture (H, W, 3) RGB with the pose (K, 2) in px over it.

    Limbs and joints take the colour of the person's side, with a dark edge that shows on any ground. Lines are as thick
    as the picture's size asks. Joints that are NaN are left out, with the limbs that need them; joints outside of the
    picture are cut off at its edge.
    """
    canvas = np.ascontiguousarray(picture).copy()
    size = max(canvas.shape[:2])
    width = max(1.0, size / 120)
    points = np.clip(np.asarray(pose, np.float64), -_FAR * size, (1 + _FAR) * size)

    sticks = [
        (_end(points, skeleton, limb.start), _end(points, skeleton, limb.end), _limb_side(limb))
        for limb in skeleton.limbs
    ]
    for grow, edge in ((2, True), (0, False)):
        for start, end, side in sticks:
            if not np.isnan([start, end]).any():
                colour = _EDGE if edge else SIDE_COLOURS[side]
                cv2.line(canvas, _fixed(start), _fixed(end), colour, round(width) + grow, cv2.LINE_AA, _SHIFT)
    for point, joint in zip(points, skeleton.joints, strict=True):
        if not np.isnan(point).any():
            for radius, colour in ((width + 1, _EDGE), (width, SIDE_COLOURS[_side(joint)])):
                cv2.circle(canvas, _fixed(point), round(radius * 2**_SHIFT), colour, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return canvas


def joint_colour(joint: str) -> tuple[int, int, int]:
    """RGB, by the person's side."""
    return SIDE_COLOURS[_side(joint)]


def _end(points: FloatArray, skeleton: Skeleton, joints: tuple[str, ...]) -> FloatArray:
    return np.asarray(points[[skeleton.index(joint) for joint in joints]].mean(0))


def _side(joint: str) -> str:
    side = joint.partition("_")[0]
    return side if side in SIDE_COLOURS else ""


def _limb_side(limb: Limb) -> str:
    sides = {_side(joint) for joint in (*limb.start, *limb.end)}
    return sides.pop() if len(sides) == 1 else ""


def _fixed(point: FloatArray) -> tuple[int, int]:
    return round(float(point[0]) * 2**_SHIFT), round(float(point[1]) * 2**_SHIFT)
