"""The folder that predictions are written to, line by line as they come, and what makes a stopped run go on.

predictions.jsonl    a line for each image, done or skipped, in the order of the input (`records.py`)
predictions.json     at the end: COCO keypoint results
predictions.csv      at the end: a row for each person
.predictions.state   while it runs: how it was asked, and how many bytes of predictions.jsonl are whole batches

Answers may depend, in their last bits, on which images share a batch. So a run that is taken up again forgets what
was written of a batch that was not done, and begins with a whole one: its results are those of a run without a stop.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, replacing
from deeppose_cli.inference.records import Record, to_text, write_coco, write_csv

LINES, COCO, CSV = "predictions.jsonl", "predictions.json", "predictions.csv"
STATE = ".predictions.state"
LOCK = ".predictions.lock"
Settings = dict[str, Any]
_AT_ONCE = 256
"""Lines that merging writes together."""


class ResultWriter:
    """A run's results, open for more. A context manager: leaving it by an error keeps what was committed."""

    def __init__(self, folder: Path, settings: Settings, *, resume: bool = False, overwrite: bool = False) -> None:
        """`settings`: what the answers depend on, as JSON can hold it.

        Raises DeepPoseError, before anything of an earlier run is touched, where the folder cannot be written or is in
        use, where it holds an unfinished run and neither flag is given, or one of other settings is to be resumed.
        """
        self.folder, self.settings = folder, settings
        self.done: set[str] = set()
        """Sources that are done."""
        self._begun: set[str] = set()
        """And those of which more is to come: videos."""
        self.count = {"predicted": 0, "skipped": 0, "frames": 0}
        """Images and videos; frames of videos."""
        self.replaced = False
        """Whether the folder held a run's results before."""
        self._held = ExitStack()
        self._file = self._open()
        try:
            state = self._read_state()
            if resume:
                self._go_on(state)
            elif state is not None and not state["finished"] and not overwrite:
                raise DeepPoseError(
                    f"--out {folder}: holds a run that was stopped; --resume goes on with it, --overwrite starts again"
                )
            else:
                self.replaced = state is not None
                self._file.truncate(0)
                for name in (COCO, CSV):
                    (folder / name).unlink(missing_ok=True)
            self._write_state(finished=False)
        except BaseException:
            self._held.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def add(self, lines: Sequence[Record], *, whole: bool = True) -> None:
        """A batch: all of it counts, or nothing. Not `whole`: it counts with the next that is."""
        try:
            self._file.write("".join(map(to_text, lines)).encode())
            self._file.flush()
            if whole:
                self._write_state(finished=False)
        except OSError as error:
            raise DeepPoseError(f"{self.folder / LINES}: cannot be written ({error.strerror or error})") from None
        for line in lines:
            self._note(line)
        if whole:
            self._settle()

    def finish(self) -> Path | None:
        """Writes the other formats; the path of the COCO results. None, and nothing written, if there is no pose."""
        lines, coco = self.folder / LINES, self.folder / COCO
        try:
            if self.count["predicted"]:
                _replace(coco, lambda out: write_coco(read_lines(lines), str(self.folder), out))
                _replace(self.folder / CSV, lambda out: write_csv(read_lines(lines), out))
            self._write_state(finished=True)
        except OSError as error:
            raise DeepPoseError(f"{self.folder}: cannot be written ({error.strerror or error})") from None
        return coco if self.count["predicted"] else None

    def _open(self) -> BinaryIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / LINES).open("a+b")
        except OSError as error:
            raise DeepPoseError(
                f"--out {self.folder}: not a folder that can be written to ({error.strerror})"
            ) from None
        self._held.enter_context(file)
        in_use = f"--out {self.folder}: in use by another run; another folder is valid"
        try:
            self._held.enter_context(lock(self.folder / LOCK, in_use))
        except DeepPoseError:
            self._held.close()
            raise
        return file

    def _read_state(self) -> dict[str, Any] | None:
        """None where there is none; a damaged one is that of a finished run."""
        try:
            state = json.loads((self.folder / STATE).read_text(encoding="utf-8"))
            return {"offset": int(state["offset"]), "finished": bool(state["finished"]), "settings": state["settings"]}
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _go_on(self, state: dict[str, Any] | None) -> None:
        if state is None:
            if self._file.seek(0, os.SEEK_END):
                raise DeepPoseError(f"--resume: {self.folder} holds results, but not how they were made")
            return
        differing = sorted(
            key
            for key in self.settings.keys() | state["settings"].keys()
            if self.settings.get(key) != state["settings"].get(key)
        )
        if differing:
            raise DeepPoseError(
                f"--resume: {self.folder} was begun with another {' and '.join(differing)}; give the same, or --out"
            )
        self._file.truncate(state["offset"])
        for line in read_lines(self.folder / LINES):
            self._note(line)
        self._settle()

    def _settle(self) -> None:
        """All that was begun is done."""
        self.done |= self._begun
        self._begun.clear()

    def _note(self, line: Record) -> None:
        self._begun.add(line["source"])
        self.count["frames"] += "frame" in line
        if line.get("frame", 0) == 0:
            self.count["skipped" if "error" in line else "predicted"] += 1

    def _write_state(self, *, finished: bool) -> None:
        state = {"settings": self.settings, "offset": self._file.seek(0, os.SEEK_END), "finished": finished}
        _replace(self.folder / STATE, lambda out: out.write(json.dumps(state)))


def read_lines(file: Path) -> Iterator[Record]:
    """Raises DeepPoseError that names the file and the line which is none."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                try:
                    line = json.loads(text)
                    line["source"]
                except (ValueError, KeyError, TypeError):
                    raise DeepPoseError(f"{file}: line {number} is not one that deeppose predict wrote") from None
                yield line
    except OSError as error:
        raise DeepPoseError(f"{file}: cannot be read ({error.strerror})") from None


def merge(parts: Sequence[Path], out: Path) -> dict[str, int]:
    """Joins the folders of all parts of a shared-out input (`--shard`), in the order of the input, overlays too.

    Returns how many images were predicted and skipped. Raises DeepPoseError, before anything is written, where a part
    is missing, not finished, comes twice or was made in another way.
    """
    states = [_part_state(folder) for folder in parts]
    numbers: dict[int, Path] = {}
    for folder, settings in zip(parts, states, strict=True):
        number, of = settings["shard"]
        if of != states[0]["shard"][1] or {**settings, "shard": 0} != {**states[0], "shard": 0}:
            raise DeepPoseError(f"{folder}: was made in another way than {parts[0]}; all parts need the same flags")
        if number in numbers:
            raise DeepPoseError(f"{folder}: is part {number} of {of}, and so is {numbers[number]}")
        numbers[number] = folder
    of = states[0]["shard"][1]
    lacking = [str(number) for number in range(1, of + 1) if number not in numbers]
    if lacking:
        raise DeepPoseError(f"part {', '.join(lacking)} of {of} is missing; merge takes the folders of all parts")
    with ResultWriter(out, {**states[0], "shard": [1, 1]}) as results:
        lines: list[Record] = []
        for folder, line in _in_turns([numbers[number] for number in range(1, of + 1)]):
            if line.get("overlay") and line.get("frame", 0) == 0:
                shutil.copyfile(folder / line["overlay"], out / line["overlay"])
            lines.append(line)
            if len(lines) == _AT_ONCE:
                results.add(lines)
                lines = []
        results.add(lines)
        results.finish()
        return results.count


def _part_state(folder: Path) -> Settings:
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        finished, settings = state["finished"], state["settings"]
        settings["shard"][1]
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise DeepPoseError(f"{folder}: no results of deeppose predict --shard") from None
    if not finished:
        raise DeepPoseError(f"{folder}: is not finished; deeppose predict --resume with its other flags finishes it")
    return dict(settings)


def _in_turns(folders: Sequence[Path]) -> Iterator[tuple[Path, Record]]:
    """The parts' lines as the input had them: an image or video of each part after the other."""
    readers = {folder: groupby(read_lines(folder / LINES), lambda line: line["source"]) for folder in folders}
    while readers:
        for folder in list(readers):
            _, lines = next(readers[folder], (None, None))
            if lines is None:
                del readers[folder]
            else:
                yield from ((folder, line) for line in lines)


def _replace(file: Path, write: Callable[[TextIO], Any]) -> None:
    with (
        replacing(file) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out,
    ):
        write(out)
