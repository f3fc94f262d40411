"""Networks ψ: a crop in, joint coordinates out.

- `DeepPoseNetwork`: the paper's network.
- `IntegralNetwork`: a small network with heatmaps, for CPUs.
- `BackboneNetwork`: a head on a network made for ImageNet.

Shape letters: B batch, K joints, S input side in px, (H, H) cells of a heatmap.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deeppose_cli.config.schema import StagePreset, check_network
from deeppose_cli.models.backbones import build_backbone
from deeppose_cli.models.heads import HeadOutput, IntegralHead, RegressionHead, decode_heatmaps, upsample
from deeppose_cli.models.movenet import PyramidHead

HEATMAP_STRIDE = 4
"""Input px per cell of a heatmap."""


class PoseNetwork(nn.Module):
    """Base of the networks: (B, 3, S, S) → (B, K, 2) normalized coordinates."""

    joint_layers: tuple[str, ...]
    """Layers with the joints in their output channels, one after the other; no other layer depends on the joints."""

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        """(B, 3, S, S) → raw outputs (B, K, …): heatmap logits (B, K, H, H), or coordinates (B, K, 2).

        prior: (K, H, H) log-density of each joint's position, added to the logits; no effect without heatmaps.
        """
        raise NotImplementedError

    def decode(self, outputs: Tensor) -> HeadOutput:
        """Raw outputs of all joints, or of some → coordinates."""
        raise NotImplementedError

    def forward(self, x: Tensor, prior: Tensor | None = None) -> HeadOutput:
        """(B, 3, S, S) → coordinates and the heatmaps behind them."""
        return self.decode(self.outputs(x, prior))


class DeepPoseNetwork(PoseNetwork):
    """The network of DeepPose (Toshev & Szegedy, CVPR 2014, section 3.1), after Krizhevsky et al., NIPS 2012.

    For S = 220: C(55×55×96, 11×11, stride 4) – LRN – P(27) – C(27×27×256, 5×5) – LRN – P(13) – C(13×13×384, 3×3) –
    C(13×13×384, 3×3) – C(13×13×256, 3×3) – P(4) – F(4096) – F(4096) – 2K. ReLU after each C and F, dropout on both F.

    The paper's "about 40 million parameters" and its printed sizes agree only if the last pooling is 3×3 with stride 3:
    37.4 M for K = 14. With the usual stride 2 it would be 58.4 M.
    """

    def __init__(self, num_joints: int, input_size: int = 220, dropout: float = 0.6) -> None:
        super().__init__()

        # Krizhevsky's LRN adds alpha · Σ; torch divides alpha by the window's 5 channels: hence 5e-4 for his 1e-4.
        def normalize_and_pool() -> tuple[nn.Module, nn.Module]:
            return nn.LocalResponseNorm(size=5, alpha=5e-4, beta=0.75, k=2.0), nn.MaxPool2d(3, stride=2)

        def with_relu(layer: nn.Module) -> tuple[nn.Module, nn.Module]:
            return layer, nn.ReLU(inplace=True)

        self.features = nn.Sequential(
            *with_relu(nn.Conv2d(3, 96, 11, stride=4, padding=4)),
            *normalize_and_pool(),
            *with_relu(nn.Conv2d(96, 256, 5, padding=2)),
            *normalize_and_pool(),
            *with_relu(nn.Conv2d(256, 384, 3, padding=1)),
            *with_relu(nn.Conv2d(384, 384, 3, padding=1)),
            *with_relu(nn.Conv2d(384, 256, 3, padding=1)),
            nn.MaxPool2d(3, stride=3),
        )
        side = input_size
        for kernel, stride, padding in ((11, 4, 4), (3, 2, 0), (3, 2, 0), (3, 3, 0)):  # the layers that reduce the side
            side = (side + 2 * padding - kernel) // stride + 1
        self.head = nn.Sequential(
            nn.Flatten(),
            *with_relu(nn.Linear(256 * side * side, 4096)),
            nn.Dropout(dropout),
            *with_relu(nn.Linear(4096, 4096)),
            nn.Dropout(dropout),
            last := nn.Linear(4096, 2 * num_joints),
        )
        self.joint_layers = (f"head.{len(self.head) - 1}",)
        self.apply(_initialize_layer)
        # Small last weights: the first predictions are the box's centre, and the loss starts at the labels' own spread.
        nn.init.normal_(last.weight, std=0.001)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        out: Tensor = self.head(self.features(x))
        return out.float().unflatten(1, (-1, 2))

    def decode(self, outputs: Tensor) -> HeadOutput:
        return HeadOutput(outputs)


class IntegralNetwork(PoseNetwork):
    """A small residual network with K heatmaps whose means are the joints (integral regression).

    Features at strides 4, 8, 16 and 32 are merged from coarse to fine into one heatmap per joint at stride 4. The
    softmax of a heatmap is a distribution over its cells, and its mean is the joint (Sun et al., ECCV 2018); in
    prediction the mean around its peak, if the heatmaps were trained to have one (`peaked`). It still regresses
    coordinates, with the same loss, but learns many times faster than a fully connected head.
    """

    def __init__(self, num_joints: int, width: int, peaked: bool = True) -> None:
        super().__init__()
        self.peaked = peaked
        widths, depths, merged = (width, 2 * width, 4 * width, 6 * width), (1, 1, 2, 2), 2 * width
        self.stem = _convolution(3, width, stride=2)
        self.blocks = nn.ModuleList()
        for inputs, out, depth in zip((width, *widths), widths, depths, strict=False):
            residuals = (_Residual(out) for _ in range(depth))
            self.blocks.append(nn.Sequential(_convolution(inputs, out, stride=2), *residuals))
        self.lateral = nn.ModuleList(nn.Conv2d(out, merged, 1) for out in widths)
        self.heatmaps = nn.Sequential(_convolution(merged, merged), last := nn.Conv2d(merged, num_joints, 1))
        self.joint_layers = (f"heatmaps.{len(self.heatmaps) - 1}",)
        self.apply(_initialize_layer)
        nn.init.normal_(last.weight, std=0.001)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        x = self.stem(x)
        features = []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        merged = self.lateral[-1](features[-1])
        for lateral, level in zip(reversed(self.lateral[:-1]), reversed(features[:-1]), strict=True):
            merged = upsample(merged) + lateral(level)
        logits = self.heatmaps(torch.relu(merged)).float()
        return logits if prior is None else logits + prior

    def decode(self, outputs: Tensor) -> HeadOutput:
        return decode_heatmaps(outputs, at_peak=self.peaked and not self.training)


class BackboneNetwork(PoseNetwork):
    """A backbone and a head. Not the paper's network, but its method: the whole crop in, coordinates out.

    All weights are random here; `initialize_backbone` loads the backbone's from ImageNet.
    """

    joint_layers = ("head.last",)

    def __init__(self, num_joints: int, settings: StagePreset) -> None:
        super().__init__()
        self.backbone = build_backbone(settings.backbone)
        channels = self.backbone.channels
        self.head: IntegralHead | PyramidHead | RegressionHead
        if settings.head == "pyramid":
            self.head = PyramidHead(channels, num_joints, settings.heatmap_weight > 0)
        elif settings.head == "integral":
            self.head = IntegralHead(channels, num_joints, settings.head_channels, settings.heatmap_weight > 0)
        else:
            self.head = RegressionHead(channels, num_joints)
        self.backbone.freeze(settings.freeze_blocks)

    def outputs(self, x: Tensor, prior: Tensor | None = None) -> Tensor:
        outputs: Tensor = self.head(self.backbone(x), prior)
        return outputs

    def decode(self, outputs: Tensor) -> HeadOutput:
        return self.head.decode(outputs)


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _initialize_layer(layer: nn.Module) -> None:
    """He et al.'s initial weights for ReLU networks. The paper does not give its own."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def build_network(settings: StagePreset, num_joints: int) -> PoseNetwork:
    """Build the network of the settings. Raises UsageError for one that does not exist, or does not fit its input."""
    check_network(settings)
    if settings.network == "deeppose":
        return DeepPoseNetwork(num_joints, settings.input_size, settings.dropout)
    if settings.network == "integral":
        return IntegralNetwork(num_joints, settings.head_channels, settings.heatmap_weight > 0)
    return BackboneNetwork(num_joints, settings)
