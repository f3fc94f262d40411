"""The data sets by name: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeppose_cli.archives import Progress
from deeppose_cli.datamodules import demo, flic, lsp
from deeppose_cli.datamodules.description import DataDescription
from deeppose_cli.errors import UsageError

CATALOGUE: dict[str, DataDescription] = {set_.name: set_ for set_ in (demo.DEMO, lsp.LSP, flic.FLIC)}

_FROM_ARCHIVES: dict[str, Callable[[Sequence[Path], Path, Progress | None], object]] = {
    lsp.LSP.name: lsp.prepare,
    flic.FLIC.name: flic.prepare,
}
_MADE_HERE: dict[str, Callable[[Path], object]] = {demo.DEMO.name: demo.ensure}


def description(name: str, flag: str = "--data") -> DataDescription:
    """Raises UsageError, naming `flag`, for a name that no set has."""
    if name not in CATALOGUE:
        raise UsageError(f"{flag} {name}: unknown; valid: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def prepare(name: str, sources: Sequence[Path], data_root: Path, progress: Progress | None = None) -> None:
    """Put a set into `<data root>/<name>`: from its archives, or drawn. Raises DeepPoseError, one line."""
    known = description(name, "NAME")
    if name in _MADE_HERE:
        if sources:
            raise UsageError(f"--from {sources[0]}: {name} is drawn, not unpacked; type: deeppose data prepare {name}")
        _MADE_HERE[name](data_root)
    elif not sources:
        raise UsageError(f"--from: needed once for each archive. {known.how_to_get}")
    else:
        _FROM_ARCHIVES[name](sources, data_root, progress)
