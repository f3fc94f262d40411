"""The figures of an evaluation. Drawn on figures of their own: pyplot and its state are not used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.media.images import Image
from deeppose_cli.visualization.drawing import draw_pose

DPI = 200

_STYLES = (
    ("#000000", "-", "o"),
    ("#0072B2", "-", "s"),
    ("#D55E00", "-", "^"),
    ("#009E73", "-", "D"),
    ("#CC79A7", "-.", "v"),
    ("#E69F00", "-.", "P"),
    ("#56B4E9", "-.", "X"),
)
"""Colour (Okabe & Ito, 2008), line, marker: told apart without colour too."""
_BASELINE = ("#7F7F7F", "--", "")
_PUBLISHED = ("*", "d", "p", "h", ">", "<")
"""Markers of published figures: hollow, as no line of ours is."""
COMPARED = ("wrist", "elbow")
"""The joint kinds of the comparison, as in the paper's figures."""
_CELL = 420
"""Longer side of an image on the contact sheet, px."""


def pdj_figure(document: Mapping[str, Any]) -> Figure:
    """PDJ against the threshold, from a scores document: a panel for each joint kind, a line for each row."""
    rows = document["rows"]
    kinds = [key for key in rows[0]["curve"] if key != "thresholds"]
    columns = min(4, math.ceil(len(kinds) / 2)) if len(kinds) > 3 else len(kinds)
    lines = math.ceil(len(kinds) / columns)
    width = max(4.5, 0.7 + 1.75 * columns)
    figure = Figure(figsize=(width, 1.1 + 1.75 * lines))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    handles: list[Any] = []
    for kind, panel in zip(kinds, panels, strict=False):
        handles = _draw_panel(panel, rows, kind)
    for place, panel in enumerate(panels):
        panel.set_visible(place < len(kinds))
        if place < len(kinds) <= place + columns:  # nothing below it
            panel.set_xlabel("threshold, torsos", fontsize=8)
            panel.tick_params(labelbottom=True)
    figure.suptitle(_title(document), fontsize=10)
    figure.supylabel("detected joints, %", fontsize=9)
    _legend(figure, handles, [row["name"] for row in rows])
    return figure


def comparison_figure(document: Mapping[str, Any]) -> Figure:
    """PDJ against the threshold for wrists and elbows, as the paper compares methods: a line for each row that has a
    score there, and published figures as single markers at their threshold."""
    rows = document["rows"]
    published = [row for row in document.get("published", ()) if row.get("pdj", {}).get("joints")]
    names = [row["name"] for row in rows]
    names += [f"{row['name']} (unverified)" if row["unverified"] else row["name"] for row in published]
    width = 6.9
    figure = Figure(figsize=(width, 3.5 + 0.17 * _legend_lines(names, width)))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    kinds = [kind for kind in COMPARED if kind in rows[0]["curve"]]
    handles: list[Any] = []
    for kind, panel in zip(kinds, figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], strict=True):
        handles = _draw_panel(panel, rows, kind)
        handles += [
            _draw_published(panel, row, kind, marker) for row, marker in zip(published, cycle(_PUBLISHED), strict=False)
        ]
        panel.set_xlabel("threshold, torsos", fontsize=9)
    figure.axes[0].set_ylabel("detected joints, %", fontsize=9)
    figure.suptitle(_title(document), fontsize=10)
    _legend(figure, handles, names)
    return figure


def reliability_figure(document: Mapping[str, Any]) -> Figure:
    """How often joints are detected, by how sure the model is of them: a line for each row that says it. On the
    diagonal a confidence is a frequency. The circles' areas are the numbers of joints."""
    rows = [row for row in document["rows"] if "confidence" in row]
    figure = Figure(figsize=(4.6, 4.9))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    panel = figure.subplots()
    panel.plot([0, 100], [0, 100], color=_BASELINE[0], linestyle=_BASELINE[1], linewidth=1)
    handles = []
    for row, (colour, line, _) in zip(rows, cycle(_STYLES), strict=False):
        said, right, count = (np.array(values, dtype=float) for values in zip(*row["confidence"]["bins"], strict=True))
        handles += panel.plot(100 * said, 100 * right, color=colour, linestyle=line, linewidth=1.2)
        panel.scatter(100 * said, 100 * right, s=8 + 250 * count / count.sum(), color=colour, alpha=0.6, linewidth=0)
    panel.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    panel.set_xlabel("confidence, %", fontsize=9)
    panel.set_ylabel("joints within 0.2 of the torso, %", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(color="0.9", linewidth=0.5)
    figure.suptitle(_title(document, "Confidence of joints"), fontsize=10)
    names = [f"{row['name']} (off by {100 * row['confidence']['error']:.1f} points)" for row in rows]
    _legend(figure, handles, names)
    return figure


def save_reliability(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `confidence.png` and `confidence.svg`. The same document gives the same bytes."""
    return _save(reliability_figure(document), folder / "confidence")


def save_pdj(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `pdj.png` and `pdj.svg`. The same document gives the same bytes."""
    return _save(pdj_figure(document), folder / "pdj")


def save_comparison(document: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `comparison.png` and `comparison.svg`. The same document gives the same bytes."""
    return _save(comparison_figure(document), folder / "comparison")


def contact_sheet(
    cells: Sequence[tuple[str, Image, Sequence[FloatArray], Sequence[str]]], titles: Sequence[str], skeleton: Skeleton
) -> Figure:
    """Images with poses over them: a line of cells for each image, a column for each title.

    A line is (what stands at its left, the image, the poses (K, 2) px of its columns, the captions below them).
    """
    tallest = [min(1.2, max(0.6, image.shape[0] / max(image.shape[1], 1))) for _, image, _, _ in cells]
    width = 1.6
    figure = Figure(
        figsize=(0.5 + width * len(titles), 0.4 + sum(width * ratio + 0.25 for ratio in tallest)), layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(cells), len(titles), squeeze=False, gridspec_kw={"height_ratios": tallest})
    for line, (label, image, poses, captions) in zip(panels, cells, strict=True):
        factor = _CELL / max(image.shape[:2])
        method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
        large = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=method), dtype=np.uint8)
        for panel, pose, caption in zip(line, poses, captions, strict=True):
            panel.imshow(
                draw_pose(large, (np.asarray(pose) + 0.5) * factor - 0.5, skeleton), interpolation="antialiased"
            )
            panel.set(xticks=[], yticks=[])
            panel.set_xlabel(caption, fontsize=7, labelpad=2)
            panel.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8)
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    return figure


def save_contact_sheet(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DPI)
    return path


def _save(figure: Figure, stem: Path) -> list[Path]:
    paths = [stem.with_suffix(".png"), stem.with_suffix(".svg")]
    with mpl.rc_context({"svg.hashsalt": "deeppose", "svg.fonttype": "path"}):
        figure.savefig(paths[0], dpi=DPI)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths


def _draw_panel(panel: Any, rows: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    """One joint kind of all rows; returns the lines."""
    panel.axvline(rows[0]["pdj"]["threshold"], color="0.45", linewidth=1.1, dashes=(2, 2), zorder=1)
    handles = [_draw_line(panel, row, kind, style) for row, style in zip(rows, _styles(rows), strict=True)]
    panel.set_title(kind.replace("_", " "), fontsize=9)
    panel.set(xlim=(0, 0.5), ylim=(0, 100), xticks=[0, 0.1, 0.2, 0.3, 0.4, 0.5], yticks=range(0, 101, 20))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:.1f}".removesuffix(".0"))
    panel.tick_params(labelsize=8)
    panel.grid(True, color="0.92", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    return handles


def _legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Below the panels, in as many lines as the names need."""
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=math.ceil(len(names) / _legend_lines(names, figure.get_figwidth())),
        handlelength=3,
        fontsize=8,
        frameon=False,
    )


def _legend_lines(names: Sequence[str], width: float) -> int:
    """In a figure of this width, inches: at the legend's size 14 letters take one."""
    fitting = max(1, int(14 * width) // (max(map(len, names)) + 7))
    return math.ceil(len(names) / min(4, fitting))


def _draw_line(panel: Any, row: Mapping[str, Any], kind: str, style: tuple[str, str, str]) -> Any:
    colour, dashes, marker = style
    values = [math.nan if value is None else 100 * value for value in row["curve"][kind]]
    (line,) = panel.plot(
        row["curve"]["thresholds"],
        values,
        color=colour,
        linestyle=dashes,
        linewidth=1.4,
        marker=marker,
        markersize=3.5,
        markevery=(10, 10),  # at 0.1, 0.2 …
        clip_on=False,
    )
    return line


def _draw_published(panel: Any, row: Mapping[str, Any], kind: str, marker: str) -> Any:
    value = row["pdj"]["joints"].get(kind)
    (drawn,) = panel.plot(
        [row["pdj"]["threshold"]],
        [math.nan if value is None else 100 * value],
        color="0.2",
        linestyle="",
        marker=marker,
        markersize=8,
        markerfacecolor="none",  # two figures may nearly agree
        markeredgewidth=1.2,
        clip_on=False,
        zorder=5,
    )
    return drawn


def _styles(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """The mean pose is the grey ground line; all others take the list in turn."""
    others = iter(range(len(rows)))
    return [_BASELINE if row["name"] == "mean pose" else _STYLES[next(others) % len(_STYLES)] for row in rows]


def _title(document: Mapping[str, Any], what: str = "Percentage of detected joints") -> str:
    where = f"{document['data']} {document['split']}, {document['images']} images"
    where += ", observer-centric" if document.get("centric") == "observer" else ""
    return f"{what}: {where}"
