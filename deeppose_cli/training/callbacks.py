"""Callbacks of a training: checkpoints, metrics.csv, progress on the terminal, and checks."""

from __future__ import annotations

import csv
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from deeppose_cli.checkpoints.run_folder import StageFolder
from deeppose_cli.config.defaults import COLLAPSE_RATIO, REFINEMENT_COLLAPSE_RATIO
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.files import writing


def _metric(trainer: L.Trainer, name: str) -> float:
    return float(trainer.callback_metrics.get(name, torch.tensor(math.nan)))


def _input_size(trainer: L.Trainer) -> int:
    """Side of the input in the current epoch, px."""
    return trainer.lightning_module.settings.input_size_at(trainer.current_epoch)  # type: ignore[union-attr,operator]


def _warn(console: Console, message: str) -> None:
    console.print(f"warning: {message}", style="yellow", highlight=False)


class Checkpoints(Callback):
    """Write `best.ckpt`, the weights at the best validation PDJ so far, and `last.ckpt`, the whole state.

    Without validation `best.ckpt` holds the last weights.
    `last.ckpt` is written every few seconds or steps and at each epoch's end. Only a complete file replaces an old one.
    """

    def __init__(self, folder: StageFolder, every_seconds: float, every_steps: int | None) -> None:
        self.folder, self.every_seconds, self.every_steps = folder, every_seconds, every_steps
        self.best = -math.inf
        self.size = 0  # px of the input at which `best` was scored; 0: not scored yet
        self._saved = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "size": self.size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.size = state_dict["best"], state_dict["size"]

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        # The epoch's last batch is saved after its validation, so that a resumed training does not miss one.
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return
        if self.every_steps is not None:
            due = trainer.global_step % self.every_steps == 0
        else:
            due = time.monotonic() - self._saved >= self.every_seconds
            due = trainer.strategy.reduce_boolean_decision(due, all=False)  # all processes save, or none
        if due:
            self._save(trainer, self.folder.last)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        score, size = _metric(trainer, "val_pdj"), _input_size(trainer)
        if size != self.size and self.size:  # scores at smaller inputs do not compare
            self.best = -math.inf
        self.size = size
        if score > self.best or math.isinf(self.best) or not self.folder.best.is_file():
            self.best = max(score, self.best) if not math.isnan(score) else self.best
            self._save(trainer, self.folder.best, weights_only=True)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._save(trainer, self.folder.last)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not self.folder.best.is_file():  # trained without validation: --trainer limit_val_batches=0
            self._save(trainer, self.folder.best, weights_only=True)

    def _save(self, trainer: L.Trainer, file: Path, weights_only: bool = False) -> None:
        if not all(bool(torch.isfinite(parameter).all()) for parameter in trainer.lightning_module.parameters()):
            raise DeepPoseError(
                f"weights are no longer numbers at step {trainer.global_step}; {file} is kept as it was; "
                "try a lower --learning-rate, under another name (--run)"
            )
        temporary = file.with_suffix(".tmp")  # always the same: a killed training leaves one at most
        with writing(file):
            trainer.save_checkpoint(temporary, weights_only=weights_only)
            if trainer.is_global_zero:
                os.replace(temporary, file)
        self._saved = time.monotonic()


class MetricsCsv(Callback):
    """Write `metrics.csv`: a row for every validation; its loss is the mean since the one before.

    A training that continues drops rows past its step.
    """

    COLUMNS = ("epoch", "step", "train_loss", "val_pdj", "val_diversity", "learning_rate", "input_size", "seconds")

    def __init__(self, folder: StageFolder) -> None:
        self.folder = folder
        self._start = time.monotonic()
        self._losses: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        rows = [row for row in self.folder.history() if int(row["step"]) <= trainer.global_step]
        with self.folder.metrics.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
        self._start = time.monotonic() - (float(rows[-1]["seconds"]) if rows else 0.0)

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self._losses.append(float(outputs["loss"]))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        row = (
            trainer.current_epoch + 1,
            trainer.global_step,
            f"{sum(self._losses) / max(1, len(self._losses)):.6g}",
            f"{_metric(trainer, 'val_pdj'):.6f}",
            f"{_metric(trainer, 'val_diversity'):.4f}",
            f"{trainer.optimizers[0].param_groups[0]['lr']:.4g}",
            _input_size(trainer),
            f"{time.monotonic() - self._start:.1f}",
        )
        with self.folder.metrics.open("a", newline="") as file:
            csv.writer(file).writerow(row)
        self._losses = []


class TerminalProgress(Callback):
    """Show a bar for the whole training with loss, validation PDJ and time left, and print a line for each validation.

    Without a terminal only the lines.
    """

    SMOOTHING = 0.98
    """Weight of the old value in the moving average of the loss."""

    def __init__(self, title: str, console: Console, checkpoints: Checkpoints) -> None:
        self.title, self.console, self.checkpoints = title, console, checkpoints
        self._loss = math.nan
        self._bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._total, self._first = int(trainer.estimated_stepping_batches), trainer.global_step
        self._began = time.monotonic()
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f} PDJ@0.2 {task.fields[pdj]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("left"),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._bar.start()
        self._task = self._bar.add_task(self.title, total=self._total, loss=math.nan, pdj=self._best())

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        if self._bar is not None:
            loss = float(outputs["loss"])
            self._loss = loss if math.isnan(self._loss) else self.SMOOTHING * self._loss + (1 - self.SMOOTHING) * loss
            self._bar.update(self._task, completed=trainer.global_step, loss=self._loss)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._bar is None:
            return
        done = trainer.global_step
        pace = (time.monotonic() - self._began) / max(1, done - self._first)
        left = max(0, round(pace * (self._total - done)))
        self._bar.update(self._task, pdj=self._best())
        self.console.print(
            f"{self.title}  epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  loss {self._loss:.3f}  "
            f"PDJ@0.2 {_metric(trainer, 'val_pdj'):.1%} (best {self._best()})  {left // 60}:{left % 60:02d} left",
            highlight=False,
        )

    def _best(self) -> str:
        return f"{self.checkpoints.best:.1%}" if math.isfinite(self.checkpoints.best) else "–"

    def on_train_end(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_exception(self, *_: Any) -> None:
        self.on_train_end()


class StopOnNonFiniteLoss(Callback):
    """Stop at a loss that is no number, before it reaches a weight or a checkpoint, and name the images."""

    SHOWN = 8

    def __init__(self, folder: StageFolder) -> None:
        self.folder = folder
        self._rows = torch.zeros(0, dtype=torch.long)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *_: Any) -> None:
        self._rows = batch["index"]

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        bad = not bool(torch.isfinite(loss))
        if not trainer.strategy.reduce_boolean_decision(bad, all=False):  # all processes stop, or none
            return
        names = trainer.datamodule.names(self._rows.tolist())  # type: ignore[attr-defined]
        more = f" and {len(names) - self.SHOWN} more" if len(names) > self.SHOWN else ""
        last = self.folder.last
        kept = f"{last} is the last good state" if last.is_file() else "nothing was saved yet"
        raise DeepPoseError(
            f"the loss is {loss.item()} at step {trainer.global_step} on {', '.join(names[: self.SHOWN])}{more}; "
            f"{kept}; try a lower --learning-rate, under another name (--run)"
        )


class UnreadableImages(Callback):
    """Warn of each unreadable image at its first use, and print their number at the end. They are left out."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._found: set[str] = set()

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *_: Any) -> None:
        self._check(batch, trainer.datamodule.names)  # type: ignore[attr-defined]

    def on_validation_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, *_: Any) -> None:
        self._check(batch, trainer.datamodule.validation_names)  # type: ignore[attr-defined]

    def _check(self, batch: Any, names: Callable[[list[int]], list[str]]) -> None:
        if not bool(batch["unreadable"].any()):
            return
        for name in names(batch["index"][batch["unreadable"]].tolist()):
            if name not in self._found:
                self._found.add(name)
                _warn(self.console, f"{name} cannot be read and is left out")

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if count := len(self._found):
            advice = "deeppose data check names them all"
            _warn(self.console, f"{count} image(s) could not be read and were left out; {advice}")


class CollapseGuard(Callback):
    """Warn when validation predictions barely vary from image to image: collapse to the mean pose.

    Only after two validations in a row, as a network may start there. A refinement stage (`refining`) predicts
    corrections: most are small and a few labels far away, so that even a good stage's vary much less than the labels;
    its threshold is lower.
    """

    def __init__(self, console: Console, refining: bool = False) -> None:
        self.console, self.what = console, "correction" if refining else "pose"
        self._least = REFINEMENT_COLLAPSE_RATIO if refining else COLLAPSE_RATIO
        self._in_a_row = 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        diversity = _metric(trainer, "val_diversity")
        self._in_a_row = self._in_a_row + 1 if diversity < self._least else 0
        if self._in_a_row >= 2 and trainer.is_global_zero:
            _warn(
                self.console,
                f"collapse to the mean {self.what}: validation predictions vary {diversity:.1%} as much as the labels. "
                "Try a lower --learning-rate, more --max-epochs, or --preset tiny, whose head learns faster.",
            )
