"""A data set from its public addresses: downloaded by pooch, prepared, and the archives removed again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import writing
from deeppose_cli.core.progress import Progress, report
from deeppose_cli.core.version import __version__
from deeppose_cli.data.prepare.archives import MAX_TOTAL_BYTES, is_web_page

FOLDER = "downloads"
"""Below the data root, while a download runs."""
TIMEOUT = 30.0
"""s without a byte."""


@dataclass(frozen=True)
class Archive:
    """One file at a public address."""

    url: str
    part: str
    """Folder of images that it fills: where that is there, nothing is downloaded."""
    optional: bool = False
    """The set is of use without it."""
    sha256: str | None = None

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


class Unavailable(DeepPoseError):
    """The address does not give the file."""


def fetch(
    archives: Sequence[Archive],
    folder: Path,
    prepare: Callable[[Path], object],
    by_hand: str,
    progress: Progress | None = None,
) -> None:
    """Download and prepare each archive whose part of `folder` is not there yet.

    `by_hand` is the way that an error names where the address does not give the file. Without an optional archive the
    set is prepared all the same, with a warning. Raises DeepPoseError.
    """
    downloads = folder.parent / FOLDER
    for archive in archives:
        if is_there(part := folder / "images" / archive.part):
            report(f"{part} is there already; --from replaces it")
            continue
        target = downloads / archive.name
        try:
            report(f"downloading {archive.url}")
            download(archive, target, progress)
            prepare(target)
        except Unavailable as error:
            if not archive.optional:
                raise Unavailable(f"{error}; by hand: {by_hand}") from None
            report(f"warning: {error}; {folder.name} is prepared without it; by hand: {by_hand}")
        finally:
            with suppress(OSError):  # not there, or not empty
                target.unlink(missing_ok=True)
                downloads.rmdir()


def download(archive: Archive, target: Path, progress: Progress | None = None) -> None:
    """The archive becomes `target`, whole and with its checksum, or nothing does. `progress` counts bytes.

    Raises Unavailable where the address does not give the file, DeepPoseError where it cannot be written.
    """
    import pooch
    from requests.exceptions import HTTPError, RequestException

    url, host = archive.url, urlsplit(archive.url).hostname
    headers = {"User-Agent": f"deeppose/{__version__}"}
    downloader = pooch.HTTPDownloader(progressbar=_Bar(archive, progress), timeout=TIMEOUT, headers=headers)
    pooch.get_logger().setLevel("WARNING")
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            pooch.retrieve(url, archive.sha256, target.name, target.parent, downloader=downloader)
        except HTTPError as error:
            code = "?" if error.response is None else error.response.status_code
            raise Unavailable(f"{url}: {host} refuses it (HTTP {code})") from None
        except RequestException as error:
            reason = f"no connection to {host}, or it broke off ({type(error).__name__})"
            raise Unavailable(f"{url}: {reason}") from None
        except ValueError:
            raise Unavailable(f"{url}: its sha256 is not {archive.sha256}: damaged or changed") from None
        with target.open("rb") as stream:
            head = stream.read(512)
        if not head or is_web_page(head):
            target.unlink()
            raise Unavailable(f"{url}: sends {'a web page' if head else 'nothing'}, not an archive")


class _Bar:
    """What pooch takes for a progress bar. Its total is set by pooch."""

    total = done = 0

    def __init__(self, archive: Archive, progress: Progress | None) -> None:
        self.archive, self.progress = archive, progress

    def update(self, size: int) -> None:
        self.done += size
        if self.done > MAX_TOTAL_BYTES:
            raise Unavailable(f"{self.archive.url}: larger than {MAX_TOTAL_BYTES} bytes; no archive of a data set is")
        if self.progress is not None:
            done = min(self.done, self.total) if self.total else self.done
            self.progress(f"downloading {self.archive.name}", done, self.total)

    def reset(self) -> None:
        self.done = 0

    def close(self) -> None:
        pass


def is_there(part: Path) -> bool:
    """Whether the folder holds anything of a data set; names with a dot are leftovers and caches."""
    return part.is_dir() and any(not name.startswith(".") for name in os.listdir(part))
