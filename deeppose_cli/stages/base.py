"""What both kinds of stage share: the optimiser, the loss over processes, the scores of a validation epoch.

Batches come from `datamodules/datasets.py`. Hyperparameters are primitives only, so that a checkpoint loads with
`weights_only=True`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor

from deeppose_cli.heads import Answer
from deeppose_cli.losses import coordinate_loss, labelled, map_loss
from deeppose_cli.presets import StagePreset
from deeppose_cli.regressor import Expected, Regressor
from deeppose_cli.skeleton import skeleton_by_name
from deeppose_cli.spread import PoseSpread
from deeppose_cli.torch_metrics import PDJ

Batch = dict[str, Tensor]

WARM_UP = 0.03
"""Share of the steps over which the cosine schedule warms up."""
LAST_RATE = 0.01
"""Share of the learning rate at which the cosine schedule ends."""


@dataclass(frozen=True)
class Loss:
    """Sums over this process's labelled joints, and their number."""

    coordinates: Tensor
    maps: Tensor
    count: Tensor


class StageModule(L.LightningModule):
    """One stage of the cascade in training. Subclasses say what a batch's loss and validation poses are."""

    def __init__(
        self, skeleton: str, settings: StagePreset, kind: str, seed: int, expected: Expected | None = None
    ) -> None:
        super().__init__()
        self.skeleton, self.settings, self.seed = skeleton_by_name(skeleton), settings, seed
        self.regressor = Regressor(settings, len(self.skeleton), kind, expected)
        self.pdj = PDJ(skeleton)
        self.spread = PoseSpread(len(self.skeleton))
        self._known = 0.0  # labelled joints of the batch at hand, in all processes

    @abstractmethod
    def batch_loss(self, batch: Batch) -> Loss:
        """Loss sums of a training batch."""

    @abstractmethod
    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Validation batch → predicted poses (B, K, 2) px, and what is watched for collapse: predictions and labels
        (B, K, 2) norm."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout as a function of (seed, step, process) alone: a training taken up again draws what it would have.
        torch.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)
        self._known = self._total(self.count_labels(batch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not self._known:
            return self.nothing()
        loss = self.batch_loss(batch)
        # DDP averages gradients over processes: times their number, over all labels, is the mean over all labels.
        share = self.trainer.world_size / self._known
        total = (loss.coordinates + self.settings.map_weight * loss.maps) * share
        self.log("train_loss", total.detach(), batch_size=max(1, int(loss.count)), on_step=True, on_epoch=False)
        return total

    def count_labels(self, batch: Batch) -> Tensor:
        return labelled(batch["target"]).sum()

    def _total(self, count: Tensor) -> float:
        return float(self.trainer.strategy.reduce(count.float(), reduce_op="sum"))

    def nothing(self) -> Tensor:
        """0, with a gradient of 0 for every parameter: so that processes agree on which have one."""
        return sum((parameter.sum() for parameter in self.parameters()), torch.zeros((), device=self.device)) * 0.0

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Where no process had a label no weight may move, not even by momentum or decay."""
        if self._known:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def sums(self, answer: Answer, target: Tensor) -> Loss:
        """Loss sums of an answer (B, K, …) against labels (B, K, 2) norm."""
        maps = answer.coordinates.new_zeros(())
        if answer.logits is not None and self.settings.map_weight:
            maps = map_loss(answer.logits, target)
        loss = coordinate_loss(answer.coordinates, target, self.settings.coordinate_loss)
        return Loss(loss, maps, labelled(target).sum())

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        poses, watched, labels = self.batch_poses(batch)
        self.pdj.update(poses, batch["keypoints"])
        self.spread.update(watched, labels)

    def on_validation_epoch_end(self) -> None:
        self.log("val_pdj", self.pdj.compute())
        self.log("val_spread", self.spread.compute())
        self.pdj.reset()
        self.spread.reset()

    def configure_optimizers(self) -> Any:
        s = self.settings
        if s.optimizer == "adagrad":
            optimizer: torch.optim.Optimizer = torch.optim.Adagrad(
                self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay
            )
        else:
            optimizer = torch.optim.AdamW(self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
        if s.schedule == "constant":
            return optimizer
        steps = max(1, int(self.trainer.estimated_stepping_batches))
        warm = max(1, round(WARM_UP * steps))

        def factor(step: int) -> float:
            if step < warm:
                return (step + 1) / warm
            share = min(1.0, (step - warm) / max(1, steps - warm))
            return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
