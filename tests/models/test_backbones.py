"""Networks made for ImageNet as sources of features at four scales."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deeppose_cli.core.errors import UsageError
from deeppose_cli.models.backbones import BACKBONES, STRIDES, build_backbone


@pytest.mark.parametrize("name", BACKBONES)
def test_levels_have_their_strides_and_channels(name: str) -> None:
    backbone = build_backbone(name).eval()
    with torch.no_grad():
        levels = backbone(torch.zeros(1, 3, 96, 160))
    assert [tuple(level.shape[1:]) for level in levels] == [
        (channels, 96 // stride, 160 // stride) for channels, stride in zip(backbone.channels, STRIDES, strict=True)
    ]


def test_mobilenet_v1_has_the_published_size() -> None:
    """Howard et al. give 2.6 M for width 0.75 with a classifier of 768 × 1000 + 1000 values."""
    count = sum(parameter.numel() for parameter in build_backbone("mobilenet_v1").parameters())
    assert round((count + 768 * 1000 + 1000) / 1e6, 1) == 2.6


def test_frozen_steps_neither_learn_nor_count() -> None:
    backbone = build_backbone("mobilenet_v1")
    backbone.freeze(4)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in backbone.parameters() if p.requires_grad], lr=0.1)
    sum(level.sum() for level in backbone(torch.randn(4, 3, 64, 64))).backward()
    optimizer.step()
    moved = {key.split(".")[1] for key, value in backbone.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {str(number) for number in range(4, 14)}


def test_frozen_steps_stay_in_evaluation_whatever_the_mode() -> None:
    backbone = build_backbone("resnet18")
    backbone.freeze(2)
    for mode in (True, False, True):
        backbone.train(mode)
        norms = [[m.training for m in step.modules() if isinstance(m, nn.BatchNorm2d)] for step in backbone.blocks]
        assert not any(any(step) for step in norms[:2])
        assert all(all(step) is mode for step in norms[2:])


def test_more_frozen_steps_than_there_are() -> None:
    with pytest.raises(UsageError, match=r"--freeze-blocks 15: this backbone has 14 blocks"):
        build_backbone("mobilenet_v1").freeze(15)


def test_unknown_backbone_names_the_known() -> None:
    with pytest.raises(UsageError, match=r"--backbone vgg: unknown; valid: mobilenet_v1, .*resnet50"):
        build_backbone("vgg")
