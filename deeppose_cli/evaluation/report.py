"""What an evaluation puts out: tables on the terminal, in percent, and files, with fractions of 1."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

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
HEADINGS = {
    "pdj": "PDJ at {threshold} of {unit}, %",
    "pcp": "PCP ({rule}), %",
    "pck": "PCK at {alpha} of the labelled box, %",
    "pckh": "PCKh at {alpha} of the head limb, %",
    "oks": "OKS AP and AR, %",
    "rmse": "RMSE, px",
}
MEANS = {
    "pdj": {"mean": "mean", "auc": "AUC"},
    "pcp": {"mean_arms_legs": "arms,\nlegs", "mean": "mean"},
    "pck": {"mean": "mean"},
    "pckh": {"mean": "mean"},
    "oks": {
        **{"ap": "AP", "ap_50": "AP\n.50", "ap_75": "AP\n.75", "ap_medium": "AP\nmedium", "ap_large": "AP\nlarge"},
        "ar": "AR",
    },
    "rmse": {"mean": "mean", "mean_error": "mean\nerror"},
}
"""By metric: the scores in the columns after the kinds, and the titles of these columns."""
WITH_INTERVAL = ("mean_arms_legs", "mean")
"""The scores with an interval in the table; scores.json has the intervals of all."""
WIDE = 100
"""Characters of a terminal from which columns are two characters apart."""
NAME_WIDTH = 9
"""Characters of the first column, where longer names are folded if they must be."""
MAX_COLUMNS = 5
"""Columns of the contact sheet beside the truth."""


def print_tables(console: Console, metrics: Sequence[str], document: Mapping[str, Any]) -> None:
    """Print one table for each metric, with its footnotes."""
    for metric in (metric for metric in metrics if metric in document["rows"][0]):  # no PCP without limbs
        published = [row for row in document["published"] if metric in row]
        console.print(_title(metric, document), style="table.title", markup=False)
        console.print(_table(metric, document, published, console))
        for line in _footnotes(metric, document, published):
            console.print(line, markup=False, style="dim")
        console.print()


def _table(metric: str, document: Mapping[str, Any], published: Sequence[Mapping[str, Any]], console: Console) -> Table:
    """One metric of all rows, in percent or px; published results below.

    A line for each row of the document. A column for each row instead, and a line for each joint, where no joint has a
    partner on the other side, or the terminal is too narrow.
    """
    rows = [*document["rows"], *published]
    part = "limbs" if metric == "pcp" else "joints"
    first = rows[0][metric]
    kinds = first.get(part, {})
    titles = {kind: kind.replace("_", "\n").replace("-", "-\n") for kind in kinds}
    titles |= {name: title for name, title in MEANS[metric].items() if name in first}
    values, widths = [], []
    for row in rows:
        found, ends = row[metric], row[metric].get("interval", {})
        named = {**found.get(part, {}), **found}
        values.append({name: _value(named[name], metric) if name in named else "" for name in titles})
        named = {**ends.get(part, {}), **ends}
        widths.append({name: _half_width(named[name], metric) if name in named else "" for name in titles})
    columns: list[tuple[str, list[str]]] = []
    for name, title in titles.items():
        columns.append((title, [cells[name] for cells in values]))
        if name in WITH_INTERVAL and widths[0][name]:
            columns.append(("±", [cells[name] for cells in widths]))
    width = NAME_WIDTH + sum(1 + max(map(len, (*title.split("\n"), *cells))) for title, cells in columns)
    if width <= console.width and not (kinds and len(kinds) == len(first[f"per_{part[:-1]}"])):
        table = _new_table(wide=console.width >= WIDE)
        for title, _ in columns:
            justify: Literal["left", "right"] = "left" if title == "±" else "right"
            table.add_column(title, justify=justify, vertical="bottom", no_wrap=True)
        for i, row in enumerate(rows):
            style, last = "dim" if "source" in row else None, i + 1 == len(document["rows"]) < len(rows)
            table.add_row(_row_name(row), *(cells[i] for _, cells in columns), style=style, end_section=last)
        return table
    table = _new_table(wide=True)
    for row in rows:
        table.add_column(_row_name(row), justify="right", vertical="bottom", overflow="fold")
    for number, (name, title) in enumerate(titles.items(), 1):
        cells = (f"{value[name]} {half[name]}".rstrip() for value, half in zip(values, widths, strict=True))
        title = name if name in kinds else title.replace("\n", " ")
        table.add_row(title, *cells, end_section=number == len(kinds))
    return table


def _heading(metric: str, document: Mapping[str, Any]) -> str:
    return HEADINGS[metric].format_map({"unit": "the torso", **document, **document["rows"][0][metric]})


def _title(metric: str, document: Mapping[str, Any]) -> str:
    heading = _heading(metric, document)
    observer = ", observer-centric" if document["centric"] == "observer" else ""
    return f"{heading}: {document['data']} {document['split']}, {document['images']} images{observer}"


def _new_table(*, wide: bool) -> Table:
    from rich import box
    from rich.table import Table

    # As narrow as possible: twelve columns and a file's name fit into 80 characters.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if wide else 0, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("", overflow="fold", min_width=NAME_WIDTH)
    return table


def _row_name(row: Mapping[str, Any]) -> str:
    return row["name"] + UNVERIFIED * row.get("unverified", False)


def _footnotes(metric: str, document: Mapping[str, Any], published: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The lines below a metric's table."""
    rows, joints = document["rows"], document["joints"]
    if interval := rows[0][metric].get("interval"):
        yield f"±: half the {100 * interval['level']:.0f} % interval, {interval['draws']} draws of images"
    if metric == "oks":
        yield "one prediction a person, from a known initial box: not comparable with results that include a detector"
    if metric == "pckh":
        yield "the head's length is that of its limb; MPII's own PCKh takes 0.6 of its head boxes' diagonal"
    incomplete: dict[int, list[str]] = {}
    for row in rows:
        if len(row["joints_scored"]) < len(joints):
            incomplete.setdefault(len(row["joints_scored"]), []).append(row["name"])
    for count, names in incomplete.items():
        yield f"{', '.join(names)}: over {count} of {len(joints)} joints, –: not predicted by the model"
    for row in rows:
        if official := row[metric].get("buffy_official"):
            keys = ("detection_rate", "pcp_of_detected", "total")
            detected, found, total = (_value(official[key], metric) for key in keys)
            yield f"{row['name']}, official scorer: {detected} % detected × {found} % of their limbs = {total} %"
        if metric == "pdj" and "confidence" in row:
            error = _value(row["confidence"]["error"], metric)
            yield f"{row['name']}: the mean error of its confidence is {error} percentage points"
        if missing := row[metric].get("missing"):
            yield f"{row['name']}: {missing} labelled joints have no prediction; they are not in its RMSE"
    sources: dict[str, list[str]] = {}
    for row in published:
        source = f"{row['source']}; {row['note']}" if "note" in row else row["source"]
        sources.setdefault(source, []).append(row["name"])
    for source, names in sources.items():
        yield f"{', '.join(names)}: {source}"
    if any(row["unverified"] for row in published):
        yield f"{UNVERIFIED} quoted from memory of the paper, unverified"


def _value(value: float | None, metric: str) -> str:
    """In percent; px of RMSE."""
    return "–" if value is None else f"{value * (1 if metric == 'rmse' else 100):.1f}"


def _half_width(ends: tuple[float, float] | None, metric: str) -> str:
    """Half of the interval: with many images its two sides hardly differ."""
    return "–" if ends is None else f"±{_value((ends[1] - ends[0]) / 2, metric)}"


def to_json(document: Mapping[str, Any]) -> str:
    """The document with one row of scores on each line, so that two documents can be compared line by line."""
    lists = ("published", "rows")
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key not in lists]
    for key in lists:
        lines = ",\n    ".join(json.dumps(row, allow_nan=False) for row in document[key])
        parts.append(f'  "{key}": [\n    {lines}\n  ]' if lines else f'  "{key}": []')
    return "{\n" + ",\n".join(parts) + "\n}"


def write_files(
    folder: Path,
    document: Mapping[str, Any],
    test: Annotations,
    rows: Sequence[ScoredPredictions],
    truth: FloatArray,
    *,
    html: bool = False,
) -> list[Path]:
    """Write all files of one evaluation, with `html` the page too; returns their paths. Raises DeepPoseError, one line
    that names --out.

    They are written to a temporary folder within `folder`, and moved when the last one is complete.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
            made = _write(Path(temporary), document, test, rows, truth)
            if html:
                made.append(_write_page(Path(temporary), document, test, rows, truth))
            return [file.replace(folder / file.name) for file in made]
    except OSError as error:
        raise _not_writable(folder, error.strerror or str(error)) from None


def check_target(folder: Path) -> None:
    """Raises UsageError where the output folder cannot be one, DeepPoseError where it cannot be written."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"--out {folder}: {existing} is not a folder; valid: an existing folder or a new one")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise _not_writable(folder, f"no permission in {existing}")


def _not_writable(folder: Path, reason: str) -> DeepPoseError:
    return DeepPoseError(f"--out {folder}: cannot be written ({reason}); valid: a folder with write permission")


def _write_page(
    folder: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> Path:
    from deeppose_cli.evaluation.html_report import build_report

    headings = {
        metric: (_heading(metric, document), MEANS[metric]) for metric in HEADINGS if metric in document["rows"][0]
    }
    file = folder / "report.html"
    file.write_text(build_report(document, headings, test, rows, truth), encoding="utf-8")
    return file


def _write(
    folder: Path, document: Mapping[str, Any], test: Annotations, rows: Sequence[ScoredPredictions], truth: FloatArray
) -> list[Path]:
    from deeppose_cli.visualization import figures  # matplotlib

    files = [folder / "scores.json", folder / "per-image.csv"]
    files[0].write_text(to_json(document) + "\n", encoding="utf-8")
    scores.write_per_image(files[1], test.names, rows, truth, test.skeleton)
    drawn = {
        "pdj": figures.pdj_figure(document),
        "comparison": figures.comparison_figure(document),
        "confidence": figures.reliability_figure(document),
    }
    for name, figure in drawn.items():
        if figure is not None:
            files += figures.save(figure, folder / f"{name}.png", folder / f"{name}.svg")
    stages = [row for row in rows if row.name.startswith("stage ")]
    columns = (stages or [row for row in rows if row.name != MEAN_POSE] or rows)[:MAX_COLUMNS]
    shares = [scores.per_image_pdj(row, truth, test.skeleton) for row in columns]
    cells: list[tuple[str, Any, list[FloatArray], list[str]]] = []
    # Best, median and worst by the last column's scores.
    for word, images in (scores.best_median_worst(columns[-1], truth, test.skeleton) if columns else {}).items():
        for i in images:
            with suppress(DeepPoseError):  # already reported when the model ran
                captions = [test.names[i], *(f"PDJ {share[i]:.0%}" for share in shares)]
                poses = [truth[i], *(row.poses[i] for row in columns)]
                cells.append((word, read_image(test.files[i]), poses, captions))
    if cells:
        sheet = figures.contact_sheet(cells, ["truth", *(row.name for row in columns)], test.skeleton)
        files += figures.save(sheet, folder / "poses.png")
    return files
