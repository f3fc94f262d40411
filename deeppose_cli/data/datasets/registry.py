"""The data sets by name: the one place that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets import buffy, demo, flic, lsp, parse, people
from deeppose_cli.data.datasets.spec import DatasetSpec
from deeppose_cli.data.prepare.download import Say
from deeppose_cli.data.prepare.fetch import fetch, is_there
from deeppose_cli.data.prepare.urls import ADDRESSES

DATASETS: dict[str, DatasetSpec] = {
    set_.name: set_ for set_ in (demo.DEMO, lsp.LSP, flic.FLIC, people.PEOPLE, buffy.BUFFY, parse.PARSE)
}

_FROM_ARCHIVES: dict[str, Callable[[Sequence[Path], Path, Progress | None], object]] = {
    lsp.LSP.name: lsp.prepare,
    flic.FLIC.name: flic.prepare,
    buffy.BUFFY.name: buffy.prepare,
    parse.PARSE.name: parse.prepare,
}
_MADE_HERE: dict[str, Callable[[Path], object]] = {demo.DEMO.name: demo.ensure}


def description(name: str, flag: str = "--data") -> DatasetSpec:
    """Raises UsageError, naming `flag`, for a name that no set has."""
    if name not in DATASETS:
        raise UsageError(f"{flag} {name}: unknown; valid: {', '.join(DATASETS)}")
    return DATASETS[name]


def prepare(
    name: str,
    sources: Sequence[Path],
    data_root: Path,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> None:
    """Put a set into `<data root>/<name>`: from its archives, or downloaded where there is an address, or drawn.
    A set that joins others needs those only.

    `say` hears what a download does. Raises DeepPoseError, one line; UsageError where sources are needed.
    """
    known = description(name, "NAME")
    if name in _MADE_HERE:
        if sources:
            raise UsageError(f"--from {sources[0]}: {name} is drawn, not unpacked; type: deeppose data prepare {name}")
        _MADE_HERE[name](data_root)
    elif known.parts:
        if sources:
            raise UsageError(f"--from {sources[0]}: {name} has no archives of its own; {known.how_to_get}")
        known.read(data_root)  # all that can be done is to say what is missing
    elif sources:
        _FROM_ARCHIVES[name](sources, data_root, progress)
    elif name in ADDRESSES:
        fetch(
            ADDRESSES[name],
            data_root / name,
            lambda archive: _FROM_ARCHIVES[name]([archive], data_root, progress),
            known.how_to_get,
            progress,
            say,
        )
    else:
        raise UsageError(f"--from: needed, as {name} has no address that can be downloaded from; {known.how_to_get}")


def trained_box(trained: str, box: str, scored: DatasetSpec) -> str:
    """Where b⁰ comes from on a set for a model that was trained on another, or the same, with initial box `box`."""
    if trained == scored.name:
        return box
    joined = DATASETS.get(trained)
    if joined is not None and box == joined.initial_box and scored.name in joined.parts:
        return joined.parts[scored.name]
    return scored.initial_box


def is_here(name: str, data_root: Path) -> bool:
    """Whether `read` finds something to read. Nothing is made or checked."""
    if name == demo.DEMO.name:
        return demo.is_here(data_root)
    return all(is_there(folder) for folder in description(name).folders(data_root))
