"""Files that are written whole or not at all, and files that hold a folder for one process."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deeppose_cli.core.errors import DeepPoseError

_LEFTOVER = re.compile(r"\..+\.\d+\.tmp(\.\w+)?")


@contextmanager
def writing(path: Path, hint: str = "") -> Iterator[None]:
    """Turn the system's refusal to write `path` into one line that names it and ends in `hint`."""
    try:
        yield
    except OSError as error:
        raise DeepPoseError(f"{path}: cannot be written ({error.strerror or error}){hint}") from None


@contextmanager
def replacing(file: Path, suffix: str = "") -> Iterator[Path]:
    """A path beside `file` to write to, which takes the name of `file` at the end; after an error it is removed.

    The folder is made where it is missing. The path ends in `suffix`, for writers that choose the format by it.
    Raises DeepPoseError that names `file` where the system refuses to write.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp{suffix}")
    with writing(file):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Delete what a process that was killed within `replacing` left in a folder. No process may write to it now."""
    for file in folder.glob(".*.tmp*"):
        if _LEFTOVER.fullmatch(file.name):
            file.unlink(missing_ok=True)


def write_bytes(file: Path, data: bytes) -> None:
    """Replace the file's content. Raises DeepPoseError as `replacing`."""
    with replacing(file) as temporary:
        temporary.write_bytes(data)


def write_text(file: Path, text: str) -> None:
    """Replace the file's content, in UTF-8. Raises DeepPoseError as `replacing`."""
    write_bytes(file, text.encode())


def read_yaml(file: Path) -> dict[str, Any]:
    """Names with values. Raises DeepPoseError, one line that names the file, where it holds nothing of that kind."""
    import yaml

    try:
        values = yaml.safe_load(file.read_bytes())
    except FileNotFoundError:
        raise DeepPoseError(f"{file}: no such file") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        # Of a value such as `!!int ""` the library raises whatever its constructor does.
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        where = "" if mark is None else f" in line {mark.line + 1}"
        reason = " ".join(str(problem or getattr(error, "strerror", None) or error).split())[:200]
        raise DeepPoseError(f"{file}{where}: {reason or 'no YAML'}") from None
    if not isinstance(values, dict):
        raise DeepPoseError(f"{file}: holds no names with values")
    return values


@contextmanager
def lock(file: Path, in_use: str | None = None, hint: str = "") -> Iterator[None]:
    """Hold the lock file for this process; the system releases it however the process ends, `kill -9` included.

    Where another process holds it: wait, or with `in_use` raise DeepPoseError with that message. The lock file stays.
    Raises DeepPoseError, ending in `hint`, that names the folder where the lock file cannot be written.
    """
    from filelock import FileLock, Timeout

    # Not bound to a thread: a run may be closed by another one than the one that opened it.
    held = FileLock(file, timeout=-1 if in_use is None else 0, thread_local=False)
    try:
        with writing(file.parent, hint):
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    held.acquire()
            except Timeout:
                raise DeepPoseError(in_use) from None
            if caught:  # some network file systems
                print(f"{file.parent}: this file system has no locks; a plain file keeps others out", file=sys.stderr)
        yield
    finally:
        held.release()
