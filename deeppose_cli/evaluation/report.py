"""The files of an evaluation: scores, a table of single images, figures, a sheet of images with poses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.evaluation import scores
from deeppose_cli.evaluation.scores import MEAN_POSE, ScoredPredictions
from deeppose_cli.evaluation.tables import to_json
from deeppose_cli.media.images import read_image

MAX_COLUMNS = 5
"""Columns of the contact sheet beside the truth."""


def write_files(
    folder: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> list[Path]:
    """Write all files of one evaluation; returns their paths.

    They are written to a temporary folder within `folder`, and moved when the last one is complete. Raises
    DeepPoseError, one line that names --out.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
            made = _write(Path(temporary), document, test, rows, truth)
            return [file.replace(folder / file.name) for file in made]
    except OSError as error:
        raise _not_writable(folder, error.strerror or str(error)) from None


def check_target(folder: Path) -> None:
    """Check the output folder before the work; nothing is created.

    Raises UsageError where it or a folder above it is a file, DeepPoseError where it cannot be written.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"--out {folder}: {existing} is not a folder; valid: an existing folder or a new one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable(folder, f"no permission in {existing}")


def _not_writable(folder: Path, reason: str) -> DeepPoseError:
    return DeepPoseError(f"--out {folder}: cannot be written ({reason}); valid: a folder with write permission")


def _write(
    folder: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> list[Path]:
    from deeppose_cli.visualization import figures  # matplotlib

    document_file, table = folder / "scores.json", folder / "per-image.csv"
    document_file.write_text(to_json(document) + "\n", encoding="utf-8")
    scores.write_per_image(table, test.names, rows, truth, test.skeleton)
    drawn = {"pdj": figures.pdj_figure(document)}
    if figures.has_comparison(document):
        drawn["comparison"] = figures.comparison_figure(document)
    if figures.has_reliability(document):
        drawn["confidence"] = figures.reliability_figure(document)
    files = [document_file, table]
    for name, figure in drawn.items():
        files += figures.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
    columns = [row for row in rows if row.name.startswith("stage ")] or [row for row in rows if row.name != MEAN_POSE]
    columns = (columns or list(rows))[:MAX_COLUMNS]
    cells = _sheet_cells(columns, test, truth) if columns else []
    if cells:
        sheet = figures.contact_sheet(cells, ["truth", *(row.name for row in columns)], test.skeleton)
        files += figures.save(sheet, folder / "poses.png")
    return files


def _sheet_cells(
    columns: Sequence[ScoredPredictions], test: Annotations, truth: FloatArray
) -> list[tuple[str, Any, list[FloatArray], list[str]]]:
    """The lines of the contact sheet: best, median and worst images by the last column's scores."""
    shares = [scores.per_image_pdj(row, truth, test.skeleton) for row in columns]
    cells = []
    for word, images in scores.best_median_worst(columns[-1], truth, test.skeleton).items():
        for i in images:
            try:
                image = read_image(test.files[i])
            except DeepPoseError:
                continue  # already reported when the model ran
            captions = [test.names[i], *(f"PDJ {share[i]:.0%}" for share in shares)]
            cells.append((word, image, [truth[i], *(row.poses[i] for row in columns)], captions))
    return cells
