"""What `deeppose eval` prints: tables of a scores document, in percent, and the document itself as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
"""By metric: the scores that stand after the kinds, and their heads."""
WITH_INTERVAL = ("mean_arms_legs", "mean")
"""The scores that show how sure they are; scores.json has the intervals of all."""
WIDE = 100
"""Characters of a terminal from which columns stand two apart."""


def print_tables(console: Console, metrics: list[str], document: Mapping[str, Any]) -> None:
    """One table a metric, and below it what is to be known of its rows."""
    for metric in metrics:
        console.print(table(metric, document, wide=console.width >= WIDE))
        for line in footnotes(metric, document):
            console.print(line, markup=False, style="dim")
        console.print()


def table(metric: str, document: Mapping[str, Any], *, wide: bool) -> Table:
    """One metric of all rows, in percent; published figures below ours."""
    from rich import box
    from rich.table import Table

    rows = document["rows"]
    published = [row for row in document.get("published", ()) if metric in row]
    kinds = "limbs" if metric == "pcp" else "joints"
    heads, last = list(rows[0][metric][kinds]), MEANS[metric]
    # As narrow as can be: twelve columns and a file's name are to fit into 80 characters.
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1 if wide else 0, 0, 0), pad_edge=False, show_edge=False)
    made.title, made.title_justify = _title(metric, document), "left"
    made.add_column("", overflow="fold", min_width=9)
    for head in heads:
        made.add_column(_narrow(head), justify="right", vertical="bottom", no_wrap=True)
    for key, head in last.items():
        made.add_column(_narrow(head), justify="right", vertical="bottom", no_wrap=True)
        if _shows_interval(key, metric, rows):
            made.add_column("±", vertical="bottom", no_wrap=True)
    for row in rows:
        values = row[metric]
        cells = [_percent(values[kinds][head]) for head in heads]
        for key in last:
            cells.append(_percent(values[key]))
            if _shows_interval(key, metric, rows):
                cells.append(_half(values["interval"][key]))
        made.add_row(row["name"], *cells, end_section=row is rows[-1] and bool(published))
    for row in published:
        values = row[metric]
        cells = [_percent(values.get(kinds, {}).get(head), "") for head in heads]
        for key in last:
            cells.append(_percent(values.get(key), ""))
            cells += [""] * _shows_interval(key, metric, rows)
        made.add_row(row["name"] + UNVERIFIED * row["unverified"], *cells, style="dim")
    return made


def footnotes(metric: str, document: Mapping[str, Any]) -> Iterator[str]:
    """Lines that stand below a metric's table."""
    rows = document["rows"]
    if "interval" in rows[0][metric]:
        interval = rows[0][metric]["interval"]
        yield f"±: half the {100 * interval['level']:.0f} % interval, {interval['draws']} draws of images"
    some: dict[int, list[str]] = {}
    for row in rows:
        if len(row["joints_scored"]) < len(document["joints"]):
            some.setdefault(len(row["joints_scored"]), []).append(row["name"])
    for count, names in some.items():
        yield f"{', '.join(names)}: over {count} of {len(document['joints'])} joints, –: not known to the model"
    for row in rows:
        official = row[metric].get("official")
        if official is not None:
            yield (
                f"{row['name']}: by the official scorer {_percent(official['detection_rate'])} detected × "
                f"{_percent(official['pcp_of_detected'])} of their sticks = {_percent(official['total'])}"
            )
    for row in rows:
        if metric == "pdj" and "confidence" in row:
            yield f"{row['name']}: its confidence is {_percent(row['confidence']['error'])} points off, on average"
    published = [row for row in document.get("published", ()) if metric in row]
    sources: dict[str, list[str]] = {}
    for row in published:
        what = "; ".join([row["source"], *([row["note"]] if "note" in row else [])])
        sources.setdefault(what, []).append(row["name"])
    for what, names in sources.items():
        yield f"{', '.join(names)}: {what}"
    if any(row["unverified"] for row in published):
        yield f"{UNVERIFIED} quoted from memory of the paper, unverified"


def as_json(document: Mapping[str, Any]) -> str:
    """One row of scores a line, so that the document can be read and compared by eye."""
    import json

    lists = {"published", "rows"}
    parts = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items() if key not in lists]
    for key in ("published", "rows"):
        lines = ",\n    ".join(json.dumps(row, allow_nan=False) for row in document[key])
        parts.append(f'  "{key}": [\n    {lines}\n  ]' if lines else f'  "{key}": []')
    return "{\n" + ",\n".join(parts) + "\n}"


def _title(metric: str, document: Mapping[str, Any]) -> str:
    first = document["rows"][0]
    where = f"{document['data']} {document['split']}, {document['images']} images"
    where += ", observer-centric" if document["centric"] == "observer" else ""
    if metric == "pcp":
        return f"PCP ({first['pcp']['rule']}), %: {where}"
    if metric == "pck":
        return f"PCK at {first['pck']['alpha']} of the labelled box, %: {where}"
    return f"PDJ at {first['pdj']['threshold']} of the torso, %: {where}"


def _shows_interval(key: str, metric: str, rows: list[Mapping[str, Any]]) -> bool:
    return key in WITH_INTERVAL and "interval" in rows[0][metric]


def _narrow(head: str) -> str:
    return head.replace("_", "\n").replace(" ", "\n")


def _percent(value: float | None, none: str = "–") -> str:
    """At most four characters: a table of twelve columns has no room for the fifth of 100.0."""
    if value is None:
        return none
    return "100" if value >= 0.9995 else f"{100 * value:.1f}"


def _half(ends: tuple[float, float] | None) -> str:
    """Half of the interval: its two sides hardly differ where there are enough images to say anything."""
    return "–" if ends is None else f"±{50 * (ends[1] - ends[0]):.1f}"
