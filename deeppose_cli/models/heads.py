"""Heads: they turn features at several scales into joint coordinates.

Shape letters: B batch, K joints, C channels, (H, H) cells of a heatmap.

A head's `forward` maps feature levels at strides 4, 8, 16 and 32 to raw outputs (B, K, …); its `decode` turns raw
outputs, of all joints or of some, into normalized coordinates. Its layer `last` has the joints in its output channels,
one after the other.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import PEAK_REACH


class HeadOutput(NamedTuple):
    """Output of a network for a batch of crops."""

    coordinates: Tensor
    """(B, K, 2) normalized coordinates."""
    logits: Tensor | None = None
    """(B, K, H, H) of the heatmaps behind the coordinates; None without heatmaps."""
    peak_mass: Tensor | None = None
    """(B, K) the share of each heatmap around its peak; None where the whole heatmap is averaged."""


def cell_centres(side: int, like: Tensor | None = None) -> Tensor:
    """Normalized coordinates (side) of the centres of a heatmap's cells, of the type and on the device of `like`."""
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    return (torch.arange(side, dtype=dtype or torch.float32, device=device) + 0.5) / side - 0.5


def to_shares(logits: Tensor) -> Tensor:
    """Softmax over the cells of each heatmap: (B, K, H, H) logits → shares that sum to 1."""
    return logits.flatten(2).softmax(-1).view_as(logits)


def expected_coordinates(logits: Tensor) -> Tensor:
    """Mean of each heatmap's distribution (Sun et al., ECCV 2018): (B, K, H, H) logits → (B, K, 2)."""
    return _mean(to_shares(logits))


def peak_coordinates(logits: Tensor) -> HeadOutput:
    """Mean of each heatmap's distribution around its peak, and how much of it lies there: (B, K, H, H) logits.

    For prediction. A trained network also marks in its heatmaps where else a joint may be, and every such doubt draws
    the mean of the whole heatmap to the middle of the image (Gu et al., Removing the Bias of Integral Pose Regression,
    ICCV 2021). The peak is that of the heatmap smoothed over 3 × 3 cells.
    """
    side = logits.shape[-1]
    shares = to_shares(logits)
    peak = nn.functional.avg_pool2d(shares, 3, stride=1, padding=1).flatten(2).argmax(-1)
    cells = torch.arange(side, device=logits.device)
    rows, columns = ((cells - at[..., None]).abs() <= PEAK_REACH for at in (peak // side, peak % side))
    shares = shares * rows[..., :, None] * columns[..., None, :]
    peak_mass = shares.sum((2, 3))
    return HeadOutput(_mean(shares / peak_mass[..., None, None]), logits, peak_mass)


def _mean(shares: Tensor) -> Tensor:
    """(B, K, H, H) shares of 1 → (B, K, 2): marginals over rows and columns, weighted with the cells' centres.

    Not a matrix product: mixed precision would round the coordinates to 8 bits.
    """
    centres = cell_centres(shares.shape[-1], shares)
    return torch.stack([(shares.sum(2) * centres).sum(-1), (shares.sum(3) * centres).sum(-1)], dim=-1)


class IntegralHead(nn.Module):
    """Integral regression: one heatmap for each joint at stride 4, whose mean is the joint's coordinate.

    In training the mean of the whole heatmap, which has a gradient everywhere; in prediction the mean around the peak,
    if the heatmaps were trained to have one (`peaked`). By the loss of the coordinates alone a heatmap may take any
    form that has the right mean.

    The feature levels are merged from coarse to fine, with half of the channels at stride 4: most of the work would
    otherwise be done there.
    """

    def __init__(self, channels: tuple[int, ...], num_joints: int, width: int, peaked: bool = True) -> None:
        super().__init__()
        self.peaked = peaked
        fine = width // 2
        self.lateral = nn.ModuleList(
            nn.Conv2d(count, fine if level == 0 else width, 1) for level, count in enumerate(channels)
        )
        self.merge = _separable_convolution(width, width)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.sharpen = _separable_convolution(fine, fine)
        self.last = nn.Conv2d(fine, num_joints, 1)
        nn.init.normal_(self.last.weight, std=0.001)

    def forward(self, features: list[Tensor], prior: Tensor | None = None) -> Tensor:
        """Feature levels → (B, K, H, H) logits. prior: (K, H, H) log-density, added to them."""
        x = self.lateral[3](features[3])
        for level in (2, 1):
            x = upsample(x) + self.lateral[level](features[level])
        x = upsample(self.narrow(self.merge(x))) + self.lateral[0](features[0])
        logits = self.last(self.sharpen(torch.relu(x))).float()
        return logits if prior is None else logits + prior

    def decode(self, logits: Tensor) -> HeadOutput:
        return decode_heatmaps(logits, at_peak=self.peaked and not self.training)


class RegressionHead(nn.Module):
    """Coarsest feature level, averaged over the image, and a fully connected layer of 2K outputs (the paper's way)."""

    def __init__(self, channels: tuple[int, ...], num_joints: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels[-1], 2 * num_joints)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: list[Tensor], prior: Tensor | None = None) -> Tensor:
        """Feature levels → (B, K, 2) normalized coordinates. `prior` has no effect without heatmaps."""
        coordinates: Tensor = self.last(features[-1].mean((2, 3))).float().unflatten(1, (-1, 2))
        return coordinates

    def decode(self, coordinates: Tensor) -> HeadOutput:
        return HeadOutput(coordinates)


def decode_heatmaps(logits: Tensor, *, at_peak: bool) -> HeadOutput:
    """Coordinates of (B, K, H, H) logits: the mean around the peak, or that of the whole heatmap."""
    return peak_coordinates(logits) if at_peak else HeadOutput(expected_coordinates(logits), logits)


def upsample(x: Tensor) -> Tensor:
    """Double both sides by repeating cells."""
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _separable_convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
