"""How runs learned: PDJ@0.2 on validation images against minutes of training, from each stage's `metrics.csv`.

python -m benchmarks.curves "modern=lightning_logs/flic" "paper=lightning_logs/flic-paper" --out learning.png

A dashed line, as `--level "mean pose=0.66"`, says what takes no learning.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from deeppose_cli.checkpoints.run_folder import RunFolder

DPI = 200
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v"))
"""Colour (Okabe & Ito, 2008) and marker."""


@dataclass(frozen=True)
class Curve:
    """One training."""

    name: str
    minutes: list[float]
    pdj: list[float]


def read_curve(text: str, stage: int) -> Curve:
    """`NAME=FOLDER`, a run's folder. Raises ValueError where there is no such thing."""
    name, folder = _parts(text, "NAME=FOLDER, as in modern=lightning_logs/flic")
    rows = RunFolder(Path(folder)).stage(stage).history()
    if not rows:
        raise ValueError(f"{folder}: has no stage {stage} with a finished epoch")
    return Curve(name, [float(row["seconds"]) / 60 for row in rows], [float(row["val_pdj"]) for row in rows])


def read_level(text: str) -> tuple[str, float]:
    """`NAME=PDJ`. Raises ValueError for anything else."""
    valid = "NAME=PDJ, as in 'mean pose=0.66'"
    name, value = _parts(text, valid)
    try:
        return name, float(value)
    except ValueError:
        raise ValueError(f"{text}: valid: {valid}") from None


def _parts(text: str, valid: str) -> tuple[str, str]:
    name, _, value = text.rpartition("=")
    if not name or not value:
        raise ValueError(f"{text}: valid: {valid}")
    return name, value


def figure_of(curves: Sequence[Curve], level: tuple[str, float] | None, title: str) -> Figure:
    figure = Figure(figsize=(5.2, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for curve, (color, marker) in zip(curves, STYLES, strict=False):
        axes.plot(curve.minutes, curve.pdj, color=color, marker=marker, markersize=3, linewidth=1.2, label=curve.name)
    if level:
        axes.axhline(level[1], color="0.4", linestyle="--", linewidth=1, label=level[0])
    axes.set(xlabel="minutes of training", ylabel="PDJ@0.2, validation", ylim=(0, 1))
    axes.set_xlim(left=0)
    axes.set_title(title, fontsize=9)
    axes.grid(color="0.9")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False)
    return figure


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.curves", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER", help=f"up to {len(STYLES)} runs")
    parser.add_argument("--stage", type=int, default=1, metavar="N")
    parser.add_argument("--level", metavar="NAME=PDJ", help="a dashed line at this PDJ")
    parser.add_argument("--title", default="", metavar="TEXT")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE")
    given = parser.parse_args(arguments)
    try:
        if len(given.runs) > len(STYLES):
            raise ValueError(f"{len(given.runs)} runs; valid: up to {len(STYLES)}")
        curves = [read_curve(text, given.stage) for text in given.runs]
        level = read_level(given.level) if given.level else None
    except ValueError as error:
        parser.error(str(error))
    figure_of(curves, level, given.title).savefig(given.out, dpi=DPI)
    print(given.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
