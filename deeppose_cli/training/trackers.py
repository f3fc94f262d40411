"""TensorBoard and Weights & Biases beside metrics.csv; a training that continues goes on with the loggers it had.

<stage folder>/loggers.json holds their names and the id of the wandb run, so that a resumed training is the same run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from deeppose_cli.checkpoints.run_folder import RunFolder, StageFolder
from deeppose_cli.config.run import StageRunConfig
from deeppose_cli.core.files import write_text
from deeppose_cli.training.run_config import TrainOptions
from deeppose_cli.visualization.drawing import draw_pose

EXAMPLES, EXAMPLE_EPOCHS = 4, 5
"""Validation images that are logged with their poses, and every how many epochs."""


@dataclass(frozen=True)
class Trackers:
    """The loggers of a training, as `loggers.json` keeps them."""

    names: tuple[str, ...]
    wandb_id: str
    wandb_online: bool

    @staticmethod
    def of(folder: StageFolder, options: TrainOptions) -> Trackers:
        """Those of the options; of a training that continues also those it was started with."""
        names = tuple(name for name in options.loggers if name != "csv")
        chosen = Trackers(names, uuid.uuid4().hex[:8], options.wandb_online)
        if not options.resume:
            return chosen
        try:
            stored = json.loads(folder.loggers.read_text(encoding="utf-8"))
            earlier = tuple(str(name) for name in stored["names"])
            online = options.wandb_online or bool(stored["wandb_online"])
            return Trackers(tuple(dict.fromkeys((*earlier, *names))), str(stored["wandb_id"]), online)
        except (OSError, ValueError, KeyError, TypeError):  # begun without, or by an older version
            return chosen

    def save(self, folder: StageFolder) -> None:
        write_text(folder.loggers, json.dumps(asdict(self)) + "\n")


def build_loggers(trackers: Trackers, run: RunFolder, folder: StageFolder, config: StageRunConfig) -> list[Logger]:
    """Lightning's loggers. Nothing leaves this machine unless `--wandb-online` was given."""
    loggers: list[Logger] = []
    if "tensorboard" in trackers.names:
        tensorboard = TensorBoardLogger(str(folder.path), name="", version="tensorboard", default_hp_metric=False)
        tensorboard.log_hyperparams(_flat(config.to_mapping()))
        loggers.append(tensorboard)
    if "wandb" in trackers.names:
        wandb = WandbLogger(
            project="deeppose",
            name=f"{run.name}-stage{folder.number}",
            id=trackers.wandb_id,
            resume="allow",
            save_dir=str(folder.path),
            offline=not trackers.wandb_online,
            config=config.to_mapping(),
        )
        wandb._wandb_init.pop("anonymous", None)  # Lightning always passes it, and wandb warns of it
        loggers.append(wandb)
    return loggers


@contextmanager
def closing_wandb_run(trackers: Trackers) -> Iterator[None]:
    """End this training's wandb run with the block; else the next training of the program would write into it."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if "wandb" in trackers.names:
            import wandb

            if wandb.run is not None and wandb.run.id == trackers.wandb_id:
                wandb.finish(exit_code=int(failed))


def tracker_callbacks(trackers: Trackers, folder: StageFolder) -> list[Callback]:
    """What is logged beside the losses and scores; none without a logger."""
    return [LearningRateMonitor(logging_interval="step"), TrackedExamples(folder)] if trackers.names else []


class TrackedExamples(Callback):
    """Log validation images with their poses every few epochs, and at the end the best weights and their score."""

    def __init__(self, folder: StageFolder) -> None:
        self.folder = folder

    def on_validation_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        is_due = trainer.current_epoch % EXAMPLE_EPOCHS == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        # Crops of single joints show no pose.
        if batch_idx or not is_due or not trainer.is_global_zero or batch["image"].dim() != 4:
            return
        few = {key: value[:EXAMPLES] for key, value in batch.items() if isinstance(value, torch.Tensor)}
        _, predicted, target = pl_module.batch_poses(few)
        if predicted.shape[:1] != few["image"].shape[:1]:
            return
        images = [
            np.concatenate([self._drawn(pl_module, few["image"][i], poses[i]) for poses in (target, predicted)], axis=1)
            for i in range(len(predicted))
        ]
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger):
                captions = ["labels, prediction"] * len(images)
                logger.log_image("examples", images, step=trainer.global_step, caption=captions)
            elif isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(
                    "examples (labels, prediction)", np.concatenate(images), trainer.global_step, dataformats="HWC"
                )

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        for logger in trainer.loggers:
            if isinstance(logger, WandbLogger) and self.folder.best.is_file():
                logger.experiment.summary["best_val_pdj"] = self.folder.best_pdj()
                artifact = f"{logger.experiment.name}-best"
                logger.experiment.log_artifact(str(self.folder.best), name=artifact, type="model")

    def _drawn(self, module: Any, image: torch.Tensor, pose: torch.Tensor) -> Any:
        pixels = image.cpu().numpy().astype(np.uint8)
        points = (pose.detach().cpu().double().numpy() + 0.5) * pixels.shape[0] - 0.5
        return draw_pose(pixels, points, module.skeleton)


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with a slash between keys; sequences as text."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}/")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat[prefix + key] = str(list(value))
        else:
            flat[prefix + key] = value
    return flat
