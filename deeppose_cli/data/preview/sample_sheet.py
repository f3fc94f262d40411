"""Drawing of a sheet of network inputs: a line for each example, a column for each view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.preview.sample_views import Crop
from deeppose_cli.media.images import Image
from deeppose_cli.visualization.drawing import SIDE_COLORS, draw_pose, joint_color

CELL = 400
"""Side of a cell, px."""
INITIAL_BOX_COLOR = (204, 121, 167)
"""Reddish purple: of the same palette as the sides' colors, and none of them (Okabe & Ito, 2008)."""
_SURROUND = (208, 208, 208)
"""Around an image in its cell: lines of all colors are visible on it, white ones too."""
_EDGE, _CROSS = (0, 0, 0), (255, 255, 255)
_LABEL = 24
"""Letters that fit beside a line of cells."""
_MAX_MARGIN = 1.0
"""Largest part of a box beyond the image, in units of the image's longer side."""
_SHIFT = 4  # cv2 takes whole numbers: these are 1/16 px


@dataclass(frozen=True, eq=False)
class Cell:
    """One view, drawn."""

    pixels: Image
    """(CELL, CELL, 3)"""
    caption: str = ""


EMPTY = Cell(np.full((CELL, CELL, 3), 255, np.uint8))


def initial_box_cell(image: Image, pose: FloatArray, box: FloatArray, skeleton: Skeleton, found: bool = True) -> Cell:
    """The image with its labels (K, 2) px and b⁰ (4) px; without `found`, b⁰ is the whole image as a fallback."""
    height, width = image.shape[:2]
    canvas, place = _fitted(image, box[None])
    canvas = draw_pose(canvas, place(pose), skeleton)
    _draw_box(canvas, place, box, INITIAL_BOX_COLOR, 3)
    return Cell(canvas, f"{width} × {height} px{'' if found else ', no box found'}")


def joint_boxes_cell(
    image: Image, pose: FloatArray, boxes: FloatArray, shown: Sequence[int], skeleton: Skeleton
) -> Cell:
    """The image with the pose (K, 2) px and the boxes (K, 4) px around it; those of the `shown` joints are thick."""
    known = np.flatnonzero(~np.isnan(boxes).any(-1))
    canvas, place = _fitted(image, boxes[known])
    canvas = draw_pose(canvas, place(pose), skeleton)
    for joint in sorted(known, key=lambda joint: joint in shown):
        _draw_box(canvas, place, boxes[joint], joint_color(skeleton.joints[joint]), 3 if joint in shown else 0)
    side = f"side {boxes[known[0], 2]:.0f} px" if len(known) else "no labels"
    return Cell(canvas, side)


def initial_cell(crop: Crop, skeleton: Skeleton | None, caption: str) -> Cell:
    """A network input of stage 1, with the target pose if there is a skeleton."""
    canvas, place = _enlarged(crop.pixels)
    return Cell(canvas if skeleton is None else draw_pose(canvas, place(crop.keypoints), skeleton), caption)


def refinement_cell(crop: Crop, skeleton: Skeleton) -> Cell:
    """A network input of a stage s ≥ 2, with a line from its middle, the previous stage's joint, to the label."""
    if crop.joint is None:
        raise ValueError("a crop of a stage s ≥ 2 belongs to one joint")
    canvas, place = _enlarged(crop.pixels)
    name = skeleton.joints[crop.joint]
    middle, label = np.array([CELL / 2 - 0.5] * 2), place(crop.keypoints)[crop.joint]
    if not np.isnan(label).any():
        # Far outside, cv2's whole numbers would overflow.
        label = np.clip(label, -4 * CELL, 5 * CELL)
        for color, width in ((_EDGE, 5), (joint_color(name), 3)):
            cv2.line(canvas, _fixed(middle), _fixed(label), color, width, cv2.LINE_AA, _SHIFT)
        for color, width in ((_EDGE, 8), (joint_color(name), 5)):
            cv2.circle(canvas, _fixed(label), 20 << _SHIFT, color, width, cv2.LINE_AA, _SHIFT)
    for color, width in ((_EDGE, 4), (_CROSS, 2)):
        for step in (np.array([12.0, 0.0]), np.array([0.0, 12.0])):
            cv2.line(canvas, _fixed(middle - step), _fixed(middle + step), color, width, cv2.LINE_AA, _SHIFT)
    return Cell(canvas, name.replace("_", " "))


def sample_sheet(lines: Sequence[tuple[str, Sequence[Cell]]], columns: Sequence[str], title: str) -> Figure:
    """Lines of (label at the left, a cell for each column) below the columns' titles; a legend at the bottom."""
    width, height = 0.3 + 1.6 * len(columns), 0.95 + 1.78 * len(lines)
    figure = Figure(figsize=(max(width, 4.0), height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    panels = figure.subplots(len(lines), len(columns), squeeze=False)
    for panel_row, (label, cells) in zip(panels, lines, strict=True):
        for panel, cell in zip(panel_row, cells, strict=True):
            panel.imshow(cell.pixels, interpolation="antialiased")
            panel.set(xticks=[], yticks=[])
            panel.set_xlabel(cell.caption, fontsize=7, labelpad=2)
            panel.spines[:].set_visible(False)
        panel_row[0].set_ylabel(_shortened(label), fontsize=7)
    for panel, heading in zip(panels[0], columns, strict=True):
        panel.set_title(heading, fontsize=8)
    figure.suptitle(title, fontsize=9)
    handles = _legend()
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) if width > 7 else 2,
        fontsize=7.5,
        frameon=False,
    )
    return figure


def _shortened(label: str) -> str:
    """Keep both ends: names often differ at the last letters."""
    return label if len(label) <= _LABEL else f"{label[: _LABEL // 3]}…{label[-(_LABEL - _LABEL // 3 - 1) :]}"


def _legend() -> list[Any]:
    names = {"left": "the person's left", "right": "the person's right", "": "middle of the body"}
    sides = [
        Patch(facecolor=_hex(color), edgecolor="black", linewidth=0.5, label=names[side])
        for side, color in SIDE_COLORS.items()
    ]
    first = Patch(facecolor="none", edgecolor=_hex(INITIAL_BOX_COLOR), linewidth=1.5, label="initial box b⁰")
    middle = Line2D([], [], color="black", marker="+", linestyle="", label="middle of a crop; the ring is the label")
    return [*sides, first, middle]


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{value:02x}" for value in color)


class _CellTransform:
    """From px of an image to px of a cell."""

    def __init__(self, corner: FloatArray, factor: float) -> None:
        """`corner` (2): the cell's left upper corner, in px from the image's edge."""
        self.corner, self.factor = corner, factor

    def __call__(self, points: FloatArray) -> FloatArray:
        return (np.asarray(points) + 0.5 - self.corner) * self.factor - 0.5


def _fitted(image: Image, boxes: FloatArray) -> tuple[Image, _CellTransform]:
    """The image in the middle of a cell, with room for the boxes (M, 4) that reach beyond it."""
    height, width = image.shape[:2]
    room = _MAX_MARGIN * max(width, height)
    low = np.minimum(0, boxes[:, :2] - boxes[:, 2:] / 2 + 0.5).min(0, initial=0.0)
    high = np.maximum((width, height), boxes[:, :2] + boxes[:, 2:] / 2 + 0.5)
    high = high.max(0, initial=0.0) if len(high) else np.array([width, height], float)
    low, high = np.maximum(low, -room), np.minimum(high, np.array([width, height]) + room)
    extent = (high - low).max() * 1.02  # so that the outermost lines are inside
    factor = CELL / extent
    corner = (low + high - extent) / 2
    placing = _CellTransform(corner, factor)
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    size = max(1, round(width * factor)), max(1, round(height * factor))
    large = cv2.resize(image, size, interpolation=method)
    canvas = np.full((CELL, CELL, 3), _SURROUND, np.uint8)
    left, top = (round(float(-value * factor)) for value in corner)
    part = canvas[max(top, 0) : top + size[1], max(left, 0) : left + size[0]]
    part[:] = large[max(-top, 0) :, max(-left, 0) :][: part.shape[0], : part.shape[1]]
    return canvas, placing


def _enlarged(pixels: Image) -> tuple[Image, _CellTransform]:
    factor = CELL / len(pixels)
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(pixels, (CELL, CELL), interpolation=method), np.uint8), _CellTransform(
        np.zeros(2), factor
    )


def _draw_box(canvas: Image, place: _CellTransform, box: FloatArray, color: tuple[int, int, int], width: int) -> None:
    """With a dark edge; a width of 0 is a hairline without one."""
    corners = place(np.array([box[:2] - box[2:] / 2, box[:2] + box[2:] / 2]))
    start, end = (_fixed(point) for point in np.clip(corners, -4 * CELL, 5 * CELL))
    if width:
        cv2.rectangle(canvas, start, end, _EDGE, width + 2, cv2.LINE_AA, _SHIFT)
    cv2.rectangle(canvas, start, end, color, max(width, 1), cv2.LINE_AA, _SHIFT)


def _fixed(point: FloatArray) -> tuple[int, int]:
    return round(float(point[0]) * 2**_SHIFT), round(float(point[1]) * 2**_SHIFT)
