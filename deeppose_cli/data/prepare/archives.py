"""Files out of archives that strangers made, to a data set's folder. A source is a zip, a tar (plain, gz, bz2, xz) or
an extracted folder.

Members are read one by one and written only to places that the caller chooses, so none can land elsewhere. An archive
with a member that points outside, that is a link or a device, or that is larger than any data set is refused as a
whole. Everything is unpacked beside the set's folder and swapped in at the end. Whatever is wrong with a source is a
DeepPoseError of one line that names it.
"""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PureWindowsPath

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, writing
from deeppose_cli.core.progress import Progress

MAX_MEMBER_BYTES = 256 * 2**20
"""No image and no label file of the sets read here comes near it; a zip bomb's member does."""
MAX_TOTAL_BYTES = 8 * 2**30
"""All members of one source together, as the source declares their sizes."""
VALID = "a .zip, .tar or .tar.gz archive, or an extracted folder"

Chooser = Callable[[Path, Sequence[str]], Mapping[str, Sequence[str]]]
"""(source, names of its members) → member → where it belongs below the folder of the images: `<part>/…`, once or more
often."""
Members = Mapping[str, tuple[Path, str]]
"""Where a file belongs below the set's folder → (source, member)."""
_Member = tuple[str, int, Callable[[], bytes]]
"""Path inside the source with `/` between its parts, declared size in bytes, and a function that reads it."""


def choose_members(sources: Sequence[Path], choose: Chooser, content: str) -> Members:
    """Raises DeepPoseError for a source that is refused or holds none of the `content`, and for a file given twice."""
    chosen: dict[str, tuple[Path, str]] = {}
    for source in sources:
        names = [name for name, _ in _read_members(source)]
        if not names:
            raise DeepPoseError(f"{source}: the {'folder' if source.is_dir() else 'archive'} is empty")
        places = choose(source, names)
        if not places:
            raise DeepPoseError(f"{source}: does not hold {content}")
        for member, place in ((member, place) for member, found in places.items() for place in found):
            if place in chosen:
                raise DeepPoseError(f"{source}: {member!r} is in {chosen[place][0]} already; give each archive once")
            chosen[place] = source, member
    return chosen


def unpack(members: Members, folder: Path, progress: Progress | None = None) -> None:
    """Write the members to their places below the folder."""
    done = 0
    for source in dict.fromkeys(source for source, _ in members.values()):
        missing: dict[str, list[Path]] = {}
        for place, (origin, member) in members.items():
            if origin == source:
                missing.setdefault(member, []).append(folder / place)
        for name, data in _read_members(source, missing):
            if data is None:
                continue
            for target in missing.pop(name):
                with writing(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(data)
                done += 1
                if progress is not None:
                    progress("unpacking", done, len(members))
        if missing:
            raise DeepPoseError(f"{source}: {min(missing)!r} has gone since the archive was listed")


def is_web_page(head: bytes) -> bool:
    """Whether a file that begins so is HTML or XML: what servers send in place of an archive that they do not have."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")


def _read_members(source: Path, wanted: Collection[str] = ()) -> Iterator[tuple[str, bytes | None]]:
    """The name of each regular file, checked, and the content of those that are wanted when their turn comes."""
    total = 0
    try:
        for name, size, read in _open(source):
            total += size
            path = PureWindowsPath(name)  # the stricter reader: `\` and `C:` are more than part of a name to it
            if path.drive or path.root or ".." in path.parts:
                raise _refusal(source, name, "points outside the target folder")
            if size > MAX_MEMBER_BYTES or total > MAX_TOTAL_BYTES:
                sizes = f"{size} bytes, {total} with all before it; valid: {MAX_MEMBER_BYTES} and {MAX_TOTAL_BYTES}"
                raise DeepPoseError(f"{source}: too large when unpacked, at {name!r}: {sizes}")
            yield name, read() if name in wanted else None
    except DeepPoseError:
        raise
    except Exception as error:
        # zipfile, tarfile and the decompressors raise a dozen unrelated kinds for damaged bytes.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise DeepPoseError(f"{source}: cannot be read: truncated or damaged? ({reason}); copy it again") from None


def _open(source: Path) -> Iterator[_Member]:
    if source.is_dir():
        return _folder_members(source)
    try:
        with source.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError:
        raise DeepPoseError(f"{source}: no such file or folder; valid: {VALID}") from None
    if not head:
        raise DeepPoseError(f"{source}: the file is empty; valid: {VALID}")
    if is_web_page(head):
        raise DeepPoseError(f"{source}: a web page, not an archive (a saved download page?); valid: {VALID}")
    # Tar first: a zip's table of contents is at the end, where a tar may hold a zip.
    if tarfile.is_tarfile(source):
        return _tar_members(source)
    if zipfile.is_zipfile(source):
        return _zip_members(source)
    raise DeepPoseError(f"{source}: neither zip nor tar, or truncated: copy it again; valid: {VALID}")


def _folder_members(source: Path) -> Iterator[_Member]:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            # Size 0: these are files already, and the large ones may be none of ours.
            yield path.relative_to(source).as_posix(), 0, path.read_bytes


def _zip_members(source: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            if info.flag_bits & 0x1:
                raise DeepPoseError(f"{source}: the zip is encrypted; unpack it and pass the folder")
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(source, info.filename, "is a link or a device")
            if not info.is_dir():
                yield info.filename, info.file_size, partial(archive.read, info)


def _tar_members(source: Path) -> Iterator[_Member]:
    with tarfile.open(source) as archive:
        for info in archive:
            if not (info.isreg() or info.isdir()):
                raise _refusal(source, info.name, "is a link or a device")
            try:
                tarfile.data_filter(info, str(source.parent))
            except tarfile.FilterError:
                raise _refusal(source, info.name, "points outside the target folder") from None
            stream = archive.extractfile(info)
            if stream is not None:
                yield info.name.removeprefix("./"), info.size, stream.read


def _refusal(source: Path, name: str, why: str) -> DeepPoseError:
    return DeepPoseError(f"{source}: member {name!r} {why}; the archive is refused")


@contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which one process at a time may have; removed at the end whatever happens."""
    temporary = folder.with_name(f".{folder.name}.new")
    with lock(folder.with_name(f".{folder.name}.lock"), hint="; --data-root takes another"):
        shutil.rmtree(temporary, ignore_errors=True)  # by a process that was killed
        with writing(temporary):
            temporary.mkdir()
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` (same file system) at `target`; what was there is removed only afterwards.

    The two renames leave no moment in which half of a folder is in place. A process that is killed between them leaves
    the old folder beside its place, under the name `.<name>.old`.
    """
    old = target.with_name(f".{target.name}.old")
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            os.replace(new, target)
            return
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
        try:
            os.replace(new, target)
        except OSError:
            os.replace(old, target)
            raise
    shutil.rmtree(old, ignore_errors=True)
