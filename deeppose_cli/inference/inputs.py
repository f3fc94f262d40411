"""What the user named as input → the images and videos to look at, in order, none twice.

Named may be files, folders (their images and videos, in order of name), cameras by number, patterns that no shell has
expanded, and `-`: a list on standard input, one name a line, or with NUL between names.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os.path import realpath  # unlike Path.resolve, it takes links that lead in a circle
from pathlib import Path
from typing import BinaryIO

from deeppose_cli.core.errors import UsageError
from deeppose_cli.media.video import VIDEO_SUFFIXES

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
SUFFIXES = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
"""What is taken from a folder. A file that is named itself is tried as an image if its suffix is none of these."""
STDIN = "-"
_SHARD = re.compile(r"([1-9]\d{0,8})/([1-9]\d{0,8})")


@dataclass(frozen=True)
class Failure:
    """An input that was skipped, and why."""

    source: Path
    reason: str


@dataclass(frozen=True)
class Shard:
    """Part `number`, from 1, of `of` parts of an input: every `of`-th image, so that all take about as long."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """`2/8`. Raises UsageError."""
        match = _SHARD.fullmatch(text)
        if match is None or int(match[1]) > int(match[2]):
            raise UsageError(f"--shard {text}: valid: i/n, part i of n, as in 1/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, index: int) -> bool:
        return index % self.of == self.number - 1


def find_images(named: Sequence[str | Path], stdin: BinaryIO | None = None) -> tuple[list[Path], list[Failure]]:
    """Files as they are named, and what folders and patterns hold. What holds nothing is a failure.

    `stdin`: where `-` reads its list from. Raises UsageError for `-` without one.
    """
    found: dict[str, Path] = {}
    failures: list[Failure] = []
    listed = list(_listed(named, stdin))
    if not listed and named:
        failures.append(Failure(Path(STDIN), f"{STDIN}: the list on standard input is empty"))
    for given in listed:
        path = Path(given)
        files: Iterable[Path] = [path]
        if path.is_dir():
            try:
                files = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.is_dir())
            except OSError as error:
                failures.append(Failure(path, f"{given}: cannot be read ({error.strerror})"))
                continue
            if not files:
                failures.append(Failure(path, _nothing_in(path)))
        elif glob.has_magic(given) and not os.path.lexists(path):
            files = [Path(name) for name in sorted(glob.glob(given, recursive=True)) if not os.path.isdir(name)]
            if not files:
                failures.append(Failure(path, f"{given}: nothing has a name like this"))
        for file in files:
            found.setdefault(realpath(file), file)
    return list(found.values()), failures


def _nothing_in(folder: Path) -> str:
    try:
        deeper = any(p.is_dir() for p in folder.iterdir())
    except OSError:
        deeper = False
    hint = f"; for folders below it, type '{folder}/**/*'" if deeper else ""
    return f"{folder}: no image or video in this folder ({', '.join(SUFFIXES)}){hint}"


def _listed(named: Sequence[str | Path], stdin: BinaryIO | None) -> Iterator[str]:
    for given in map(str, named):
        if given != STDIN:
            yield given
        elif stdin is None:
            raise UsageError("-: there is no list on standard input here")
        else:
            data = stdin.read()
            between = b"\0" if b"\0" in data else b"\n"
            lines = (line.rstrip(b"\r") if between == b"\n" else line for line in data.split(between))
            yield from (os.fsdecode(line) for line in lines if line)
