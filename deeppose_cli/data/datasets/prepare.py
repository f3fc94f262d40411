"""Put any data set in place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deeppose_cli.config.defaults import DATA_ROOT
from deeppose_cli.core.errors import UsageError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.datasets.registry import get_dataset
from deeppose_cli.data.prepare.download import fetch


def prepare(
    name: str, sources: Sequence[Path] = (), *, data_root: Path = DATA_ROOT, progress: Progress | None = None
) -> Path:
    """Put a data set into `<data root>/<name>`: from its archives, or downloaded where there is an address, or drawn.

    Args:
        name: One of DATASETS. A set that joins others has no folder; that the others are there is checked.
        sources: Archives (zip, tar, tar.gz) or extracted folders: all that hold a part of the set.
        data_root: Where data sets lie.
        progress: Called as (activity, done, total).

    Returns:
        The set's folder.

    Raises:
        UsageError: Sources are needed, or the set takes none.
        DeepPoseError: One line that names what is damaged, missing or cannot be had. What was there before stays.
    """
    spec = get_dataset(name, "NAME")
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
