"""Training images, decoded once: a file beside each data set, which every process maps into its memory.

<data root>/<data set>/.cache/images       may be deleted at any time, in the middle of a training too

The file holds the pixels of one image after the other, then an index, then the index's length and checksum. It is
written beside its place and moved there whole. An image is as large there as its file says: on what the sets here have
(0.1 to 0.5 MB an image), reducing would gain nothing, and boxes and labels hold as they are.

The cache is never needed. An image that is not in it, or has another size or time than its file now, is read from the
file; so is one whose pixels do not have the checksum that they were written with, which each process looks at once.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, replacing
from deeppose_cli.core.progress import Progress
from deeppose_cli.media.images import VERSION, Image, read_image

CACHE_FOLDER = ".cache"
"""Inside the data set's folder."""
ROOM = 0.5
"""The largest share that a cache may take of the free disk space, and of the machine's memory: with more, images
would come from the disk again and again, ten to thirty times as many bytes as a JPEG has."""

_FORMAT = f"2, decoding {VERSION}, OpenCV {cv2.__version__}"
"""Another version may decode to other pixels."""
_NO_ROOM = -1
"""In place of an offset."""
_END = struct.Struct("<QI")
"""Length and checksum of the index, at the end of the file."""


class _Entry(NamedTuple):
    """Where an image is; `height` 0: it could not be read."""

    size: int
    time: int
    """Of the source file: bytes, and nanoseconds."""
    offset: int
    """Or _NO_ROOM."""
    height: int
    width: int
    checksum: int

    @property
    def bytes(self) -> int:
        return 3 * self.height * self.width

    @property
    def kept(self) -> bool:
        return self.height > 0 and self.offset != _NO_ROOM


class DataSetCache:
    """The cache of one data set. Opens none that is missing, broken, or written by another version."""

    def __init__(self, folder: Path) -> None:
        """`folder`: the data set's."""
        self.folder, self.file = folder, folder / CACHE_FOLDER / "images"
        self._open()

    def _open(self) -> None:
        self._map: mmap.mmap | None = None
        self._entries: dict[str, _Entry] = {}
        self._good: set[str] = set()
        try:
            with self.file.open("rb") as stream:
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
            length, checksum = _END.unpack(mapped[-_END.size :])
            text = mapped[-_END.size - length : -_END.size]
            if zlib.crc32(text) != checksum:
                return
            index = json.loads(text)
            if index["format"] != _FORMAT or index["bytes"] + length + _END.size != len(mapped):
                return
        except (OSError, ValueError, KeyError, struct.error):
            return
        self._map = mapped
        self._entries = {str(self.folder / name): _Entry(*entry) for name, entry in index["images"].items()}

    def __reduce__(self) -> Any:
        return DataSetCache, (self.folder,)  # where processes are not forked, each maps the file for itself

    def _entry(self, file: Path) -> _Entry | None:
        """What was written when the file was what it is now."""
        entry = self._entries.get(str(file))
        return entry if entry is not None and entry[:2] == _stamp(file) else None

    def _lacks(self, files: Sequence[Path]) -> bool:
        """Whether there is a file that could be taken in, without giving up what is held."""
        held = sum(entry.bytes for name in self._entries if (entry := self._entry(Path(name))) and entry.kept)
        room = self._limit() - held

        def could_be(file: Path) -> bool:
            entry = self._entry(file)
            if entry is None:
                return file.is_file()
            return entry.offset == _NO_ROOM and entry.bytes <= room

        return room > 0 and any(map(could_be, files))

    def _limit(self) -> float:
        return ROOM * min(shutil.disk_usage(self.folder).free, _memory())

    def get(self, file: Path) -> Image | None:
        """(H, W, 3) uint8 RGB that cannot be written to; None where it is not kept, or not to be relied upon."""
        entry, mapped = self._entry(file), self._map
        # Past the end of a file that somebody cut, memory cannot be read: the process would be killed.
        if entry is None or not entry.kept or mapped is None or mapped.size() != len(mapped):
            return None
        shape = (entry.height, entry.width, 3)
        image = np.frombuffer(mapped, np.uint8, entry.height * entry.width * 3, entry.offset).reshape(shape)
        if str(file) not in self._good:
            if zlib.crc32(image.data) != entry.checksum:
                del self._entries[str(file)]
                return None
            self._good.add(str(file))
        return image

    def complete(self, files: Sequence[Path], progress: Progress | None = None) -> str:
        """Takes in the files that it does not have as they are now; returns a line to say, or "" if there is nothing.

        Two processes do so one after the other, and the second finds what the first has made.
        """
        if not self._lacks(files):
            return ""
        try:
            with lock(self.file.parent / "lock"):
                self._open()
                if not self._lacks(files):
                    return ""
                self._write(files, progress)
        except DeepPoseError as error:
            return f"images are decoded each time: {error}"
        self._open()
        kept = [file for file in files if (entry := self._entry(file)) is not None and entry.kept]
        few = f" of {len(files):,}" if len(kept) < len(files) else ""
        size = len(self._map) / 1e9 if self._map is not None else 0.0
        return f"{len(kept):,}{few} images are kept decoded in {self.file} ({size:.2g} GB); it may be deleted any time"

    def _write(self, files: Sequence[Path], progress: Progress | None) -> None:
        """A new file of the given images, and of all others in the old one that have not changed."""
        held = [name for name in self._entries if (entry := self._entry(Path(name))) is not None]
        kept = dict.fromkeys(name for name in held if self._entries[name].kept)  # first: what is held stays
        wanted = {**kept, **dict.fromkeys(map(str, files)), **dict.fromkeys(held)}
        limit = self._limit()
        index: dict[str, _Entry] = {}
        for left in self.file.parent.glob(".images.*"):  # by a process that was killed
            left.unlink(missing_ok=True)
        with replacing(self.file) as temporary, temporary.open("wb") as out:
            at = 0
            for done, name in enumerate(wanted, 1):
                file = Path(name)
                stamp = _stamp(file)  # before the pixels: if the file changes meanwhile, it is not taken for these
                if stamp is None:
                    continue
                image = self._image(file)
                height, width = (0, 0) if image is None else image.shape[:2]
                if image is None:
                    entry = _Entry(*stamp, at, 0, 0, 0)
                elif at + image.nbytes > limit:
                    entry = _Entry(*stamp, _NO_ROOM, height, width, 0)
                else:
                    entry = _Entry(*stamp, at, height, width, zlib.crc32(image.data))
                    at += out.write(image.data)
                index[file.relative_to(self.folder).as_posix()] = entry
                if progress is not None:
                    progress("decoding images", done, len(wanted))
            text = json.dumps({"format": _FORMAT, "bytes": at, "images": index}).encode()
            out.write(text + _END.pack(len(text), zlib.crc32(text)))

    def _image(self, file: Path) -> Image | None:
        kept = self.get(file)
        try:
            return np.ascontiguousarray(read_image(file)) if kept is None else kept
        except DeepPoseError:
            return None  # said where it is needed


class ImageCache:
    """Reads images below a data root, decoded already where its data set's cache has them."""

    def __init__(self, data_root: Path, files: Sequence[Path], progress: Progress | None = None) -> None:
        """Brings the caches of these files' data sets up to date. What can go wrong with that is told in `said`."""
        self.depth = len(data_root.parts)
        sets: dict[str, list[Path]] = {}
        for file in files:
            if data_root in file.parents:
                sets.setdefault(file.parts[self.depth], []).append(file)
        self.sets = {name: DataSetCache(data_root / name) for name in sets}
        lines = [self.sets[name].complete(list(dict.fromkeys(own)), progress) for name, own in sets.items()]
        self.said = "\n".join(line for line in lines if line)

    def read(self, file: Path) -> Image:
        """What `read_image` gives, and raises, but not to be written to."""
        cache = self.sets.get(file.parts[self.depth]) if len(file.parts) > self.depth else None
        kept = cache.get(file) if cache is not None else None
        return read_image(file) if kept is None else kept


def _stamp(file: Path) -> tuple[int, int] | None:
    """Size and time; None where there is no such file."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _memory() -> float:
    """Bytes of this machine; without end where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (OSError, ValueError, AttributeError):
        return float("inf")
