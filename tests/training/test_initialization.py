"""Weights of another network: layers by name and shape, joints by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from deeppose_cli.config.presets import MODERN, TINY
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.skeleton import BUFFY10, FLIC10, LSP14, Skeleton
from deeppose_cli.models.regressor import Regressor
from deeppose_cli.training.initialization import MatchedWeights, SourceStage, match_weights

SMALL = replace(TINY.initial, input_size=32, head_channels=4)
INTEGRAL = replace(MODERN.initial, input_size=32, head_channels=8)
REGRESSION = replace(MODERN.initial, input_size=32, head_channels=8, head="regression")


def numbered(settings: StagePreset, skeleton: Skeleton, per_joint: bool = False) -> Regressor:
    """Every number of the network another one."""
    regressor = Regressor(settings, len(skeleton), per_joint)
    count = 1
    for value in regressor.state_dict().values():
        value.copy_(torch.arange(count, count + value.numel()).view(value.shape))
        count += value.numel()
    return regressor


def match(
    own: Regressor, skeleton: Skeleton, source: Mapping[str, torch.Tensor], joints: Skeleton, *, per_joint: bool
) -> MatchedWeights:
    return match_weights(own, skeleton, SourceStage("source", joints, per_joint, source))


@pytest.mark.parametrize(
    ("settings", "rows"),
    [(SMALL, 1), (INTEGRAL, 1), (REGRESSION, 2), (StagePreset(), 2)],
)
def test_what_depends_on_the_number_of_joints_is_named(settings: StagePreset, rows: int) -> None:
    """And nothing else is: in sizes of 14 and 10 joints, only the named layers differ."""
    with torch.device("meta"):
        networks = [Regressor(settings, joints).networks[0] for joints in (14, 10)]
    shapes = [{name: value.shape for name, value in network.state_dict().items()} for network in networks]
    differing = {name.rpartition(".")[0] for name in shapes[0] if shapes[0][name] != shapes[1][name]}
    assert differing == set(networks[0].joint_layers)
    layers = dict(networks[0].named_modules())
    assert max(len(layers[name].weight) for name in differing) == rows * 14


@pytest.mark.parametrize("settings", [SMALL, INTEGRAL, REGRESSION])
def test_joints_find_their_rows_by_name(settings: StagePreset) -> None:
    source, own = numbered(settings, LSP14), Regressor(settings, len(FLIC10))
    before = {name: value.clone() for name, value in own.state_dict().items()}
    matched = match(own, FLIC10, source.state_dict(), LSP14, per_joint=False)
    assert (matched.layers, matched.joints) == (matched.num_layers, 9)
    assert matched.summary(10).endswith(f"{matched.num_layers} layers, for 9 of 10 joints")
    own.load_state_dict(dict(matched.weights), strict=False)
    by_joint = own.networks[0].joint_layers
    for name, value in own.networks[0].state_dict().items():
        value_there = source.networks[0].state_dict()[name]
        if name.rpartition(".")[0] not in by_joint:
            assert torch.equal(value, value_there)
            continue
        of_ours, of_theirs = value.view(len(FLIC10), -1), value_there.view(len(LSP14), -1)
        for i, joint in enumerate(FLIC10.joints):
            if joint in LSP14.joints:
                assert torch.equal(of_ours[i], of_theirs[LSP14.joints.index(joint)]), joint
            else:
                assert torch.equal(of_ours[i], before[f"networks.0.{name}"].view(len(FLIC10), -1)[i]), joint


def test_skeletons_of_one_size_are_not_taken_for_one_another() -> None:
    source, own = numbered(SMALL, FLIC10), Regressor(SMALL, len(BUFFY10))
    matched = match(own, BUFFY10, source.state_dict(), FLIC10, per_joint=False)
    bias = matched.weights["networks.0.heatmaps.1.bias"]
    theirs = source.networks[0].heatmaps[1].bias
    assert bias[BUFFY10.index("left_wrist")] == theirs[FLIC10.index("left_wrist")]
    assert matched.joints == 7


def test_one_network_of_each_joint_starts_from_that_joints_own() -> None:
    source, own = numbered(SMALL, FLIC10, True), Regressor(SMALL, len(LSP14), True)
    matched = match(own, LSP14, source.state_dict(), FLIC10, per_joint=True)
    for i, joint in enumerate(LSP14.joints):
        there = joint in FLIC10.joints
        place = FLIC10.joints.index(joint) if there else 0
        for name, value in source.networks[place].state_dict().items():
            if there or not name.startswith("heatmaps.1."):
                assert torch.equal(matched.weights[f"networks.{i}.{name}"], value)
            else:
                assert f"networks.{i}.{name}" not in matched.weights
    assert matched.joints == 9


def test_one_network_of_each_joint_starts_from_one_of_all() -> None:
    source, own = numbered(SMALL, LSP14), Regressor(SMALL, len(LSP14), True)
    matched = match(own, LSP14, source.state_dict(), LSP14, per_joint=False)
    assert matched.weights.keys() == own.state_dict().keys()
    for i in range(len(LSP14)):
        assert torch.equal(
            matched.weights[f"networks.{i}.heatmaps.1.bias"], source.networks[0].heatmaps[1].bias[i : i + 1]
        )


@pytest.mark.parametrize(
    "other", [replace(SMALL, head_channels=6), StagePreset(), replace(MODERN.initial, input_size=32)]
)
def test_of_another_network_nothing_is_taken(other: StagePreset) -> None:
    """Not even the last layer's offsets, whose shape is the number of joints everywhere."""
    with torch.device("meta"):
        own = Regressor(other, len(LSP14))
    matched = match(own, LSP14, numbered(SMALL, LSP14).state_dict(), LSP14, per_joint=False)
    assert (matched.layers, matched.joints, dict(matched.weights)) == (0, 0, {})


def test_a_layer_is_taken_whole_or_not_at_all() -> None:
    source = numbered(SMALL, LSP14).state_dict()
    own = Regressor(SMALL, len(LSP14))
    del source["networks.0.heatmaps.1.weight"], source["networks.0.heatmaps.0.1.running_var"]
    matched = match(own, LSP14, source, LSP14, per_joint=False)
    assert not [name for name in matched.weights if "heatmaps.1." in name or "heatmaps.0.1." in name]
    assert (matched.num_layers - matched.layers, matched.joints) == (2, 0)
