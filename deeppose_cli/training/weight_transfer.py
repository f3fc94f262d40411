"""Weights of one network for another: the layers that fit.

A layer fits by its name and its tensors' shapes. Layers with a part for each joint are matched joint by joint, by the
joints' names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from torch import Tensor

from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.models.networks import PoseNetwork
from deeppose_cli.models.regressor import Regressor


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


def match_weights(
    own: Regressor, skeleton: Skeleton, source: Mapping[str, Tensor], source_skeleton: Skeleton, *, per_joint: bool
) -> MatchedWeights:
    """Find the weights of a source, named as in `Regressor.state_dict()`, that fit `own`.

    `per_joint`: whether the source has a network for each joint. A network of one joint takes the source's network of
    that joint, or of all joints; a network of all joints takes the source's first.
    """
    weights: dict[str, Tensor] = {}
    joints: set[str] = set()
    joint_layers: set[str] = set()
    for number, network in enumerate(own.networks):
        own_joints = (skeleton.joints[number],) if own.per_joint else skeleton.joints
        place = 0
        if per_joint and own.per_joint and own_joints[0] in source_skeleton.joints:
            place = source_skeleton.index(own_joints[0])
        source_joints = (source_skeleton.joints[place],) if per_joint else source_skeleton.joints
        by_joint = cast("PoseNetwork", network).joint_layers
        for name, value in cast("Mapping[str, Tensor]", network.state_dict()).items():
            found: Tensor | None = source.get(f"networks.{place}.{name}")
            if found is None:
                continue
            if (layer := name.rpartition(".")[0]) in by_joint:
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
