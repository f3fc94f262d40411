"""Starting values for one network from another: which of its layers fit.

A layer fits by its name and its tensors' shapes. Layers that speak of joints are taken over joint by joint, by the
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
    """What of a network another one starts from."""

    values: Mapping[str, Tensor]
    """New values, by the names of `Regressor.state_dict()`."""
    layers: int
    """Layers that have new values: all of them, or those of some joints."""
    of_layers: int
    joints: int
    """Joints that values are known for."""

    def said(self, num_joints: int) -> str:
        return f"{self.layers} of {self.of_layers} layers, for {self.joints} of {num_joints} joints"


def take(
    own: Regressor, skeleton: Skeleton, donor: Mapping[str, Tensor], donor_skeleton: Skeleton, *, donor_per_joint: bool
) -> MatchedWeights:
    """What of the donor's weights, as `Regressor.state_dict()` names them, fits `own`.

    The network of one joint starts from the donor's network of that joint, or of all joints; one network of all joints
    from the donor's first.
    """
    values: dict[str, Tensor] = {}
    joints: set[str] = set()
    speaking: set[str] = set()
    for number, network in enumerate(own.networks):
        own_joints = (skeleton.joints[number],) if own.per_joint else skeleton.joints
        place = 0
        if donor_per_joint and own.per_joint and own_joints[0] in donor_skeleton.joints:
            place = donor_skeleton.index(own_joints[0])
        donor_joints = (donor_skeleton.joints[place],) if donor_per_joint else donor_skeleton.joints
        layers = cast("PoseNetwork", network).joint_layers
        for name, value in cast("Mapping[str, Tensor]", network.state_dict()).items():
            source = donor.get(f"networks.{place}.{name}")
            if source is None:
                continue
            if (layer := name.rpartition(".")[0]) in layers:
                new = _by_joint(value, own_joints, source, donor_joints)
                if new is not None:
                    joints |= set(own_joints) & set(donor_joints)
                    speaking.add(f"networks.{number}.{layer}")
            else:
                new = source if source.shape == value.shape else None
            if new is not None:
                values[f"networks.{number}.{name}"] = new
    whole = _layers(own.state_dict())
    fitting = {layer for layer, tensors in _layers(values).items() if tensors >= whole[layer]}
    values = {name: value for name, value in values.items() if name.rpartition(".")[0] in fitting}
    return MatchedWeights(values, len(fitting), len(whole), len(joints) if speaking & fitting else 0)


def _by_joint(value: Tensor, joints: tuple[str, ...], source: Tensor, source_joints: tuple[str, ...]) -> Tensor | None:
    """`value` with the rows of each joint that the source knows; None where there is none, or their sizes differ."""
    rows = len(value) // len(joints)
    common = [joint for joint in joints if joint in source_joints]
    if not common or len(source) != rows * len(source_joints) or source.shape[1:] != value.shape[1:]:
        return None
    new = value.clone()
    for joint in common:
        to, start = joints.index(joint) * rows, source_joints.index(joint) * rows
        new[to : to + rows] = source[start : start + rows]
    return new


def _layers(values: Mapping[str, Tensor]) -> dict[str, set[str]]:
    """The names of each layer's tensors; batch norm's counter is none that an answer depends on."""
    layers: dict[str, set[str]] = {}
    for name in values:
        layer, _, tensor = name.rpartition(".")
        if tensor != "num_batches_tracked":
            layers.setdefault(layer, set()).add(tensor)
    return layers
