"""The data sets by name: the public ones, and whatever lies below the data root."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets import buffy, demo, flic, lsp, parse, people
from deeppose_cli.data.datasets.spec import DATASET_FILE, DatasetSpec, read_spec
from deeppose_cli.data.prepare.download import fetch

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (demo.DEMO, lsp.LSP, flic.FLIC, people.PEOPLE, buffy.BUFFY, parse.PARSE)
}


def list_datasets(data_root: Path) -> tuple[str, ...]:
    """Names of the public sets, then of the user's own in `data_root`."""
    own = sorted(file.parent.name for file in data_root.glob(f"*/{DATASET_FILE}"))
    return tuple(dict.fromkeys((*DATASETS, *(name for name in own if _is_there(name, data_root)))))


def is_prepared(name: str, data_root: Path) -> bool:
    """Whether a set of that name is known and there to be read. Nothing is made or checked."""
    known = name in DATASETS or _is_there(name, data_root)
    return known and get_dataset(name, data_root).is_prepared(data_root)


def get_dataset(name: str, data_root: Path, flag: str = "--data") -> DatasetSpec:
    """The set of that name, with what its `dataset.yaml` says where it is prepared.

    Raises UsageError, naming `flag`, for a name that no set has; DeepPoseError for a damaged `dataset.yaml`.
    """
    public = DATASETS.get(name)
    if _is_there(name, data_root):
        return read_spec(data_root / name, public)
    if public is None:
        valid = ", ".join(list_datasets(data_root))
        raise UsageError(f"{flag} {name}: unknown; valid: {valid}; your own images: deeppose data add NAME")
    return public


def _is_there(name: str, data_root: Path) -> bool:
    """Whether the data root holds a set in a folder of that name; names with a dot are leftovers and caches."""
    plain = Path(name).name == name and not name.startswith(".")
    return bool(name) and plain and (data_root / name / DATASET_FILE).is_file()


def trained_box(trained: str, box: str, scored: DatasetSpec) -> str:
    """Where b⁰ comes from on a set for a model that was trained on another, or the same, with initial box `box`."""
    if trained == scored.name:
        return box
    joined = DATASETS.get(trained)
    if joined is not None and box == joined.initial_box and scored.name in joined.parts:
        return joined.parts[scored.name]
    return scored.initial_box


def prepare(
    name: str, sources: Sequence[Path] = (), *, data_root: Path = DATA_ROOT, progress: Progress | None = None
) -> Path:
    """Put a data set into `<data root>/<name>`: from its archives, or downloaded where there is an address, or drawn.

    Args:
        name: A public set. One that joins others has no folder; that the others are there is checked.
        sources: Archives (zip, tar, tar.gz) or extracted folders: all that hold a part of the set.
        data_root: Where data sets lie.
        progress: Called as (activity, done, total).

    Returns:
        The set's folder.

    Raises:
        UsageError: Sources are needed, or the set takes none.
        DeepPoseError: One line that names what is damaged, missing or cannot be had. What was there before stays.
    """
    if name not in DATASETS:
        raise UsageError(
            f"NAME {name}: no public data set; valid: {', '.join(DATASETS)}; your own images: deeppose data add"
        )
    spec = DATASETS[name]
    if spec.prepare is None:
        if sources:
            raise UsageError(f"--from {sources[0]}: {name} has no archives; {spec.how_to_get}")
        spec.read(data_root)  # draws the demo set; of a joined set it checks the others
    elif sources:
        spec.prepare(sources, data_root, progress)
    elif spec.archives:
        put = spec.prepare
        fetch(spec.archives, data_root / name, lambda file: put([file], data_root, progress), spec.how_to_get, progress)
    else:
        raise UsageError(f"--from: needed, as {name} has no address that can be downloaded from; {spec.how_to_get}")
    return data_root / name
