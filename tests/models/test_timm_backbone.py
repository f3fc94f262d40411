"""Backbones of timm: their features are timm's own, of the same image."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.core.skeleton import LSP14
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.backbones import build_backbone, initialize_backbone
from deeppose_cli.models.fusion import fuse
from deeppose_cli.models.regressor import Regressor
from deeppose_cli.models.timm_backbone import STRIDES, TimmBackbone

MODELS = ("efficientnet_lite0", "resnet18", "convnext_atto")


def rgb() -> torch.Tensor:
    return torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(1)).float()


def crops() -> torch.Tensor:
    return (rgb() - torch.tensor(MEAN_COLOR, dtype=torch.float32).view(1, 3, 1, 1)) / COLOR_SCALE


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_a_file_of_timm_gives_the_features_that_timm_computes(name: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = timm.create_model(name)
    for norm in (module for module in whole.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 1.5)
    save_file(whole.state_dict(), tmp_path / "weights.safetensors")
    backbone = build_backbone(f"timm/{name}").eval()
    initialize_backbone(backbone, f"timm/{name}", str(tmp_path / "weights.safetensors"))
    found = backbone(crops())
    assert [(level.shape[1], *level.shape[2:]) for level in found] == [
        (channels, 64 // stride, 96 // stride) for channels, stride in zip(backbone.channels, STRIDES, strict=True)
    ]

    config = whole.pretrained_cfg
    mean, std = (torch.tensor(config[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
    x = (rgb() / 255 - mean) / std
    expected = whole.eval().forward_intermediates(x, intermediates_only=True)
    by_side = {level.shape[-1]: level for level in expected}
    for level in found:
        torch.testing.assert_close(level, by_side[level.shape[-1]], rtol=1e-3, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_a_whole_network_predicts_the_same_when_it_is_fused(name: str) -> None:
    settings = StagePreset(network="backbone", backbone=f"timm/{name}", head_channels=8, input_size=64)
    network = Regressor(settings, len(LSP14)).networks[0].eval()
    for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)
    images = crops()[..., :64]
    torch.testing.assert_close(fuse(network)(images), network(images), rtol=1e-3, atol=1e-3)


def test_frozen_parts_do_not_learn() -> None:
    backbone = TimmBackbone("timm/resnet18")
    backbone.freeze(2)
    backbone.train()
    parts = list(backbone.network.children())
    assert not any(parameter.requires_grad for part in parts[:2] for parameter in part.parameters())
    assert not parts[1].training
    assert parts[-1].training
    with pytest.raises(UsageError, match=r"--freeze-blocks 99: this backbone has \d+ parts"):
        backbone.freeze(99)


def test_mistakes_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"--backbone timm/resnet99: timm has no such model"):
        build_backbone("timm/resnet99")
    with pytest.raises(UsageError, match=r"timm/vit_tiny_patch16_224: has no features at strides 4, 8, 16, 32"):
        build_backbone("timm/vit_tiny_patch16_224")
    with pytest.raises(UsageError, match=r"--init-weights nowhere: no such file"):
        TimmBackbone("timm/resnet18").initialize("nowhere")
    file = tmp_path / "other.safetensors"
    save_file({"x": torch.zeros(1)}, file)
    with pytest.raises(DeepPoseError, match=r"lacks \d+ of the layers of timm/resnet18, such as conv1.weight"):
        TimmBackbone("timm/resnet18").initialize(str(file))

    imported = builtins.__import__

    def without_timm(name: str, *arguments: Any) -> Any:
        if name == "timm":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_timm)
    with pytest.raises(UsageError, match=r"needs timm; to install it, type: pip install 'deeppose-cli\[timm\]'"):
        build_backbone("timm/resnet18")
