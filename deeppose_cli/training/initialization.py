"""Initial weights of a stage: random, of the stage before, of a weights file, or published for the backbone.

`models/backbone_weights.py` reads published weights, `weight_transfer.py` finds the layers of one network that fit
another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deeppose_cli.checkpoints.lightning import read_checkpoint, regressor_values
from deeppose_cli.checkpoints.pretrained import NAMES, weights_path
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_header import is_weights_file
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import Skeleton, skeleton_by_name
from deeppose_cli.models.spec import StageSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deeppose_cli.training.lightning_modules import StageLightningModule


@dataclass(frozen=True)
class SourceStage:
    """A trained stage that another one starts from."""

    name: str
    skeleton: Skeleton
    per_joint: bool
    weights: Mapping[str, Tensor]
    """By the names of `Regressor.state_dict()`."""


def find_source(init_weights: str, run: RunFolder, number: int) -> SourceStage | None:
    """Read the trained stage that `--init-weights` names for stage `number` of the run; None where it names none.

    Of a weights file it is the stage of that number, or stage 1 if the file has fewer. Raises DeepPoseError for a bad
    file.
    """
    if init_weights == "previous":
        file = run.stage(number - 1).best
        checkpoint = read_checkpoint(file)
        stored = checkpoint["hyper_parameters"]
        per_joint = bool(stored["settings"].get("per_joint"))
        return SourceStage(str(file), skeleton_by_name(stored["skeleton"]), per_joint, regressor_values(checkpoint))
    if init_weights not in NAMES and not is_weights_file(Path(init_weights)):
        return None
    from deeppose_cli.checkpoints.weights_file import read_file_stages

    header, regressors = read_file_stages(weights_path(init_weights, "--init-weights"))
    chosen = number if number <= len(regressors) else 1
    regressor = regressors[chosen - 1]
    skeleton = header.metadata.spec.skeleton
    return SourceStage(f"{init_weights}, stage {chosen}", skeleton, regressor.per_joint, regressor.state_dict())


def check_initial_weights(settings: StagePreset, skeleton: Skeleton, source: SourceStage | None) -> None:
    """Raise, before anything is written, where no initial weights fit the network that is to be trained."""
    if source is None:
        if settings.init_weights != "random" and settings.network != "backbone":
            raise UsageError(
                f"--init-weights {settings.init_weights}: no weights file of deeppose, and network {settings.network} "
                "has no backbone for published weights; valid: random, a weights file, or --preset modern"
            )
        return
    import torch

    from deeppose_cli.models.regressor import Regressor
    from deeppose_cli.training.weight_transfer import match_weights

    with torch.device("meta"):
        regressor = Regressor(settings, len(skeleton), StageSpec(settings).per_joint)
    matched = match_weights(regressor, skeleton, source.weights, source.skeleton, per_joint=source.per_joint)
    blocks = "|".join(map(str, range(settings.freeze_blocks)))
    frozen = re.compile(rf"networks\.\d+\.backbone\.blocks\.({blocks})\.")
    random = [name for name in regressor.state_dict() if frozen.match(name) and name not in matched.weights]
    if random and not all(name.endswith("num_batches_tracked") for name in random):
        raise UsageError(
            f"--freeze-blocks {settings.freeze_blocks}: {source.name} has no weights for these blocks of backbone "
            f"{settings.backbone}; valid: --freeze-blocks 0, or the backbone that it has"
        )
    if not matched.layers and settings.init_weights != "previous":
        network = f"network {settings.network}{f' {settings.backbone}' if settings.backbone else ''}"
        raise DeepPoseError(
            f"--init-weights {source.name}: no layer fits {network}, input {settings.input_size} px; take the file's "
            "own --preset, --backbone and --head"
        )


def initialize_weights(module: StageLightningModule, settings: StagePreset, source: SourceStage | None) -> str | None:
    """Set a stage's initial weights; one line about them if they are another stage's."""
    if source is not None:
        from deeppose_cli.training.weight_transfer import match_weights

        own = module.skeleton
        matched = match_weights(module.regressor, own, source.weights, source.skeleton, per_joint=source.per_joint)
        module.regressor.load_state_dict(dict(matched.weights), strict=False)
        return f"starts from {source.name}: {matched.summary(len(own))}"
    from deeppose_cli.models.backbone_weights import initialize_backbone
    from deeppose_cli.models.networks import BackboneNetwork

    for network in module.regressor.networks:
        if isinstance(network, BackboneNetwork):
            initialize_backbone(network.backbone, settings.backbone, settings.init_weights)
    return None
