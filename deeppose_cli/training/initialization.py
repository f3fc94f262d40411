"""What a stage's training starts from: random values, the stage before, a weights file, or a backbone's published ones.

`backbone_start.py` knows the values of backbones, `matching.py` which layers of one network fit another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeppose_cli.checkpoints.lightning import read_checkpoint, regressor_values
from deeppose_cli.checkpoints.pretrained import NAMES, weights_path
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_header import is_weights_file
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import Skeleton, skeleton_by_name

if TYPE_CHECKING:
    from torch import Tensor

    from deeppose_cli.training.lightning_modules import StageLightningModule
    from deeppose_cli.training.weight_transfer import MatchedWeights


@dataclass(frozen=True)
class SourceStage:
    """A trained stage that another one starts from."""

    name: str
    skeleton: Skeleton
    per_joint: bool
    values: Mapping[str, Tensor]
    """As `Regressor.state_dict()` names them."""


def find_source(start: str, run: RunFolder, number: int) -> SourceStage | None:
    """The trained stage that `--init-weights` names for stage `number` of the run; None where it names none.

    Of a weights file it is the stage of that number, or stage 1 if the file has fewer. Raises DeepPoseError for a bad
    file, UsageError for weights that are not there.
    """
    if start == "previous" and number == 1:
        raise UsageError("--init-weights previous: there is no stage before the first")
    if start == "previous":
        file = run.stage(number - 1).best
        checkpoint = read_checkpoint(file)
        kept = checkpoint["hyper_parameters"]
        per_joint = kept["settings"].get("regressor") == "per-joint"
        return SourceStage(str(file), skeleton_by_name(kept["skeleton"]), per_joint, regressor_values(checkpoint))
    if start not in NAMES and not is_weights_file(Path(start)):
        return None
    from deeppose_cli.checkpoints.weights_file import read_file_stages

    header, regressors = read_file_stages(weights_path(start, "--init-weights"))
    chosen = number if number <= len(regressors) else 1
    regressor = regressors[chosen - 1]
    plan = header.metadata.spec
    return SourceStage(f"{start}, stage {chosen}", plan.skeleton, regressor.per_joint, regressor.state_dict())


def check_start(settings: StagePreset, skeleton: Skeleton, kind: str, donor: SourceStage | None) -> None:
    """Raises, before anything is written, where nothing of the start fits the network that is to be trained."""
    import torch

    from deeppose_cli.models.regressor import Regressor

    if donor is None:
        if settings.init_weights != "random" and settings.network != "backbone":
            raise UsageError(
                f"--init-weights {settings.init_weights}: no weights file of deeppose, and network {settings.network} "
                "has no backbone for published values; valid: random, a weights file, or --preset modern"
            )
        return
    with torch.device("meta"):
        regressor = Regressor(settings, len(skeleton), kind)
    taken = _taken(regressor, skeleton, donor)
    frozen = re.compile(rf"networks\.\d+\.backbone\.blocks\.({'|'.join(map(str, range(settings.freeze_blocks)))})\.")
    random = [name for name in regressor.state_dict() if frozen.match(name) and name not in taken.values]
    if random and not all(name.endswith("num_batches_tracked") for name in random):
        raise UsageError(
            f"--freeze-blocks {settings.freeze_blocks}: {donor.name} has no values for these blocks of backbone "
            f"{settings.backbone}; valid: --freeze-blocks 0, or the backbone that it has"
        )
    if settings.init_weights == "previous":  # what fits is taken
        return
    if not taken.layers:
        what = f"network {settings.network}{f' {settings.backbone}' if settings.backbone else ''}"
        raise DeepPoseError(
            f"--init-weights {donor.name}: no layer fits {what}, input {settings.input_size} px; take the file's own "
            "--preset, --backbone and --head"
        )


def begin(module: StageLightningModule, settings: StagePreset, donor: SourceStage | None) -> str | None:
    """Gives a stage its starting values, and says where they are from if that is another stage."""
    if donor is not None:
        taken = _taken(module.regressor, module.skeleton, donor)
        module.regressor.load_state_dict(dict(taken.values), strict=False)
        return f"starts from {donor.name}: {taken.said(len(module.skeleton))}"
    from deeppose_cli.models.backbone_weights import initialize_backbone
    from deeppose_cli.models.networks import BackboneNetwork

    for network in module.regressor.networks:
        if isinstance(network, BackboneNetwork):
            initialize_backbone(network.backbone, settings.backbone, settings.init_weights)
    return None


def _taken(regressor: Any, skeleton: Skeleton, donor: SourceStage) -> MatchedWeights:
    from deeppose_cli.training.weight_transfer import take

    return take(regressor, skeleton, donor.values, donor.skeleton, donor_per_joint=donor.per_joint)
