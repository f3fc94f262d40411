"""Decoded training images, kept on disk and mapped into memory by every process.

<data root>/<data set>/.cache/images-<version>/       may be deleted at any time, during a training too

An image is decoded when it is first read; its pixels are then written to a file of their own. The name of that file
holds the size and time of the image file, so that a changed image is decoded again; so is one whose pixels do not have
the checksum that they were written with. Without room, or where the folder cannot be written, images are decoded each
time.
"""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import write_bytes
from deeppose_cli.media.images import DECODING_VERSION, Image, image_size, read_image

CACHE_FOLDER = ".cache"
"""Inside the data set's folder."""
VERSION = f"images-{DECODING_VERSION}-opencv{cv2.__version__}"
"""Another version may decode to other pixels."""
ROOM = 0.5
"""The largest share that a cache may take of the free disk space, and of the machine's memory: with more, images
would come from the disk again and again, ten to thirty times as many bytes as a JPEG has."""
SAMPLE = 100
"""So many images give the mean size of an image."""
_HEADER = struct.Struct("<III")
"""Height, width, checksum of the pixels."""


class ImageCache:
    """Reads images below a data root, decoded already where they were read before."""

    def __init__(self, data_root: Path, files: Sequence[Path]) -> None:
        """`files`: all that will be read; they decide whether there is room."""
        self.data_root = data_root
        self._checked: set[str] = set()
        self._writable = False
        self.summary = self._prepare(files)
        """Where images are kept, or why they are not; empty if all of them are kept already."""

    def read(self, file: Path) -> Image:
        """(H, W, 3) uint8 RGB, not to be written to. Raises DeepPoseError as `read_image`."""
        kept = self.file_of(file)
        image = None if kept is None else self._load(kept)
        if image is None:
            image = read_image(file)
            if kept is not None and self._writable:
                self._store(image, kept)
        return image

    def file_of(self, file: Path) -> str | None:
        """Where the pixels of the image, as the file is now, are kept; None: the image is missing, or elsewhere.

        Text, as `Path` would take longer than everything else in reading an image.
        """
        root, name = f"{self.data_root}{os.sep}", str(file)
        if not name.startswith(root):
            return None
        data_set, _, rest = name[len(root) :].partition(os.sep)
        try:
            status = os.stat(name)
        except OSError:
            return None
        return os.path.join(root, data_set, CACHE_FOLDER, VERSION, f"{rest}.{status.st_size}.{status.st_mtime_ns}")

    def _load(self, kept: str) -> Image | None:
        try:
            with open(kept, "rb") as stream:
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            height, width, checksum = _HEADER.unpack_from(data)
            image = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(height, width, 3)
        except (OSError, ValueError, struct.error):  # missing, or cut
            return None
        if kept not in self._checked:
            if zlib.crc32(image.data) != checksum:
                return None
            self._checked.add(kept)
        return image

    def _store(self, image: Image, kept: str) -> None:
        header = _HEADER.pack(*image.shape[:2], zlib.crc32(np.ascontiguousarray(image).data))
        try:
            write_bytes(Path(kept), header + image.tobytes())
        except DeepPoseError:  # the disk is full: what is kept stays, the rest is decoded each time
            self._writable = False

    def _prepare(self, files: Sequence[Path]) -> str:
        missing = [kept for file in files if (kept := self.file_of(file)) is not None and not os.path.exists(kept)]
        if not missing:
            self._writable = True
            return ""
        folders = sorted({Path(kept.partition(f"{os.sep}{VERSION}{os.sep}")[0]) for kept in missing})
        size = _mean_size(files)
        free = ROOM * shutil.disk_usage(self.data_root).free
        if size * len(missing) > free or size * len(files) > ROOM * _memory():
            return f"images are decoded each time: there is no room for {size * len(files) / 1e9:.2g} GB of them"
        try:
            for folder in folders:
                (folder / VERSION).mkdir(parents=True, exist_ok=True)
                for old in folder.glob("images-*"):
                    if old.name != VERSION:
                        shutil.rmtree(old, ignore_errors=True)
        except OSError as error:
            reason = f"{folder} cannot be written ({error.strerror or error})"
            return f"images are decoded each time: {reason}"
        self._writable = True
        where = ", ".join(map(str, folders))
        return f"decoded images are kept in {where} ({size * len(files) / 1e9:.2g} GB); it may be deleted any time"


def _mean_size(files: Sequence[Path]) -> float:
    """Bytes of a decoded image, estimated; 0 where none can be read."""
    sizes = []
    for file in files[:: max(1, len(files) // SAMPLE)]:
        try:
            width, height = image_size(file)
        except DeepPoseError:
            continue
        sizes.append(3 * width * height + _HEADER.size)
    return float(np.mean(sizes)) if sizes else 0.0


def _memory() -> float:
    """Bytes of this machine; infinite where the system does not provide it."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return float("inf")
