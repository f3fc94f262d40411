"""What the public data sets share: from the archives of a release to the one form on disk (see coco.py, spec.py).

<data root>/<name>/
    dataset.yaml
    annotations/train.json, validation.json, test.json
    images/<part>/…

A part is what comes in one piece, such as LSPET; parts may come one after the other.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.coco import find_missing, read_coco, write_coco
from deeppose_cli.data.datasets.spec import DATASET_FILE, IMAGES, DatasetSpec, annotation_file, read_spec, write_spec
from deeppose_cli.data.datasets.splits import SPLITS, Splits
from deeppose_cli.data.prepare.archives import Chooser, Members, choose_members, replace_folder, staging, unpack
from deeppose_cli.media.images import image_size

TOGETHER = "give all archives of a set at once: --from PART1 --from PART2"


def join_parts(parts: Mapping[str, Splits]) -> Splits:
    """The rows of all parts, split by split."""
    return {split: Annotations.join([part[split] for part in parts.values()]) for split in SPLITS}


@dataclass(frozen=True)
class Part:
    """What of a data set comes in one piece, and how its labels are converted."""

    labels: tuple[str, ...]
    """The archive's label files, all needed: `joints.mat`."""
    convert: Callable[[Sequence[Path], Sequence[str]], Splits]
    """(label files, what errors call them) → rows by split, `files` relative to the part's folder. Raises DeepPoseError
    that names file, record and field of what cannot be right."""
    split: str | None = None
    """The one split that it belongs to; None: several."""


@dataclass(frozen=True)
class Release:
    """How a public data set is prepared from its archives."""

    parts: Mapping[str, Part]
    """By the name of their folder."""
    choose: Chooser
    """Which members of an archive are needed, and where they belong: `<part>/…`."""
    content: str
    """What an archive of this set holds, for errors."""
    required: str | None = None
    """The part without which the set is of no use; None: any part will do."""
    combine: Callable[[dict[str, Splits]], Splits] = join_parts
    """Part → its rows, for those that are here; to the rows of the set."""

    def prepare(
        self, spec: DatasetSpec, sources: Sequence[Path], data_root: Path, progress: Progress | None = None
    ) -> None:
        """Put one or more parts from archives or extracted folders into `<data root>/<name>`.

        A part may come in several sources, a source may hold several; leading folders do not matter. Everything is
        unpacked beside its place, converted and checked before anything is replaced; a part that is there stays until
        it comes again. Raises DeepPoseError, one line, for sources that do not hold a part whole.
        """
        folder = data_root / spec.name
        members = choose_members(sources, self.choose, self.content)
        given = sorted({place.partition("/")[0] for place in members})
        with staging(folder) as temporary:
            unpack(members, temporary / IMAGES, progress)
            parts = self._read_parts(spec, folder, given)
            for part in given:
                parts[part] = self._convert(temporary / IMAGES / part, members)
            if self.required not in (None, *parts):
                raise DeepPoseError(f"{spec.name} without {self.required}; {TOGETHER}")
            rows = self.combine({part: parts[part] for part in self.parts if part in parts})
            for part in given:
                replace_folder(temporary / IMAGES / part, folder / IMAGES / part)
            known = read_spec(folder).sources if (folder / DATASET_FILE).is_file() else ()
            unique = {source["file"]: source for source in (*known, *map(describe_source, sources))}
            write_dataset(replace(spec, sources=tuple(unique.values())), rows, folder)

    def _convert(self, folder: Path, members: Members) -> Splits:
        part, prefix = self.parts[folder.name], f"{folder.name}/"
        origins = {place.removeprefix(prefix): origin for place, origin in members.items() if place.startswith(prefix)}
        sources = " + ".join(dict.fromkeys(str(source) for source, _ in origins.values()))
        for name in part.labels:
            if name not in origins:
                raise DeepPoseError(f"{sources}: {folder.name} has no {name}; {TOGETHER}")
        files = [folder / name for name in part.labels]
        splits = part.convert(files, [": ".join(map(str, origins[name])) for name in part.labels])
        images = {file.as_posix() for rows in splits.values() for file in rows.files}
        if missing := find_missing(folder, images):
            raise DeepPoseError(
                f"{sources}: {len(missing)} of {len(images)} images of {folder.name} are missing, the first is "
                f"{missing[0]}; {TOGETHER}"
            )
        for file in files:
            file.unlink()
        return {split: relocate(rows, Path(folder.name)) for split, rows in splits.items()}

    def _read_parts(self, spec: DatasetSpec, folder: Path, given: Sequence[str]) -> dict[str, Splits]:
        """The rows of the parts that are there and not given anew, `files` relative to the folder of the images.

        Raises DeepPoseError where they cannot be read.
        """
        kept = [part for part in self.parts if part not in given and (folder / IMAGES / part).is_dir()]
        parts: dict[str, Splits] = {part: {} for part in kept}
        for split in SPLITS if kept and (folder / DATASET_FILE).is_file() else ():
            try:
                rows = read_coco(annotation_file(folder, split), keep_unlabelled=True)
            except DeepPoseError as error:
                raise DeepPoseError(f"{error}; give {' and '.join(kept)} again, too, or delete {folder}") from None
            everyone = rows.to_annotations(spec.skeleton, Path())
            for part in kept:
                own = [i for i, name in enumerate(rows.file_names) if name.partition("/")[0] == part]
                parts[part][split] = everyone.take(own)
        return {part: splits for part, splits in parts.items() if splits}

    def absent(self, name: str, data_root: Path) -> tuple[str, ...]:
        """A line for each split of which parts are not here."""
        gone: dict[str, list[str]] = {}
        for part_name, part in self.parts.items():
            if part.split is not None and not (data_root / name / IMAGES / part_name).is_dir():
                gone.setdefault(part.split, []).append(part_name)
        return tuple(
            f"{split}: not here: {', '.join(f'{IMAGES}/{name}' for name in names)}" for split, names in gone.items()
        )


def public_dataset(spec: DatasetSpec, release: Release) -> DatasetSpec:
    """The data set with the functions that put it in place."""
    return replace(spec, prepare=partial(release.prepare, spec), absent=partial(release.absent, spec.name))


def write_dataset(spec: DatasetSpec, splits: Splits, folder: Path) -> None:
    """Write the annotations, `files` relative to the folder of the images, and then `dataset.yaml`.

    Raises DeepPoseError where they cannot be written.
    """
    images = folder / IMAGES
    sizes: dict[Path, tuple[int, int]] = {}
    for file in {file for rows in splits.values() for file in rows.files}:
        sizes[images / file] = 0, 0
        with suppress(DeepPoseError):  # reported where the image itself is needed
            sizes[images / file] = image_size(images / file)
    for split, rows in splits.items():
        write_coco(annotation_file(folder, split), relocate(rows, images), images, sizes)
    write_spec(spec, folder)


def relocate(rows: Annotations, folder: Path) -> Annotations:
    """The rows with their files below a folder."""
    paths = {file: folder / file for file in rows.files}
    return replace(rows, files=tuple(paths[file] for file in rows.files))


def describe_source(source: Path) -> dict[str, str]:
    """Name and checksum of an archive, for `dataset.yaml`; of a folder the name alone."""
    described = {"file": source.resolve().name}
    if source.is_file():
        with source.open("rb") as stream:
            described["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    return described


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, the second of a name as NAME#2, the third as NAME#3."""
    count: Counter[str] = Counter()
    unique = []
    for name in names:
        count[name] += 1
        unique.append(name if count[name] == 1 else f"{name}#{count[name]}")
    return unique


def make_rows(
    skeleton: Skeleton,
    files: Sequence[str],
    keypoints: NDArray[np.float64],
    names: Sequence[str] | None = None,
    boxes: NDArray[np.float64] | None = None,
    torsos: NDArray[np.float64] | None = None,
    sticks: NDArray[np.float64] | None = None,
) -> Annotations:
    """Annotations of images by their paths; named after them unless `names` is given; boxes NaN if not given."""
    boxes = np.full((len(files), 4), np.nan) if boxes is None else boxes
    paths = tuple(map(Path, files))
    names = [path.name for path in paths] if names is None else names
    return Annotations(skeleton, paths, keypoints, boxes, tuple(names), torsos, sticks)
