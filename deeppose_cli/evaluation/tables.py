"""The tables of a scores document, in percent, and the document as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

UNVERIFIED = "*"
"""Marks a published row that is quoted from memory."""

MEANS = {
    "pdj": {"mean": "mean", "auc": "AUC"},
    "pcp": {"mean_arms_legs": "arms, legs", "mean": "mean"},
    "pck": {"mean": "mean"},
}
"""By metric: the scores in the columns after the kinds, and the titles of these columns."""
WITH_INTERVAL = ("mean_arms_legs", "mean")
"""The scores with an interval in the table; scores.json has the intervals of all."""
WIDE = 100
"""Characters of a terminal from which columns are two characters apart."""


def print_tables(console: Console, metrics: Sequence[str], document: Mapping[str, Any]) -> None:
    """Print one table for each metric, with its footnotes."""
    for metric in metrics:
        console.print(table(metric, document, wide=console.width >= WIDE))
        for line in footnotes(metric, document):
            console.print(line, markup=False, style="dim")
        console.print()


def table(metric: str, document: Mapping[str, Any], *, wide: bool) -> Table:
    """One metric of all rows, in percent; published results below."""
    from rich import box
    from rich.table import Table

    rows, published = document["rows"], _published(metric, document)
    kinds = "limbs" if metric == "pcp" else "joints"
    with_interval = WITH_INTERVAL if "interval" in rows[0][metric] else ()
    # As narrow as possible: twelve columns and a file's name fit into 80 characters.
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if wide else 0, 0, 0), pad_edge=False, show_edge=False)
    made.title, made.title_justify = _title(metric, document), "left"
    made.add_column("", overflow="fold", min_width=9)
    columns = [(kinds, kind) for kind in rows[0][metric][kinds]] + [(None, mean) for mean in MEANS[metric]]
    for part, name in columns:
        title = MEANS[metric].get(name, name) if part is None else name
        made.add_column(title.replace("_", "\n").replace(" ", "\n"), justify="right", vertical="bottom", no_wrap=True)
        if part is None and name in with_interval:
            made.add_column("±", vertical="bottom", no_wrap=True)
    for row in [*rows, *published]:
        is_published = "source" in row
        values, cells = row[metric], []
        for part, name in columns:
            found = values.get(part, {}) if part else values
            cells.append("" if is_published and name not in found else _percent(found[name]))
            if part is None and name in with_interval:
                cells.append("" if is_published else _half_width(values["interval"][name]))
        title = row["name"] + UNVERIFIED * row.get("unverified", False)
        last = row is rows[-1] and bool(published)
        made.add_row(title, *cells, style="dim" if is_published else None, end_section=last)
    return made


def footnotes(metric: str, document: Mapping[str, Any]) -> Iterator[str]:
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
    published = _published(metric, document)
    sources: dict[str, list[str]] = {}
    for row in published:
        sources.setdefault("; ".join([row["source"], *([row["note"]] if "note" in row else [])]), []).append(
            row["name"]
        )
    for source, names in sources.items():
        yield f"{', '.join(names)}: {source}"
    if any(row["unverified"] for row in published):
        yield f"{UNVERIFIED} quoted from memory of the paper, unverified"


def to_json(document: Mapping[str, Any]) -> str:
    """The document with one row of scores on each line, so that two documents can be compared line by line."""
    lists = ("published", "rows")
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key not in lists]
    for key in lists:
        lines = ",\n    ".join(json.dumps(row, allow_nan=False) for row in document[key])
        parts.append(f'  "{key}": [\n    {lines}\n  ]' if lines else f'  "{key}": []')
    return "{\n" + ",\n".join(parts) + "\n}"


def _published(metric: str, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for row in document["published"] if metric in row]


def _title(metric: str, document: Mapping[str, Any]) -> str:
    first = document["rows"][0][metric]
    titles = {
        "pdj": lambda: f"PDJ at {first['threshold']} of the torso, %",
        "pcp": lambda: f"PCP ({first['rule']}), %",
        "pck": lambda: f"PCK at {first['alpha']} of the labelled box, %",
    }
    observer = ", observer-centric" if document["centric"] == "observer" else ""
    return f"{titles[metric]()}: {document['data']} {document['split']}, {document['images']} images{observer}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def _half_width(ends: tuple[float, float] | None) -> str:
    """Half of the interval: with many images its two sides hardly differ."""
    return "–" if ends is None else f"±{50 * (ends[1] - ends[0]):.1f}"
