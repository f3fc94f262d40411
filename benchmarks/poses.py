"""Poses of weights on images of a split at even distances, with no eye to which: what a model is like.

python -m benchmarks.poses --data lsp --weights people --out poses.png [--photographs]

Without --photographs only the poses are drawn, on white: most data sets' images may be looked at and not passed on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from deeppose_cli.checkpoints.model_source import resolve_model
from deeppose_cli.config.defaults import DATA_ROOT, RUNS_ROOT
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.registry import get_dataset, trained_box
from deeppose_cli.detection.initial_boxes import initial_boxes, usual_source
from deeppose_cli.evaluation import predict_split
from deeppose_cli.evaluation.scores import ScoredPredictions, per_image_pdj
from deeppose_cli.media.images import Image, read_image
from deeppose_cli.visualization.drawing import SIDE_COLORS, draw_pose

CELL, COLUMNS, INCHES, DPI = 360, 5, 1.6, 150
"""Side of a cell in px, cells in a line, inches of a cell, px of an inch."""
LONGEST = 20
"""Characters of an image's name under its cell."""
_TRUTH = (70, 70, 70)
_MARGIN = 0.25
"""Around the labelled person, in units of its longer side."""


def draw(image: Image | None, truth: FloatArray, pose: FloatArray, skeleton: Skeleton) -> Image:
    """(CELL, CELL, 3): the pose in colors over the labels as gray lines; poses (K, 2) px. White ground without
    an image."""
    known = truth[~np.isnan(truth).any(-1)]
    low, high = known.min(0), known.max(0)
    extent = float((high - low).max()) * (1 + 2 * _MARGIN)
    factor = CELL / extent
    corner = (low + high - extent) / 2
    move = np.array([[factor, 0, -corner[0] * factor], [0, factor, -corner[1] * factor]])
    canvas = np.full((CELL, CELL, 3), 255, np.uint8)
    if image is not None:
        canvas = np.asarray(cv2.warpAffine(image, move, (CELL, CELL), borderValue=(255, 255, 255)), np.uint8)
    place = [(points - corner) * factor for points in (truth, pose)]
    for limb in skeleton.limbs:
        ends = np.array([place[0][[skeleton.index(j) for j in joints]].mean(0) for joints in (limb.start, limb.end)])
        if not np.isnan(ends).any():
            start, end = (tuple(int(v) for v in np.rint(point)) for point in ends)
            cv2.line(canvas, start, end, _TRUTH, 2, cv2.LINE_AA)
    return draw_pose(canvas, place[1], skeleton)


def _unit(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """0 … 255 → 0 … 1."""
    red, green, blue = (value / 255 for value in color)
    return red, green, blue


def _short(name: str) -> str:
    """Its end, which tells frames of a video apart."""
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def sheet(cells: Sequence[tuple[Image, str]], title: str) -> Figure:
    lines = -(-len(cells) // COLUMNS)
    figure = Figure(figsize=(INCHES * COLUMNS + 0.2, (INCHES + 0.22) * lines + 0.7), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    for panel in panels[len(cells) :]:
        panel.set_visible(False)
    for panel, (pixels, caption) in zip(panels, cells, strict=False):
        panel.imshow(pixels, interpolation="antialiased")
        panel.set(xticks=[], yticks=[])
        panel.set_xlabel(caption, fontsize=7, labelpad=2)
        panel.spines[:].set_color("0.85")
    words = {"left": "the person's left", "right": "the person's right", "": "middle of the body"}
    handles: list[Artist] = [
        Patch(facecolor=_unit(color), edgecolor="black", linewidth=0.5, label=words[side])
        for side, color in SIDE_COLORS.items()
    ]
    handles.append(Line2D([], [], color=_unit(_TRUTH), label="as labelled"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7.5, frameon=False)
    figure.suptitle(title, fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poses", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", default="lsp", metavar="NAME")
    parser.add_argument("--split", default="test", choices=("train", "validation", "test"))
    parser.add_argument("--weights", metavar="NAME", help="people, people-fast or a file; default: the newest run")
    parser.add_argument("--box", metavar="BOX", help="initial box; default: as the weights were trained")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="images; default: 20")
    parser.add_argument("--photographs", action="store_true", help="draw over the images")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data-root", type=Path, default=DATA_ROOT, metavar="DIR")
    parser.add_argument("--runs-root", type=Path, default=RUNS_ROOT, metavar="DIR")
    given = parser.parse_args(arguments)
    try:
        known = get_dataset(given.data, given.data_root)
        model = resolve_model(given.runs_root, None, given.weights)
        cascade = model.load()
        split = known.read(given.data_root)[given.split]
        if not 1 <= given.count <= len(split):
            parser.error(f"--count {given.count}: valid: 1 to {len(split)}")
        chosen = split.take(np.linspace(0, len(split) - 1, given.count).round().astype(np.int64))
        box = trained_box(model.data_name, model.initial_box, known)
        box = given.box or usual_source(box, given.split, known.evaluation_only)
        boxes = initial_boxes(chosen, box).boxes
        poses = predict_split.predict_split(cascade, chosen, boxes, 1)[-1]
        poses = predict_split.to_skeleton(poses[None], cascade.skeleton, chosen.skeleton)[0]
    except DeepPoseError as error:
        parser.error(str(error))
    shares = per_image_pdj(ScoredPredictions.of_all("", poses), chosen.keypoints, chosen.skeleton)
    cells = []
    for index, (truth, pose, share) in enumerate(zip(chosen.keypoints, poses, shares, strict=True)):
        image = read_image(chosen.files[index]) if given.photographs else None
        cells.append((draw(image, truth, pose, chosen.skeleton), f"{_short(chosen.names[index])}: {100 * share:.0f} %"))
    which = f"{given.count} images of {known.name} {given.split}, at even distances"
    title = f"{model.name} on {which}; share of joints within 0.2 of the torso"
    sheet(cells, title).savefig(given.out, dpi=DPI)
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
