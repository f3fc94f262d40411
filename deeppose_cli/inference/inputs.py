"""The user's inputs → the image and video files to predict, in order, none twice, and the name of each one's overlay.

Inputs are files, folders (their images and videos, in order of name), URLs of videos, numbers of cameras, patterns that
no shell has expanded, and `-`: on standard input a list, one name a line, or with NUL between names; or a video.
"""

from __future__ import annotations

import codecs
import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import realpath  # unlike Path.resolve, it takes links that lead in a circle
from pathlib import Path
from typing import BinaryIO

from deeppose_cli.core.errors import UsageError
from deeppose_cli.media.formats import (
    IMAGE_OUTPUT_SUFFIX,
    IMAGE_SUFFIXES,
    OTHER_MEDIA_SUFFIXES,
    STDIN,
    VIDEO_OUTPUT_SUFFIX,
    VIDEO_SUFFIXES,
    Source,
    is_image_data,
    is_video,
    is_video_data,
)

SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
"""Files that are taken from a folder."""
_PROTOCOLS = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "udp", "tcp", "srt")
"""Of URLs that FFmpeg opens."""
_RECORDS = "predictions.jsonl"
_OVERLAY = re.compile(r"(.+)_pose\d*\.(jpg|mp4)")
MAX_NAME = 255
"""Bytes of a file's name, on most file systems."""


@dataclass(frozen=True)
class Job:
    """One image or video to predict."""

    source: Source
    image_id: str
    """The file's name, as in a data set's list of examples; the path as typed where two files share the name."""
    overlay: str
    """Name of its overlay in the folder of results; by its suffix an image or a video, as the input."""

    @property
    def is_video(self) -> bool:
        return self.overlay.endswith(VIDEO_OUTPUT_SUFFIX)


def find_inputs(inputs: Sequence[str | Path], stdin: BinaryIO | None = None) -> tuple[list[Source], list[str]]:
    """The files, as they are named, and a message for every folder and pattern without one.

    `stdin`: the list that `-` reads. Raises UsageError for `-` without one.
    """
    files: dict[str, Source] = {}
    problems: list[str] = []
    names = list(_names(inputs, stdin))
    if not names and inputs:
        problems.append(f"{STDIN}: the list on standard input is empty")
    for name in names:
        if name == STDIN or "://" in name:
            problem = "" if name == STDIN else _url_problem(name)
            if problem:
                problems.append(f"{name}: {problem}")
            else:
                files.setdefault(name, name)
            continue
        path = Path(name)
        found: Iterable[Path] = [path]
        if path.suffix.lower() in OTHER_MEDIA_SUFFIXES and path.is_file():
            problems.append(_other_media(path))
            continue
        if path.is_dir():
            try:
                inside = sorted(p for p in path.iterdir() if not p.is_dir() and not _is_own_or_hidden(p))
            except OSError as error:
                problems.append(f"{name}: cannot be read ({error.strerror})")
                continue
            found = [p for p in inside if p.suffix.lower() in SUFFIXES]
            others = [p for p in inside if p.suffix.lower() in OTHER_MEDIA_SUFFIXES]
            problems += map(_other_media, others)
            if not found:
                has_folders = any(child.is_dir() for child in path.iterdir())
                hint = f"; subfolders are not searched: type '{path}/**/*'" if has_folders else ""
                problems.append(f"{path}: no image or video in this folder ({', '.join(SUFFIXES)}){hint}")
        elif glob.has_magic(name) and not os.path.lexists(path):
            matches = (Path(match) for match in sorted(glob.glob(name, recursive=True)) if not os.path.isdir(match))
            found = [match for match in matches if not _is_own_or_hidden(match)]
            if not found:
                problems.append(f"{name}: no file matches this pattern")
        for file in found:
            files.setdefault(realpath(file), file)
    return list(files.values()), problems


def _url_problem(url: str) -> str:
    protocol, _, rest = url.partition("://")
    if protocol.lower() not in _PROTOCOLS:
        return f"a URL that is not read; valid: {', '.join(_PROTOCOLS)}"
    is_image = rest.partition("?")[0].lower().endswith(IMAGE_SUFFIXES)
    return "the URL of an image; download the file first" if is_image else ""


def _other_media(file: Path) -> str:
    return f"{file}: {file.suffix} is not read; convert it to JPEG or PNG"


def _is_own_or_hidden(file: Path) -> bool:
    """Whether a file of a folder or pattern is no photo of the user: an overlay, beside its image or among results, or
    what macOS keeps beside files."""
    if file.name.startswith("._"):
        return True
    overlay = _OVERLAY.fullmatch(file.name)
    if overlay is None:
        return False
    is_beside = any(
        file.with_name(overlay[1] + end).exists() for suffix in SUFFIXES for end in (suffix, suffix.upper())
    )
    return is_beside or file.with_name(_RECORDS).is_file()


def plan_jobs(files: Sequence[Source], out: Path) -> list[Job]:
    """Give each file's overlay a name that no other overlay and no input has."""
    # Without regard to case: on some file systems X.jpg and x.jpg are one file.
    taken = {realpath(file).casefold() for file in files}
    folder = realpath(out)
    counts = Counter(_name(file) for file in files)
    numbers: dict[str, int] = {}
    jobs = []
    for file in files:
        stem = Path(_name(file)).stem.casefold()
        suffix = VIDEO_OUTPUT_SUFFIX if is_video(file) else IMAGE_OUTPUT_SUFFIX
        number = numbers.get(stem, 1)
        while (place := os.path.join(folder, name := _overlay_name(file, number, suffix)).casefold()) in taken:
            number += 1
        numbers[stem] = number
        taken.add(place)
        jobs.append(Job(file, _name(file) if counts[_name(file)] == 1 else str(file), name))
    return jobs


def _name(source: Source) -> str:
    """The file's name; of a URL the last part of its path, else its host."""
    if isinstance(source, Path):
        return source.name
    parts = re.sub(r"[?#].*", "", source.partition("://")[2]).split("/")
    named = next((part for part in reversed(parts) if part), "") or "stdin"
    return re.sub(r"[^\w.-]", "_", named.rpartition("@")[2])


def _overlay_name(source: Source, number: int, suffix: str) -> str:
    end = f"_pose{number if number > 1 else ''}{suffix}"
    longest = MAX_NAME - len(end) - 24  # videos are written under a longer name first
    stem = Path(_name(source)).stem
    name = os.fsencode(stem)
    return (stem if len(name) <= longest else name[:longest].decode(errors="ignore")) + end


def _names(inputs: Sequence[str | Path], stdin: BinaryIO | None) -> Iterator[str]:
    for name in map(str, inputs):
        if name != STDIN:
            yield name
        elif stdin is None:
            raise UsageError("-: there is no list on standard input here")
        elif _is_media(stdin):
            yield STDIN
        else:
            data = stdin.read().removeprefix(codecs.BOM_UTF8)
            separator = b"\0" if b"\0" in data else b"\n"
            lines = (line.rstrip(b"\r") if separator == b"\n" else line for line in data.split(separator))
            yield from (os.fsdecode(line) for line in lines if line)


def _is_media(stdin: BinaryIO) -> bool:
    """Whether standard input holds a video and not a list of names. Raises UsageError for an image."""
    peek = getattr(stdin, "peek", None)
    head: bytes = peek(4096) if peek is not None else b""
    if is_image_data(head):
        raise UsageError("-: standard input holds an image; save it as a file first; valid: a list of names, a video")
    return is_video_data(head)
