"""The folder of predictions: records as they come, other formats at the end, the state of a stopped run.

predictions.jsonl         a record (`records.py`) for each image or frame, predicted or failed, in the input's order
predictions.json          at the end: COCO keypoint results
predictions.csv           at the end: a row for each person
.predictions-state.json   the settings, and how many bytes of predictions.jsonl are whole batches

Predictions may depend, in their last bits, on the images that share a batch. So a resumed run drops the records of an
unfinished batch and begins with a whole one: its results are those of a run without a stop.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import lock, remove_leftovers, replacing
from deeppose_cli.inference.records import Record, write_coco, write_csv

RECORDS, COCO, CSV = "predictions.jsonl", "predictions.json", "predictions.csv"
STATE, LOCK = ".predictions-state.json", ".predictions.lock"
Settings = dict[str, Any]


@dataclass
class Counts:
    """What was predicted."""

    images: int = 0
    videos: int = 0
    frames: int = 0
    """Of the videos."""
    people: int = 0
    """In images, and different ones in each video."""
    images_without_people: int = 0
    skipped: int = 0
    """Images and videos that could not be read, or not to their end."""

    def __str__(self) -> str:
        parts = [_count(self.images, "image")] if self.images or not self.videos else []
        if self.videos:
            parts.append(f"{_count(self.videos, 'video')} ({_count(self.frames, 'frame')})")
        parts.append("1 person" if self.people == 1 else f"{self.people:,} people")
        if self.images_without_people:
            parts.append(f"{_count(self.images_without_people, 'image')} without people (try --box image)")
        return ", ".join([*parts, *([f"{self.skipped:,} skipped"] if self.skipped else [])])


class ResultWriter:
    """Adds the records of one run. A context manager: leaving it by an error keeps the whole batches."""

    def __init__(self, folder: Path, settings: Settings, *, resume: bool = False, overwrite: bool = False) -> None:
        """`settings`: everything that the predictions depend on, as JSON can hold it.

        Raises DeepPoseError, before an earlier run is changed, where the folder cannot be written or is in use, where
        it holds an unfinished run and neither flag is given, or one of other settings is to be resumed.
        """
        self.folder, self.settings = folder, settings
        self.counts = Counts()
        self.done: set[str] = set()
        """Sources whose records are complete."""
        self._begun: set[str] = set()
        """Sources of which more records are to come: videos."""
        self._tracks: set[int] = set()
        """Numbers of the people in the present video."""
        self.replaced = False
        """Whether the folder held the results of another run."""
        self._held = ExitStack()
        try:
            self._file = self._open()
            state = read_state(folder)
            if resume:
                remove_leftovers(folder)
                self._resume(state)
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

    def add(self, records: Sequence[Record], *, complete: bool = True) -> None:
        """Add a batch: all of it counts, or nothing. Not `complete`: it counts with the next one that is."""
        try:
            lines = [json.dumps(record, allow_nan=False) + "\n" for record in records]
            self._file.write("".join(lines).encode())
            self._file.flush()
            if complete:
                self._write_state(finished=False)
        except OSError as error:
            raise DeepPoseError(f"{self.folder / RECORDS}: cannot be written ({error.strerror or error})") from None
        self._count(records, complete=complete)

    def finish(self) -> Path | None:
        """Write the other formats and return the path of the COCO results; None where nothing was predicted."""
        records, coco = self.folder / RECORDS, None
        if self.counts.images or self.counts.videos:
            coco = self.folder / COCO
            _replace(coco, lambda out: write_coco(read_records(records), str(self.folder), out))
            _replace(self.folder / CSV, lambda out: write_csv(read_records(records), out))
        self._write_state(finished=True)
        return coco

    def _open(self) -> BinaryIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            file = (self.folder / RECORDS).open("a+b")
        except OSError as error:
            raise DeepPoseError(
                f"--out {self.folder}: not a folder that can be written to ({error.strerror})"
            ) from None
        self._held.enter_context(file)
        in_use = f"--out {self.folder}: in use by another run; another folder is valid"
        self._held.enter_context(lock(self.folder / LOCK, in_use))
        return file

    def _resume(self, state: dict[str, Any] | None) -> None:
        if state is None:
            if self._file.seek(0, os.SEEK_END):
                raise DeepPoseError(f"--resume: {self.folder} holds results, but not the settings of their run")
            return
        keys = self.settings.keys() | state["settings"].keys()
        differing = sorted(key for key in keys if self.settings.get(key) != state["settings"].get(key))
        if differing:
            raise DeepPoseError(
                f"--resume: {self.folder} was begun with another {' and '.join(differing)}; give the same, or --out"
            )
        self._file.truncate(state["offset"])
        self._count(read_records(self.folder / RECORDS), complete=True)

    def _count(self, records: Iterable[Record], *, complete: bool) -> None:
        counts = self.counts
        for record in records:
            self._begun.add(record["source"])
            people = record.get("people", ())
            if "error" in record:
                counts.skipped += 1
            elif "frame" in record:
                if record["frame"] == 0:
                    counts.videos += 1
                    self._tracks.clear()
                tracks = {person["track_id"] for person in people}
                counts.frames += 1
                counts.people += len(tracks - self._tracks)
                self._tracks |= tracks
            else:
                counts.images += 1
                counts.people += len(people)
                counts.images_without_people += not people
        if complete:
            self.done |= self._begun
            self._begun.clear()

    def _write_state(self, *, finished: bool) -> None:
        state = {"settings": self.settings, "offset": self._file.seek(0, os.SEEK_END), "finished": finished}
        _replace(self.folder / STATE, lambda out: out.write(json.dumps(state)))


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state of the folder's run; None where there is none or it is damaged."""
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        return {
            "offset": int(state["offset"]),
            "finished": bool(state["finished"]),
            "settings": dict(state["settings"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_records(file: Path) -> Iterator[Record]:
    """Raises DeepPoseError that names the file and the line that is no record."""
    try:
        with file.open(encoding="utf-8") as lines:
            for number, text in enumerate(lines, start=1):
                try:
                    record = json.loads(text)
                    record["source"]
                except (ValueError, KeyError, TypeError):
                    raise DeepPoseError(f"{file}: line {number} is not one that deeppose predict wrote") from None
                yield record
    except OSError as error:
        raise DeepPoseError(f"{file}: cannot be read ({error.strerror})") from None


def _replace(file: Path, write: Callable[[TextIO], Any]) -> None:
    with replacing(file) as path, path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as out:
        write(out)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
