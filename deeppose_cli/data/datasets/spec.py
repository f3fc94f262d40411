"""Facts of a data set that are needed before it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deeppose_cli.core.annotations import Annotations
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.data.prepare.download import Archive

SPLITS = ("train", "validation", "test")
"""Keys of what `DatasetSpec.read` returns, in this order."""
MAX_COORDINATE = 1e5
"""px; a coordinate beyond it is no place in an image."""
WITHIN = f"within ±{MAX_COORDINATE:.0f} px"


@dataclass(frozen=True)
class DatasetSpec:
    """A data set, by name. `read` gives its splits; the rest is facts."""

    name: str
    title: str
    skeleton: Skeleton
    preset: str
    """The preset used where --preset is not given."""
    sigma: float
    """σ of the refinement crops where the preset has none (paper, section 4.1)."""
    initial_box: str
    """Where b⁰ comes from in evaluation, a value of `--box`: `image`, `face`, … Follows the paper."""
    conventions: str
    """One line: base and sides of the original files, and what was converted."""
    how_to_get: str
    """One line: where the archives are and what to type."""
    read: Callable[[Path], dict[str, Annotations]]
    """(data root) → {"train", "validation", "test"}. Decodes no image. Raises DeepPoseError, naming file, record and
    field, where something is missing or cannot be right."""
    prepare: Callable[[Sequence[Path], Path, Progress | None], None] | None = None
    """(archives or extracted folders, data root, progress): puts it in place. None: made here, or joined of others."""
    archives: tuple[Archive, ...] = ()
    """Where it can be downloaded from."""
    evaluation_only: bool = False
    """Never trained on here."""
    image_order: str = "that of the set's own label files"
    """One line: the order of the rows of each split; predictions from elsewhere are read in it."""
    absent: Callable[[Path], tuple[str, ...]] = lambda data_root: ()
    """(data root) → what of the release is not here, a line for each split; for sets that may be had in parts."""
    parts: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of a set that joins others, and has no folder of its own: their names, and the value of `--box` that a model of
    the joined set expects in each."""

    def folders(self, data_root: Path) -> tuple[Path, ...]:
        """Where the set lies."""
        return tuple(data_root / name for name in self.parts or (self.name,))

    def check_trainable(self) -> None:
        """Raises UsageError for a set that is only scored on."""
        if self.evaluation_only:
            raise UsageError(f"--data {self.name}: for evaluation, never trained on here; deeppose eval scores it")
