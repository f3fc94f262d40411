"""Initial weights of a backbone: random, torchvision's published ones, or from a file."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.backbones import BACKBONES, Backbone

_LAYER = re.compile(r"(?:conv1|blocks\.(\d+)\.([01]))\.(conv|bn)\.(\w+)")


def initialize_backbone(backbone: Backbone, name: str, source: str) -> None:
    """Load the initial weights of a backbone.

    source: `random` (leaves it unchanged), `torchvision`, or a `.safetensors` file with MobileNetV1's layers as
    `conv1.conv.weight`, `blocks.<n>.<0: depthwise, 1: pointwise>.bn.bias`, … for inputs in [−1, 1].
    Raises UsageError for a source that is none of these or does not fit the backbone, DeepPoseError for a bad file.
    """
    if source == "torchvision":
        _load_torchvision(backbone, name)
    elif source != "random":
        _load_file(backbone, name, Path(source))


def _load_torchvision(backbone: Backbone, name: str) -> None:
    import torchvision

    if name not in torchvision.models.list_models():
        raise UsageError(f"--init-weights torchvision: torchvision has no {name}; valid: random, or a file")
    published = torchvision.models.get_model_weights(name).DEFAULT
    try:
        weights = published.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise DeepPoseError(
            f"--init-weights torchvision: cannot download {published.url} ({error}); valid without a network: a file"
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
        raise UsageError(
            f"--init-weights {file}: no such file; valid: random, torchvision, previous (stage), or a file"
        )
    try:
        weights = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DeepPoseError(f"--init-weights {file}: not a readable .safetensors file ({error})") from None
    own = backbone.state_dict()
    new: dict[str, Tensor] = {}
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


@torch.no_grad()
def _adapt_input(backbone: Backbone, mean: Tensor, std: Tensor) -> None:
    """Adapt weights made for (RGB − mean) / std to the crops here, (RGB − MEAN_COLOR) / COLOR_SCALE.

    The first convolution takes the factor, and the batch normalization after it the shift. Outputs stay the same but
    at the crop's edge, which is padded with MEAN_COLOR and not with `mean`.
    """
    layers = [layer for layer in backbone.blocks[0].modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    convolution, normalization = layers[:2]
    assert isinstance(normalization, nn.BatchNorm2d)
    assert normalization.running_mean is not None
    shift = (torch.tensor(MEAN_COLOR, dtype=torch.float32) - mean) / std
    normalization.running_mean -= (convolution.weight.sum((2, 3)) * shift).sum(1)
    convolution.weight *= (COLOR_SCALE / std).view(1, 3, 1, 1)
