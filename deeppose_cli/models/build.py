"""Build a cascade from its specification and its weights, wherever these were stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.models.cascade import Cascade, Stage
from deeppose_cli.models.regressor import JointPrior, Regressor
from deeppose_cli.models.spec import CascadeSpec, StageSpec


def build_stage(spec: StageSpec, num_joints: int) -> Regressor:
    """Build ψ of one stage with random weights. Raises UsageError for settings that name no network."""
    prior = None if spec.displacement is None else JointPrior(spec.displacement, spec.sigma)
    return Regressor(spec.settings, num_joints, spec.per_joint, prior)


def build_cascade(spec: CascadeSpec, regressors: Sequence[Regressor], device: str | None = None) -> Cascade:
    """Build the cascade in evaluation mode. device: by default a GPU where there is one."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    stages = [
        Stage(regressor.to(device).eval(), stage.settings.input_size, stage.sigma, stage.calibration)
        for stage, regressor in zip(spec.stages, regressors, strict=True)
    ]
    return Cascade(spec.skeleton, stages, square_initial_box=spec.square_initial_box)


def load_stage_weights(regressor: Regressor, weights: Mapping[str, Tensor], source: str) -> Regressor:
    """Load weights into ψ of one stage. Raises DeepPoseError that names `source` where they do not fit."""
    try:
        regressor.load_state_dict(dict(weights))
    except RuntimeError:
        raise DeepPoseError(f"{source}: its weights do not fit the network of its settings") from None
    return regressor
