"""Networks made for ImageNet as sources of features at four scales, and their initial weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.backbones import BACKBONES, STRIDES, Backbone, build_backbone, initialize_backbone

WIDTHS = (48, 96, 96, 192, 192, 384, 384, 384, 384, 384, 384, 768, 768)
HALVING = (1, 3, 5, 11)
ENDS = (2, 4, 10, 12)
"""Blocks with stride 2, and the last block at each stride."""


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


# --- Initial weights: the values of a file are those that the network then computes with ---


def random_layers() -> dict[str, Tensor]:
    """Values as the file holds them."""
    rng = torch.Generator().manual_seed(3)
    layers: dict[str, Tensor] = {}

    def layer(name: str, shape: tuple[int, ...]) -> None:
        fan = shape[1] * shape[2] * shape[3]
        layers[f"{name}.conv.weight"] = torch.randn(shape, generator=rng) * (2 / fan) ** 0.5
        for part in ("weight", "bias", "running_mean", "running_var"):
            layers[f"{name}.bn.{part}"] = torch.rand(shape[0], generator=rng) + (0.5 if part == "running_var" else 0)

    layer("conv1", (24, 3, 3, 3))
    inputs = 24
    for block, width in enumerate(WIDTHS):
        layer(f"blocks.{block}.0", (inputs, 1, 3, 3))
        layer(f"blocks.{block}.1", (width, inputs, 1, 1))
        inputs = width
    return layers


def reference(layers: dict[str, Tensor], x: Tensor, edge: Tensor) -> list[Tensor]:
    """MobileNetV1 as its publishers describe it, on (RGB / 127.5 − 1); `edge` is what lies outside the image."""

    def apply(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = layers[f"{name}.conv.weight"]
        groups = x.shape[1] if weight.shape[1] == 1 and x.shape[1] > 1 else 1
        padding = 0
        if weight.shape[-1] == 3:
            before = 1 if stride == 1 else 0
            outside = edge if name == "conv1" else torch.zeros(x.shape[1])
            padded = outside.view(1, -1, 1, 1).expand(*x.shape[:2], x.shape[2] + before + 1, x.shape[3] + before + 1)
            padded = padded.clone()
            padded[:, :, before : before + x.shape[2], before : before + x.shape[3]] = x
            x = padded
        x = F.conv2d(x, weight, stride=stride, padding=padding, groups=groups)
        norm = [layers[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *norm, eps=0.001).clamp(0, 6)

    x = apply("conv1", x, 2)
    found = []
    for block in range(len(WIDTHS)):
        x = apply(f"blocks.{block}.0", x, 2 if block in HALVING else 1)
        x = apply(f"blocks.{block}.1", x)
        if block in ENDS:
            found.append(x)
    return found


def started(tmp_path: Path, layers: dict[str, Tensor]) -> Backbone:
    file = tmp_path / "values.safetensors"
    save_file(layers, file)
    backbone = build_backbone("mobilenet_v1")
    initialize_backbone(backbone, "mobilenet_v1", str(file))
    return backbone.eval()


def test_features_are_those_of_the_published_network(tmp_path: Path) -> None:
    layers = random_layers()
    backbone = started(tmp_path, layers)
    rgb = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(1)).float()
    mean = torch.tensor(MEAN_COLOR).float()
    with torch.no_grad():
        ours = backbone((rgb - mean.view(1, 3, 1, 1)) / COLOR_SCALE)
        theirs = reference(layers, rgb / 127.5 - 1, edge=mean / 127.5 - 1)
    for level, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(level, other, rtol=1e-3, atol=1e-3)


def test_random_leaves_the_values(tmp_path: Path) -> None:
    backbone = build_backbone("mobilenet_v1")
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    initialize_backbone(backbone, "mobilenet_v1", "random")
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "values.safetensors"
    save_file(random_layers(), file)
    with pytest.raises(DeepPoseError, match=r"values.safetensors: '.+' \(.+\) does not fit backbone resnet18"):
        initialize_backbone(build_backbone("resnet18"), "resnet18", str(file))


def test_a_file_that_lacks_a_layer_is_refused(tmp_path: Path) -> None:
    layers = random_layers()
    del layers["blocks.7.1.conv.weight"]
    with pytest.raises(DeepPoseError, match=r"lacks 1 of the layers of mobilenet_v1, such as blocks.8.1.0.weight"):
        started(tmp_path, layers)


def test_a_file_with_a_strange_layer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeepPoseError, match=r"holds 'classifier.weight', which is no layer of mobilenet_v1"):
        started(tmp_path, random_layers() | {"classifier.weight": torch.zeros(1)})


@pytest.mark.parametrize("content", [b"", b"\x80\x04K\x01.", b"\xff" * 64])
def test_no_safetensors_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "values.safetensors"
    file.write_bytes(content)
    with pytest.raises(DeepPoseError, match=r"values.safetensors: not a readable .safetensors file"):
        initialize_backbone(build_backbone("mobilenet_v1"), "mobilenet_v1", str(file))


def test_no_file_names_what_is_valid() -> None:
    with pytest.raises(UsageError, match=r"--init-weights nowhere: no such file; valid: random, pretrained, previous"):
        initialize_backbone(build_backbone("mobilenet_v1"), "mobilenet_v1", "nowhere")


def test_torchvision_has_no_mobilenet_v1() -> None:
    with pytest.raises(UsageError, match=r"--init-weights pretrained: there are none of mobilenet_v1"):
        initialize_backbone(build_backbone("mobilenet_v1"), "mobilenet_v1", "pretrained")
