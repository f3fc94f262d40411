"""Backbones of timm, any model that gives features at strides 4, 8, 16 and 32: `--backbone timm/efficientnet_lite0`.

timm is an extra of the package: pip install 'deeppose-cli[timm]'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import TIMM
from deeppose_cli.core.errors import DeepPoseError, UsageError
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR

STRIDES = (4, 8, 16, 32)


class TimmBackbone(nn.Module):
    """A model of timm: normalized crops (B, 3, S, S) → features at STRIDES (B, C_l, S / stride_l, S / stride_l)."""

    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, weights: str = "random") -> None:
        """`name`: with the prefix. `weights`: as `initialize`. Raises UsageError for a model that timm lacks, or that
        has no features at these strides."""
        super().__init__()
        self.name, self.frozen = name, 0
        self.network = _create(name, weights)
        self.channels = tuple(self.network.feature_info.channels())
        config = self.network.pretrained_cfg
        mean, std = (torch.tensor(config.get(key, default)) * 255 for key, default in (("mean", 0.5), ("std", 0.5)))
        # The crops here are (RGB − MEAN_COLOR) / COLOR_SCALE.
        self.register_buffer("scale", (COLOR_SCALE / std).expand(3).reshape(3, 1, 1).clone(), persistent=False)
        shift = (torch.tensor(MEAN_COLOR, dtype=torch.float32) - mean) / std
        self.register_buffer("shift", shift.reshape(3, 1, 1).clone(), persistent=False)

    def initialize(self, weights: str) -> None:
        """Load the published weights (`pretrained`), or those of a `.safetensors` file as timm publishes them."""
        if weights != "random":
            self.network.load_state_dict(_create(self.name, weights).state_dict())

    def freeze(self, count: int) -> None:
        """Freeze the first `count` parts, as timm names them: neither weights nor batch statistics change any more."""
        parts = list(self.network.children())
        if not 0 <= count <= len(parts):
            raise UsageError(f"--freeze-blocks {count}: this backbone has {len(parts)} parts")
        self.frozen = count
        for part in parts[:count]:
            part.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> TimmBackbone:
        super().train(mode)
        for part in list(self.network.children())[: self.frozen]:
            part.eval()
        return self

    def forward(self, x: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.network(x * self.scale + self.shift)
        return features


def _create(name: str, weights: str) -> Any:
    try:
        import timm
    except ImportError:
        raise UsageError(
            f"--backbone {name}: needs timm; to install it, type: pip install 'deeppose-cli[timm]'"
        ) from None
    model = name.removeprefix(TIMM)
    if not timm.is_model(model):
        near = ", ".join(f"{TIMM}{one}" for one in timm.list_models(f"*{model[:12]}*")[:5])
        raise UsageError(f"--backbone {name}: timm has no such model; valid: {near or 'those of timm.list_models()'}")
    options: dict[str, Any] = {"pretrained": weights != "random"}
    if weights not in ("random", "pretrained"):
        if not Path(weights).is_file():
            raise UsageError(f"--init-weights {weights}: no such file; valid: random, pretrained, or a file")
        _check_file(timm.create_model(model), name, Path(weights))
        options["pretrained_cfg_overlay"] = {"file": weights}
    try:
        probe: Any = timm.create_model(model, features_only=True)
        strides = probe.feature_info.reduction()
        chosen = tuple(len(strides) - 1 - strides[::-1].index(stride) for stride in STRIDES)
        return timm.create_model(model, features_only=True, out_indices=chosen, **options)
    except ValueError:
        raise UsageError(f"--backbone {name}: has no features at strides {', '.join(map(str, STRIDES))}") from None
    except Exception as error:  # a download, a file of another model: whatever timm and its hub raise
        reason = " ".join(str(error).split())[:150]
        raise DeepPoseError(f"--init-weights {weights}: does not give {name} its weights ({reason})") from None


def _check_file(whole: Any, name: str, file: Path) -> None:
    """Raises DeepPoseError where the file lacks a layer of the model, besides its classifier: timm would not."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as opened:
            shapes = {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DeepPoseError(f"--init-weights {file}: not a readable .safetensors file ({error})") from None
    classifier = whole.pretrained_cfg["classifier"]
    left_out = ("num_batches_tracked", *((classifier,) if isinstance(classifier, str) else classifier))
    needed = {key: tuple(value.shape) for key, value in whole.state_dict().items()}
    wrong = [
        key
        for key, shape in needed.items()
        if shapes.get(key) != shape and not key.startswith(left_out[1:]) and not key.endswith(left_out[0])
    ]
    if wrong:
        raise DeepPoseError(f"--init-weights {file}: lacks {len(wrong)} of the layers of {name}, such as {wrong[0]}")
