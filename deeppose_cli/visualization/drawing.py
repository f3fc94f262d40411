"""A pose drawn over its image."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Limb, Skeleton

SIDE_COLOURS = {"left": (230, 159, 0), "right": (86, 180, 233), "": (240, 240, 240)}
"""RGB by the PERSON's side, "" being the midline. Orange and sky blue are told apart with every kind of colour
blindness (Okabe & Ito, 2008)."""
_EDGE = (0, 0, 0)
_NAME, _LABEL = 0.022, 0.035
"""Height of letters, in longer sides of the image."""
_NAME_OF_PERSON, _LEAST_LETTER = 0.045, 8.0
"""No larger than so, in longer sides of the person; px."""
_LETTER = 22
"""px of a capital letter of OpenCV's font at scale 1."""
_SHIFT = 4  # cv2 takes whole numbers: these are 1/16 px
_FAR = 4.0  # in image sizes; beyond it cv2's whole numbers would run over


def draw_pose(
    image: NDArray[np.uint8], pose: FloatArray, skeleton: Skeleton, *, names: bool = False, label: str = ""
) -> NDArray[np.uint8]:
    """A copy of the image (H, W, 3) RGB with the pose (K, 2) in px over it.

    Limbs and joints take the colour of the person's side, with a dark edge that shows on any ground. Lines are as thick
    as the image's size asks. Joints that are NaN are left out, with the limbs that need them; joints outside of the
    image are cut off at its edge. `names` writes the joints' names beside them, `label` something above all.
    """
    canvas = np.ascontiguousarray(image).copy()
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
    if names:
        _write_names(canvas, points, skeleton, width)
    if label and not np.isnan(points).all():
        top = points[np.nanargmin(points[:, 1])]
        _write(canvas, label, top - np.array([0, 3 * width]), _LABEL * size, SIDE_COLOURS[""])
    return canvas


def draw_boxes(image: NDArray[np.uint8], corners: FloatArray) -> NDArray[np.uint8]:
    """A copy of the image with thin boxes over it: (N, 2, 2), left top and right bottom in px."""
    canvas = np.ascontiguousarray(image).copy()
    size = max(canvas.shape[:2])
    for (x1, y1), (x2, y2) in np.clip(corners, -_FAR * size, (1 + _FAR) * size):
        ends = _fixed(np.array([x1, y1])), _fixed(np.array([x2, y2]))
        for thick, colour in ((3, _EDGE), (1, SIDE_COLOURS[""])):
            cv2.rectangle(canvas, *ends, colour, max(thick, round(thick * size / 600)), cv2.LINE_AA, _SHIFT)
    return canvas


def draw_title(image: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """A copy of the image with a line of text in its upper left corner."""
    canvas = np.ascontiguousarray(image).copy()
    unit = max(canvas.shape[:2]) / 120
    _write(canvas, title, np.array([2 * unit, 5 * unit]), _LABEL * 120 * unit, SIDE_COLOURS[""])
    return canvas


def _write_names(canvas: NDArray[np.uint8], points: FloatArray, skeleton: Skeleton, width: float) -> None:
    """Beside the joints, away from the body's middle, in letters as large as the person allows."""
    known = points[~np.isnan(points).any(-1)]
    if not len(known):
        return
    middle, size = known[:, 0].mean(), float(np.ptp(known, axis=0).max())
    letters = min(_NAME * max(canvas.shape[:2]), max(_NAME_OF_PERSON * size, _LEAST_LETTER))
    for point, joint in zip(points, skeleton.joints, strict=True):
        if not np.isnan(point).any():
            outwards = -1.0 if point[0] < middle else 1.0
            place = point + np.array([outwards * 1.5 * width, letters / 2])
            _write(canvas, joint.replace("_", " "), place, letters, joint_colour(joint), to_left=outwards < 0)


def _write(
    canvas: NDArray[np.uint8],
    text: str,
    base: FloatArray,
    letters: float,
    colour: tuple[int, int, int],
    *,
    to_left: bool = False,
) -> None:
    """From `base` to the right, or to it; inside the image, with a dark edge. `letters`: their height, px."""
    scale = letters / _LETTER
    thick = max(1, round(scale * 1.6))
    (width, height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    start = base - np.array([width, 0]) if to_left else base
    most = np.array([canvas.shape[1] - width - thick, canvas.shape[0] - below])
    x, y = np.maximum(np.minimum(start, most), (thick, height + thick)).astype(int)
    for more, paint in ((2 + thick, _EDGE), (0, colour)):
        cv2.putText(canvas, text, (int(x), int(y)), cv2.FONT_HERSHEY_SIMPLEX, scale, paint, thick + more, cv2.LINE_AA)


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
