"""The figures of an evaluation. Each is a matplotlib Figure of its own; pyplot and its global state are not used."""

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
"""Color (Okabe & Ito, 2008), line and marker: different in black and white too."""
_BASELINE = ("#7F7F7F", "--", "")
_PUBLISHED_MARKERS = ("*", "d", "p", "h", ">", "<")
"""Markers of published results; drawn hollow, as no marker of a row is."""
COMPARED = ("wrist", "elbow")
"""The joint kinds of the comparison, as in the paper's figures."""
LEAST_JOINTS = 20
"""Joints of a bin of confidences that is drawn: fewer give no reliable share."""
_CELL = 420
"""Longer side of an image on the contact sheet, px."""


def pdj_figure(document: Mapping[str, Any]) -> Figure:
    """PDJ against the threshold: a panel for each joint kind, a line for each row."""
    rows = document["rows"]
    kinds = [key for key in rows[0]["curve"] if key != "thresholds"]
    columns = min(4, math.ceil(len(kinds) / 2)) if len(kinds) > 3 else len(kinds)
    lines = math.ceil(len(kinds) / columns)
    figure = _new_figure(max(4.5, 0.7 + 1.75 * columns), 1.1 + 1.75 * lines)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    handles: list[Any] = []
    for kind, panel in zip(kinds, panels, strict=False):
        handles = _draw_panel(panel, rows, kind)
    for place, panel in enumerate(panels):
        panel.set_visible(place < len(kinds))
        if place < len(kinds) <= place + columns:  # nothing below it
            panel.tick_params(labelbottom=True)
    figure.suptitle(_title(document), fontsize=10)
    figure.supylabel("detected joints, %", fontsize=9)
    _legend(figure, handles, [row["name"] for row in rows], _threshold(document))
    return figure


def comparison_figure(document: Mapping[str, Any]) -> Figure | None:
    """PDJ against the threshold for wrists and elbows, as the paper compares methods; None without published results.

    A line for each row; published results as single markers at their threshold.
    """
    rows = document["rows"]
    published = [row for row in document["published"] if row.get("pdj", {}).get("joints", {}).keys() & COMPARED]
    if not published:
        return None
    names = [row["name"] for row in rows]
    names += [f"{row['name']} (unverified)" if row["unverified"] else row["name"] for row in published]
    width = 6.9
    figure = _new_figure(width, 3.5 + 0.17 * _legend_lines(names, width))
    kinds = [kind for kind in COMPARED if kind in rows[0]["curve"]]
    handles: list[Any] = []
    for kind, panel in zip(kinds, figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0], strict=True):
        handles = _draw_panel(panel, rows, kind)
        for row, marker in zip(published, cycle(_PUBLISHED_MARKERS), strict=False):
            value = row["pdj"]["joints"].get(kind)
            (line,) = panel.plot([row["pdj"]["threshold"]], _percent([value]), color="0.2", linestyle="", marker=marker)
            # Hollow, as two results may nearly agree.
            line.set(markersize=8, markerfacecolor="none", markeredgewidth=1.2, clip_on=False, zorder=5)
            handles.append(line)
    figure.axes[0].set_ylabel("detected joints, %", fontsize=9)
    figure.suptitle(_title(document), fontsize=10)
    _legend(figure, handles, names, _threshold(document))
    return figure


def reliability_figure(document: Mapping[str, Any]) -> Figure | None:
    """How often joints are detected, by their confidence: a line for each row with confidences; None without such rows.

    On the diagonal confidence and detection rate agree. The circles' areas grow with the numbers of joints. A row with
    a single bin of LEAST_JOINTS is left out: one point makes no curve.
    """
    figure = _new_figure(4.6, 4.9)
    panel = figure.subplots()
    panel.plot([0, 100], [0, 100], color=_BASELINE[0], linestyle=_BASELINE[1], linewidth=1)
    handles, names = [], []
    styles = cycle(_STYLES)
    for row in document["rows"]:
        bins = [bin_ for bin_ in row.get("confidence", {}).get("bins", ()) if bin_[2] >= LEAST_JOINTS]
        if len(bins) < 2:
            continue
        color, line, _ = next(styles)
        confidence, detected, count = np.array(bins, dtype=float).T
        x, y, area = 100 * confidence, 100 * detected, 8 + 250 * count / count.sum()
        handles += panel.plot(x, y, color=color, linestyle=line, linewidth=1.2)
        panel.scatter(x, y, s=area, color=color, alpha=0.6, linewidth=0)
        names.append(f"{row['name']} (mean error {100 * row['confidence']['error']:.1f} points)")
    if not names:
        return None
    panel.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    panel.set_xlabel("confidence, %", fontsize=9)
    panel.set_ylabel(f"joints detected within 0.2 of {document.get('unit', 'the torso')}, %", fontsize=9)
    panel.tick_params(labelsize=8)
    panel.grid(color="0.9", linewidth=0.5)
    figure.suptitle(_title(document, "Confidence of joints"), fontsize=10)
    _legend(figure, handles, names)
    return figure


def contact_sheet(
    cells: Sequence[tuple[str, Image, Sequence[FloatArray], Sequence[str]]], titles: Sequence[str], skeleton: Skeleton
) -> Figure:
    """Images with poses over them: a line for each image, a column for each title.

    A line is (label at its left, image, poses (K, 2) px of its columns, captions below them).
    """
    tallest = [min(1.2, max(0.6, image.shape[0] / max(image.shape[1], 1))) for _, image, _, _ in cells]
    width = 1.6
    height = 0.4 + sum(width * ratio + 0.25 for ratio in tallest)
    figure = Figure(figsize=(0.5 + width * len(titles), height), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(cells), len(titles), squeeze=False, gridspec_kw={"height_ratios": tallest})
    for line, (label, image, poses, captions) in zip(panels, cells, strict=True):
        factor = _CELL / max(image.shape[:2])
        method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
        large = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=method), dtype=np.uint8)
        for panel, pose, caption in zip(line, poses, captions, strict=True):
            drawn = draw_pose(large, (np.asarray(pose) + 0.5) * factor - 0.5, skeleton)
            panel.imshow(drawn, interpolation="antialiased")
            panel.set(xticks=[], yticks=[])
            panel.set_xlabel(caption, fontsize=7, labelpad=2)
            panel.spines[:].set_visible(False)
        line[0].set_ylabel(label, fontsize=8)
    for panel, title in zip(panels[0], titles, strict=True):
        panel.set_title(title, fontsize=9)
    return figure


def save(figure: Figure, *paths: Path) -> list[Path]:
    """Write the figure to each path, in the format of its suffix. The same figure gives the same bytes."""
    with mpl.rc_context({"svg.hashsalt": "deeppose", "svg.fonttype": "path"}):
        for path in paths:
            figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return list(paths)


def _new_figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.06, h_pad=0.06)
    return figure


def _draw_panel(panel: Any, rows: Sequence[Mapping[str, Any]], kind: str) -> list[Any]:
    """Draw one joint kind of all rows; returns the lines. The mean pose is gray and dashed."""
    panel.axvline(rows[0]["pdj"]["threshold"], color="0.45", linewidth=1.1, dashes=(2, 2), zorder=1)
    handles, styles = [], cycle(_STYLES)
    for row in rows:
        color, dashes, marker = _BASELINE if row["name"] == "mean pose" else next(styles)
        values = _percent(row["curve"][kind])
        (line,) = panel.plot(row["curve"]["thresholds"], values, color=color, linestyle=dashes, linewidth=1.4)
        line.set(marker=marker, markersize=3.5, markevery=(10, 10), clip_on=False)  # markers at 0.1, 0.2 …
        handles.append(line)
    panel.set_title(kind.replace("_", " "), fontsize=9)
    panel.set(xlim=(0, 0.5), ylim=(0, 100), xticks=[0, 0.1, 0.2, 0.3, 0.4, 0.5], yticks=range(0, 101, 20))
    panel.xaxis.set_major_formatter(lambda value, _: f"{value:.1f}".removesuffix(".0"))
    panel.tick_params(labelsize=8)
    panel.grid(True, color="0.92", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    return handles


def _threshold(document: Mapping[str, Any]) -> str:
    return f"threshold, share of {document['unit']}" if "unit" in document else "threshold, in torsos"


def _percent(values: Sequence[float | None]) -> list[float]:
    return [math.nan if value is None else 100 * value for value in values]


def _legend(figure: Figure, handles: Sequence[Any], names: Sequence[str], x_label: str | None = None) -> None:
    """Add a legend below the panels, in as many lines as the names need, and between them a label of all x axes.

    The label is the legend's title: matplotlib would draw its own label of all x axes over the legend.
    """
    columns = math.ceil(len(names) / _legend_lines(names, figure.get_figwidth()))
    place: dict[str, Any] = {"loc": "outside lower center", "ncols": columns, "title": x_label}
    figure.legend(handles, names, handlelength=3, fontsize=8, title_fontsize=9, frameon=False, **place)


def _legend_lines(names: Sequence[str], width: float) -> int:
    """Lines of a legend in a figure of this width, in inches: 14 letters take one inch."""
    fitting = max(1, int(14 * width) // (max(map(len, names)) + 7))
    return math.ceil(len(names) / min(4, fitting))


def _title(document: Mapping[str, Any], subject: str = "Percentage of detected joints") -> str:
    observer = ", observer-centric" if document.get("centric") == "observer" else ""
    return f"{subject}: {document['data']} {document['split']}, {document['images']} images{observer}"
