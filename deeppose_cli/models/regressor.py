"""ψ of one stage as a torch module, for training and for the cascade; a cascade from its specification.

Shape letters: K joints, M crops, (H, H) cells of a heatmap. Crops are (M, size, size, 3) uint8 RGB; coordinates are
normalized to the crop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import ERROR_CORE
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.cascade import Cascade, CropBatch, Stage, StageOutput, average_flipped
from deeppose_cli.models.displacement import Displacement
from deeppose_cli.models.fusion import fuse, tensor_versions
from deeppose_cli.models.heads import HeadOutput, cell_centres, to_shares
from deeppose_cli.models.networks import HEATMAP_STRIDE, PoseNetwork, build_network
from deeppose_cli.models.spec import CascadeSpec, StageSpec


@dataclass(frozen=True)
class JointPrior:
    """Prior of each joint's position in its refinement crop. Ours, not the paper's.

    The crop is placed with an error δ whose distribution is known, and the joint lies where the error is undone: a
    Normal around −δ / σ.
    """

    displacement: Displacement
    sigma: float

    def log_density(self, side: int, std_factor: float) -> Tensor:
        """(K, H, H) over the cells of a heatmap with H = side, up to a constant.

        std_factor: factor of the standard deviation, which is one cell at least.
        """
        mean = -torch.tensor(self.displacement.mean) / self.sigma
        std = std_factor * torch.tensor(self.displacement.std) / self.sigma
        axes = -0.5 * ((cell_centres(side) - mean.unsqueeze(-1)) / std.clamp(min=1 / side).unsqueeze(-1)).square()
        return axes[:, 1, :, None] + axes[:, 0, None, :]


class Regressor(nn.Module):
    """ψ(·; θ_s): `shared`, one network with K pairs of outputs (the paper); `per-joint`, K networks with one pair."""

    mean: Tensor
    training_prior: Tensor | None
    """(K, H, H) log-density with the whole deviation, with which the training crops are drawn."""
    prediction_prior: Tensor | None
    """The same with a share of the deviation: see `ERROR_CORE`."""

    def __init__(
        self, settings: StagePreset, num_joints: int, per_joint: bool = False, prior: JointPrior | None = None
    ) -> None:
        super().__init__()
        self.num_joints, self.per_joint = num_joints, per_joint
        count, outputs = (num_joints, 1) if per_joint else (1, num_joints)
        self.networks = nn.ModuleList(build_network(settings, outputs) for _ in range(count))
        self.register_buffer("mean", torch.tensor(MEAN_COLOR, dtype=torch.float32), persistent=False)
        side = settings.input_size // HEATMAP_STRIDE
        for name, std_factor in (("training_prior", 1.0), ("prediction_prior", ERROR_CORE)):
            density = None if prior is None else prior.log_density(side, std_factor)
            self.register_buffer(name, density, persistent=False)
        # The fused copy and the tensor versions that it was made from; in a tuple it is no submodule.
        self._fused: tuple[Regressor, list[int]] | None = None
        self.to(memory_format=torch.channels_last)  # convolutions on CPUs run about a fifth faster

    # --- As a torch module ------------------------------------------------------------------------------------------

    def forward(self, pixels: Tensor) -> HeadOutput:
        """`shared`: crops → coordinates (M, K, 2) of all joints, and the heatmaps where there are any."""
        return self._network(0)(self.prepare(pixels), self.joint_prior())

    def predict_joint(self, pixels: Tensor, joint: int) -> HeadOutput:
        """`per-joint`: crops → coordinates (M, 1, 2) of one joint by its network, and its heatmaps."""
        prior = self.joint_prior()
        own_prior = None if prior is None else prior[joint : joint + 1]
        return self._network(joint)(self.prepare(pixels), own_prior)

    def predict_own_joint(self, pixels: Tensor, joints: Tensor) -> HeadOutput:
        """Crops and the joint (M) of each → coordinates (M, 1, 2) of that joint."""
        if not self.per_joint:
            all_joints = self.outputs(pixels)
            return self.decode(all_joints[torch.arange(len(joints), device=joints.device), joints][:, None])
        groups = [joints == joint for joint in joints.unique()]
        outputs = [self.predict_joint(pixels[rows], int(joints[rows][0])) for rows in groups]
        order = torch.cat([rows.nonzero()[:, 0] for rows in groups]).argsort()
        coordinates, logits, peak_mass = (
            None if parts[0] is None else torch.cat(cast("tuple[Tensor, ...]", parts))[order]
            for parts in zip(*outputs, strict=True)
        )
        return HeadOutput(cast("Tensor", coordinates), logits, peak_mass)

    def outputs(self, pixels: Tensor) -> Tensor:
        """Crops → raw outputs (M, K, …) of all joints, for `decode`."""
        x, prior = self.prepare(pixels), self.joint_prior()
        if not self.per_joint:
            return self._network(0).outputs(x, prior)
        priors = [None] * self.num_joints if prior is None else list(prior.split(1))
        return torch.cat([self._network(i).outputs(x, own_prior) for i, own_prior in enumerate(priors)], dim=1)

    def decode(self, outputs: Tensor) -> HeadOutput:
        """Raw outputs of all joints, or of some → coordinates."""
        return self._network(0).decode(outputs)

    def prepare(self, pixels: Tensor) -> Tensor:
        """Crops → (M, 3, size, size) float, channels-last in memory; the mean color becomes 0."""
        return (pixels - self.mean).div_(COLOR_SCALE).permute(0, 3, 1, 2)

    def joint_prior(self) -> Tensor | None:
        """(K, H, H) log-density that is added to the heatmaps in the present mode; None in stage 1."""
        return self.training_prior if self.training else self.prediction_prior

    def _network(self, index: int) -> PoseNetwork:
        return cast("PoseNetwork", self.networks[index])

    # --- As a stage of the cascade (`StageModel`) -------------------------------------------------------------------

    def predict(self, crops: CropBatch) -> StageOutput:
        """Predict with the fused copy: without dropout, whatever mode the module is in."""
        return self._to_numpy(self._forward(crops), crops)

    def predict_flipped(self, crops: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """Average over both images: the heatmaps where there are any, else the coordinates.

        Where the peaks of both heatmaps differ, one of them is chosen: the point between them would be neither.
        """
        output, flipped = self._forward(crops), self._forward(mirrored)
        if output.logits is None or flipped.logits is None:
            return average_flipped(self._to_numpy(output, crops), self._to_numpy(flipped, crops), crops, mirror)
        reflected = flipped.logits.flip(-1)
        if crops.joint_index is None:
            reflected = reflected[:, list(mirror)]
        shares = (to_shares(output.logits) + to_shares(reflected)) / 2
        logits = torch.log(shares + torch.finfo(torch.float32).tiny)
        return self._to_numpy(self.fused_copy().decode(logits), crops)

    def fused_copy(self) -> Regressor:
        """A faster copy in evaluation mode; made once, and again after a weight has changed."""
        versions = tensor_versions(self)
        if self._fused is None or self._fused[1] != versions:
            self._fused = None  # else it would be copied too
            self._fused = (fuse(self), versions)
        return self._fused[0]

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Called by `.to` and the like, which replace the tensors: the fused copy is out of date."""
        self._fused = None
        return super()._apply(fn, recurse)

    @torch.inference_mode()
    def _forward(self, crops: CropBatch) -> HeadOutput:
        """(M, K, …) of all joints in stage 1; (M, 1, …) of each crop's own joint later."""
        regressor = self.fused_copy()
        pixels = torch.from_numpy(np.ascontiguousarray(crops.pixels)).to(self.mean.device)
        if crops.joint_index is None:
            return regressor(pixels)
        return regressor.predict_own_joint(pixels, torch.from_numpy(crops.joint_index).to(self.mean.device))

    @staticmethod
    def _to_numpy(output: HeadOutput, crops: CropBatch) -> StageOutput:
        def convert(values: Tensor) -> FloatArray:
            array: FloatArray = values.double().cpu().numpy()
            return array if crops.joint_index is None else array[:, 0]

        peak_mass = None if output.peak_mass is None else convert(output.peak_mass)
        return StageOutput(convert(output.coordinates), peak_mass)


def build_stage(spec: StageSpec, num_joints: int) -> Regressor:
    """Build ψ of one stage with random weights. Raises UsageError for settings that name no network."""
    around_joint = spec.view == "joint" and spec.displacement is not None
    prior = JointPrior(spec.displacement, spec.sigma) if around_joint and spec.displacement else None
    return Regressor(spec.settings, num_joints, spec.per_joint, prior)


def load_stage_weights(regressor: Regressor, weights: Mapping[str, Tensor], source: str) -> Regressor:
    """Load weights into ψ of one stage. Raises DeepPoseError that names `source` where they do not fit."""
    try:
        regressor.load_state_dict(dict(weights))
    except RuntimeError:
        raise DeepPoseError(f"{source}: its weights do not fit the network of its settings") from None
    return regressor


def build_cascade(spec: CascadeSpec, regressors: Sequence[Regressor], device: str | None = None) -> Cascade:
    """Build the cascade in evaluation mode. device: by default a GPU where there is one."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    stages = [
        Stage(regressor.to(device).eval(), stage.settings.input_size, stage.sigma, stage.view, stage.calibration)
        for stage, regressor in zip(spec.stages, regressors, strict=True)
    ]
    return Cascade(spec.skeleton, stages, square_initial_box=spec.square_initial_box)
