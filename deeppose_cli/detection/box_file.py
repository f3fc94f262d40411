"""The value of `--box`: the name of a source, a box, or a file of the user's own detector, COCO or CSV.

COCO: results, a list of {"image_id", "bbox": [left, top, width, height], "score"?, "category_id"?}, or annotations, an
object with "images" and "annotations". People have category 1, or the one that "categories" calls person.

CSV, with commas, semicolons or tabs: the first line names the columns. The image is in `image`, `file`, `file_name`,
`filename`, `path` or `source`; the box, in px, in `x`, `y`, `w`, `h` (or `width`, `height`), in `left`, `top`, `width`,
`height`, or by its edges in `x1`, `y1`, `x2`, `y2`, in `xmin`, `ymin`, `xmax`, `ymax`, or in `left`, `top`, `right`,
`bottom`; a `score`, `confidence` or `conf` is optional.

An image is named by its path as it is typed, its file name, its name without suffix, or COCO's number; in the file the
name may have other folders before it. Crowds (`iscrowd`) are left out.

Wrong values are reported before NumPy is imported.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from deeppose_cli.config.defaults import BOX_SOURCES
from deeppose_cli.core.errors import UsageError

if TYPE_CHECKING:
    from deeppose_cli.core.geometry import Box

    Detection = tuple[str, float, Box | None]
    """Name of the image, score, box; None: not of a person."""

BoxSource: TypeAlias = "str | Box | BoxFile"
AUTO, IMAGE, FACE, PERSON = PREDICTION_SOURCES = ("auto", "image", "face", "person")
SUFFIXES = (".json", ".csv")
VALID = "valid: auto, image, face, person, x,y,w,h in px, or a .json (COCO) or .csv file of boxes"
MIN_SCORE = 0.5
"""Boxes with a lower score, which detectors report too, are left out."""
_NAMES_SHOWN = 3
_IMAGE = ("image", "file", "file_name", "filename", "image_name", "path", "source", "image_id")
_SIZES = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))
_EDGES = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"))
_SCORE = ("score", "confidence", "conf")
_SEPARATORS = ",;\t"
_PERSON = 1


def parse_source(spec: str) -> BoxSource:
    """The value of `--box` in prediction. Raises UsageError that names what is valid."""
    if spec in PREDICTION_SOURCES:
        return spec
    if spec in BOX_SOURCES:
        raise UsageError(f"--box {spec}: only a data set's images have labels or boxes of their own; {VALID}")
    return BoxFile(Path(spec)) if spec.lower().endswith(SUFFIXES) else parse_box(spec, VALID)


def parse_box(spec: str, valid: str) -> Box:
    """`x,y,w,h` (left, top, width, height, px) → Box. Raises UsageError with the `valid` values."""
    try:
        x, y, w, h = (float(part) for part in spec.split(","))
    except ValueError:
        raise UsageError(f"--box {spec}: unknown; {valid}") from None
    return _box(x, y, w, h, f"--box {spec}", UsageError)


class BoxFile:
    """Boxes by image name."""

    def __init__(self, file: Path) -> None:
        """Raises UsageError, one line that names the file and what is wrong with it."""
        self.file = file
        self.by_image: dict[str, list[tuple[float, Box]]] = {}
        self._unsure = self._others = 0
        try:
            data = file.read_bytes()
            text = data.decode("utf-8-sig")
            for image, score, box in _read_coco(text) if file.suffix.lower() == ".json" else _read_csv(text):
                if box is None:
                    self._others += 1
                elif score < MIN_SCORE:
                    self._unsure += 1
                else:
                    self.by_image.setdefault(image, []).append((score, box))
            self._check_unit()
        except OSError as error:
            raise UsageError(f"--box {file}: cannot be read ({error.strerror or error})") from None
        except (ValueError, RecursionError) as error:
            reason = "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)[:200]
            raise UsageError(f"--box {file}: {reason}") from None
        self._by_name = _by_unique_name(self.by_image)
        self.digest = hashlib.sha256(data).hexdigest()[:16]

    def _check_unit(self) -> None:
        """Raises ValueError for shares of the image in the place of px."""
        boxes = [box.left_top() for found in self.by_image.values() for _, box in found]
        if boxes and all(min(x, y) >= 0 and max(x + w, y + h) <= 1 for x, y, w, h in boxes):
            raise ValueError("its boxes look like shares of the image, all within 0 and 1; valid: px")

    def find(self, path: Path) -> list[Box]:
        """The boxes of an image, best first; empty where the file has none."""
        found = self.by_image.get(self._name(path), [])
        return [box for _, box in sorted(found, key=lambda scored: -scored[0])]

    def check(self, paths: Sequence[Path]) -> str | None:
        """A line that counts and names the rows of other images; None where there is no such row.

        Raises UsageError where the file has no box for any of the images.
        """
        used = {self._name(path) for path in paths}
        if paths and not self.by_image:
            raise UsageError(
                f"--box {self.file}: has no box to use: {self._unsure} with a score below {MIN_SCORE}, {self._others} "
                "of another category than person (1, or the one of that name) or a crowd"
            )
        if paths and not used & self.by_image.keys():
            raise UsageError(
                f"--box {self.file}: has no box for any of these images, such as {paths[0]}; valid are their paths, "
                "names, names without suffix, or COCO's numbers in their names"
            )
        unused = [name for name in self.by_image if name not in used]
        if not paths or not unused:
            return None
        rows = sum(len(self.by_image[name]) for name in unused)
        more = ", …" if len(unused) > _NAMES_SHOWN else ""
        return f"--box {self.file}: {rows} row(s) name no image of the input: {', '.join(unused[:_NAMES_SHOWN])}{more}"

    def _name(self, path: Path) -> str:
        """The name that the file uses for an image; empty where it has none."""
        number = str(int(path.stem)) if path.stem.isascii() and path.stem.isdigit() else path.stem
        names = (str(path), path.name, path.stem, number)
        known = next((name for name in names if name in self.by_image), "")
        return known or self._by_name.get(path.name, "")


def _by_unique_name(images: Iterable[str]) -> dict[str, str]:
    """File name → the file's way to write it, with folders; without names that are in two folders."""
    found: dict[str, list[str]] = {}
    for image in images:
        found.setdefault(image.replace("\\", "/").rpartition("/")[2], []).append(image)
    return {name: written[0] for name, written in found.items() if len(written) == 1}


def _read_coco(text: str) -> Iterator[Detection]:
    rows = document = json.loads(text)
    names: dict[str, str] = {}
    people: set[Any] = {_PERSON, None}
    if isinstance(document, dict):
        rows = document.get("annotations")
        try:
            names = {str(image["id"]): str(image["file_name"]) for image in document["images"]}
            if (categories := document.get("categories")) is not None:
                people = {None, *(category["id"] for category in categories if category["name"] == "person")}
        except (KeyError, TypeError):
            raise ValueError("an entry of images or categories has no id or name") from None
    if not isinstance(rows, list):
        raise ValueError("no list of boxes; valid: COCO results, or an object with images and annotations")
    for number, row in enumerate(rows):
        where = f"box {number}"
        try:
            image, corner = str(row["image_id"]), row["bbox"]
        except (KeyError, TypeError):
            raise ValueError(f"{where}: has no image_id or no bbox") from None
        if not isinstance(corner, list) or len(corner) not in (4, 5):
            raise ValueError(f"{where}: bbox is not [left, top, width, height]")
        *corner, score = corner if len(corner) == 5 else (*corner, row.get("score"))
        name, score, box = _detection(names.get(image, image), corner, score, where)
        is_person = row.get("category_id", _PERSON) in people and not row.get("iscrowd")
        yield name, score, box if is_person else None


def _read_csv(text: str) -> Iterator[Detection]:
    first = text.partition("\n")[0]
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=first.count))
    columns = [name.strip().lower() for name in rows.fieldnames or ()]
    rows.fieldnames = columns
    image = next((name for name in _IMAGE if name in columns), None)
    corner = next((names for names in (*_SIZES, *_EDGES) if set(names) <= set(columns)), None)
    score = next((name for name in _SCORE if name in columns), "")
    if image is None or corner is None:
        raise ValueError(
            f"its first line, {first.strip()[:80]}, names no image or no box; valid: image,x,y,w,h (left, top, width, "
            "height) or image,x1,y1,x2,y2"
        )
    for row in rows:
        values = [row[name] for name in corner]
        where = f"line {rows.line_num}"
        yield _detection(str(row[image]).strip(), values, row.get(score) or None, where, edges=corner in _EDGES)


def _detection(image: str, corner: Any, score: Any, where: str, *, edges: bool = False) -> Detection:
    """`edges`: the corner is left, top, right, bottom. Raises ValueError for values that are no box."""
    try:
        x, y, w, h = (float(value) for value in corner)
        number = 1.0 if score is None else float(score)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: its box or score is no number") from None
    if edges:
        w, h = w - x, h - y
    if not math.isfinite(number):
        raise ValueError(f"{where}: its score is no finite number")
    return image, number, _box(x, y, w, h, where, ValueError)


def _box(x: float, y: float, w: float, h: float, where: str, error: type[Exception]) -> Box:
    """Raises the error for an empty or endless box."""
    if not (all(map(math.isfinite, (x, y, w, h))) and w > 0 and h > 0):
        raise error(f"{where}: width and height must be positive numbers")
    from deeppose_cli.core.geometry import Box

    return Box.of_left_top(x, y, w, h)
