"""Image Parse: whole bodies in 305 snapshots of sports and everyday life. For evaluation only.

On disk, as `deeppose data prepare parse` leaves it:

    <data root>/parse/
        people_all/      labels.mat: ptsAll (14, 2, 305)        im0001.jpg … im0305.jpg

or, where the archives hold a part each (the other part may come later, or never):

        people_train/    labels.mat: ptsAll (14, 2, 100 or 305)     im0001.jpg … im0100.jpg
        people_test/     labels.mat: ptsAll (14, 2, 205 or 305)     im0101.jpg … im0305.jpg

Where `people_all` is there, it is what is read. A split that is not there is empty.

Splits, the paper's own: im0001 … im0100 is training, im0101 … im0305 the test, in this order. There is no validation.

Converted: MATLAB's 1-based coordinates to 0-based. The file's left and right are the IMAGE's: in 95 of 100 images the
left shoulder is further left. As people face the camera, the image's left is the person's right: each joint takes the
name of its mirror partner, which puts the file's order into LSP's. People seen from behind, whom nobody marked, so have
the wrong sides. Every joint is labelled; there are no flags and no boxes: the initial box is the full image, as on LSP.

Source: D. Ramanan: Learning to Parse Images of Articulated Bodies, NIPS 2006. Terms: the images stay their
owners'; the set was published for research, with the request to cite the paper. Nothing of it is part of this
project.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.data.datasets.spec import MAX_COORDINATE, DatasetSpec
from deeppose_cli.data.prepare.archives import unpack
from deeppose_cli.data.prepare.matfile import read_array
from deeppose_cli.data.prepare.unpack import Listed, Plan, Unpacked, how_to_prepare, not_there, put

FILE_JOINTS = (
    "left_ankle",
    "left_knee",
    "left_hip",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_wrist",
    "left_elbow",
    "left_shoulder",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "neck",
    "head_top",
)
"""Rows of `ptsAll`, with the sides of the image. The release calls the neck the head's bottom."""

_ROWS = [FILE_JOINTS.index(LSP14.joints[partner]) for partner in LSP14.mirror]
"""Where each joint of LSP14, whose sides are the person's, stands in the file."""
_WHOLE = "people_all"
_NEEDED = re.compile(r"(?P<base>(?:.*/)?)(?P<file>im(?P<number>\d{4})\.jpg|labels\.mat)")
_HOLDS = "Image Parse (people_all/labels.mat, people_all/im0001.jpg …)"
_GET = "deeppose data prepare parse --from people.zip"


@dataclass(frozen=True)
class Part:
    """A split, by the numbers of its first and last image."""

    name: str
    first: int
    last: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def folder(self) -> str:
        return f"people_{self.name}"

    def images(self) -> list[str]:
        return [f"im{number:04d}.jpg" for number in range(self.first, self.last + 1)]


PARTS = (Part("train", 1, 100), Part("test", 101, 305))


def read_labels(file: Path, shown: str | None = None) -> NDArray[np.float64]:
    """`labels.mat` → (N, 14, 2) 0-based px, joints in LSP14's order, sides the person's.

    Raises DeepPoseError that calls the file `shown` and names the record and field of a value that cannot be right.
    """
    shown = shown or str(file)
    raw = read_array(file, "ptsAll", shown)
    if raw.shape[:2] != (len(FILE_JOINTS), 2) or raw.ndim > 3:
        raise DeepPoseError(f"{shown}: ptsAll has shape {raw.shape}; valid: (14, 2, N)")
    # MATLAB drops a last axis of length 1.
    points = raw.reshape(*raw.shape[:2], -1).transpose(2, 0, 1).astype(np.float64)
    for bad, valid in (
        (~np.isfinite(points), "finite numbers"),
        (np.abs(points) > MAX_COORDINATE, f"within ±{MAX_COORDINATE:.0f} px"),
    ):
        if bad.any():
            record, row, axis = np.argwhere(bad)[0]
            raise DeepPoseError(
                f"{shown}: record {record + 1}, {FILE_JOINTS[row]} (row {row + 1}), {'xy'[axis]} is "
                f"{points[record, row, axis]:g}; valid: {valid}"
            )
    return points[:, _ROWS] - 1


def read(data_root: Path, parts: Sequence[Part] = PARTS) -> dict[str, Annotations]:
    """{"train", "validation", "test"}; what is not here is empty. No image is decoded; that each is there is checked.

    Raises DeepPoseError where no part is here, or an image or a label is missing or cannot be right.
    """
    folder = data_root / "parse"
    whole = folder / _WHOLE
    splits = {name: _annotations([], np.empty((0, len(LSP14), 2))) for name in ("train", "validation", "test")}
    here = {part: whole if whole.is_dir() else folder / part.folder for part in parts}
    here = {part: place for part, place in here.items() if place.is_dir()}
    if not here:
        raise DeepPoseError(
            f"parse is not in {folder}; type: {how_to_prepare(_GET, data_root)}; without --from it is downloaded"
        )
    for part, place in here.items():
        labels = place / "labels.mat"
        if not labels.is_file():
            raise DeepPoseError(f"{labels}: no such file; type: {how_to_prepare(_GET, data_root)}")
        points = _of_part(read_labels(labels), part, parts, str(labels))
        names = part.images()
        if missing := not_there(place, names):
            raise DeepPoseError(
                f"{place / missing[0]}: no such file ({len(missing)} of {part.count} images missing); "
                f"type: {how_to_prepare(_GET, data_root)}"
            )
        splits[part.name] = _annotations([place / name for name in names], points)
    return splits


def prepare(
    sources: Sequence[Path], data_root: Path, progress: Progress | None = None, parts: Sequence[Part] = PARTS
) -> tuple[str, ...]:
    """Put the set, or a part of it, from archives or extracted folders into `<data root>/parse`.

    Which part a `labels.mat` and the images beside it are shows in the number of records and in the images'
    numbers; leading folders do not matter. Everything is unpacked beside its place and checked before anything is
    replaced; a part that is there stays until the same part comes again. Gives the names of the folders that are new.
    Raises DeepPoseError, one line, for sources that do not hold a part whole, and UsageError where none is given.
    """
    if not sources:
        raise UsageError(f"--from: parse needs its archive; type: {how_to_prepare(_GET, data_root)}")
    folder = data_root / "parse"
    return put(
        sources,
        folder,
        lambda listed, temporary: _plan(listed, temporary, parts),
        lambda unpacked: _validate(unpacked, parts),
        progress,
    )


def absent(data_root: Path) -> tuple[str, ...]:
    """A line for each split that is not here."""
    folder = data_root / "parse"
    if (folder / _WHOLE).is_dir():
        return ()
    return tuple(f"{part.name}: {part.folder} is not here" for part in PARTS if not (folder / part.folder).is_dir())


def _annotations(files: list[Path], points: NDArray[np.float64]) -> Annotations:
    boxes = np.full((len(files), 4), np.nan)
    return Annotations(LSP14, tuple(files), points, boxes, tuple(file.name for file in files))


def _of_part(points: NDArray[np.float64], part: Part, parts: Sequence[Part], shown: str) -> NDArray[np.float64]:
    """The part's records, of a file that holds those alone or all."""
    total = parts[-1].last
    if len(points) == total:
        return points[part.first - 1 : part.last]
    if len(points) != part.count:
        raise DeepPoseError(
            f"{shown}: ptsAll has {len(points)} records; valid: {part.count} ({part.name}) or {total} (all)"
        )
    return points


def _plan(listed: Listed, temporary: Path, parts: Sequence[Part]) -> Plan:
    """Which member of which source goes where: `<temporary>/<people_…>/labels.mat`, `im….jpg`."""
    plan: Plan = {}
    origin: dict[Path, Path] = {}
    for source, names in listed:
        plan[source] = {}
        groups: dict[str, list[re.Match[str]]] = defaultdict(list)
        for match in filter(None, map(_NEEDED.fullmatch, names)):
            groups[match["base"]].append(match)
        for base, group in groups.items():
            if f"{base}labels.mat" not in [match[0] for match in group]:
                continue
            folder, wanted = _recognise(source, base, group, temporary, parts)
            for match in group:
                if match["number"] and int(match["number"]) not in wanted:
                    continue
                target = temporary / folder / match["file"]
                if target in origin:
                    raise DeepPoseError(
                        f"{source}: {match[0]!r} is in {origin[target]} already; give each archive once"
                    )
                origin[target] = source
                plan[source][match[0]] = target
        if not plan[source]:
            raise DeepPoseError(f"{source}: does not hold {_HOLDS}")
    return plan


def _recognise(
    source: Path, base: str, group: Sequence[re.Match[str]], temporary: Path, parts: Sequence[Part]
) -> tuple[str, range]:
    """(the folder in which this group belongs, the numbers of its images)."""
    look = temporary / "labels" / "labels.mat"
    look.unlink(missing_ok=True)
    member = f"{base}labels.mat"
    unpack(source, {member: look})
    records, total = len(read_labels(look, f"{source}: {member}")), parts[-1].last
    numbers = {int(match["number"]) for match in group if match["number"]} & set(range(1, total + 1))
    for part in parts:
        own = range(part.first, part.last + 1)
        if records == part.count or (records == total and numbers and numbers <= set(own)):
            return part.folder, own
    if records == total:
        return _WHOLE, range(1, total + 1)
    valid = ", ".join(f"{part.count} ({part.name})" for part in parts)
    raise DeepPoseError(f"{source}: {member}: ptsAll has {records} records; valid: {total} (all), {valid}")


def _validate(unpacked: Unpacked, parts: Sequence[Part]) -> None:
    """Raises DeepPoseError, naming the sources, where an image of an unpacked part is missing."""
    images = {part.folder: part.images() for part in parts}
    images[_WHOLE] = [name for part in parts for name in part.images()]
    for name, names in images.items():
        folder = unpacked.folder / name
        missing = not_there(folder, names) if folder.is_dir() else []
        if missing:
            raise DeepPoseError(
                f"{unpacked.sources(folder)}: {len(missing)} of {len(names)} images are missing, "
                f"the first is {missing[0]}"
            )


PARSE = DatasetSpec(
    name="parse",
    title="Image Parse: 305 people in snapshots, whole body",
    skeleton=LSP14,
    preset="small",
    sigma=2.0,
    initial_box="image",
    conventions="1-based in the files, 0-based here; sides are the image's in the files, swapped here to the person's, "
    "as people face the camera (95 of 100 do); the file's rows, so renamed, are in the order of the joints here",
    how_to_get=f"people.zip from Deva Ramanan's page of the NIPS 2006 paper (www.ics.uci.edu/~dramanan); type: {_GET}",
    read=read,
    evaluation_only=True,
    absent=absent,
    image_order="by number: train im0001 … im0100, test im0101 … im0305",
)
