"""Files out of archives that strangers made: listed, checked, unpacked beside their place, and swapped in whole.

A source is a zip, a tar (plain, gz, bz2, xz) or an extracted folder. Whatever is wrong with one is a DeepPoseError of
one line that names the file. Sources are only read. An archive with a member that would land outside the target, or
that is a link or a device, is refused as a whole: nobody packs a data set that way.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

from deeppose_cli.core.errors import DeepPoseError

MAX_MEMBER_BYTES = 256 * 2**20
"""No image and no label file of the sets read here comes near it; a zip bomb's member does."""
MAX_TOTAL_BYTES = 8 * 2**30
"""All members of one source together, unpacked."""
MAX_MEMBERS = 500_000
VALID = "a .zip, .tar or .tar.gz archive, or an extracted folder"

_CHUNK = 2**20
_DRIVE = re.compile(r"^[A-Za-z]:")
_STAGING = ".new-"
_RETIRED = ".old-"


@dataclass(frozen=True)
class Member:
    """A regular file inside a source."""

    name: str
    """Path inside the source, `/` between its parts."""
    size: int
    """Bytes, as the source declares it."""


def list_members(source: Path) -> tuple[Member, ...]:
    """The regular files in a source, in its order. Nothing is unpacked.

    Raises DeepPoseError: missing, not a source, truncated, encrypted, too large, or with a member that must not be.
    """
    if source.is_dir():
        return _folder_members(source)
    kind = _kind(source)
    with _reading(source):
        members = _zip_members(source) if kind == "zip" else _tar_members(source)
    if not members:
        raise DeepPoseError(f"{source}: the archive is empty")
    return members


def unpack(source: Path, targets: Mapping[str, Path], tick: Callable[[], None] = lambda: None) -> None:
    """Write the members named by `targets` to its paths; their folders are made. `tick` is called after each one.

    Names are those of `list_members`, which checks them all. Raises DeepPoseError when the source cannot be read to its
    end, or a target cannot be written.
    """
    for folder in {target.parent for target in targets.values()}:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    opened = _open_folder if source.is_dir() else _open_zip if _kind(source) == "zip" else _open_tar
    missing = set(targets)
    for name, stream in _guarded(source, opened(source, targets)):
        _copy(source, name, stream, targets[name])
        missing.discard(name)
        tick()
    if missing:
        raise DeepPoseError(f"{source}: {min(missing)!r} has gone since the archive was listed")


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A temporary folder inside `folder` (made where it is missing), removed at the end whatever happens.

    What earlier, killed runs left there is cleaned first. Raises DeepPoseError where `folder` cannot be written.
    """
    temporary = folder / f"{_STAGING}{os.getpid()}"
    with _writing(folder):
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        _clean(folder)
        temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if made:
            with suppress(OSError):  # not empty: the run succeeded
                folder.rmdir()


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` (same file system) at `target`; what was there is removed only afterwards.

    The two renames leave no moment in which half of a folder is in place. Should the process die between them, the old
    folder is put back by the next `staging`.
    """
    retired = target.with_name(f"{_RETIRED}{os.getpid()}-{target.name}")
    with _writing(target):
        if not target.exists():
            os.replace(new, target)
            return
        os.replace(target, retired)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(retired, target)
            raise
    _remove(retired)


def _clean(folder: Path) -> None:
    """Remove what dead processes left: unfinished folders, and old ones whose successor is in place."""
    for entry in sorted(folder.iterdir()):
        prefix, _, rest = entry.name.partition("-")
        pid, _, name = rest.partition("-")
        if f"{prefix}-" not in (_STAGING, _RETIRED) or not pid.isdigit() or _alive(int(pid)):
            continue
        if f"{prefix}-" == _RETIRED and name and not (folder / name).exists():
            os.replace(entry, folder / name)
        else:
            _remove(entry)


def _alive(pid: int) -> bool:
    """Whether another process of this number runs: its unfinished folder is not ours to remove."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True


def _remove(entry: Path) -> None:
    if entry.is_symlink():
        entry.unlink()
    else:
        shutil.rmtree(entry, ignore_errors=True)


def _kind(source: Path) -> str:
    try:
        with source.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise DeepPoseError(f"{source}: no such file or folder; valid: {VALID}") from None
    except OSError as error:
        raise DeepPoseError(f"{source}: cannot be read ({error.strerror or error})") from None
    if not head:
        raise DeepPoseError(f"{source}: the file is empty; valid: {VALID}")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise DeepPoseError(
            f"{source}: a web page, not an archive (a download page saved under this name?); valid: {VALID}"
        )
    # Tar first: a zip's table of contents is looked for at the end, where a tar may hold a zip.
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")) or head[257:262] == b"ustar":
        return "tar"
    if zipfile.is_zipfile(source):
        return "zip"
    if head.startswith(b"PK"):
        raise DeepPoseError(
            f"{source}: the zip is truncated or damaged (no table of contents at its end); copy it again"
        )
    raise DeepPoseError(f"{source}: neither zip nor tar; valid: {VALID}")


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Whatever a damaged source makes its reader raise becomes one line."""
    try:
        yield
    except DeepPoseError:
        raise
    except PermissionError as error:
        raise DeepPoseError(f"{source}: cannot be read ({error.strerror})") from None
    except Exception as error:
        # zipfile, tarfile and the four decompressors raise a dozen unrelated kinds for damaged bytes (BadZipFile,
        # zlib.error, LZMAError, EOFError, struct.error, UnicodeDecodeError, NotImplementedError, OverflowError, ...).
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DeepPoseError(f"{source}: truncated or damaged ({reason}); copy it again") from None


def _guarded(source: Path, streams: Iterator[tuple[str, IO[bytes]]]) -> Iterator[tuple[str, IO[bytes]]]:
    """The same, with the reader's errors as `_reading` words them, but not those of whoever takes the streams."""
    while True:
        with _reading(source):
            item = next(streams, None)
        if item is None:
            return
        yield item


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeepPoseError(f"{target}: cannot be written ({error.strerror or error})") from None


def _copy(source: Path, name: str, stream: IO[bytes], target: Path) -> None:
    written = 0
    with _writing(target), target.open("xb") as file:
        while True:
            with _reading(source):
                chunk = stream.read(_CHUNK)
            if not chunk:
                return
            written += len(chunk)
            if written > MAX_MEMBER_BYTES:
                raise DeepPoseError(f"{source}: {name!r} is larger than {MAX_MEMBER_BYTES} bytes; refused")
            file.write(chunk)


def _checked(source: Path, members: Iterator[Member]) -> tuple[Member, ...]:
    """Stops reading at the first member too many or too large."""
    total = 0
    kept: list[Member] = []
    for member in members:
        total += member.size
        if member.size > MAX_MEMBER_BYTES:
            raise DeepPoseError(f"{source}: {member.name!r} unpacks to {member.size} bytes; at most {MAX_MEMBER_BYTES}")
        if total > MAX_TOTAL_BYTES or len(kept) >= MAX_MEMBERS:
            raise DeepPoseError(
                f"{source}: more than {MAX_TOTAL_BYTES} bytes or {MAX_MEMBERS} files when unpacked; "
                f"stopped at {member.name!r}"
            )
        kept.append(member)
    return tuple(kept)


def _refuse(source: Path, name: str, why: str) -> DeepPoseError:
    return DeepPoseError(f"{source}: member {name!r} {why}; the archive is refused")


def _check_name(source: Path, name: str) -> None:
    # Windows reads `\` and `C:` as more than part of a name, so the same archive would land elsewhere there.
    if name.startswith("/") or "\\" in name or "\0" in name or _DRIVE.match(name) or ".." in name.split("/"):
        raise _refuse(source, name, "points outside the target folder")


def _zip_members(source: Path) -> tuple[Member, ...]:
    def regular(archive: zipfile.ZipFile) -> Iterator[Member]:
        for info in archive.infolist():
            # `filename` is cut at a NUL byte and has the system's separators replaced; the stored name does not.
            _check_name(source, info.orig_filename)
            if info.is_dir():
                continue
            mode = info.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                raise _refuse(source, info.filename, "is a link or a device")
            if info.flag_bits & 0x1:
                raise DeepPoseError(f"{source}: the zip is encrypted; unpack it and pass the folder")
            yield Member(info.filename, info.file_size)

    with zipfile.ZipFile(source) as archive:
        return _checked(source, regular(archive))


def _open_zip(source: Path, names: Mapping[str, Path]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(source) as archive:
        for name in names:
            with archive.open(name) as stream:
                yield name, stream


class _Bounded(io.RawIOBase):
    """A decompressed stream that ends a bomb: no read is larger than a member may be, nothing lies behind the total.

    tarfile believes the sizes in its headers, those of long names and extended headers included, and reads them whole.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_MEMBER_BYTES:
            raise tarfile.ReadError(f"a header asks for {size} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if offset + (self.tell() if whence == os.SEEK_CUR else 0) > MAX_TOTAL_BYTES + MAX_MEMBERS * 1024:
            raise tarfile.ReadError(f"unpacks to more than {MAX_TOTAL_BYTES} bytes")
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


@contextmanager
def _tar(source: Path) -> Iterator[tarfile.TarFile]:
    openers: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
    with source.open("rb") as file:
        opener = openers.get(file.read(2), open)
    with opener(source, "rb") as stream:
        bounded = _Bounded(stream)
        with tarfile.open(fileobj=bounded, mode="r:") as archive:
            yield archive
        # A tar ends before its compressed stream does, whose check sum stands last.
        while bounded.read(_CHUNK):
            bounded.seek(0, os.SEEK_CUR)


def _tar_members(source: Path) -> tuple[Member, ...]:
    def regular(archive: tarfile.TarFile) -> Iterator[Member]:
        for info in archive:
            _check_name(source, info.name)
            if info.isdir():
                continue
            if not info.isreg():
                raise _refuse(source, info.name, "is a link or a device")
            yield Member(info.name.removeprefix("./"), info.size)

    with _tar(source) as archive:
        return _checked(source, regular(archive))


def _open_tar(source: Path, names: Mapping[str, Path]) -> Iterator[tuple[str, IO[bytes]]]:
    with _tar(source) as archive:
        for info in archive:
            name = info.name.removeprefix("./")
            stream = archive.extractfile(info) if info.isreg() and name in names else None
            if stream is not None:
                yield name, stream


def _folder_members(source: Path) -> tuple[Member, ...]:
    def fail(error: OSError) -> None:
        raise DeepPoseError(f"{error.filename}: cannot be read ({error.strerror})") from None

    def regular() -> Iterator[Member]:
        for folder, subfolders, files in os.walk(source, onerror=fail):
            subfolders.sort()
            for name in sorted(files):
                path = Path(folder, name)
                if path.is_file():
                    yield Member(path.relative_to(source).as_posix(), path.stat().st_size)

    # No limit of size here: these are files already, and the large ones may be none of ours.
    members = tuple(islice(regular(), MAX_MEMBERS + 1))
    if not members:
        raise DeepPoseError(f"{source}: the folder is empty")
    if len(members) > MAX_MEMBERS:
        raise DeepPoseError(f"{source}: more than {MAX_MEMBERS} files; pass the data set's own folder")
    return members


def _open_folder(source: Path, names: Mapping[str, Path]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in names:
        with (source / name).open("rb") as stream:
            yield name, stream
