"""Backbones: networks made for ImageNet, as sources of features at four scales, and their initial weights.

Shape letters: B batch, C channels, S input side in px. The input is a normalized crop, as for every network here: RGB
minus `MEAN_COLOR`, divided by `COLOR_SCALE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import TIMM, TORCHVISION_BACKBONES
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.models import movenet
from deeppose_cli.models.timm_backbone import TimmBackbone

STRIDES = (4, 8, 16, 32)
"""Input px per cell of the four feature levels."""
_LAYER = re.compile(r"(?:conv1|blocks\.(\d+)\.([01]))\.(conv|bn)\.(\w+)")
"""Name of a tensor in a file of MobileNetV1's weights."""


class Backbone(nn.Module):
    """A sequence of blocks: (B, 3, S, S) → four feature levels (B, C_l, S / stride_l, S / stride_l)."""

    def __init__(self, blocks: list[nn.Module], feature_levels: tuple[int, ...] | None = None) -> None:
        """`feature_levels`: numbers of the blocks whose outputs are the features; None: the last of each stride."""
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.frozen = 0
        self.feature_levels, self.channels = _find_feature_levels(blocks, feature_levels)

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


def _find_feature_levels(
    blocks: list[nn.Module], chosen: tuple[int, ...] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Find the last block at each stride, of the chosen ones, and its channels, by a forward pass of zeros."""
    side = 64
    last: dict[int, tuple[int, int]] = {}
    with torch.no_grad():
        x = torch.zeros(1, 3, side, side, device=next(blocks[0].parameters()).device)
        for number, block in enumerate(blocks):
            x = block.eval()(x)  # in training the batch statistics would change
            block.train()
            if chosen is None or number in chosen:
                last[side // x.shape[-1]] = (number, x.shape[1])
    numbers, channels = zip(*(last[stride] for stride in STRIDES), strict=True)
    return numbers, channels


def _mobilenet_v1() -> list[nn.Module]:
    """MobileNetV1, width 0.75 (Howard et al., 2017), with TensorFlow's padding, as its published weights expect it."""
    widths = (48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
    blocks: list[nn.Module] = [_unnamed(3, 24, 3, stride=2)]
    inputs = 24
    for number, width in enumerate(widths):
        stride = 2 if number in (1, 3, 5, 11) else 1
        depthwise, pointwise = _unnamed(inputs, inputs, 3, stride, groups=inputs), _unnamed(inputs, width, 1)
        blocks.append(nn.Sequential(depthwise, pointwise))
        inputs = width
    return blocks


def _unnamed(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """The same layers by number: stored weights of this network have these names."""
    return nn.Sequential(*movenet.convolution(inputs, outputs, kernel, stride, groups).children())


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
    **{name: partial(movenet.mobilenet_v2, width) for name, width in movenet.WIDTHS.items()},
    **{name: _torchvision(name) for name in TORCHVISION_BACKBONES},
}
"""Name → function that builds the blocks."""


def build_backbone(name: str) -> Backbone | TimmBackbone:
    """Build a backbone with random weights. Raises UsageError for an unknown name."""
    if name.startswith(TIMM):
        return TimmBackbone(name)
    if name not in BACKBONES:
        raise UsageError(f"--backbone {name or 'none'}: unknown; valid: {', '.join(BACKBONES)}")
    return Backbone(BACKBONES[name](), movenet.FEATURE_LEVELS if name in movenet.WIDTHS else None)


def initialize_backbone(backbone: Backbone | TimmBackbone, name: str, source: str) -> None:
    """Load the initial weights of a backbone.

    source: `random` (leaves it unchanged), `pretrained`, or a `.safetensors` file with MobileNetV1's layers as
    `conv1.conv.weight`, `blocks.<n>.<0: depthwise, 1: pointwise>.bn.bias`, … for inputs in [−1, 1].
    Raises UsageError for a source that is none of these or does not fit the backbone, DeepPoseError for a bad file.
    """
    if isinstance(backbone, TimmBackbone):
        backbone.initialize(source)
    elif source == "pretrained":
        _load_torchvision(backbone, name)
    elif source != "random":
        _load_file(backbone, name, Path(source))


def _load_torchvision(backbone: Backbone, name: str) -> None:
    import torchvision

    if name not in torchvision.models.list_models():
        raise UsageError(f"--init-weights pretrained: there are none of {name}; valid: random, or a file")
    published = torchvision.models.get_model_weights(name).DEFAULT
    try:
        weights = published.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise DeepPoseError(
            f"--init-weights pretrained: cannot download {published.url} ({error}); valid without a network: a file"
        ) from None
    network = torchvision.models.get_model(name)
    network.load_state_dict(weights)
    backbone.blocks.load_state_dict(nn.ModuleList(BACKBONES[name](network)).state_dict())
    mean, std = (torch.tensor(values) * 255 for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    _adapt_input(backbone, mean, std)


def _load_file(backbone: Backbone, name: str, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise UsageError(f"--init-weights {file}: no such file; valid: random, pretrained, previous (stage), or a file")
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DeepPoseError(f"--init-weights {file}: not a readable .safetensors file ({error})") from None
    own, new = backbone.state_dict(), {}
    for key, value in weights.items():
        if (match := _LAYER.fullmatch(key)) is None:
            raise DeepPoseError(f"--init-weights {file}: holds '{key}', which is no layer of {name}")
        number, part, kind, rest = match.groups()
        # The file counts its first convolution apart; here it is block 0.
        block = "blocks.0" if number is None else f"blocks.{int(number) + 1}.{part}"
        has_padding = f"{block}.1.weight" in own and own[f"{block}.1.weight"].ndim == 4
        own_key = f"{block}.{(kind == 'bn') + has_padding}.{rest}"
        if own_key not in own or own[own_key].shape != value.shape:
            raise DeepPoseError(f"--init-weights {file}: '{key}' {tuple(value.shape)} does not fit backbone {name}")
        new[own_key] = value
    missing = [key for key in own if key not in new and not key.endswith("num_batches_tracked")]
    if missing:
        raise DeepPoseError(
            f"--init-weights {file}: lacks {len(missing)} of the layers of {name}, such as {missing[0]}"
        )
    backbone.load_state_dict(new, strict=False)
    half = torch.full((3,), 127.5)
    _adapt_input(backbone, half, half)


def _adapt_input(backbone: Backbone, mean: Tensor, std: Tensor) -> None:
    """Adapt weights made for (RGB − mean) / std to the crops here."""
    layers = [layer for layer in backbone.blocks[0].modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    convolution, normalization = layers[:2]
    assert isinstance(normalization, nn.BatchNorm2d)
    assert normalization.running_mean is not None
    movenet.adapt_input(convolution.weight, normalization.running_mean, mean, std)
