"""The table of labels of DeepLabCut and of Lightning Pose: `CollectedData_<scorer>.csv`.

    scorer,         …, Ann,  Ann,  Ann,  Ann
    individuals,    …, one,  one,  one,  one         only in projects with several animals
    bodyparts,      …, nose, nose, tail, tail
    coords,         …, x,    y,    x,    y
    labeled-data/video/img0001.png, 10.5, 20.5, , ,

The image's path is in one column, or in three (`labeled-data`, `video`, `img0001.png`). Empty cells are not labelled.
Columns that are no x and no y, such as `likelihood`, are not read. Coordinates are px from 0 and are kept.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.data.datasets.coco import MAX_COORDINATE, WITHIN
from deeppose_cli.data.datasets.formats.labels import LabelFile, find_images, read_sizes

TOP = "labeled-data"
"""The folder of the labelled images in a project; a path may begin with it."""
UNIQUE = "single"
"""The individual of DeepLabCut to whom the points belong that are there once, such as the corners of the cage."""
_Row = tuple[int, list[str]]
"""Line number, cells."""


def read_keypoint_csv(file: Path, images: Path | None = None) -> LabelFile:
    """Read the labels of a table.

    Args:
        file: A CSV file.
        images: The folder below which the paths of the table lie. Default: the table's folder, or the project that the
            table lies in.

    Raises:
        DeepPoseError: One line that names the file, the row and the cell of what cannot be right.
    """
    head, rows = _read_rows(file)
    coords = [cell.strip().lower() for cell in head["coords"]]
    if "x" not in coords:
        raise DeepPoseError(f"{file}: coords: no column is 'x'")
    first = coords.index("x")
    people, joints, columns = _columns(file, head, coords)
    paths = ["/".join(cell.strip() for cell in cells[:first] if cell.strip()).replace("\\", "/") for _, cells in rows]
    values = _values(file, rows, columns, joints).reshape(len(rows) * len(people), len(joints), 2)
    labelled = ~np.isnan(values[..., 0])
    index = np.flatnonzero(labelled.any(1))
    names = [paths[i // len(people)] for i in index]
    frames = [paths[i] for i in dict.fromkeys((index // len(people)).tolist())]
    if len(set(frames)) < len(frames):
        twice = next(name for name in frames if frames.count(name) > 1)
        raise DeepPoseError(f"{file}: image {twice!r:.80} is there twice; valid: one row an image")
    found = _find(file, frames, images)
    return LabelFile(
        file=file,
        joints=joints,
        file_names=tuple(names),
        images=found,
        sizes=read_sizes(found),
        keypoints=values[index],
        visibility=2.0 * labelled[index],
        boxes=np.full((len(index), 4), np.nan),
        areas=np.full(len(index), np.nan),
        names=tuple(names),
        unlabelled=len(rows) - len(frames),
    )


def _read_rows(file: Path) -> tuple[dict[str, list[str]], list[_Row]]:
    """The header rows by name, and the rows below them."""
    try:
        reader = csv.reader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline=""))
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except FileNotFoundError:
        raise DeepPoseError(f"{file}: no such file") from None
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise DeepPoseError(f"{file}: not a CSV file ({reason})") from None
    found = [cells[0].strip().lower() for _, cells in rows[:4]]
    keys = ["scorer", "bodyparts", "coords"]
    if found[1:2] == ["individuals"]:
        keys.insert(1, "individuals")
    if found[: len(keys)] != keys:
        raise DeepPoseError(
            f"{file}: its rows begin with {', '.join(map(repr, found))[:100] or 'nothing'}; valid: scorer, bodyparts, "
            "coords (a table of labels of DeepLabCut or Lightning Pose)"
        )
    for line, cells in rows:
        if len(cells) != len(rows[0][1]):
            raise DeepPoseError(f"{file}: line {line} has {len(cells)} cells; valid: {len(rows[0][1])}, as the first")
    return {key: cells for key, (_, cells) in zip(keys, rows, strict=False)}, rows[len(keys) :]


def _columns(
    file: Path, head: dict[str, list[str]], coords: Sequence[str]
) -> tuple[list[str], tuple[str, ...], list[int]]:
    """(individuals, joints, the columns of x and y of each joint of each individual)."""
    parts = [cell.strip() for cell in head["bodyparts"]]
    animals = [cell.strip() for cell in head.get("individuals", [""] * len(parts))]
    places: dict[str, dict[str, dict[str, int]]] = {}
    for column, coord in enumerate(coords):
        if coord in ("x", "y"):
            place = places.setdefault(animals[column], {}).setdefault(parts[column], {})
            if coord in place:
                raise DeepPoseError(f"{file}: bodyparts: {coord} of {parts[column]!r:.60} is there twice")
            place[coord] = column
    if len(places) > 1:
        places.pop(UNIQUE, None)
    people = list(places)
    joints = tuple(places[people[0]])
    columns = []
    for animal in people:
        if set(places[animal]) != set(joints):
            raise DeepPoseError(f"{file}: individuals: {animal!r:.60} has other bodyparts than {people[0]!r:.60}")
        for joint in joints:
            place = places[animal][joint]
            if len(place) < 2:
                raise DeepPoseError(f"{file}: bodyparts: {joint!r:.60} has no {'x' if 'y' in place else 'y'}")
            columns += [place["x"], place["y"]]
    return people, joints, columns


def _values(file: Path, rows: Sequence[_Row], columns: Sequence[int], joints: Sequence[str]) -> NDArray[np.float64]:
    """(rows, 2 × joints of all individuals) px, NaN where a cell is empty."""
    cells = np.array([[cells[column].strip() or "nan" for column in columns] for _, cells in rows], dtype=object)
    try:
        values = cells.reshape(len(rows), len(columns)).astype(np.float64)
    except ValueError:
        values = np.full(cells.shape, np.inf)
        for place, cell in np.ndenumerate(cells):
            with suppress(ValueError):
                values[place] = float(cell)
    single = np.repeat(np.isnan(values[:, 0::2]) != np.isnan(values[:, 1::2]), 2, axis=1)
    for bad, valid in (
        (np.abs(values) > MAX_COORDINATE, f"a number {WITHIN}, or nothing"),
        (single, "x and y, or none"),
    ):
        for row, place in np.argwhere(bad)[:1].tolist():
            joint = joints[place // 2 % len(joints)]
            cell = cells[row, place]
            raise DeepPoseError(
                f"{file}: line {rows[row][0]}: {'xy'[place % 2]} of {joint}: {cell!r:.40}; valid: {valid}"
            )
    return values


def _find(file: Path, names: Sequence[str], images: Path | None) -> dict[str, Path]:
    """The images: below the folder given, or the table's, or the project's (`labeled-data/<video>/` holds the table).

    A folder in place of the project may be that of the videos: then the first part of the path is left out.
    """
    folder = file.absolute().parent
    roots = [images] if images is not None else [file.parent, *folder.parents[:2]]
    short = [name.removeprefix(f"{TOP}/") for name in names]
    for root in roots:
        for known in (names, short):
            if names and os.path.isfile(root / known[0]):
                found = find_images(file, known, [root])
                return {name: found[place] for name, place in zip(names, known, strict=True)}
    return find_images(file, names, roots, "" if images is not None else "; --images names their folder")
