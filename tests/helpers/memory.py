"""Data sets whose labels are not on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.datasets.spec import DatasetSpec

Read = Callable[[Path], Mapping[str, Annotations]]


@dataclass(frozen=True)
class MemoryDataset(DatasetSpec):
    rows: Read = lambda root: {}

    def read(self, data_root: Path) -> dict[str, Annotations]:
        return dict(self.rows(data_root))

    def is_prepared(self, data_root: Path) -> bool:
        return (data_root / self.name).is_dir()


def with_rows(spec: DatasetSpec, read: Read) -> MemoryDataset:
    """The set with the rows that `read` returns for a data root."""
    known: dict[str, Any] = {field.name: getattr(spec, field.name) for field in fields(DatasetSpec)}
    return MemoryDataset(**known, rows=read)


def dataset(name: str, skeleton: Skeleton, read: Read) -> MemoryDataset:
    return MemoryDataset(name, name, skeleton, "tiny", 1.0, "image", rows=read)
