"""Initial boxes from the user's own detector: COCO or CSV.

COCO: results, a list of {"image_id", "bbox": [left, top, width, height], "score"?, "category_id"?}, or annotations, an
object with "images" and "annotations". Where categories are told, people are 1, or what "categories" calls person.

CSV: a first line with the names of the columns; the image is in `image`, `file`, `file_name` or `source`, the box in
`x`, `y`, `w`, `h`, or `left`, `top`, `width`, `height`, or `x1`, `y1`, `x2`, `y2`; px. `score` may be there.

An image goes by its path as it is typed, its name, its name without suffix, or COCO's number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.geometry import Box

SUFFIXES = (".json", ".csv")
LEAST_SCORE = 0.5
"""Detectors also tell of what they hardly believe in; boxes with a lower score are left out."""
MAX_BYTES = 2**30
_IMAGE = ("image", "file", "file_name", "source", "image_id")
_CORNER = (("x", "y", "w", "h"), ("left", "top", "width", "height"), ("x1", "y1", "x2", "y2"))
_PERSON = 1


class _Detection(NamedTuple):
    image: str
    corner: tuple[float, float, float, float]
    """left, top, width, height."""
    score: float


class BoxFile:
    """Boxes by image."""

    def __init__(self, file: Path) -> None:
        """Raises UsageError, one line that names the file and what is wrong with it."""
        self.file = file
        try:
            size = file.stat().st_size
            if size > MAX_BYTES:
                raise ValueError(f"{size:,} bytes; valid: at most {MAX_BYTES:,}")
            text = file.read_text(encoding="utf-8-sig")
            rows = _coco(text) if file.suffix.lower() == ".json" else _csv(text)
            self.by_image: dict[str, list[_Detection]] = {}
            for said in rows:
                if said.score >= LEAST_SCORE:
                    self.by_image.setdefault(said.image, []).append(said)
        except OSError as error:
            raise UsageError(f"--box {file}: cannot be read ({error.strerror or error})") from None
        except (ValueError, RecursionError) as error:
            reason = "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)[:200]
            raise UsageError(f"--box {file}: {reason}") from None

    def of(self, path: Path) -> list[Box]:
        """An image's, best first; empty where there is none for it."""
        number = str(int(path.stem)) if path.stem.isascii() and path.stem.isdigit() else path.stem
        for name in (str(path), path.name, path.stem, number):
            if name in self.by_image:
                ordered = sorted(self.by_image[name], key=lambda said: -said.score)
                return [Box.of_left_top(*said.corner) for said in ordered]
        return []


def _coco(text: str) -> Iterator[_Detection]:
    document = json.loads(text)
    names: dict[str, str] = {}
    people = {_PERSON}
    rows = document
    if isinstance(document, dict):
        rows = document.get("annotations")
        for image in _list(document.get("images"), "images"):
            names[str(_value(image, "id", "images"))] = str(_value(image, "file_name", "images"))
        named = document.get("categories")
        if named is not None:
            people = {c["id"] for c in _list(named, "categories") if isinstance(c, dict) and c.get("name") == "person"}
    for place, row in enumerate(_list(rows, "annotations" if isinstance(document, dict) else "the document")):
        where = f"box {place}"
        if isinstance(row, dict) and row.get("category_id", _PERSON) not in people | {None}:
            continue
        image, corner = str(_value(row, "image_id", where)), _value(row, "bbox", where)
        if not isinstance(corner, list) or len(corner) != 4:
            raise ValueError(f"{where}: bbox is not [left, top, width, height]")
        yield _checked(names.get(image, image), corner, row.get("score"), where)


def _csv(text: str) -> Iterator[_Detection]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = [name.strip().lower() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    image = next((name for name in _IMAGE if name in columns), None)
    corner = next((names for names in _CORNER if set(names) <= set(columns)), None)
    if image is None or corner is None:
        raise ValueError("its first line names no image or no box; valid: image,x,y,w,h (left, top, width, height)")
    for row in rows:
        where = f"line {rows.line_num}"
        values = [row[name] for name in corner]
        said = _checked(str(row[image]), values, row.get("score") or None, where, edges=corner == _CORNER[2])
        yield said


def _checked(image: str, corner: Any, score: Any, where: str, *, edges: bool = False) -> _Detection:
    try:
        x, y, w, h = (float(value) for value in corner)
        sure = 1.0 if score is None else float(score)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: its box or score is no number") from None
    if edges:
        w, h = w - x, h - y
    if not (np.isfinite([x, y, w, h, sure]).all() and w > 0 and h > 0):
        raise ValueError(f"{where}: width and height must be positive numbers")
    return _Detection(image, (x, y, w, h), sure)


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} is no list; valid: COCO results, or an object with images and annotations")
    return value


def _value(row: Any, key: str, where: str) -> Any:
    if not isinstance(row, Mapping) or row.get(key) is None:
        raise ValueError(f"{where}: has no {key}")
    return row[key]
