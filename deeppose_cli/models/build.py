"""A cascade from its plan and its weights, wherever these were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from deeppose_cli.core.errors import DeepPoseError
from deeppose_cli.models.cascade import Cascade, Stage
from deeppose_cli.models.regressor import JointPrior, Regressor
from deeppose_cli.models.spec import CascadeSpec, StageSpec


def build_stage(plan: StageSpec, num_joints: int) -> Regressor:
    """ψ of one stage with random weights. Raises UsageError for settings that name no network."""
    expected = None if plan.displacement is None else JointPrior(*plan.displacement, plan.sigma)
    return Regressor(plan.settings, num_joints, plan.kind, expected)


def build_cascade(plan: CascadeSpec, regressors: Sequence[Regressor], device: str | None = None) -> Cascade:
    """The cascade in evaluation mode. `device`: a GPU where there is one."""
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    stages = [
        Stage(regressor.to(place).eval(), stage.settings.input_size, stage.sigma, stage.calibration)
        for stage, regressor in zip(plan.stages, regressors, strict=True)
    ]
    return Cascade(plan.skeleton, stages, square_initial_box=plan.square_initial_box)


def load_stage_weights(regressor: Regressor, values: Mapping[str, Tensor], source: str) -> Regressor:
    """Gives a network its weights. Raises DeepPoseError that names the source where they do not fit."""
    try:
        regressor.load_state_dict(dict(values))
    except RuntimeError:
        raise DeepPoseError(f"{source}: its weights do not fit the network that its settings name") from None
    return regressor
