"""LightningModules of both kinds of stage: optimizer, loss over processes, scores of a validation epoch.

Batches come from `data/loading/stage_datasets.py`. Hyperparameters are primitives only, so that a checkpoint loads with
`weights_only=True`. Shape letters: B images, M crops, K joints.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from deeppose_cli.config.schema import RefinementPreset, StagePreset, from_primitives
from deeppose_cli.core.geometry import denormalise, normalise, turn_points
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.heads import HeadOutput
from deeppose_cli.models.person_view import merge_poses
from deeppose_cli.models.regressor import JointPrior, Regressor
from deeppose_cli.training.losses import coordinate_loss, distillation_loss, heatmap_loss, labelled
from deeppose_cli.training.metrics import PDJ, PredictionDiversity

Batch = dict[str, Tensor]

WARM_UP = 0.03
"""Share of the steps in which the cosine schedule warms up."""
LAST_RATE = 0.01
"""Share of the learning rate at which the cosine schedule ends."""


class StageLightningModule(L.LightningModule):
    """One stage of the cascade in training. Subclasses compute a batch's loss and validation poses."""

    def __init__(
        self,
        skeleton: dict[str, Any],
        settings: StagePreset,
        per_joint: bool,
        seed: int,
        prior: JointPrior | None = None,
    ) -> None:
        super().__init__()
        self.skeleton, self.settings, self.seed = Skeleton.from_mapping(skeleton), settings, seed
        self.regressor = Regressor(settings, len(self.skeleton), per_joint, prior)
        self.pdj = PDJ(self.skeleton)
        self.diversity = PredictionDiversity(len(self.skeleton))
        self._num_labels = 0.0  # of the current batch, in all processes
        self.build_loaders: Any = None
        """Training data and number of workers → the stage's loaders, for `KeypointDataModule`."""
        self.stage_callbacks: list[Callback] = []
        """Callbacks that a Trainer adds to its own: those that write the run folder."""

    def configure_callbacks(self) -> list[Callback]:
        return self.stage_callbacks

    def keep_teacher(self, joints: Sequence[str]) -> None:
        """Keep the present weights, if they are to teach: their heatmaps are labels of these joints without one."""

    @abstractmethod
    def batch_loss(self, batch: Batch) -> Tensor:
        """Loss of a training batch, summed over this process's labelled joints."""

    @abstractmethod
    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Validation batch → predicted poses (B, K, 2) px; predictions and labels (B, K, 2), normalized, to detect a
        collapse."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout as a function of (seed, step, process) alone: a training that continues draws the same.
        torch.manual_seed(hash((self.seed, self.global_step, self.global_rank)) % 2**63)
        self._num_labels = float(self.trainer.strategy.reduce(self.count_labels(batch).float(), reduce_op="sum"))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        if not self._num_labels:
            return self.zero_loss()
        # DDP averages gradients over processes: times their number, over all labels, is the mean over all labels.
        loss = self.batch_loss(batch) * (self.trainer.world_size / self._num_labels)
        self.log("train_loss", loss.detach(), on_step=True, on_epoch=False)
        return loss

    def count_labels(self, batch: Batch) -> Tensor:
        return labelled(batch["target"]).sum()

    def zero_loss(self) -> Tensor:
        """0, with a gradient of 0 for every parameter, so that processes agree on which have one."""
        return sum((parameter.sum() for parameter in self.parameters()), torch.zeros((), device=self.device)) * 0.0

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Change no weight where no process had a label, not even by momentum or decay."""
        if self._num_labels:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        else:
            optimizer_closure()

    def output_loss(self, output: HeadOutput, target: Tensor) -> Tensor:
        """Loss of an output (B, K, …) against labels (B, K, 2) in normalized coordinates, summed over labels."""
        loss = coordinate_loss(output.coordinates, target, self.settings.coordinate_loss)
        if output.logits is not None and self.settings.heatmap_weight:
            loss = loss + self.settings.heatmap_weight * heatmap_loss(output.logits, target)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        poses, predictions, labels = self.batch_poses(batch)
        self.pdj.update(poses, batch["keypoints"])
        self.diversity.update(predictions, labels)

    def on_validation_epoch_end(self) -> None:
        self._log_scores("val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    def on_test_epoch_end(self) -> None:
        self._log_scores("test")

    def _log_scores(self, split: str) -> None:
        self.log(f"{split}_pdj", self.pdj.compute())
        if self.trainer.loggers:
            self.log_dict({f"{split}_pdj_{kind}": value for kind, value in self.pdj.by_kind().items()})
        self.log(f"{split}_diversity", self.diversity.compute())
        self.pdj.reset()
        self.diversity.reset()

    def configure_optimizers(self) -> Any:
        s = self.settings
        kind = {"adagrad": torch.optim.Adagrad, "adamw": torch.optim.AdamW}[s.optimizer]
        optimizer = kind(self.parameters(), lr=s.learning_rate, weight_decay=s.weight_decay)
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


class WholePersonModule(StageLightningModule):
    """A stage whose crops show the whole person: all joints at once."""

    taught_joints: Tensor

    def __init__(self, skeleton: dict[str, Any], settings: StagePreset, seed: int) -> None:
        super().__init__(skeleton, settings, False, seed)
        self.teacher: Regressor | None = None
        if self.settings.distill_weight:
            self.teacher = Regressor(self.settings, len(self.skeleton)).requires_grad_(False)
            self.register_buffer("taught_joints", torch.zeros(len(self.skeleton), dtype=torch.bool))

    def keep_teacher(self, joints: Sequence[str]) -> None:
        if self.teacher is not None:
            self.teacher.load_state_dict(self.regressor.state_dict())
            taught = [joint in joints for joint in self.skeleton.joints]
            self.taught_joints = torch.tensor(taught, device=self.device)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["input_size"] = self.settings.input_size_at(self.current_epoch)

    def batch_loss(self, batch: Batch) -> Tensor:
        output = self.regressor(batch["image"])
        loss = self.output_loss(output, batch["target"])
        if self.teacher is None or output.logits is None:
            return loss
        with torch.no_grad():
            teacher = self.teacher.eval().outputs(batch["image"])
        joints = self.taught_joints & ~labelled(batch["target"])
        return loss + self.settings.distill_weight * distillation_loss(output.logits, teacher, joints)

    def validation_output(self, batch: Batch) -> HeadOutput:
        image, size = batch["image"], self.settings.input_size_at(self.current_epoch)
        if size != image.shape[1]:  # as small as in training: a network predicts well at its size only
            small = nn.functional.interpolate(
                image.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True
            )
            image = small.permute(0, 2, 3, 1)
        output: HeadOutput = self.regressor(image)
        return output


class InitialStageModule(WholePersonModule):
    """y¹ = N⁻¹(ψ(N(x; b⁰); θ₁); b⁰)."""

    def __init__(self, skeleton: dict[str, Any], settings: dict[str, Any], square_initial_box: bool, seed: int) -> None:
        super().__init__(skeleton, from_primitives(StagePreset, settings), seed)
        self.save_hyperparameters()

    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        predicted = self.validation_output(batch).coordinates
        return denormalise(predicted, batch["box"][:, None]), predicted, batch["target"]


class PersonStageModule(WholePersonModule):
    """A refinement stage that sees the whole person, upright. Its score is that of the merged poses."""

    def __init__(
        self,
        skeleton: dict[str, Any],
        settings: dict[str, Any],
        stage: int,
        sigma: float,
        displacement_mean: list[list[float]],
        displacement_std: list[list[float]],
        square_initial_box: bool,
        seed: int,
    ) -> None:
        super().__init__(skeleton, from_primitives(RefinementPreset, settings), seed)
        self.save_hyperparameters()

    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        output = self.validation_output(batch)
        predicted = output.coordinates
        kept = {key: value.double().cpu().numpy() for key, value in batch.items()}
        after = denormalise(predicted.double().cpu().numpy(), kept["box"][:, None])
        after = turn_points(after, kept["box"][:, None, :2], -kept["angle"][:, None])
        mass = np.full(after.shape[:2], np.nan) if output.peak_mass is None else output.peak_mass.double().cpu().numpy()
        before = kept["pose"], kept["peak_mass"]
        poses, _ = merge_poses(*before, after, mass, kept["initial_box"], self.skeleton)
        return torch.from_numpy(poses).to(predicted), predicted, batch["target"]


class RefinementStageModule(StageLightningModule):
    """y_i^s = y_i^{s−1} + (b_w, b_h) · ψ_i(N(x; b_i); θ_s)."""

    def __init__(
        self,
        skeleton: dict[str, Any],
        settings: dict[str, Any],
        stage: int,
        sigma: float,
        displacement_mean: list[list[float]],
        displacement_std: list[list[float]],
        square_initial_box: bool,
        seed: int,
    ) -> None:
        self.refinement = from_primitives(RefinementPreset, settings)
        prior = JointPrior(Displacement.from_pairs(displacement_mean, displacement_std), sigma)
        super().__init__(skeleton, self.refinement, self.refinement.per_joint, seed, prior)
        self.save_hyperparameters()

    def count_labels(self, batch: Batch) -> Tensor:
        return labelled(self._targets(batch)).sum()

    def _targets(self, batch: Batch) -> Tensor:
        """(M, K, 2) in normalized coordinates: the label of each crop's own joint, NaN for the other joints."""
        joint = batch["joint_index"]
        own = joint.unsqueeze(-1) == torch.arange(len(self.skeleton), device=joint.device)
        return torch.where(own.unsqueeze(-1), batch["target"], torch.nan)

    def batch_loss(self, batch: Batch) -> Tensor:
        targets, joints = self._targets(batch), batch["joint_index"]
        if not self.regressor.per_joint:
            return self.output_loss(self.regressor(batch["image"]), targets)
        loss = self.zero_loss()  # a batch may lack a joint: its network still has a gradient, of 0
        for joint in joints.unique().tolist():
            rows = joints == joint
            output = self.regressor.predict_joint(batch["image"][rows], joint)
            loss = loss + self.output_loss(output, targets[rows, joint : joint + 1])
        return loss

    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        crops, boxes = batch["image"], batch["boxes"]
        images, joints = crops.shape[:2]
        joint_index = torch.arange(joints, device=crops.device).repeat(images)
        output = self.regressor.predict_own_joint(crops.flatten(0, 1), joint_index)
        predicted = output.coordinates.unflatten(0, (images, joints))[:, :, 0]
        return denormalise(predicted, boxes), predicted, normalise(batch["keypoints"], boxes)
