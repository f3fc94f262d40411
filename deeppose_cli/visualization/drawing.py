"""Poses of people drawn onto images, with their boxes, names and track numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import MIN_CONFIDENCE
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_bytes
from deeppose_cli.core.geometry import FloatArray, box_corners
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.images import Image
from deeppose_cli.models.cascade import Person
from deeppose_cli.visualization.labels import Labels

MIN_SIDE = 480
"""Smaller images are enlarged until their longer side is this many px, so that lines can be distinguished."""
GAP = 0.01
"""Between the stages, in longer sides of the image."""
JPEG_QUALITY = 92

Color = tuple[int, int, int]
"""RGB."""
SIDE_COLORS: dict[str, Color] = {"left": (230, 159, 0), "right": (86, 180, 233), "": (240, 240, 240)}
"""By the PERSON's side, "" being the midline. Orange and sky blue differ with every kind of color blindness (Okabe and
Ito, 2008)."""
TRACK_COLORS: tuple[Color, ...] = (
    SIDE_COLORS[""],
    *((240, 228, 66), (0, 158, 115), (204, 121, 167), (213, 94, 0), (0, 114, 178)),
)
"""Of the midline and the number of a person in a video, by the number; of the same palette."""
_EDGE = (0, 0, 0)
_FAINT = 0.3
"""Opacity of unsure joints."""
_LINES_AN_IMAGE, _LINES_A_PERSON = 120, 45
"""Widths of a line in the longer side of an image, and of a person; the thinner one is drawn."""
_GIRDLES = (("left_shoulder", "right_shoulder"), ("left_hip", "right_hip"))
"""Lines that no score counts as limbs."""
_NAME, _LABEL = 0.022, 0.035
"""Height of letters, in longer sides of the image."""
_MAX_NAME, _MIN_NAME = 0.045, 8.0
"""Names are no larger than this, in longer sides of the person, and no smaller than this, px."""
_SHIFT = 4
"""cv2 takes whole numbers: these are 1/16 px."""
_MAX_DISTANCE = 4.0
"""In image sizes; beyond it cv2's whole numbers would overflow."""


@dataclass(frozen=True)
class AnnotationStyle:
    """What is drawn beside the poses."""

    names: bool = False
    """The joints' names."""
    show_stages: bool = False
    """Every stage by itself, side by side, with its crop boxes."""
    min_confidence: float = MIN_CONFIDENCE
    """Joints with less are drawn faint."""


PLAIN = AnnotationStyle()


def annotate_image(image: Image, people: Sequence[Person], skeleton: Skeleton, style: AnnotationStyle = PLAIN) -> Image:
    """(H, W, 3): the image with its poses, enlarged to MIN_SIDE if it is smaller, and the numbers of tracked people."""
    if not style.show_stages or not people:
        return _draw_stage(image, people, skeleton, style, None)
    stages = [_draw_stage(image, people, skeleton, style, stage) for stage in range(len(people[0].poses))]
    height, width = stages[0].shape[:2]
    gap = np.full((height, max(2, round(GAP * max(height, width))), 3), 255, np.uint8)
    return np.concatenate([part for drawn in stages for part in (gap, drawn)][1:], axis=1)


def _draw_stage(
    image: Image, people: Sequence[Person], skeleton: Skeleton, style: AnnotationStyle, stage: int | None
) -> Image:
    """`stage`: from 0; None is the last, without its boxes."""
    height, width = image.shape[:2]
    factor = max(1.0, MIN_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    scale = np.array([size[0] / width, size[1] / height])
    canvas = _copy(
        image if factor == 1 else np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    )

    def enlarged(points: FloatArray) -> FloatArray:
        # Pixel centres are at integers, so the corner that stays in place is at -0.5.
        return np.asarray((points + 0.5) * scale - 0.5)

    index = -1 if stage is None else stage
    poses = [enlarged(person.poses[index]) for person in people]
    for person, pose in zip(people, poses, strict=True):
        if stage is not None:
            for box in np.unique(person.boxes[stage], axis=0):
                _draw_outline(canvas, enlarged(box_corners(box, person.angles[stage])))
        faint = person.confidence[index] < style.min_confidence
        canvas = draw_pose(canvas, pose, skeleton, faint=faint, midline=_midline(person))

    # After all lines, and what says more before what says less: later texts give way.
    labels, length = Labels(canvas), max(canvas.shape[:2])
    if stage is not None:
        labels.write(f"stage {stage + 1}", np.array([2, 5]) * length / 120, _LABEL * length, SIDE_COLORS[""])
    for person, pose in zip(people, poses, strict=True):
        if person.track is not None:
            _write_track(labels, str(person.track), pose, _midline(person))
    for pose in poses if style.names else ():
        _write_names(labels, pose, skeleton)
    return canvas


def write_image(path: Path, image: Image) -> None:
    """Write (H, W, 3) RGB in the format of the suffix. Raises DeepPoseError that names the file."""
    done, data = cv2.imencode(
        path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    )
    if not done:
        raise DeepPoseError(f"{path}: the overlay could not be encoded")
    write_bytes(path, data.tobytes())


def draw_pose(
    image: Image,
    pose: FloatArray,
    skeleton: Skeleton,
    *,
    faint: NDArray[np.bool_] | None = None,
    midline: Color = SIDE_COLORS[""],
) -> Image:
    """Draw the pose (K, 2) in px over a copy of the image (H, W, 3).

    Limbs and joints have the color of the person's side, and a dark edge that is visible on any background; lines are
    as thick as fits the sizes of the image and the person. Joints that are NaN are left out, with their limbs; those
    that are `faint` (K), and their limbs, are nearly transparent. `midline`: the color of limbs and joints of neither
    side.
    """
    canvas, points = _copy(image), _bounded(pose, max(image.shape[:2]))
    width = _line_width(points, image)
    if width is None:
        return canvas
    unsure = np.zeros(len(points), bool) if faint is None else faint
    if unsure.any():
        drawn = _draw_lines(_copy(image), points, skeleton, width, np.ones(len(points), bool), midline)
        canvas = np.asarray(cv2.addWeighted(drawn, _FAINT, canvas, 1 - _FAINT, 0), np.uint8)
    return _draw_lines(canvas, points, skeleton, width, ~unsure, midline)


def _line_width(points: FloatArray, image: Image) -> float | None:
    """px of a line of a pose (K, 2); None where no joint is there."""
    visible = points[~np.isnan(points).any(-1)]
    if not len(visible):
        return None
    person = float(np.ptp(visible, axis=0).max())
    return max(1.0, min(max(image.shape[:2]) / _LINES_AN_IMAGE, person / _LINES_A_PERSON))


def _draw_lines(
    canvas: Image, points: FloatArray, skeleton: Skeleton, width: float, drawn: NDArray[np.bool_], midline: Color
) -> Image:
    """Draw the joints (K, 2) that are `drawn` (K), and the limbs between them, in place."""
    colors = {**SIDE_COLORS, "": midline}
    bones = [(limb.start, limb.end) for limb in skeleton.limbs]
    bones += [((a,), (b,)) for a, b in _GIRDLES if {a, b} <= set(skeleton.joints)]
    limbs = []
    for start, end in bones:
        indices = [[skeleton.index(joint) for joint in joints] for joints in (start, end)]
        ends = [points[index].mean(0) for index in indices]
        if not np.isnan(ends).any() and drawn[indices[0] + indices[1]].all():
            sides = {joint_side(joint) for joint in (*start, *end)}
            limbs.append((*map(_fixed, ends), colors[sides.pop() if len(sides) == 1 else ""]))
    for is_edge in (True, False):
        for first, last, color in limbs:
            thickness = round(width) + 2 * is_edge
            cv2.line(canvas, first, last, _EDGE if is_edge else color, thickness, cv2.LINE_AA, _SHIFT)
    for point, joint, chosen in zip(points, skeleton.joints, drawn, strict=True):
        if chosen and not np.isnan(point).any():
            for radius, color in ((width + 1, _EDGE), (width, colors[joint_side(joint)])):
                cv2.circle(canvas, _fixed(point), round(radius * 2**_SHIFT), color, cv2.FILLED, cv2.LINE_AA, _SHIFT)
    return canvas


def joint_color(joint: str) -> Color:
    """The color of the person's side."""
    return SIDE_COLORS[joint_side(joint)]


def _draw_outline(canvas: Image, corners: FloatArray) -> None:
    """Draw a thin closed line through the corners (4, 2) px."""
    size = max(canvas.shape[:2])
    points = np.round(_bounded(corners, size) * 2**_SHIFT).astype(np.int32)
    for thickness, color in ((3, _EDGE), (1, SIDE_COLORS[""])):
        thickness = max(thickness, round(thickness * size / 600))
        cv2.polylines(canvas, [points], True, color, thickness, cv2.LINE_AA, _SHIFT)


def _midline(person: Person) -> Color:
    return TRACK_COLORS[((person.track or 1) - 1) % len(TRACK_COLORS)]


def _write_track(labels: Labels, number: str, pose: FloatArray, color: Color) -> None:
    """Above the person."""
    size = max(labels.canvas.shape[:2])
    points = _bounded(pose, size)
    if (width := _line_width(points, labels.canvas)) is not None:
        visible = points[~np.isnan(points).any(-1)]
        labels.write(number, visible[visible[:, 1].argmin()] - np.array([0, 3 * width]), _LABEL * size, color)


def _write_names(labels: Labels, pose: FloatArray, skeleton: Skeleton) -> None:
    """Beside the joints, away from the body's middle, in letters as large as the person allows."""
    size = max(labels.canvas.shape[:2])
    points = _bounded(pose, size)
    visible = points[~np.isnan(points).any(-1)]
    if (width := _line_width(points, labels.canvas)) is None:
        return
    middle, person = visible[:, 0].mean(), float(np.ptp(visible, axis=0).max())
    letters = min(_NAME * size, max(_MAX_NAME * person, _MIN_NAME))
    for point, joint in zip(points, skeleton.joints, strict=True):
        if not np.isnan(point).any():
            beside, name = point + np.array([0, letters / 2]), joint.replace("_", " ")
            to_left = bool(point[0] < middle)
            labels.write(name, beside, letters, joint_color(joint), gap=1.5 * width, to_left=to_left)


def _copy(image: Image) -> Image:
    return np.ascontiguousarray(image).copy()


def _bounded(points: FloatArray, size: int) -> FloatArray:
    return np.clip(np.asarray(points, np.float64), -_MAX_DISTANCE * size, (1 + _MAX_DISTANCE) * size)


def joint_side(joint: str) -> str:
    """The person's side of a joint; "" on the midline."""
    side = joint.partition("_")[0]
    return side if side in SIDE_COLORS else ""


def _fixed(point: FloatArray) -> tuple[int, int]:
    x, y = point
    return round(float(x) * 2**_SHIFT), round(float(y) * 2**_SHIFT)
