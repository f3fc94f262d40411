"""What the public data sets share: from archives to prepared folders, and from those to annotations.

A prepared set is `<data root>/<name>/<part>/`: images, and `labels.npz` with the columns of `Annotations` for each
split, converted once from the archive's own label files. A part is what comes in one piece, such as LSPET.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from deeppose_cli.config.defaults import DATA_ROOT, SPLIT_SEED
from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import replacing
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.spec import SPLITS
from deeppose_cli.data.prepare.archives import Chooser, Members, choose_members, replace_folder, staging, unpack
from deeppose_cli.data.prepare.download import Archive

Splits = dict[str, Annotations]
"""Split → its rows, for each of SPLITS in their order."""
LABELS = "labels.npz"
TOGETHER = "give all archives of a set at once: --from PART1 --from PART2"
_COLUMNS = ("keypoints", "boxes", "torsos", "sticks")


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
class PublicSet:
    """A public data set that is prepared from archives."""

    name: str
    skeleton: Skeleton
    parts: Mapping[str, Part]
    """By the name of their folder."""
    choose: Chooser
    """Which members of an archive are needed, and where they belong: `<part>/…`."""
    content: str
    """What an archive of this set holds, for errors."""
    command: str
    """What to type to prepare it."""
    archives: tuple[Archive, ...] = ()
    """Public addresses. Only those that public sources name; none could be tried from here."""
    required: str | None = None
    """The part without which the set is of no use; None: any part will do."""
    combine: Callable[[dict[str, Splits]], Splits] = join_parts
    """Part → its rows, for those that are here; to the rows of the set."""

    def prepare(self, sources: Sequence[Path], data_root: Path, progress: Progress | None = None) -> None:
        """Put one or more parts from archives or extracted folders into `<data root>/<name>`.

        A part may come in several sources, a source may hold several; leading folders do not matter. Everything is
        unpacked beside its place, converted and checked before anything is replaced; a part that is there stays until
        it comes again. Raises DeepPoseError, one line, for sources that do not hold a part whole.
        """
        folder = data_root / self.name
        members = choose_members(sources, self.choose, self.content)
        parts = sorted({place.partition("/")[0] for place in members})
        with staging(folder) as temporary:
            unpack(members, temporary, progress)
            for part in parts:
                self._convert(temporary / part, members)
            for part in parts:
                replace_folder(temporary / part, folder / part)

    def _convert(self, folder: Path, members: Members) -> None:
        part, prefix = self.parts[folder.name], f"{folder.name}/"
        origins = {place.removeprefix(prefix): origin for place, origin in members.items() if place.startswith(prefix)}
        sources = " + ".join(dict.fromkeys(str(source) for source, _ in origins.values()))
        for name in part.labels:
            if name not in origins:
                raise DeepPoseError(f"{sources}: {folder.name} has no {name}; {TOGETHER}")
        files = [folder / name for name in part.labels]
        splits = part.convert(files, [": ".join(map(str, origins[name])) for name in part.labels])
        images = {folder / file for rows in splits.values() for file in rows.files}
        if missing := _missing_files(images):
            raise DeepPoseError(
                f"{sources}: {len(missing)} of {len(images)} images of {folder.name} are missing, the first is "
                f"{missing[0].relative_to(folder).as_posix()}; {TOGETHER}"
            )
        for file in files:
            file.unlink()
        write_labels(folder, splits)

    def read(self, data_root: Path) -> Splits:
        """{"train", "validation", "test"}, of the parts that are here. No image is decoded; that each is there is
        checked.

        Raises DeepPoseError where no part or not the required one is here, or an image or a label is missing.
        """
        folder = data_root / self.name
        command = self.command if data_root == DATA_ROOT else f"{self.command} --data-root {data_root}"
        here = [part for part in self.parts if (folder / part).is_dir()]
        if not here or self.required not in (None, *here):
            otherwise = "; without --from it is downloaded" if self.archives else ""
            raise DeepPoseError(f"{self.name} is not in {folder}; type: {command}{otherwise}")
        parts = {}
        for part in here:
            try:
                parts[part] = read_labels(folder / part, self.skeleton)
            except DeepPoseError as error:
                raise DeepPoseError(f"{error}; type: {command}") from None
            images = {file for rows in parts[part].values() for file in rows.files}
            if missing := _missing_files(images):
                count = f"{len(missing)} of {len(images)} images missing"
                raise DeepPoseError(f"{missing[0]}: no such file ({count}); type: {command}")
        return self.combine(parts)

    def absent(self, data_root: Path) -> tuple[str, ...]:
        """A line for each split of which parts are not here; none where a part that holds all splits is here."""
        gone: dict[str, list[str]] = {}
        for name, part in self.parts.items():
            here = (data_root / self.name / name).is_dir()
            if here and part.split is None:
                return ()
            if not here and part.split is not None:
                gone.setdefault(part.split, []).append(name)
        return tuple(f"{split}: not here: {', '.join(names)}" for split, names in gone.items())


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


def in_splits(rows: Annotations, **chosen: Sequence[int] | NDArray[np.integer]) -> Splits:
    """The rows by split, by their numbers; a split that is not given is empty."""
    return {split: rows.take(chosen.get(split, ())) for split in SPLITS}


def split_rows(n: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(training rows, validation rows) of n rows, both ascending; `share` of them are validation. One fixed seed."""
    order = _random_order(n)
    cut = round(n * share)
    return np.sort(order[cut:]), np.sort(order[:cut])


def split_groups(groups: NDArray[np.integer], share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The same for rows of which some belong together: those with the same number (N) in `groups` stay together.

    Groups are drawn in a seeded order, and each that still fits into `share` of the rows becomes validation.
    """
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    room = round(len(groups) * share)
    chosen = np.zeros(len(sizes), dtype=bool)
    for group in _random_order(len(sizes)):
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    validation = chosen[members]
    return np.flatnonzero(~validation), np.flatnonzero(validation)


def _random_order(n: int) -> NDArray[np.intp]:
    # Random.random is the one generator whose values are promised to be the same in every later version.
    draw = Random(SPLIT_SEED)
    return np.argsort([draw.random() for _ in range(n)], kind="stable")


def write_labels(folder: Path, splits: Splits) -> None:
    """Write `labels.npz` of rows whose files are relative to the folder. The same rows give the same bytes."""
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, rows in splits.items():
        arrays[f"{split}_files"] = np.array([file.as_posix() for file in rows.files], dtype=str)
        arrays[f"{split}_names"] = np.array(rows.names, dtype=str)
        columns = {column: getattr(rows, column) for column in _COLUMNS}
        arrays |= {f"{split}_{column}": values for column, values in columns.items() if values is not None}
    with replacing(folder / LABELS, ".npz") as temporary:
        np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]


def read_labels(folder: Path, skeleton: Skeleton) -> Splits:
    """Raises DeepPoseError that names the file."""
    file = folder / LABELS
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = dict(stored)
        return {
            split: make_rows(
                skeleton,
                [os.fspath(folder / name) for name in arrays[f"{split}_files"]],
                names=arrays[f"{split}_names"].tolist(),
                **{column: arrays.get(f"{split}_{column}") for column in _COLUMNS},  # type: ignore[arg-type]
            )
            for split in SPLITS
        }
    except FileNotFoundError:
        raise DeepPoseError(f"{file}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile) as error:
        raise DeepPoseError(f"{file}: not readable ({' '.join(str(error).split())[:100]})") from None


def _missing_files(files: set[Path]) -> list[Path]:
    """Those that are not there, in order; each folder is listed once."""
    there: set[Path] = set()
    for folder in {file.parent for file in files}:
        if folder.is_dir():
            there.update(folder / name for name in os.listdir(folder))
    return sorted(files - there)
