"""Facts of a data set that are needed before its labels are read, and `dataset.yaml`, which holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from deeppose_cli.config.defaults import BOX_SOURCES, DATA_ROOT, DEFAULT_DATA_PRESET
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.files import read_yaml, write_text
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.coco import find_missing, read_coco
from deeppose_cli.data.datasets.splits import SPLITS, Splits
from deeppose_cli.data.prepare.download import Archive

DATASET_FILE = "dataset.yaml"
IMAGES, ANNOTATIONS = "images", "annotations"
_TEXTS = ("title", "preset", "initial_box", "conventions", "image_order", "licence", "citation")
_FORMAT = 1


@dataclass(frozen=True)
class DatasetSpec:
    """A data set: the facts of its `dataset.yaml`, and how a public one is put in place."""

    name: str
    title: str
    skeleton: Skeleton
    preset: str = DEFAULT_DATA_PRESET
    """The preset used where --preset is not given."""
    sigma: float = 2.0
    """σ of the refinement crops where the preset has none (paper, section 4.1)."""
    initial_box: str = "own"
    """Where b⁰ comes from in evaluation, a value of `--box`: `image`, `face`, … Follows the paper."""
    conventions: str = ""
    """One line: base and sides of the original files, and what was converted."""
    image_order: str = "that of the annotation files"
    """One line: the order of the rows of each split; predictions from elsewhere are read in it."""
    licence: str = ""
    citation: str = ""
    evaluation_only: bool = False
    """Never trained on here."""
    sources: tuple[Mapping[str, str], ...] = field(default=(), hash=False)
    """What the set was made from: `file` and `sha256`."""

    how_to_get: str = ""
    """One line: where the archives are and what to type."""
    prepare: Callable[[Sequence[Path], Path, Progress | None], None] | None = None
    """(archives or extracted folders, data root, progress): puts it in place. None: made here, or joined of others."""
    make: Callable[[Path], object] | None = None
    """(data root): makes the set where it is not there. None: it must be prepared first."""
    join: Callable[[Path], Splits] | None = None
    """(data root) → the rows of a set that joins others, and has no folder of its own."""
    archives: tuple[Archive, ...] = ()
    """Where it can be downloaded from."""
    absent: Callable[[Path], tuple[str, ...]] = lambda data_root: ()
    """(data root) → what of the release is not here, a line for each split; for sets that may be had in parts."""
    parts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of a set that joins others: their names, and the value of `--box` that a model of the joined set expects in each.
    """

    def folders(self, data_root: Path) -> tuple[Path, ...]:
        """Where the set lies."""
        return tuple(data_root / name for name in self.parts or (self.name,))

    def is_prepared(self, data_root: Path) -> bool:
        """Whether the set is there to be read. Nothing is made or checked."""
        return all((folder / DATASET_FILE).is_file() for folder in self.folders(data_root))

    def read(self, data_root: Path) -> Splits:
        """The splits, {"train", "validation", "test"}; one that has no file is empty. No image is decoded.

        Raises DeepPoseError that names file, record and field where something is missing or cannot be right.
        """
        if self.join is not None:
            return self.join(data_root)
        if self.make is not None:
            self.make(data_root)
        folder = data_root / self.name
        if not (folder / DATASET_FILE).is_file():
            raise DeepPoseError(f"{self.name} is not in {folder}; {self._get_it(data_root)}")
        splits: Splits = {}
        names: set[str] = set()
        for split in SPLITS:
            file = annotation_file(folder, split)
            if not file.is_file():
                continue
            found = read_coco(file, keep_unlabelled=True)
            if found.joints != self.skeleton.joints:
                raise DeepPoseError(
                    f"{file}: keypoints {', '.join(found.joints)}; valid: those of {folder / DATASET_FILE}: "
                    f"{', '.join(self.skeleton.joints)}"
                )
            limbs = None if found.sticks is None else found.sticks.shape[1]
            if limbs not in (None, len(self.skeleton.limbs)):
                raise DeepPoseError(f"{file}: sticks: {limbs} an annotation; valid: {len(self.skeleton.limbs)}")
            splits[split] = found.to_annotations(self.skeleton, folder / IMAGES)
            names.update(found.file_names)
        if not splits:
            raise DeepPoseError(f"{folder / ANNOTATIONS}: no annotations; valid: {', '.join(SPLITS)}, each .json")
        if missing := find_missing(folder / IMAGES, names):
            count = f"{len(missing)} of {len(names)} images missing"
            again = f"; {self._get_it(data_root)}" if self.how_to_get else ""
            raise DeepPoseError(f"{folder / IMAGES / missing[0]}: no such file ({count}){again}")
        empty = next(iter(splits.values())).take(())
        return {split: splits.get(split, empty) for split in SPLITS}

    def _get_it(self, data_root: Path) -> str:
        root = "" if data_root == DATA_ROOT else f" --data-root {data_root}"
        return f"{self.how_to_get}{root}{'; without --from it is downloaded' if self.archives else ''}"

    def check_trainable(self) -> None:
        """Raises UsageError for a set that is only scored on."""
        if self.evaluation_only:
            raise UsageError(f"--data {self.name}: for evaluation, never trained on here; deeppose eval scores it")


def annotation_file(folder: Path, split: str) -> Path:
    return folder / ANNOTATIONS / f"{split}.json"


def write_spec(spec: DatasetSpec, folder: Path) -> None:
    """Write `dataset.yaml`. Raises DeepPoseError where it cannot be written."""
    import yaml

    values: dict[str, Any] = {"format": _FORMAT, "title": spec.title}
    values |= {key: value for key, value in spec.skeleton.to_mapping().items() if key != "name"}
    values["sigma"] = spec.sigma
    values |= {name: text for name in _TEXTS if (text := getattr(spec, name))}
    if spec.evaluation_only:
        values["evaluation_only"] = True
    values["sources"] = [dict(source) for source in spec.sources]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    write_text(folder / DATASET_FILE, f"{_HEAD}{text}")


_HEAD = """\
# A data set of deeppose. You may edit this file; deeppose data check NAME checks it.
# keypoints: their order in annotations/*.json. mirror: pairs that change places in a mirrored image.
# limbs: kind, then [start, end] of each. scale_by: the two keypoints whose distance is the unit of scores, or box.
# sigma: side of the refinement crops in that unit. initial_box: image, own (bbox), face, torso or person.
"""


def read_spec(folder: Path, public: DatasetSpec | None = None) -> DatasetSpec:
    """The data set of a folder with a `dataset.yaml`.

    What the file does not have is taken from the `public` set of that name, or is the default. Raises DeepPoseError,
    one line that names the key.
    """
    file = folder / DATASET_FILE
    values = read_yaml(file)
    try:
        return _from_mapping(folder.name, values, public)
    except ValueError as error:
        raise DeepPoseError(f"{file}: {' '.join(str(error).split())[:300]}") from None


def _from_mapping(name: str, values: Mapping[str, Any], public: DatasetSpec | None) -> DatasetSpec:
    if values.get("format", _FORMAT) != _FORMAT:
        raise ValueError(f"format: {values['format']!r:.40}; valid: {_FORMAT}; a newer version wrote it?")
    skeleton = Skeleton.from_mapping(values, name if public is None else public.skeleton.name)
    found: dict[str, Any] = {"skeleton": skeleton}
    for key in _TEXTS:
        if key in values:
            if not isinstance(values[key], str) or not values[key].isprintable():
                raise ValueError(f"{key}: {values[key]!r:.60}; valid: one line of text")
            found[key] = values[key]
    if "sigma" in values:
        sigma = values["sigma"]
        if type(sigma) not in (int, float) or not 0 < sigma <= 100:
            raise ValueError(f"sigma: {sigma!r:.40}; valid: a number above 0, at most 100")
        found["sigma"] = float(sigma)
    if found.get("initial_box", "own") not in BOX_SOURCES:
        raise ValueError(f"initial_box: {found['initial_box']!r:.40}; valid: {', '.join(BOX_SOURCES)}")
    only = values.get("evaluation_only", False)
    if not isinstance(only, bool):
        raise ValueError(f"evaluation_only: {only!r:.40}; valid: true or false")
    found["evaluation_only"] = only
    sources = values.get("sources") or []
    if not isinstance(sources, list) or not all(
        isinstance(row, dict) and isinstance(row.get("file"), str) for row in sources
    ):
        raise ValueError(f"sources: {sources!r:.60}; valid: a list of file and sha256")
    found["sources"] = tuple({str(key): str(value) for key, value in row.items()} for row in sources)
    if public is not None:
        return replace(public, **found)
    return DatasetSpec(name=name, **({"title": name} | found))
