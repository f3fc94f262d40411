"""Poses, boxes and text drawn into images."""

from __future__ import annotations

import cv2
import numpy as np

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.images import Image

Color = tuple[int, int, int]
"""RGB."""
SIDE_COLORS: dict[str, Color] = {"left": (230, 159, 0), "right": (86, 180, 233), "": (240, 240, 240)}
"""By the PERSON's side, "" being the midline. Orange and sky blue differ with every kind of color blindness (Okabe and
Ito, 2008)."""
_EDGE = (0, 0, 0)
_NAME, _LABEL = 0.022, 0.035
"""Height of letters, in longer sides of the image."""
_MAX_NAME, _MIN_NAME = 0.045, 8.0
"""Names are no larger than this, in longer sides of the person, and no smaller than this, px."""
_CAPITAL = 22
"""px of a capital letter of OpenCV's font at scale 1."""
_SHIFT = 4
"""cv2 takes whole numbers: these are 1/16 px."""
_MAX_DISTANCE = 4.0
"""In image sizes; beyond it cv2's whole numbers would overflow."""


def draw_pose(image: Image, pose: FloatArray, skeleton: Skeleton, *, names: bool = False, label: str = "") -> Image:
    """Draw the pose (K, 2) in px over a copy of the image (H, W, 3).

    Limbs and joints have the color of the person's side, and a dark edge that is visible on any background; lines are
    as thick as fits the image's size. Joints that are NaN are left out, with their limbs. `names` writes the joints'
    names beside them, `label` a text above the person.
    """
    canvas, size = _copy(image)
    width = max(1.0, size / 120)
    points = _bounded(pose, size)
    limbs = []
    for limb in skeleton.limbs:
        ends = [points[[skeleton.index(joint) for joint in joints]].mean(0) for joints in (limb.start, limb.end)]
        sides = {_side(joint) for joint in (*limb.start, *limb.end)}
        if not np.isnan(ends).any():
            limbs.append((*map(_fixed, ends), SIDE_COLORS[sides.pop() if len(sides) == 1 else ""]))
    for is_edge in (True, False):
        for start, end, color in limbs:
            thickness = round(width) + 2 * is_edge
            cv2.line(canvas, start, end, _EDGE if is_edge else color, thickness, cv2.LINE_AA, _SHIFT)
    for point, joint in zip(points, skeleton.joints, strict=True):
        if not np.isnan(point).any():
            for radius, color in ((width + 1, _EDGE), (width, joint_color(joint))):
                cv2.circle(canvas, _fixed(point), round(radius * 2**_SHIFT), color, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    if names:
        _write_names(canvas, points, skeleton, width)
    if label and not np.isnan(points).all():
        top = points[np.nanargmin(points[:, 1])]
        _write(canvas, label, top - np.array([0, 3 * width]), _LABEL * size, SIDE_COLORS[""])
    return canvas


def draw_boxes(image: Image, corners: FloatArray) -> Image:
    """Draw thin boxes (N, 2, 2), left top and right bottom in px, over a copy of the image."""
    canvas, size = _copy(image)
    for start, end in _bounded(corners, size):
        for thickness, color in ((3, _EDGE), (1, SIDE_COLORS[""])):
            thickness = max(thickness, round(thickness * size / 600))
            cv2.rectangle(canvas, _fixed(start), _fixed(end), color, thickness, cv2.LINE_AA, _SHIFT)
    return canvas


def draw_title(image: Image, title: str) -> Image:
    """Write a line of text into the upper left corner of a copy of the image."""
    canvas, size = _copy(image)
    _write(canvas, title, np.array([2, 5]) * size / 120, _LABEL * size, SIDE_COLORS[""])
    return canvas


def joint_color(joint: str) -> Color:
    """The color of the person's side."""
    return SIDE_COLORS[_side(joint)]


def _write_names(canvas: Image, points: FloatArray, skeleton: Skeleton, width: float) -> None:
    """Beside the joints, away from the body's middle, in letters as large as the person allows."""
    visible = points[~np.isnan(points).any(-1)]
    if not len(visible):
        return
    middle, size = visible[:, 0].mean(), float(np.ptp(visible, axis=0).max())
    letters = min(_NAME * max(canvas.shape[:2]), max(_MAX_NAME * size, _MIN_NAME))
    for point, joint in zip(points, skeleton.joints, strict=True):
        if not np.isnan(point).any():
            is_left = bool(point[0] < middle)
            base = point + np.array([(-1.5 if is_left else 1.5) * width, letters / 2])
            _write(canvas, joint.replace("_", " "), base, letters, joint_color(joint), to_left=is_left)


def _write(canvas: Image, text: str, base: FloatArray, letters: float, color: Color, *, to_left: bool = False) -> None:
    """From `base` to the right or left, inside the image, with a dark edge. `letters`: their height, px."""
    scale = letters / _CAPITAL
    thickness = max(1, round(scale * 1.6))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    start = base - np.array([width, 0]) if to_left else base
    limit = np.array([canvas.shape[1] - width - thickness, canvas.shape[0] - below])
    x, y = np.maximum(np.minimum(start, limit), (thickness, height + thickness)).astype(int)
    for extra, paint in ((2 + thickness, _EDGE), (0, color)):
        place = (int(x), int(y))
        cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, paint, thickness + extra, cv2.LINE_AA)


def _copy(image: Image) -> tuple[Image, int]:
    """A copy to draw into, and its longer side."""
    return np.ascontiguousarray(image).copy(), max(image.shape[:2])


def _bounded(points: FloatArray, size: int) -> FloatArray:
    return np.clip(np.asarray(points, np.float64), -_MAX_DISTANCE * size, (1 + _MAX_DISTANCE) * size)


def _side(joint: str) -> str:
    side = joint.partition("_")[0]
    return side if side in SIDE_COLORS else ""


def _fixed(point: FloatArray) -> tuple[int, int]:
    x, y = point
    return round(float(x) * 2**_SHIFT), round(float(y) * 2**_SHIFT)
