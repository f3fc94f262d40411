"""MoveNet's networks: what they compute is what a direct reading of the published values computes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.skeleton import COCO17, PEOPLE19
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.movenet import is_movenet, recentre_norms, to_own_names
from deeppose_cli.models.networks import BackboneNetwork

# The widths as the published tensors of the lightning network have them.
OUTPUTS = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
HALVING = (1, 3, 6, 13)
RESIDUAL = (2, 4, 5, 7, 8, 9, 11, 12, 14, 15)


def published(seed: int = 0, heads: Mapping[str, int] = MappingProxyType({"heatmap": 17})) -> dict[str, Tensor]:
    """Random values under the names of the published files, folded, in half precision. `heads`: their channels."""
    generator = torch.Generator().manual_seed(seed)
    values: dict[str, Tensor] = {}

    def layer(name: str, outputs: int, inputs: int, side: int = 1, bias: bool = True) -> None:
        scale = (2 / (inputs * side * side)) ** 0.5
        values[f"{name}.weight"] = (torch.randn((outputs, inputs, side, side), generator=generator) * scale).half()
        if bias:
            values[f"{name}.bias"] = (torch.rand(outputs, generator=generator) - 0.3).half()

    layer("conv1", 32, 3, 3)
    inputs = 32
    for number, outputs in enumerate(OUTPUTS):
        wide = inputs * (6 if number else 1)
        if number:
            layer(f"blocks.{number}.expand", wide, inputs)
        layer(f"blocks.{number}.depthwise", wide, 1, 3)
        layer(f"blocks.{number}.project", outputs, wide)
        inputs = outputs
    layer("conv_last", 1280, 320)
    for name, count, width in (("32", 1280, 64), ("16", 64, 64), ("8", 32, 32), ("4", 24, 24)):
        layer(f"fpn.lateral_{name}", width, count)
    for name, count, width in (("fpn.smooth_16", 64, 32), ("fpn.smooth_8", 32, 24), ("fpn.smooth_4", 24, 24)):
        layer(f"{name}.depthwise", count, 1, 3, bias=False)
        layer(f"{name}.pointwise", width, count)
    for head, channels in heads.items():
        layer(f"{head}.depthwise", 24, 1, 3, bias=False)
        layer(f"{head}.pointwise", 96, 24)
        layer(f"{head}.last", channels, 96)
    return values


def reference(values: dict[str, Tensor], rgb: Tensor, head: str = "heatmap") -> Tensor:
    """The published network on RGB / 127.5 − 1 as its description says, (B, 3, H, W) → (B, C, H / 4, W / 4)."""
    values = {name: value.float() for name, value in values.items()}

    def apply(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = values[f"{name}.weight"]
        if weight.shape[-1] == 3:
            x = F.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        return F.conv2d(x, weight, values.get(f"{name}.bias"), stride, groups=groups)

    x = apply("conv1", rgb / 127.5 - 1, 2).clamp(0, 6)
    features = {}
    for number in range(17):
        before = x
        if number:
            x = apply(f"blocks.{number}.expand", x).clamp(0, 6)
        x = apply(f"blocks.{number}.depthwise", x, 2 if number in HALVING else 1).clamp(0, 6)
        x = apply(f"blocks.{number}.project", x)
        if number in RESIDUAL:
            x = x + before
        features[number] = x
    x = apply("fpn.lateral_32", apply("conv_last", x).clamp(0, 6))
    for stride, block in ((16, 9), (8, 5), (4, 2)):
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        x = x + apply(f"fpn.lateral_{stride}", features[block])
        x = apply(f"fpn.smooth_{stride}.pointwise", apply(f"fpn.smooth_{stride}.depthwise", x)).relu()
    return apply(f"{head}.last", apply(f"{head}.pointwise", apply(f"{head}.depthwise", x)).relu())


@pytest.fixture(scope="module")
def values() -> dict[str, Tensor]:
    return published()


def network(values: dict[str, Tensor]) -> BackboneNetwork:
    settings = StagePreset(
        network="backbone", backbone="movenet_lightning", head="pyramid", heatmap_weight=1.0, input_size=64
    )
    built = BackboneNetwork(len(PEOPLE19), settings).eval()
    missing = built.load_state_dict(to_own_names(values), strict=False)
    assert not missing.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    return built


def crops() -> Tensor:
    """(4, 3, 64, 64) RGB."""
    return torch.randint(0, 256, (4, 3, 64, 64), generator=torch.Generator().manual_seed(1)).float()


def normalized(rgb: Tensor) -> Tensor:
    return (rgb - torch.tensor(MEAN_COLOR, dtype=torch.float32).view(1, 3, 1, 1)) / COLOR_SCALE


@torch.no_grad()
def test_heatmaps_are_those_of_the_published_network(values: dict[str, Tensor]) -> None:
    """The first convolution is padded with another gray here: with zeros at the taps that reach the padding."""
    values = dict(values)
    weight = values["conv1.weight"].clone()
    weight[:, :, 2, :] = 0
    weight[:, :, :, 2] = 0
    values["conv1.weight"] = weight
    found, expected = network(values).outputs(normalized(crops())), reference(values, crops())
    torch.testing.assert_close(found[:, : len(COCO17)], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_neck_and_head_top_start_from_shoulders_and_nose(values: dict[str, Tensor]) -> None:
    maps = dict(zip(PEOPLE19.joints, network(values).outputs(normalized(crops())).unbind(1), strict=True))
    torch.testing.assert_close(maps["head_top"], maps["nose"])
    torch.testing.assert_close(maps["neck"], (maps["left_shoulder"] + maps["right_shoulder"]) / 2, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_new_statistics_change_no_output_and_are_those_of_the_images(values: dict[str, Tensor]) -> None:
    built, x = network(values), normalized(crops())
    before = built.outputs(x)
    recentre_norms(built, x)
    torch.testing.assert_close(built.outputs(x), before, rtol=1e-3, atol=1e-3)
    seen: list[Tensor] = []
    norms = [module for module in built.modules() if isinstance(module, nn.BatchNorm2d)]
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: seen.append(inputs[0])) for norm in norms]
    built.outputs(x)
    for hook in hooks:
        hook.remove()
    for norm, inputs in zip(norms, seen, strict=True):
        assert norm.running_mean is not None
        torch.testing.assert_close(norm.running_mean, inputs.mean((0, 2, 3)), rtol=1e-3, atol=1e-3)


def test_another_files_keys_are_told_apart(values: dict[str, Tensor]) -> None:
    assert is_movenet(values)
    assert not is_movenet(["conv1.conv.weight", "blocks.0.0.conv.weight"])
    with pytest.raises(ValueError, match=r"holds 'blocks.3.other.weight', which is no layer of MoveNet"):
        to_own_names({**values, "blocks.3.other.weight": torch.zeros(1)})
