"""A data set from its public addresses: downloaded, prepared, and the archives removed again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.progress import Progress
from deeppose_cli.data.prepare.download import Say, Unavailable, download
from deeppose_cli.data.prepare.urls import Archive

FOLDER = "downloads"
"""Below the data root."""


def fetch(
    archives: Sequence[Archive],
    folder: Path,
    prepare: Callable[[Path], object],
    by_hand: str,
    progress: Progress | None,
    say: Say,
) -> None:
    """Whatever of the set in `folder` is not there yet: one archive after the other is downloaded and prepared.

    A prepared archive is removed: all that is needed of it lies in the set's folder. One that was downloaded before but
    not prepared is taken as it is. Raises DeepPoseError; `by_hand` says what else can be done, where the address
    does not give the file. Without an optional archive the set is prepared all the same, and `say` tells.
    """
    downloads = folder.parent / FOLDER
    for archive in archives:
        if is_there(folder / archive.part):
            say(f"{folder / archive.part} is there already; --from replaces it")
            continue
        target = downloads / archive.name
        try:
            if target.is_file():
                say(f"{target} was downloaded before; it is used")
            else:
                say(f"downloading {archive.url} to {target}")
                download(archive.url, target, progress, say)
        except Unavailable as error:
            if not archive.optional:
                raise Unavailable(f"{error}; by hand: {by_hand}") from None
            say(f"warning: {error}; {folder.name} does without it; by hand: {by_hand}")
            continue
        finally:
            _remove_if_empty(downloads)
        try:
            prepare(target)
        except DeepPoseError as error:
            raise DeepPoseError(f"{error}; {target} is kept; delete it to have it downloaded again") from None
        _verify(archive, folder, say)
        target.unlink()
        _remove_if_empty(downloads)
        say(f"{archive.name} is unpacked; the archive is removed")


def is_there(part: Path) -> bool:
    """Whether the folder holds anything of a data set."""
    # Names with a dot are what a killed `prepare` left behind.
    return part.is_dir() and any(not entry.name.startswith(".") for entry in part.iterdir())


def _verify(archive: Archive, folder: Path, say: Say) -> None:
    labels = folder / archive.labels
    if archive.labels and hashlib.sha256(labels.read_bytes()).hexdigest() != archive.labels_sha256:
        say(f"warning: {labels} is not the file that this tool was tested with; scores may not compare with others'")


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()
