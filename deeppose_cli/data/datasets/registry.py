"""The data sets by name: the one place that lists them all."""

from __future__ import annotations

from pathlib import Path

from deeppose_cli.core.errors import UsageError
from deeppose_cli.data.datasets import buffy, demo, flic, lsp, parse, people
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.prepare.download import is_there

DATASETS: dict[str, DatasetSpec] = {
    spec.name: spec for spec in (demo.DEMO, lsp.LSP, flic.FLIC, people.PEOPLE, buffy.BUFFY, parse.PARSE)
}


def get_dataset(name: str, flag: str = "--data") -> DatasetSpec:
    """The set of that name. Raises UsageError, naming `flag`, for a name that no set has."""
    if name not in DATASETS:
        raise UsageError(f"{flag} {name}: unknown; valid: {', '.join(DATASETS)}")
    return DATASETS[name]


def trained_box(trained: str, box: str, scored: DatasetSpec) -> str:
    """Where b⁰ comes from on a set for a model that was trained on another, or the same, with initial box `box`."""
    if trained == scored.name:
        return box
    joined = DATASETS.get(trained)
    if joined is not None and box == joined.initial_box and scored.name in joined.parts:
        return joined.parts[scored.name]
    return scored.initial_box


def is_prepared(name: str, data_root: Path) -> bool:
    """Whether the set is there to be read. Nothing is made or checked."""
    if name == demo.DEMO.name:
        return demo.is_prepared(data_root)
    return all(is_there(folder) for folder in get_dataset(name).folders(data_root))
