"""MoveNet's networks (Google, 2021) as a backbone and a head: MobileNetV2 and a feature pyramid with heatmaps.

The published values have their batch normalizations folded into the convolutions. Here every convolution has one again,
which changes no output; `recentre_norms` gives them the statistics of training crops, without which none could learn.

Sources: Sandler et al., MobileNetV2, CVPR 2018; Lin et al., Feature Pyramid Networks, CVPR 2017; the published files.
Shape letters: B batch, C channels, K joints, S input side in px, (H, H) cells of a heatmap.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from deeppose_cli.core.skeleton import PEOPLE19
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.heads import HeadOutput, decode_heatmaps

WIDTHS = {"movenet_lightning": 1.0, "movenet_thunder": 1.75}
"""Width of MobileNetV2 by the backbone's name."""
FEATURE_LEVELS = (3, 6, 10, 18)
"""Numbers of the blocks whose outputs the feature pyramid takes, at strides 4, 8, 16 and 32."""
_CHANNELS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
_HALVING = (1, 3, 6, 13)
_LAST_CHANNELS = 1280
_EXPANSION = 6
_EPSILON = 0.001


class _SamePad(nn.Module):
    """TensorFlow's padding of a 3×3 convolution with stride 2 on an even side: one row and column, right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, (0, 1, 0, 1))


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Convolution, batch normalization and ReLU6 with TensorFlow's padding."""
    layers: dict[str, nn.Module] = {"pad": _SamePad()} if stride == 2 else {}
    padding = kernel // 2 if stride == 1 else 0
    layers["conv"] = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    layers["norm"] = nn.BatchNorm2d(outputs, eps=_EPSILON)
    if activation:
        layers["relu"] = nn.ReLU6(inplace=True)
    return nn.Sequential(OrderedDict(layers))


class _InvertedResidual(nn.Module):
    """1×1 to more channels, 3×3 in each, 1×1 to fewer channels; plus the input where the shapes agree."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.expand = convolution(inputs, wide) if expansion > 1 else nn.Identity()
        self.depthwise = convolution(wide, wide, 3, stride, groups=wide)
        self.project = convolution(wide, outputs, activation=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


def mobilenet_v2(width: float) -> list[nn.Module]:
    """Blocks of MobileNetV2: the first convolution, 17 inverted residuals, the last convolution."""

    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded if rounded >= 0.9 * channels * width else rounded + 8

    inputs = scaled(32)
    blocks: list[nn.Module] = [convolution(3, inputs, 3, stride=2)]
    for number, channels in enumerate(map(scaled, _CHANNELS)):
        stride = 2 if number in _HALVING else 1
        blocks.append(_InvertedResidual(inputs, channels, stride, _EXPANSION if number else 1))
        inputs = channels
    return [*blocks, convolution(inputs, _LAST_CHANNELS)]


class _Separable(nn.Module):
    """3×3 in each channel, then 1×1, batch normalization and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
        self.pointwise = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.pointwise(self.depthwise(x))))


class Pyramid(nn.Module):
    """Feature pyramid: levels at strides 4 to 32 → (B, 24, S / 4, S / 4)."""

    CHANNELS = 24

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.lateral_4, self.lateral_8, self.lateral_16, self.lateral_32 = (
            nn.Conv2d(inputs, outputs, 1) for inputs, outputs in zip(channels, (24, 32, 64, 64), strict=True)
        )
        self.smooth_16, self.smooth_8, self.smooth_4 = _Separable(64, 32), _Separable(32, 24), _Separable(24, 24)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.lateral_32(features[3])
        x = self.smooth_16(_double(x) + self.lateral_16(features[2]))
        x = self.smooth_8(_double(x) + self.lateral_8(features[1]))
        merged: Tensor = self.smooth_4(_double(x) + self.lateral_4(features[0]))
        return merged


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class PyramidHead(nn.Module):
    """MoveNet's head: a feature pyramid and a heatmap for each joint at stride 4, read around its peak."""

    def __init__(self, channels: tuple[int, ...], num_joints: int, peaked: bool = True) -> None:
        super().__init__()
        self.peaked = peaked
        self.pyramid = Pyramid(channels)
        self.hidden = _Separable(Pyramid.CHANNELS, 96)
        self.last = nn.Conv2d(96, num_joints, 1)
        nn.init.normal_(self.last.weight, std=0.001)

    def forward(self, features: list[Tensor], prior: Tensor | None = None) -> Tensor:
        """Feature levels → (B, K, H, H) logits. prior: (K, H, H) log-density, added to them."""
        logits: Tensor = self.last(self.hidden(self.pyramid(features))).float()
        return logits if prior is None else logits + prior

    def decode(self, logits: Tensor) -> HeadOutput:
        return decode_heatmaps(logits, at_peak=self.peaked and not self.training)


SOURCE_SKELETON = PEOPLE19
"""Joints of `to_own_names`: COCO's 17 in COCO's order, neck and head top."""
_BACKBONE_LAYER = re.compile(r"(?:(conv1|conv_last)|blocks\.(\d+)\.(expand|depthwise|project))\.(weight|bias)")
_HEAD_LAYER = re.compile(r"(?:fpn\.(lateral_\d+|smooth_\d+)|heatmap)(?:\.(depthwise|pointwise|last))?\.(weight|bias)")


def is_movenet(keys: Iterable[str]) -> bool:
    """Whether these are the keys of a file of MoveNet's published values."""
    return {"conv1.weight", "conv_last.weight", "fpn.lateral_32.weight"} <= set(keys)


def to_own_names(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of `BackboneNetwork` with a pyramid head from MoveNet's published values, folded batch norms undone.

    Neck and head top have no published heatmap: the neck starts as the mean of both shoulders', the head top as the
    nose's. Raises ValueError for a key that is no layer.
    """
    own: dict[str, Tensor] = {}
    for key, value in published.items():
        value = value.float()
        if match := _BACKBONE_LAYER.fullmatch(key):
            end, number, part, kind = match.groups()
            block = {"conv1": "0", "conv_last": "18"}[end] if end else f"{int(number) + 1}.{part}"
            _put(own, f"backbone.blocks.{block}", "conv", kind, value)
        elif match := _HEAD_LAYER.fullmatch(key):
            level, part, kind = match.groups()
            if part == "last":
                own[f"head.last.{kind}"] = _with_neck_and_head(value)
            elif part is None:
                own[f"head.pyramid.{level}.{kind}"] = value
            else:
                _put(own, f"head.pyramid.{level}" if level else "head.hidden", part, kind, value)
        else:
            raise ValueError(f"holds '{key}', which is no layer of MoveNet")
    if (first := own.get("backbone.blocks.0.conv.weight")) is not None:
        half = torch.full((3,), 127.5)
        adapt_input(first, own["backbone.blocks.0.norm.running_mean"], half, half)
    return own


def _put(own: dict[str, Tensor], block: str, layer: str, kind: str, value: Tensor) -> None:
    """Put a folded convolution's weight, or its bias as that of a batch normalization which changes nothing else."""
    if kind == "weight":
        own[f"{block}.{layer}.weight"] = value
        return
    ones, zeros = torch.ones_like(value), torch.zeros_like(value)
    norm = {"weight": ones, "bias": value, "running_mean": zeros, "running_var": ones - _EPSILON}
    own.update({f"{block}.norm.{name}": tensor for name, tensor in norm.items()})


def _with_neck_and_head(rows: Tensor) -> Tensor:
    """(17, …) rows of COCO's joints → (19, …)."""
    index = SOURCE_SKELETON.index
    neck = (rows[index("left_shoulder")] + rows[index("right_shoulder")]) / 2
    return torch.cat([rows, neck[None], rows[index("nose")][None]])


@torch.no_grad()
def adapt_input(weight: Tensor, running_mean: Tensor, mean: Tensor, std: Tensor) -> None:
    """Adapt a first convolution made for (RGB − mean) / std to the crops here, (RGB − MEAN_COLOR) / COLOR_SCALE.

    Its weight takes the factor, and the running mean of the batch normalization after it the shift, in place. Outputs
    stay the same but at the crop's edge, which is padded with MEAN_COLOR and not with `mean`.
    """
    shift = (torch.tensor(MEAN_COLOR, dtype=torch.float32) - mean) / std
    running_mean -= (weight.sum((2, 3)) * shift).sum(1)
    weight *= (COLOR_SCALE / std).view(1, 3, 1, 1)


@torch.no_grad()
def recentre_norms(network: nn.Module, images: Tensor) -> None:
    """Give every batch normalization the statistics of its inputs for these images (B, 3, S, S), outputs unchanged.

    Scale and shift take up the difference, to rounding. A training then starts with statistics that its batches have.
    """

    def recentre(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, var = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3))
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        norm.bias.add_((mean - norm.running_mean) * scale)
        norm.weight.copy_(scale * (var + norm.eps).sqrt())
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)

    was_training = network.training
    network.eval()
    hooks = [
        module.register_forward_pre_hook(recentre) for module in network.modules() if isinstance(module, nn.BatchNorm2d)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    network.train(was_training)
