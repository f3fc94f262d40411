"""The files of `deeppose eval`: scores, a table of single images, figures, a sheet of images with poses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.evaluation.rows import MEAN_POSE

if TYPE_CHECKING:
    from deeppose_cli.core.annotations import Annotations
    from deeppose_cli.core.geometry import FloatArray
    from deeppose_cli.evaluation.scores import ScoredPredictions

MOST_COLUMNS = 5
"""Columns of the contact sheet beside the truth."""


def write_files(
    target: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> list[Path]:
    """Write all files of one evaluation; returns their paths.

    Each appears whole or not at all: they are written to a folder of their own within `target`, and moved when the last
    one is done. Raises DeepPoseError, one line that names --out.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writing-", dir=target) as folder:
            made = _write(Path(folder), document, test, rows, truth)
            return [file.replace(target / file.name) for file in made]
    except OSError as error:
        raise _not_writable(target, error.strerror or str(error)) from None


def check_target(target: Path) -> None:
    """Before the work: raises UsageError for a folder that is a file, or would lie in one; DeepPoseError for one that
    cannot be written. Nothing is made."""
    there = target
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"--out {target}: {there} is not a folder; valid: a folder, there or to be made")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _not_writable(target, f"no permission in {there}")


def _not_writable(target: Path, reason: str) -> DeepPoseError:
    return DeepPoseError(f"--out {target}: cannot be written ({reason}); valid: a folder that can be")


def _write(
    target: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> list[Path]:
    from deeppose_cli.evaluation import scores
    from deeppose_cli.evaluation.tables import as_json
    from deeppose_cli.visualization import figures

    document_file, table = target / "scores.json", target / "per-image.csv"
    document_file.write_text(as_json(document) + "\n", encoding="utf-8")
    scores.write_per_image(table, test.names, rows, truth, test.skeleton)
    files = [document_file, table, *figures.save_pdj(document, target)]
    if len(rows) > 1:
        files += figures.save_comparison(document, target)
    if any("confidence" in row for row in document["rows"]):
        files += figures.save_reliability(document, target)
    columns = [row for row in rows if row.name.startswith("stage ")] or [row for row in rows if row.name != MEAN_POSE]
    columns = (columns or list(rows))[:MOST_COLUMNS]
    cells = _cells(columns, test, truth) if columns else []
    if cells:
        sheet = figures.contact_sheet(cells, ["truth", *(row.name for row in columns)], test.skeleton)
        files.append(figures.save_contact_sheet(sheet, target / "poses.png"))
    return files


def _cells(
    columns: Sequence[ScoredPredictions], test: Annotations, truth: FloatArray
) -> list[tuple[str, Any, list[FloatArray], list[str]]]:
    """The lines of the contact sheet: images chosen by the last column's scores."""
    from deeppose_cli.evaluation import scores
    from deeppose_cli.media.images import read_image

    shares = [scores.per_image_pdj(row, truth, test.skeleton) for row in columns]
    cells = []
    for word, images in scores.best_median_worst(columns[-1], truth, test.skeleton).items():
        for i in images:
            try:
                image = read_image(test.files[i])
            except DeepPoseError:
                continue  # reported where it was to be predicted; the sheet shows what can be shown
            captions = [test.names[i], *(f"PDJ {share[i]:.0%}" for share in shares)]
            cells.append((word, image, [truth[i], *(row.poses[i] for row in columns)], captions))
    return cells
