"""What an evaluation puts out: tables on the terminal, in percent, and files, with fractions of 1."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.evaluation import scores
from deeppose_cli.evaluation.scores import MEAN_POSE, ScoredPredictions
from deeppose_cli.media.images import read_image

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNVERIFIED = "*"
"""Marks a published row that is quoted from memory."""
MEANS = {
    "pdj": {"mean": "mean", "auc": "AUC"},
    "pcp": {"mean_arms_legs": "arms,\nlegs", "mean": "mean"},
    "pck": {"mean": "mean"},
}
"""By metric: the scores in the columns after the kinds, and the titles of these columns."""
WITH_INTERVAL = ("mean_arms_legs", "mean")
"""The scores with an interval in the table; scores.json has the intervals of all."""
WIDE = 100
"""Characters of a terminal from which columns are two characters apart."""
MAX_COLUMNS = 5
"""Columns of the contact sheet beside the truth."""


def print_tables(console: Console, metrics: Sequence[str], document: Mapping[str, Any]) -> None:
    """Print one table for each metric, with its footnotes."""
    for metric in (metric for metric in metrics if metric in document["rows"][0]):  # no PCP without limbs
        published = [row for row in document["published"] if metric in row]
        console.print(_table(metric, document, published, wide=console.width >= WIDE))
        for line in _footnotes(metric, document, published):
            console.print(line, markup=False, style="dim")
        console.print()


def _table(metric: str, document: Mapping[str, Any], published: Sequence[Mapping[str, Any]], *, wide: bool) -> Table:
    """One metric of all rows, in percent; published results below."""
    from rich import box
    from rich.table import Table

    rows = document["rows"]
    first, kinds = rows[0][metric], "limbs" if metric == "pcp" else "joints"
    headings = {
        "pdj": f"PDJ at {{threshold}} of {document.get('unit', 'the torso')}, %",
        "pcp": "PCP ({rule}), %",
        "pck": "PCK at {alpha} of the labelled box, %",
    }
    heading = headings[metric].format(**first)
    observer = ", observer-centric" if document["centric"] == "observer" else ""
    # As narrow as possible: twelve columns and a file's name fit into 80 characters.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if wide else 0, 0, 0), pad_edge=False, show_edge=False)
    table.title = f"{heading}: {document['data']} {document['split']}, {document['images']} images{observer}"
    table.title_justify = "left"
    table.add_column("", overflow="fold", min_width=9)
    columns = {kind: kind.replace("_", "\n").replace("-", "-\n") for kind in first[kinds]}
    columns |= {name: title for name, title in MEANS[metric].items() if name in first}
    with_interval = WITH_INTERVAL if "interval" in first else ()
    for name, title in columns.items():
        table.add_column(title, justify="right", vertical="bottom", no_wrap=True)
        if name in with_interval:
            table.add_column("±", vertical="bottom", no_wrap=True)
    for row in [*rows, *published]:
        values = {**row[metric].get(kinds, {}), **row[metric]}
        cells = []
        for name in columns:
            cells.append(_percent(values[name]) if name in values else "")
            if name in with_interval:
                cells.append(_half_width(values["interval"][name]) if "interval" in values else "")
        table.add_row(
            row["name"] + UNVERIFIED * row.get("unverified", False),
            *cells,
            style="dim" if "source" in row else None,
            end_section=row is rows[-1] and bool(published),
        )
    return table


def _footnotes(metric: str, document: Mapping[str, Any], published: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines below a metric's table."""
    rows, joints = document["rows"], document["joints"]
    if interval := rows[0][metric].get("interval"):
        yield f"±: half the {100 * interval['level']:.0f} % interval, {interval['draws']} draws of images"
    incomplete: dict[int, list[str]] = {}
    for row in rows:
        if len(row["joints_scored"]) < len(joints):
            incomplete.setdefault(len(row["joints_scored"]), []).append(row["name"])
    for count, names in incomplete.items():
        yield f"{', '.join(names)}: over {count} of {len(joints)} joints, –: not predicted by the model"
    for row in rows:
        if official := row[metric].get("buffy_official"):
            detected, found, total = (_percent(official[key]) for key in ("detection_rate", "pcp_of_detected", "total"))
            yield f"{row['name']}, official scorer: {detected} % detected × {found} % of their limbs = {total} %"
    for row in rows:
        if metric == "pdj" and "confidence" in row:
            error = _percent(row["confidence"]["error"])
            yield f"{row['name']}: the mean error of its confidence is {error} percentage points"
    sources: dict[str, list[str]] = {}
    for row in published:
        source = f"{row['source']}; {row['note']}" if "note" in row else row["source"]
        sources.setdefault(source, []).append(row["name"])
    for source, names in sources.items():
        yield f"{', '.join(names)}: {source}"
    if any(row["unverified"] for row in published):
        yield f"{UNVERIFIED} quoted from memory of the paper, unverified"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _half_width(ends: tuple[float, float] | None) -> str:
    """Half of the interval: with many images its two sides hardly differ."""
    return "–" if ends is None else f"±{50 * (ends[1] - ends[0]):.1f}"


def to_json(document: Mapping[str, Any]) -> str:
    """The document with one row of scores on each line, so that two documents can be compared line by line."""
    lists = ("published", "rows")
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key not in lists]
    for key in lists:
        lines = ",\n    ".join(json.dumps(row, allow_nan=False) for row in document[key])
        parts.append(f'  "{key}": [\n    {lines}\n  ]' if lines else f'  "{key}": []')
    return "{\n" + ",\n".join(parts) + "\n}"


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
    drawn = {
        "pdj": figures.pdj_figure(document),
        "comparison": figures.comparison_figure(document),
        "confidence": figures.reliability_figure(document),
    }
    files = [document_file, table]
    for name, figure in drawn.items():
        if figure is not None:
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
