"""Stage 1: the whole person in, all joints out (paper, section 3.1)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from deeppose_cli.geometry import denormalise
from deeppose_cli.growth import input_size_at
from deeppose_cli.presets import initial_from_primitives
from deeppose_cli.stages.base import Batch, Loss, StageModule


class InitialStage(StageModule):
    """y¹ = N⁻¹(ψ(N(x; b⁰); θ₁); b⁰)."""

    def __init__(self, skeleton: str, settings: dict[str, Any], square_first_box: bool, seed: int) -> None:
        super().__init__(skeleton, initial_from_primitives(settings), "shared", seed)
        self.save_hyperparameters()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["input_size"] = input_size_at(self.settings, self.current_epoch)

    def batch_loss(self, batch: Batch) -> Loss:
        return self.sums(self.regressor(batch["pixels"]), batch["target"])

    def batch_poses(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        pixels, size = batch["pixels"], input_size_at(self.settings, self.current_epoch)
        if size != pixels.shape[1]:  # so small as those of the training: a network answers well at its size only
            small = nn.functional.interpolate(
                pixels.permute(0, 3, 1, 2).float(), size=(size, size), mode="bilinear", antialias=True
            )
            pixels = small.permute(0, 2, 3, 1)
        answer = self.regressor(pixels).coordinates
        return denormalise(answer, batch["box"][:, None]), answer, batch["target"]
