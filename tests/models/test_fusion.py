"""Fused networks against the networks that they were made of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeppose_cli.config.schema import StagePreset
from deeppose_cli.models.backbones import BACKBONES
from deeppose_cli.models.fusion import PointwiseLinear, fuse
from deeppose_cli.models.networks import build_network

SIZE = 64
NETWORKS = [
    StagePreset(network="integral", input_size=SIZE, head_channels=8),
    StagePreset(input_size=80),
    StagePreset(network="backbone", backbone="mobilenet_v1", head="regression", input_size=SIZE, head_channels=16),
    *(StagePreset(network="backbone", backbone=name, input_size=SIZE, head_channels=16) for name in BACKBONES),
]


def as_trained(network: nn.Module) -> nn.Module:
    """Values and batch statistics far from those of a new network."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            nn.init.normal_(layer.running_mean, std=0.1)
            nn.init.uniform_(layer.running_var, 0.7, 1.5)
            nn.init.uniform_(layer.weight, 0.7, 1.5)
            nn.init.normal_(layer.bias, std=0.1)
    return network.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("settings", NETWORKS, ids=lambda s: f"{s.network}-{s.backbone}-{s.head}")
def test_a_fused_network_predicts_the_same(settings: StagePreset) -> None:
    network = as_trained(build_network(settings, 14)).train()
    copy = fuse(network)
    assert network.training
    x = torch.randn(2, 3, settings.input_size, settings.input_size).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        coordinates, logits, *_ = copy(x)
        expected, expected_logits, *_ = network.eval()(x)
    # The heatmaps of a new head have no peak: compare the logits.
    ours, theirs = (coordinates, expected) if logits is None else (logits, expected_logits)
    assert (ours - theirs).abs().max() < 0.005 * theirs.std()


def test_no_batch_norm_is_left_and_the_original_keeps_its_own() -> None:
    network = build_network(NETWORKS[3], 14)
    layers, values = list(network.modules()), {key: value.clone() for key, value in network.state_dict().items()}
    copy = fuse(network)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in copy.modules())
    assert any(isinstance(layer, PointwiseLinear) for layer in copy.modules())
    assert list(network.modules()) == layers
    for key, value in network.state_dict().items():
        assert torch.equal(value, values[key])


def test_layers_that_are_not_fused_share_their_weights() -> None:
    network = build_network(StagePreset(input_size=80), 14)
    there = {value.data_ptr() for value in network.parameters()}
    assert {value.data_ptr() for value in fuse(network).parameters()} == there


def test_only_plain_1x1_convolutions_become_products() -> None:
    plain = [nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 1, bias=False)]
    others = [
        nn.Conv2d(6, 6, 1, groups=2),
        nn.Conv2d(6, 6, 1, stride=2),
        nn.Conv2d(6, 6, 1, padding=1),
        nn.Conv2d(6, 6, 3),
    ]
    network = nn.Sequential(*plain, *others)
    copy = fuse(network)
    assert [isinstance(layer, PointwiseLinear) for layer in copy] == [True] * 2 + [False] * 4
    x = torch.randn(3, 4, 9, 7)
    torch.testing.assert_close(copy(x), network(x))
