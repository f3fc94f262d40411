"""The user's inputs → the image and video files to predict, in order, none twice.

Inputs are files, folders (their images and videos, in order of name), numbers of cameras, patterns that no shell has
expanded, and `-`: a list on standard input, one name a line, or with NUL between names.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from os.path import realpath  # unlike Path.resolve, it takes links that lead in a circle
from pathlib import Path
from typing import BinaryIO

from deeppose_cli.core.errors import UsageError
from deeppose_cli.media.video import VIDEO_SUFFIXES

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
"""Files that are taken from a folder. A named file is read as an image if its suffix is none of these."""
STDIN = "-"


def find_inputs(inputs: Sequence[str | Path], stdin: BinaryIO | None = None) -> tuple[list[Path], list[str]]:
    """The files, as they are named, and a message for every folder and pattern without one.

    `stdin`: the list that `-` reads. Raises UsageError for `-` without one.
    """
    files: dict[str, Path] = {}
    problems: list[str] = []
    names = list(_names(inputs, stdin))
    if not names and inputs:
        problems.append(f"{STDIN}: the list on standard input is empty")
    for name in names:
        path = Path(name)
        found: Iterable[Path] = [path]
        if path.is_dir():
            try:
                found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.is_dir())
            except OSError as error:
                problems.append(f"{name}: cannot be read ({error.strerror})")
                continue
            if not found:
                problems.append(_empty_folder(path))
        elif glob.has_magic(name) and not os.path.lexists(path):
            found = [Path(match) for match in sorted(glob.glob(name, recursive=True)) if not os.path.isdir(match)]
            if not found:
                problems.append(f"{name}: no file matches this pattern")
        for file in found:
            files.setdefault(realpath(file), file)
    return list(files.values()), problems


def _empty_folder(folder: Path) -> str:
    has_folders = any(path.is_dir() for path in folder.iterdir())
    hint = f"; subfolders are not searched: type '{folder}/**/*'" if has_folders else ""
    return f"{folder}: no image or video in this folder ({', '.join(SUFFIXES)}){hint}"


def _names(inputs: Sequence[str | Path], stdin: BinaryIO | None) -> Iterator[str]:
    for name in map(str, inputs):
        if name != STDIN:
            yield name
        elif stdin is None:
            raise UsageError("-: there is no list on standard input here")
        else:
            data = stdin.read()
            separator = b"\0" if b"\0" in data else b"\n"
            lines = (line.rstrip(b"\r") if separator == b"\n" else line for line in data.split(separator))
            yield from (os.fsdecode(line) for line in lines if line)
