"""What `deeppose predict` prints: the model, messages, progress bars, the first images, the counts."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from deeppose_cli.core.errors import one_line
from deeppose_cli.inference.pipeline import PredictionListener, PredictionSummary
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.writer import COCO
from deeppose_cli.media.formats import Source

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ROWS_SHOWN = 20
"""Images in the list; the files have them all."""
LONGEST_NAME = 50
"""Characters up to which the names in the list are in a column."""


class PredictionOutput(PredictionListener):
    """Prints on stdout, messages and the progress bar on stderr; with `as_json` stdout has the COCO results alone."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self.console = self.errors if as_json else Console(highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        """Begins with the first image."""
        self.rows: dict[str, dict[str, Any]] = {}
        self.people = 0
        """Found in images so far."""
        self.video_source = ""
        """The video whose frames are coming."""

    def on_model(self, line: str) -> None:
        self.console.print(line, markup=False)

    def on_message(self, message: str) -> None:
        self.errors.print(message, markup=False)

    def on_start(self, total: int, done: int) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[count]}"),
            TimeRemainingColumn(),
            console=self.errors,
            transient=True,
            disable=not self.errors.is_terminal,
            redirect_stdout=False,
        )
        self.progress.start()
        self.task = self.progress.add_task("predict", total=total, completed=done, count="")
        self.video: TaskID | None = None

    def on_video(self, source: Source, frames: int | None) -> None:
        if self.progress is not None:
            self._end_video()
            self.video = self.progress.add_task("frames", total=frames, count="")

    def on_record(self, record: Record) -> None:
        frame, found = record.get("frame"), record.get("people", ())
        if frame is None:
            self.people += len(found)
        source = record["source"]
        # A video counts at its first frame, and not again where it ends with an error.
        is_new = frame == 0 or (frame is None and source != self.video_source)
        self.video_source = source if frame is not None else ""
        self._advance(is_new, is_frame=frame is not None, in_frame=len(found))
        if "error" in record or (source not in self.rows and len(self.rows) == ROWS_SHOWN):
            return
        row = self.rows.setdefault(source, {"people": len(found), "frames": 0, "tracks": set()})
        if frame is not None:
            row["frames"] += 1
            row["tracks"] |= {person["track_id"] for person in found}

    def _advance(self, is_new: bool, *, is_frame: bool, in_frame: int) -> None:
        if self.progress is None:
            return
        if not is_frame:
            self._end_video()
        elif self.video is not None:
            self.progress.advance(self.video)
            self.progress.update(self.video, count=self._count(self.video, in_frame))
        if is_new:
            self.progress.advance(self.task)
            self.progress.update(self.task, count=self._count(self.task, self.people))

    def _count(self, number: TaskID, people: int) -> str:
        assert self.progress is not None
        task = self.progress.tasks[self.progress.task_ids.index(number)]
        total = f" of {task.total:,.0f}" if task.total else ""
        rate = f", {task.speed:.1f} a second" if task.speed else ""
        return f"{task.completed:,.0f}{total}{rate}, {people:,} {'person' if people == 1 else 'people'}"

    def _end_video(self) -> None:
        if self.progress is not None and self.video is not None:
            self.progress.remove_task(self.video)
            self.video = None

    def stop(self) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()

    def print_summary(self, summary: PredictionSummary) -> None:
        """Print the table, the counts, and with `as_json` the results."""
        self._print_rows(summary)
        coco = next((file for file in summary.files if file.name == COCO), None)
        self.console.print(str(summary), markup=False)
        if coco is not None:
            self.console.print(f"results: {summary.folder}", markup=False)
        if self.as_json and coco is not None:
            with coco.open(encoding="utf-8") as file:
                shutil.copyfileobj(file, sys.stdout)
        elif self.as_json:
            print("[]")

    def _print_rows(self, summary: PredictionSummary) -> None:
        """A line for each of the first images and videos: its name, whole, and how many people."""
        names = {source: one_line(source) for source in self.rows}
        width = max((len(name) for name in names.values() if len(name) <= LONGEST_NAME), default=0)
        for source, row in self.rows.items():
            count = len(row["tracks"]) if row["frames"] else row["people"]
            people = "nobody" if not count else "1 person" if count == 1 else f"{count:,} people"
            frames = f" in {row['frames']:,} frames" if row["frames"] else ""
            self.console.print(f"{names[source]:{width}}  {people}{frames}", markup=False)
        hidden = summary.images + summary.videos - len(self.rows)
        if hidden > 0:
            self.console.print(f"... and {hidden:,} more")
