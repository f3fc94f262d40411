"""Starting values of a backbone: random, torchvision's published ones, or from a file."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.backbones import Backbone

_LAYER = re.compile(r"(?:conv1|blocks\.(\d+)\.([01]))\.(conv|bn)\.(\w+)")


def start_backbone(backbone: Backbone, name: str, start: str) -> None:
    """Gives the backbone its values.

    start: `random` (leaves it as it is), `torchvision`, or a `.safetensors` file with MobileNetV1's layers as
    `conv1.conv.weight`, `blocks.<n>.<0: depthwise, 1: pointwise>.bn.bias`, … and an input in [−1, 1].
    Raises UsageError for a start that is none of these or does not fit the backbone, DeepPoseError for a bad file.
    """
    if start == "random":
        return
    if start == "torchvision":
        _from_torchvision(backbone, name)
        return
    _from_file(backbone, name, Path(start))


def _from_torchvision(backbone: Backbone, name: str) -> None:
    import torchvision

    if name not in torchvision.models.list_models():
        raise UsageError(f"--init-weights torchvision: torchvision has no {name}; valid: random, or a file")
    from deeppose_cli.models.backbones import BACKBONES

    whole = torchvision.models.get_model_weights(name).DEFAULT
    try:
        values = whole.get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise DeepPoseError(
            f"--init-weights torchvision: {whole.url} cannot be had ({error}); valid without a network: a file"
        ) from None
    model = torchvision.models.get_model(name)
    model.load_state_dict(values)
    backbone.steps.load_state_dict(nn.ModuleList(BACKBONES[name](model)).state_dict())
    mean, std = (torch.tensor(part) * 255 for part in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    _fit_input(backbone, mean, std)


def _from_file(backbone: Backbone, name: str, file: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not file.is_file():
        raise UsageError(
            f"--init-weights {file}: no such file; valid: random, torchvision, previous (stage), or a file"
        )
    try:
        values = load_file(file)
    except (SafetensorError, OSError) as error:
        raise DeepPoseError(f"--init-weights {file}: not a readable .safetensors file ({error})") from None
    own = backbone.state_dict()
    new: dict[str, Tensor] = {}
    for key, value in values.items():
        if (match := _LAYER.fullmatch(key)) is None:
            raise DeepPoseError(f"--init-weights {file}: holds '{key}', which is no layer of {name}")
        block, part, kind, rest = match.groups()
        step = f"steps.{0 if block is None else int(block) + 1}" + ("" if block is None else f".{part}")
        padded = f"{step}.1.weight" in own and own[f"{step}.1.weight"].ndim == 4
        place = f"{step}.{(kind == 'bn') + padded}.{rest}"
        if place not in own or own[place].shape != value.shape:
            raise DeepPoseError(f"--init-weights {file}: '{key}' {tuple(value.shape)} does not fit backbone {name}")
        new[place] = value
    lacking = [key for key in own if key not in new and not key.endswith("num_batches_tracked")]
    if lacking:
        raise DeepPoseError(
            f"--init-weights {file}: lacks {len(lacking)} of the layers of {name}, such as {lacking[0]}"
        )
    backbone.load_state_dict(new, strict=False)
    half = torch.full((3,), 127.5)
    _fit_input(backbone, half, half)


@torch.no_grad()
def _fit_input(backbone: Backbone, mean: Tensor, std: Tensor) -> None:
    """The values expect (RGB − mean) / std; crops here are (RGB − MEAN_COLOR) / COLOR_SCALE. The first convolution
    takes up the factor, and the batch norm behind it the shift: the same answers, but at the crop's edge, where
    MEAN_COLOR is padded with and not `mean`."""
    layers = [layer for layer in backbone.steps[0].modules() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    conv, norm = layers[:2]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    shift = (torch.tensor(MEAN_COLOR, dtype=torch.float32) - mean) / std
    norm.running_mean -= (conv.weight.sum((2, 3)) * shift).sum(1)
    conv.weight *= (COLOR_SCALE / std).view(1, 3, 1, 1)
