"""ψ: the networks. `DeepPoseNetwork` is the paper's; `IntegralNetwork` is a small one for CPUs; `BackboneNetwork` puts
a head on a network made for ImageNet.

Shape letters: B batch, K joints, S input side, (H, W) map side. Every network maps (B, 3, S, S) to (B, K, 2) norm
coordinates; `with_heatmaps` also gives the logits of the maps behind them, where the network has any (`HeadOutput`).
The same in two steps: `outputs` (B, K, …), and `decode` of these or of some joints' alone.
`joint_layers` names the layers whose outputs are the joints, one after the other: all others know of none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import HEADS
from deeppose_cli.config.progressive_resizing import input_sizes
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import UsageError
from deeppose_cli.models.backbones import build_backbone
from deeppose_cli.models.heads import HeadOutput, IntegralHead, RegressionHead, expected_coordinates, peak_answer

LEAST_WIDTH = 2
"""Channels: the integral head halves them."""
HEATMAP_STRIDE = 4
"""Input px per cell of the integral network's maps."""


class DeepPoseNetwork(nn.Module):
    """The network of DeepPose (Toshev & Szegedy, CVPR 2014, section 3.1), after Krizhevsky et al., NIPS 2012.

    For S = 220: C(55×55×96, 11×11, stride 4) – LRN – P(27) – C(27×27×256, 5×5) – LRN – P(13) – C(13×13×384, 3×3) –
    C(13×13×384, 3×3) – C(13×13×256, 3×3) – P(4) – F(4096) – F(4096) – 2K. ReLU after each C and F, dropout on both F.

    The paper's "about 40 million parameters" and its printed sizes agree only if the last pooling is 3×3 with stride 3:
    37.4 M for K = 14. With the usual stride 2 it would be 58.4 M.
    """

    def __init__(self, num_joints: int, input_size: int = 220, dropout: float = 0.6) -> None:
        super().__init__()

        # Krizhevsky's LRN adds alpha · Σ; torch divides alpha by the window's 5 channels: hence 5e-4 for his 1e-4.
        def lrn() -> nn.LocalResponseNorm:
            return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4, padding=4),
            nn.ReLU(inplace=True),
            lrn(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(96, 256, 5, padding=2),
            nn.ReLU(inplace=True),
            lrn(),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=3),
        )
        side = self._feature_side(input_size)
        if side < 1:
            raise UsageError(f"--input-size {input_size}: the paper's network needs at least 79 px; its own is 220")
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * side * side, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            last := nn.Linear(4096, 2 * num_joints),
        )
        self.apply(_initialise)
        # Small last weights: the first answer is the box's centre, and the loss starts at the labels' own spread.
        nn.init.normal_(last.weight, std=0.001)

    def _feature_side(self, side: int) -> int:
        for layer in self.features:
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
                kernel, stride, padding = (
                    value[0] if isinstance(value, tuple) else value
                    for value in (layer.kernel_size, layer.stride, layer.padding)
                )
                side = (side + 2 * int(padding) - int(kernel)) // int(stride) + 1
        return side

    @property
    def joint_layers(self) -> tuple[str, ...]:
        return (f"head.{len(self.head) - 1}",)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) → (B, K, 2) norm. There are no maps here, and no prior."""
        out: Tensor = self.head(self.features(x))
        return out.float().unflatten(1, (-1, 2))

    def decode(self, outputs: Tensor) -> HeadOutput:
        return HeadOutput(outputs)

    def with_heatmaps(self, x: Tensor, prior: Tensor | None = None) -> HeadOutput:
        return self.decode(self.outputs(x))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, K, 2) norm."""
        return self.outputs(x)


class IntegralNetwork(nn.Module):
    """A small residual network whose joints are the expected coordinates of K soft maps (integral regression).

    Features at strides 4, 8, 16 and 32 are merged upwards to one map per joint at stride 4. The softmax of a map is a
    distribution over its cells; its mean is the joint (Sun et al., ECCV 2018), of a trained network the mean around its
    peak (heads.peak_answer), if the maps were trained to have one (`peaked`). It still regresses coordinates, with
    the same loss, but learns many times faster than a fully connected head, as position need not be learned by heart.
    """

    def __init__(self, num_joints: int, width: int, peaked: bool = True) -> None:
        super().__init__()
        self.peaked = peaked
        widths = (width, 2 * width, 4 * width, 6 * width)
        depths = (1, 1, 2, 2)
        merged = 2 * width
        self.stem = _conv(3, width, stride=2)
        steps, channels = [], width
        for out, depth in zip(widths, depths, strict=True):
            steps.append(nn.Sequential(_conv(channels, out, stride=2), *(_Residual(out) for _ in range(depth))))
            channels = out
        self.steps = nn.ModuleList(steps)
        self.lateral = nn.ModuleList(nn.Conv2d(out, merged, 1) for out in widths)
        self.maps = nn.Sequential(_conv(merged, merged), last := nn.Conv2d(merged, num_joints, 1))
        self.apply(_initialise)
        nn.init.normal_(last.weight, std=0.001)

    @property
    def joint_layers(self) -> tuple[str, ...]:
        return (f"maps.{len(self.maps) - 1}",)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) → the maps' logits (B, K, S/4, S/4), float32.

        `prior`: (K, S/4, S/4) log-density of where each joint is to be expected, added to the maps.
        """
        x = self.stem(x)
        levels = []
        for step in self.steps:
            x = step(x)
            levels.append(x)
        merged = self.lateral[-1](levels[-1])
        for lateral, level in zip(reversed(self.lateral[:-1]), reversed(levels[:-1]), strict=True):
            merged = nn.functional.interpolate(merged, scale_factor=2.0, mode="nearest") + lateral(level)
        logits = self.maps(torch.relu(merged)).float()
        return logits if prior is None else logits + prior

    def decode(self, logits: Tensor) -> HeadOutput:
        whole = self.training or not self.peaked
        return HeadOutput(expected_coordinates(logits), logits) if whole else peak_answer(logits)

    def with_heatmaps(self, x: Tensor, prior: Tensor | None = None) -> HeadOutput:
        return self.decode(self.outputs(x, prior))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, K, 2) norm."""
        return self.with_heatmaps(x).coordinates


class BackboneNetwork(nn.Module):
    """A backbone and a head. The backbone may start from values learned on ImageNet (`backbone_start.py`), the head's
    values are random.

    Not the paper's network, but its method: the whole crop in, coordinates out.
    """

    def __init__(self, num_joints: int, settings: StagePreset) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone)
        channels = self.backbone.channels
        self.head: IntegralHead | RegressionHead
        if settings.head == "integral":
            self.head = IntegralHead(channels, num_joints, settings.head_channels, settings.heatmap_weight > 0)
        elif settings.head == "regression":
            self.head = RegressionHead(channels, num_joints)
        else:
            raise UsageError(f"--head {settings.head}: unknown; valid: {', '.join(HEADS)}")
        self.backbone.freeze(settings.freeze_blocks)

    @property
    def joint_layers(self) -> tuple[str, ...]:
        return (f"head.{self.head.JOINT_LAYER}",)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) → what the head says, (B, K, …). `prior` as below."""
        found: Tensor = self.head(self.backbone(x), prior)
        return found

    def decode(self, outputs: Tensor) -> HeadOutput:
        return self.head.decode(outputs)

    def with_heatmaps(self, x: Tensor, prior: Tensor | None = None) -> HeadOutput:
        """(B, 3, S, S) → (B, K, 2) norm and, with a head that has them, the maps' logits, float32.

        `prior`: (K, S/4, S/4) log-density of where each joint is to be expected, added to the maps.
        """
        return self.decode(self.outputs(x, prior))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, S, S) → (B, K, 2) norm."""
        return self.with_heatmaps(x).coordinates


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _initialise(layer: nn.Module) -> None:
    """He et al.'s starting values for ReLU networks. The paper does not give its own."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _check_size(input_size: int) -> None:
    if input_size % 32 or input_size <= 0:
        nearest = max(32, round(input_size / 32) * 32)
        raise UsageError(f"--input-size {input_size}: this network takes multiples of 32, such as {nearest}")


Network = DeepPoseNetwork | IntegralNetwork | BackboneNetwork


def build_network(settings: StagePreset, num_joints: int) -> Network:
    """The network that the settings name. Raises UsageError for one that does not exist, or does not fit its input."""
    if settings.network != "backbone" and settings.head != "integral":
        raise UsageError(f"--head {settings.head}: needs a backbone, such as --preset modern has; valid: integral")
    if settings.network == "deeppose":
        return DeepPoseNetwork(num_joints, settings.input_size, settings.dropout)
    if settings.network not in ("integral", "backbone"):
        raise UsageError(f"network '{settings.network}' is unknown; valid: deeppose, integral, backbone")
    for size in input_sizes(settings):
        _check_size(size)
    if settings.head != "regression" and settings.head_channels < LEAST_WIDTH:
        raise UsageError(f"--head-channels {settings.head_channels}: valid: {LEAST_WIDTH} or more")
    if settings.network == "integral":
        return IntegralNetwork(num_joints, settings.head_channels, settings.heatmap_weight > 0)
    return BackboneNetwork(num_joints, settings)
