"""Networks made for ImageNet, as sources of features at four scales.

Shape letters: B batch, C channels, S input side. A backbone is a row of steps; `levels` names the last step at each of
the strides 4, 8, 16 and 32. Its input is a crop as every network here gets it: RGB less `MEAN_COLOR`, divided by
`COLOR_SCALE`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from deeppose_cli.core.errors import UsageError

STRIDES = (4, 8, 16, 32)
"""Input px per cell of the four levels of features."""


class Backbone(nn.Module):
    """(B, 3, S, S) → four maps (B, C_l, S / stride_l, S / stride_l), strides 4, 8, 16 and 32."""

    def __init__(self, steps: list[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.frozen = 0
        self.levels, self.channels = _levels(steps)

    def freeze(self, count: int) -> None:
        """The first `count` steps learn nothing: neither their values nor their batch statistics change."""
        if not 0 <= count <= len(self.steps):
            raise UsageError(f"--freeze-blocks {count}: this backbone has {len(self.steps)} steps")
        self.frozen = count
        self.steps[:count].requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        self.steps[: self.frozen].eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for number, step in enumerate(self.steps):
            with torch.no_grad() if number < self.frozen else nullcontext():
                x = step(x)
            if number in self.levels:
                found.append(x)
        return found


def _levels(steps: list[nn.Module]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The last step at each stride and its channels, found by sending nothing through."""
    side = 64
    last: dict[int, tuple[int, int]] = {}
    modes = [step.training for step in steps]
    with torch.no_grad():
        x = torch.zeros(1, 3, side, side, device=next(steps[0].parameters()).device)
        for number, step in enumerate(steps):
            x = step.eval()(x)
            last[side // x.shape[-1]] = (number, x.shape[1])
    for step, mode in zip(steps, modes, strict=True):
        step.train(mode)
    found = [last[stride] for stride in STRIDES]
    return tuple(number for number, _ in found), tuple(channels for _, channels in found)


class _SamePad(nn.Module):
    """TensorFlow's padding of a 3×3 convolution with stride 2 on an even side: one row and column, right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 1, 0, 1))


def _mobilenet_v1() -> list[nn.Module]:
    """MobileNetV1, width 0.75 (Howard et al., 2017), with TensorFlow's padding, as its published values expect it."""

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        padding = kernel // 2 if stride == 1 else 0
        return nn.Sequential(
            *([_SamePad()] if stride == 2 else []),
            nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
            nn.BatchNorm2d(outputs, eps=0.001),
            nn.ReLU6(inplace=True),
        )

    widths = (48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
    steps: list[nn.Module] = [conv(3, 24, 3, stride=2)]
    inputs = 24
    for number, width in enumerate(widths):
        stride = 2 if number in (1, 3, 5, 11) else 1
        steps.append(nn.Sequential(conv(inputs, inputs, 3, stride, groups=inputs), conv(inputs, width, 1)))
        inputs = width
    return steps


def _torchvision(name: str) -> Callable[..., list[nn.Module]]:
    def steps(whole: nn.Module | None = None) -> list[nn.Module]:
        """`whole`: the model to take apart; a new one with random values if none."""
        import torchvision  # only here: it is slow to load, and some installations lack a fitting one

        model: Any = whole or torchvision.models.get_model(name, weights=None)
        if hasattr(model, "features"):
            return list(model.features)
        return [
            nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool),
            *(block for layer in (model.layer1, model.layer2, model.layer3, model.layer4) for block in layer),
        ]

    return steps


BACKBONES: dict[str, Callable[..., list[nn.Module]]] = {
    "mobilenet_v1": _mobilenet_v1,
    **{name: _torchvision(name) for name in ("mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet50")},
}


def build_backbone(name: str) -> Backbone:
    """With random values. Raises UsageError for a name that no backbone has."""
    if name not in BACKBONES:
        raise UsageError(f"--backbone {name or 'none'}: unknown; valid: {', '.join(BACKBONES)}")
    return Backbone(BACKBONES[name]())
