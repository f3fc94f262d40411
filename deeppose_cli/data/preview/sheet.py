"""Drawing of a sheet of network inputs. Shape letters: K joints, S side of a network's input."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deeppose_cli.core.geometry import Box, FloatArray, crop_matrix, denormalise
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.cropping import crop
from deeppose_cli.media.images import Image
from deeppose_cli.visualization.drawing import SIDE_COLORS, Color, draw_pose, joint_color

Cell = tuple[Image, str]
"""An image (CELL, CELL, 3), and the caption below it."""
CELL = 400
"""Side of a cell, px."""
EMPTY: Cell = np.full((CELL, CELL, 3), 255, np.uint8), ""
INITIAL_BOX_COLOR = (204, 121, 167)
"""Reddish purple: of the same palette as the sides' colors, and none of them (Okabe & Ito, 2008)."""
_BOX = np.array(Box.of_image(CELL, CELL))
_SIDES = {"left": "the person's left", "right": "the person's right", "": "middle of the body"}
_EDGE, _CROSS = (0, 0, 0), (255, 255, 255)
_LABEL = 24
"""Letters that fit beside a row of cells."""
_MAX_MARGIN = 1.0
"""Largest part of a box beyond the image, in units of the image's longer side."""


def image_cell(
    image: Image,
    pose: FloatArray,
    boxes: Sequence[tuple[FloatArray, Color, int]],
    skeleton: Skeleton,
    caption: str,
) -> Cell:
    """Draw the whole image with a pose (K, 2) px, and boxes (4) px with color and width (0: a line without an edge)."""
    size = np.array(image.shape[1::-1], float)
    corners = np.array([(box[:2] - box[2:] / 2, box[:2] + box[2:] / 2) for box, _, _ in boxes]).reshape(-1, 2)
    room = _MAX_MARGIN * size.max()
    low = np.clip(corners.min(0, initial=-0.5), -room, None)
    high = np.clip(np.vstack([corners, size - 0.5]).max(0), None, size + room)
    side = 1.02 * (high - low).max()  # so that the outermost lines are inside
    cx, cy = (low + high) / 2
    square = Box(cx, cy, side, side)
    matrix = crop_matrix(square, CELL)
    canvas = draw_pose(crop(image, square, CELL), pose @ matrix[:, :2].T + matrix[:, 2], skeleton)
    placed = (corners @ matrix[:, :2].T + matrix[:, 2]).reshape(-1, 2, 2)
    for (start, end), (_, color, width) in zip(placed, boxes, strict=True):
        if width:
            cv2.rectangle(canvas, _pixel(start), _pixel(end), _EDGE, width + 2, cv2.LINE_AA)
        cv2.rectangle(canvas, _pixel(start), _pixel(end), color, max(width, 1), cv2.LINE_AA)
    return canvas, caption


def input_cell(pixels: Image, caption: str, skeleton: Skeleton | None = None, target: FloatArray | None = None) -> Cell:
    """Draw an input (S, S, 3), with the labels in normalized coordinates (K, 2) if they are given."""
    canvas = _enlarged(pixels)
    if skeleton is not None and target is not None:
        canvas = draw_pose(canvas, denormalise(target, _BOX), skeleton)
    return canvas, caption


def joint_cell(pixels: Image, target: FloatArray, joint: int, skeleton: Skeleton) -> Cell:
    """Draw an input (S, S, 3) of a stage s ≥ 2, with a line from its middle, the previous stage's joint, to the label.

    `target`: labels in normalized coordinates (K, 2); the line needs that of the joint.
    """
    canvas, name = _enlarged(pixels), skeleton.joints[joint]
    middle = (CELL // 2, CELL // 2)
    if not np.isnan(target[joint]).any():
        label = _pixel(denormalise(target[joint], _BOX))
        for color, extra in ((_EDGE, 2), (joint_color(name), 0)):
            cv2.line(canvas, middle, label, color, 3 + extra, cv2.LINE_AA)
            cv2.circle(canvas, label, 20, color, 5 + extra, cv2.LINE_AA)
    for color, width in ((_EDGE, 4), (_CROSS, 2)):
        cv2.drawMarker(canvas, middle, color, cv2.MARKER_CROSS, 24, width, cv2.LINE_AA)
    return canvas, name.replace("_", " ")


def draw_sheet(labels: Sequence[str], columns: Sequence[tuple[str, Sequence[Cell]]], title: str) -> Figure:
    """Draw columns of (title, a cell for each row), the rows' labels at the left, and a legend at the bottom."""
    width, height = 0.3 + 1.6 * len(columns), 0.95 + 1.78 * len(labels)
    figure = Figure(figsize=(max(width, 4.0), height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    panels = figure.subplots(len(labels), len(columns), squeeze=False)
    for panel_column, (heading, cells) in zip(panels.T, columns, strict=True):
        panel_column[0].set_title(heading, fontsize=8)
        for panel, (image, caption) in zip(panel_column, cells, strict=True):
            panel.imshow(image, interpolation="antialiased")
            panel.set(xticks=[], yticks=[])
            panel.set_xlabel(caption, fontsize=7, labelpad=2)
            panel.spines[:].set_visible(False)
    for panel, label in zip(panels[:, 0], labels, strict=True):
        if len(label) > _LABEL:  # names often differ at the last letters
            label = f"{label[: _LABEL // 3]}…{label[-(_LABEL - _LABEL // 3 - 1) :]}"
        panel.set_ylabel(label, fontsize=7)
    figure.suptitle(title, fontsize=9)
    handles: list[Patch | Line2D] = [
        Patch(facecolor=_hex(color), edgecolor="black", linewidth=0.5, label=_SIDES[side])
        for side, color in SIDE_COLORS.items()
    ]
    handles += [
        Patch(facecolor="none", edgecolor=_hex(INITIAL_BOX_COLOR), linewidth=1.5, label="initial box b⁰"),
        Line2D([], [], color="black", marker="+", linestyle="", label="middle of a crop; the ring is the label"),
    ]
    per_line = len(handles) if width > 7 else 2
    figure.legend(handles=handles, loc="outside lower center", ncols=per_line, fontsize=7.5, frameon=False)
    return figure


def _hex(color: Color) -> str:
    red, green, blue = color
    return to_hex((red / 255, green / 255, blue / 255))


def _enlarged(pixels: Image) -> Image:
    return np.asarray(cv2.resize(pixels, (CELL, CELL), interpolation=cv2.INTER_CUBIC), np.uint8)


def _pixel(point: FloatArray) -> tuple[int, int]:
    """Nearest whole px; far outside, cv2's whole numbers would overflow."""
    x, y = np.clip(point, -4 * CELL, 5 * CELL)
    return round(float(x)), round(float(y))
