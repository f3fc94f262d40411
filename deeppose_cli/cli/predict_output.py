"""What `deeppose predict` prints: the model, messages, a progress bar, a table of the first images, the counts."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

from deeppose_cli.core.errors import one_line
from deeppose_cli.inference.pipeline import PredictionListener, PredictionSummary
from deeppose_cli.inference.records import Record
from deeppose_cli.inference.writer import COCO

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

ROWS_SHOWN, BOXES_SHOWN = 20, 2
"""Images in the table, and boxes of each; the files have them all."""


class PredictionOutput(PredictionListener):
    """Prints on stdout, messages and the progress bar on stderr; with `as_json` stdout has the COCO results alone."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self.console = self.errors if as_json else Console(highlight=False, soft_wrap=True)
        self.progress: Progress | None = None
        """Begins with the first image."""
        self.rows: dict[str, dict[str, Any]] = {}

    def on_model(self, line: str) -> None:
        self.console.print(line, markup=False)

    def on_message(self, message: str) -> None:
        self.errors.print(message, markup=False)

    def on_start(self, total: int, done: int) -> None:
        from rich.progress import Progress

        self.progress = Progress(
            console=self.errors, transient=True, disable=not self.errors.is_terminal, redirect_stdout=False
        )
        self.progress.start()
        self.task = self.progress.add_task("predict", total=total, completed=done)

    def on_record(self, record: Record) -> None:
        frame = record.get("frame")
        if self.progress is not None:
            description = "predict" if frame is None else f"frame {frame}"
            self.progress.update(self.task, description=description, advance=0 if frame else 1)
        source = record["source"]
        if "error" in record or (source not in self.rows and len(self.rows) == ROWS_SHOWN):
            return
        row = self.rows.setdefault(source, {**record, "frames": 0, "tracks": set()})
        if frame is not None:
            row["frames"] += 1
            row["tracks"] |= {person["track_id"] for person in record["people"]}

    def stop(self) -> None:
        """Remove the progress bar."""
        if self.progress is not None:
            self.progress.stop()

    def print_summary(self, summary: PredictionSummary) -> None:
        """Print the table, the counts, and with `as_json` the results."""
        if self.rows:
            self.console.print(self._table(summary))
        coco = next((file for file in summary.files if file.name == COCO), None)
        self.console.print(f"{summary}{'' if coco is None else f' → {coco}'}", markup=False)
        if self.as_json and coco is not None:
            with coco.open(encoding="utf-8") as file:
                shutil.copyfileobj(file, sys.stdout)
        elif self.as_json:
            print("[]")

    def _table(self, summary: PredictionSummary) -> Table:
        from rich.table import Column, Table
        from rich.text import Text

        # Folded, not cut: a path must stay whole.
        columns = (Column("image", overflow="fold"), "people", "initial box", Column("overlay", overflow="fold"))
        table = Table(*columns, box=None)
        for row in self.rows.values():
            count = len(row["tracks"]) if row["frames"] else len(row["people"])
            boxes = f"{row['frames']} frames" if row["frames"] else _boxes(row)
            overlay = str(summary.folder / row["overlay"]) if row["overlay"] else ""
            table.add_row(Text(one_line(row["source"])), str(count or "nobody"), boxes, Text(one_line(overlay)))
        hidden = summary.images + summary.videos - len(self.rows)
        if hidden > 0:
            table.add_row(f"... and {hidden:,} more")
        return table


def _boxes(row: dict[str, Any]) -> str:
    whole = [0, 0, row["width"], row["height"]]
    boxes = [person["box"] for person in row["people"]]
    shown = ["whole image" if box == whole else ",".join(f"{round(value, 1):g}" for value in box) for box in boxes]
    return "; ".join([*shown[:BOXES_SHOWN], *(["…"] if len(shown) > BOXES_SHOWN else [])])
