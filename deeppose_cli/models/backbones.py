"""Backbones: networks made for ImageNet, as sources of features at four scales.

Shape letters: B batch, C channels, S input side in px. The input is a normalized crop, as for every network here: RGB
minus `MEAN_COLOR`, divided by `COLOR_SCALE`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from deeppose_cli.core.errors import UsageError

STRIDES = (4, 8, 16, 32)
"""Input px per cell of the four feature levels."""


class Backbone(nn.Module):
    """A sequence of blocks: (B, 3, S, S) → four feature levels (B, C_l, S / stride_l, S / stride_l)."""

    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.frozen = 0
        self.feature_levels, self.channels = _find_feature_levels(blocks)

    def freeze(self, count: int) -> None:
        """Freeze the first `count` blocks: neither their weights nor their batch statistics change any more."""
        if not 0 <= count <= len(self.blocks):
            raise UsageError(f"--freeze-blocks {count}: this backbone has {len(self.blocks)} blocks")
        self.frozen = count
        self.blocks[:count].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        self.blocks[: self.frozen].eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for number, block in enumerate(self.blocks):
            with torch.no_grad() if number < self.frozen else nullcontext():
                x = block(x)
            if number in self.feature_levels:
                features.append(x)
        return features


def _find_feature_levels(blocks: list[nn.Module]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the last block at each stride and its channels, by a forward pass of zeros."""
    side = 64
    last: dict[int, tuple[int, int]] = {}
    modes = [block.training for block in blocks]
    with torch.no_grad():
        x = torch.zeros(1, 3, side, side, device=next(blocks[0].parameters()).device)
        for number, block in enumerate(blocks):
            x = block.eval()(x)
            last[side // x.shape[-1]] = (number, x.shape[1])
    for block, mode in zip(blocks, modes, strict=True):
        block.train(mode)
    found = [last[stride] for stride in STRIDES]
    return tuple(number for number, _ in found), tuple(channels for _, channels in found)


class _SamePad(nn.Module):
    """TensorFlow's padding of a 3×3 convolution with stride 2 on an even side: one row and column, right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 1, 0, 1))


def _mobilenet_v1() -> list[nn.Module]:
    """MobileNetV1, width 0.75 (Howard et al., 2017), with TensorFlow's padding, as its published weights expect it."""

    def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        padding = kernel // 2 if stride == 1 else 0
        return nn.Sequential(
            *([_SamePad()] if stride == 2 else []),
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=0.001),
            nn.ReLU6(inplace=True),
        )

    widths = (48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
    blocks: list[nn.Module] = [convolution(3, 24, 3, stride=2)]
    inputs = 24
    for number, width in enumerate(widths):
        stride = 2 if number in (1, 3, 5, 11) else 1
        depthwise, pointwise = convolution(inputs, inputs, 3, stride, groups=inputs), convolution(inputs, width, 1)
        blocks.append(nn.Sequential(depthwise, pointwise))
        inputs = width
    return blocks


def _torchvision(name: str) -> Callable[..., list[nn.Module]]:
    def build_blocks(network: nn.Module | None = None) -> list[nn.Module]:
        """Take a torchvision network apart, by default a new one with random weights."""
        import torchvision  # only here: it is slow to load, and some installations lack a fitting one

        model: Any = network or torchvision.models.get_model(name, weights=None)
        if hasattr(model, "features"):
            return list(model.features)
        return [
            nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool),
            *(block for layer in (model.layer1, model.layer2, model.layer3, model.layer4) for block in layer),
        ]

    return build_blocks


BACKBONES: dict[str, Callable[..., list[nn.Module]]] = {
    "mobilenet_v1": _mobilenet_v1,
    **{name: _torchvision(name) for name in ("mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet50")},
}
"""Name → function that builds the blocks."""


def build_backbone(name: str) -> Backbone:
    """Build a backbone with random weights. Raises UsageError for an unknown name."""
    if name not in BACKBONES:
        raise UsageError(f"--backbone {name or 'none'}: unknown; valid: {', '.join(BACKBONES)}")
    return Backbone(BACKBONES[name]())
