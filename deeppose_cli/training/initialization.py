"""Initial weights of a stage: random, of the stage before, of a weights file, or published for the backbone.

Of another network's weights a stage takes the layers that fit by their name and their tensors' shapes. Layers with a
part for each joint are matched joint by joint, by the joints' names. `models/backbones.py` reads published ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from deeppose_cli.checkpoints.lightning import read_checkpoint, regressor_values, stored_skeleton
from deeppose_cli.checkpoints.pretrained import NAMES, weights_path
from deeppose_cli.checkpoints.run_folder import RunFolder
from deeppose_cli.checkpoints.weights_file import is_weights_file
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.spec import StageSpec

if TYPE_CHECKING:
    from torch import Tensor

    from deeppose_cli.models.networks import PoseNetwork
    from deeppose_cli.models.regressor import Regressor
    from deeppose_cli.training.lightning_modules import StageLightningModule


@dataclass(frozen=True)
class SourceStage:
    """A trained stage that another one starts from."""

    name: str
    skeleton: Skeleton
    per_joint: bool
    """Whether it has a network for each joint."""
    weights: Mapping[str, Tensor]
    """By the names of `Regressor.state_dict()`."""
    folded: bool = False
    """Whether its batch normalizations have no statistics of their own: a training must measure them first."""


@dataclass(frozen=True)
class MatchedWeights:
    """Weights of a source that fit a network."""

    weights: Mapping[str, Tensor]
    """By the names of `Regressor.state_dict()`."""
    layers: int
    """Layers with new weights, be it for some joints only."""
    num_layers: int
    joints: int
    """Joints with new weights."""

    def summary(self, num_joints: int) -> str:
        return f"{self.layers} of {self.num_layers} layers, for {self.joints} of {num_joints} joints"


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
        skeleton = stored_skeleton(file, stored)
        return SourceStage(str(file), skeleton, per_joint, regressor_values(checkpoint))
    if init_weights not in NAMES and not is_weights_file(Path(init_weights)):
        return _read_movenet(Path(init_weights))
    from deeppose_cli.checkpoints.weights_file import read_file_stages

    header, regressors = read_file_stages(weights_path(init_weights, "--init-weights"))
    chosen = number if number <= len(regressors) else 1
    regressor, skeleton = regressors[chosen - 1], header.metadata.spec.skeleton
    return SourceStage(f"{init_weights}, stage {chosen}", skeleton, regressor.per_joint, regressor.state_dict())


def _read_movenet(file: Path) -> SourceStage | None:
    """MoveNet's published values as a source; None for a file that holds other weights, or cannot be read."""
    if file.suffix != ".safetensors" or not file.is_file():
        return None
    from safetensors import SafetensorError, safe_open
    from safetensors.torch import load_file

    from deeppose_cli.models import movenet

    try:
        with safe_open(file, "pt") as opened:
            if not movenet.is_movenet(opened.keys()):
                return None
        weights = movenet.to_own_names(load_file(file))
    except (SafetensorError, OSError):
        return None
    except ValueError as error:
        raise DeepPoseError(f"--init-weights {file}: {error}") from None
    named = {f"networks.0.{name}": value for name, value in weights.items()}
    return SourceStage(str(file), movenet.SOURCE_SKELETON, False, named, folded=True)


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

    with torch.device("meta"):
        regressor = Regressor(settings, len(skeleton), StageSpec(settings).per_joint)
    matched = match_weights(regressor, skeleton, source)
    blocks = "|".join(map(str, range(settings.freeze_blocks)))
    frozen = re.compile(rf"networks\.\d+\.backbone\.blocks\.({blocks})\.(?!.*num_batches_tracked)")
    if any(frozen.match(name) and name not in matched.weights for name in regressor.state_dict()):
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


def initialize_weights(
    module: StageLightningModule,
    settings: StagePreset,
    source: SourceStage | None,
    example_crops: Callable[[], Tensor],
) -> str | None:
    """Set a stage's initial weights; one line about them if they are another stage's.

    example_crops: gives training crops (M, size, size, 3) uint8, for batch normalizations without statistics.
    """
    from deeppose_cli.models.backbones import initialize_backbone
    from deeppose_cli.models.movenet import recentre_norms
    from deeppose_cli.models.networks import BackboneNetwork

    if source is None:
        for network in module.regressor.networks:
            if isinstance(network, BackboneNetwork):
                initialize_backbone(network.backbone, settings.backbone, settings.init_weights)
        return None
    matched = match_weights(module.regressor, module.skeleton, source)
    module.regressor.load_state_dict(dict(matched.weights), strict=False)
    if source.folded:
        crops = module.regressor.prepare(example_crops())
        for network in module.regressor.networks:
            recentre_norms(network, crops)
    module.keep_teacher(source.skeleton.joints)
    return f"starts from {source.name}: {matched.summary(len(module.skeleton))}"


def match_weights(own: Regressor, skeleton: Skeleton, source: SourceStage) -> MatchedWeights:
    """Find the weights of a source that fit `own`.

    A network of one joint takes the source's network of that joint, or of all joints; a network of all joints takes
    the source's first.
    """
    weights: dict[str, Tensor] = {}
    joints: set[str] = set()
    joint_layers: set[str] = set()
    for number, network in enumerate(own.networks):
        own_joints = (skeleton.joints[number],) if own.per_joint else skeleton.joints
        place = 0
        if source.per_joint and own.per_joint and own_joints[0] in source.skeleton.joints:
            place = source.skeleton.index(own_joints[0])
        source_joints = (source.skeleton.joints[place],) if source.per_joint else source.skeleton.joints
        by_joint = cast("PoseNetwork", network).joint_layers
        for name, value in cast("Mapping[str, Tensor]", network.state_dict()).items():
            found = source.weights.get(f"networks.{place}.{name}")
            if found is not None and (layer := name.rpartition(".")[0]) in by_joint:
                found = _match_joints(value, own_joints, found, source_joints)
                if found is not None:
                    joints |= set(own_joints) & set(source_joints)
                    joint_layers.add(f"networks.{number}.{layer}")
            if found is not None and found.shape == value.shape:
                weights[f"networks.{number}.{name}"] = found
    whole = _tensors_by_layer(own.state_dict())
    fitting = {layer for layer, tensors in _tensors_by_layer(weights).items() if tensors >= whole[layer]}
    weights = {name: value for name, value in weights.items() if name.rpartition(".")[0] in fitting}
    return MatchedWeights(weights, len(fitting), len(whole), len(joints) if joint_layers & fitting else 0)


def _match_joints(
    value: Tensor, joints: tuple[str, ...], source: Tensor, source_joints: tuple[str, ...]
) -> Tensor | None:
    """`value` with the source's rows of each common joint; None without one, or if the sizes differ."""
    rows = len(value) // len(joints)
    common = [joint for joint in joints if joint in source_joints]
    if not common or len(source) != rows * len(source_joints) or source.shape[1:] != value.shape[1:]:
        return None
    new = value.clone()
    for joint in common:
        to, start = joints.index(joint) * rows, source_joints.index(joint) * rows
        new[to : to + rows] = source[start : start + rows]
    return new


def _tensors_by_layer(weights: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """Names of each layer's tensors, without batch norm's counter, which no prediction depends on."""
    layers: dict[str, set[str]] = {}
    for name in weights:
        layer, _, tensor = name.rpartition(".")
        if tensor != "num_batches_tracked":
            layers.setdefault(layer, set()).add(tensor)
    return layers
