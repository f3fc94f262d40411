"""Stages s ≥ 2: a crop around each joint in, that joint's correction out (paper, section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deeppose_cli.geometry import denormalise, normalise
from deeppose_cli.losses import labelled
from deeppose_cli.presets import refinement_from_primitives
from deeppose_cli.regressor import Expected
from deeppose_cli.stages.base import Batch, Loss, StageModule


class RefinementStage(StageModule):
    """y_i^s = y_i^{s−1} + (b_w, b_h) · ψ_i(N(x; b_i); θ_s)."""

    def __init__(
        self,
        skeleton: str,
        settings: dict[str, Any],
        stage: int,
        sigma: float,
        displacement_mean: list[list[float]],
        displacement_std: list[list[float]],
        square_first_box: bool,
        seed: int,
    ) -> None:
        self.refinement = refinement_from_primitives(settings)
        expected = Expected(displacement_mean, displacement_std, sigma)
        super().__init__(skeleton, self.refinement, self.refinement.regressor, seed, expected)
        self.save_hyperparameters()

    def count_labels(self, batch: Batch) -> Tensor:
        return labelled(self._targets(batch)).sum()

    def _targets(self, batch: Batch) -> Tensor:
        """(M, K, 2) norm: of each crop the joint that it is meant for; NaN for the others."""
        joint = batch["joint"]
        own = joint.unsqueeze(-1) == torch.arange(len(self.skeleton), device=joint.device)
        return torch.where(own.unsqueeze(-1), batch["target"], torch.nan)

    def batch_loss(self, batch: Batch) -> Loss:
        targets, joints = self._targets(batch), batch["joint"]
        if not self.regressor.per_joint:
            return self.sums(self.regressor(batch["pixels"]), targets)
        parts = []
        for joint in joints.unique().tolist():
            rows = joints == joint
            answer = self.regressor.of_joint(batch["pixels"][rows], joint)
            parts.append(self.sums(answer, targets[rows, joint : joint + 1]))
        nothing = self.nothing()  # a batch may lack a joint: its network still has a gradient, of 0
        return Loss(
            sum((part.coordinates for part in parts), nothing),
            sum((part.maps for part in parts), nothing),
            sum((part.count for part in parts), torch.zeros((), dtype=torch.long, device=self.device)),
        )

    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        pixels, boxes = batch["pixels"], batch["boxes"]
        pictures, joints = pixels.shape[:2]
        each = torch.arange(joints, device=pixels.device).repeat(pictures)
        said = self.regressor.joint_answers(pixels.flatten(0, 1), each).coordinates
        answer = said.unflatten(0, (pictures, joints))[:, :, 0]
        return denormalise(answer, boxes), answer, normalise(batch["keypoints"], boxes)
