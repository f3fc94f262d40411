"""What turns features at several scales into coordinates.

Shape letters: B batch, K joints, C channels, (H, W) map side. Every head maps four levels of features, strides 4 to 32,
to outputs (B, K, …), and `decode` turns outputs, of all joints or of some, into norm coordinates. `JOINT_LAYER` names
the layer whose outputs are the joints, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import PEAK_REACH


class HeadOutput(NamedTuple):
    """What a network says of a batch of crops."""

    coordinates: Tensor
    """(B, K, 2) norm."""
    logits: Tensor | None = None
    """(B, K, H, W) of the maps behind the coordinates, where there are any."""
    peak_mass: Tensor | None = None
    """(B, K) the share of each joint's map that lies around its peak, where the answer is read there."""

    def each(self, change: Callable[[Tensor], Tensor]) -> HeadOutput:
        """With `change` made to all that is there: rows or joints taken."""
        coordinates, *more = (None if values is None else change(values) for values in self)
        return HeadOutput(cast("Tensor", coordinates), *more)


def cell_centres(side: int, like: Tensor | None = None) -> Tensor:
    """(side) norm coordinates of the centres of a map's cells, of the type and on the device of `like`."""
    dtype, device = (None, None) if like is None else (like.dtype, like.device)
    return (torch.arange(side, dtype=dtype or torch.float32, device=device) + 0.5) / side - 0.5


def expected_coordinates(logits: Tensor) -> Tensor:
    """(B, K, H, H) logits → (B, K, 2) norm: the mean of each map's distribution (Sun et al., ECCV 2018).

    Marginals over rows and columns, weighted with the cells' centres. Not a matrix product: mixed precision would round
    the coordinates to 8 bits.
    """
    share = logits.flatten(2).softmax(-1).view_as(logits)
    return _mean(share)


def peak_answer(logits: Tensor) -> HeadOutput:
    """(B, K, H, H) logits → the mean of each map's distribution around its peak, and how much of it lies there.

    What a network answers once it is trained. It says in its maps where else a joint may be, and every doubt draws the
    mean of the whole map to the middle of the image (Gu et al., Removing the Bias of Integral Pose Regression, ICCV
    2021). The peak is looked for in the map smoothed over 3 × 3 cells.
    """
    side = logits.shape[-1]
    share = logits.flatten(2).softmax(-1).view_as(logits)
    place = nn.functional.avg_pool2d(share, 3, stride=1, padding=1).flatten(2).argmax(-1)
    steps = torch.arange(side, device=logits.device)
    rows, columns = ((steps - at[..., None]).abs() <= PEAK_REACH for at in (place // side, place % side))
    share = share * rows[..., :, None] * columns[..., None, :]
    peak_mass = share.sum((2, 3))
    return HeadOutput(_mean(share / peak_mass[..., None, None]), logits, peak_mass=peak_mass)


def _mean(share: Tensor) -> Tensor:
    """(B, K, H, H) shares of 1 → (B, K, 2) norm."""
    cells = cell_centres(share.shape[-1], share)
    return torch.stack([(share.sum(2) * cells).sum(-1), (share.sum(3) * cells).sum(-1)], dim=-1)


class IntegralHead(nn.Module):
    """One soft map for each joint at stride 4; the answer is its expected coordinate.

    In training that of the whole map, which has a gradient everywhere; later that around the peak, if the maps were
    trained to have one (`peaked`). By the coordinates' loss alone a map may take any form that has the right mean.

    The levels are merged upwards, at stride 8 with all channels, at stride 4 with half of them: most of the work would
    otherwise be done there.
    """

    JOINT_LAYER = "last"

    def __init__(self, channels: tuple[int, ...], num_joints: int, width: int, peaked: bool = True) -> None:
        super().__init__()
        self.peaked = peaked
        fine = width // 2
        self.lateral = nn.ModuleList(
            nn.Conv2d(count, fine if level == 0 else width, 1) for level, count in enumerate(channels)
        )
        self.merge = _separable(width, width)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.sharpen = _separable(fine, fine)
        self.last = nn.Conv2d(fine, num_joints, 1)
        nn.init.normal_(self.last.weight, std=0.001)

    def forward(self, levels: list[Tensor], prior: Tensor | None = None) -> Tensor:
        """(B, K, H, W) logits. prior: (K, H, W), added to them."""
        x = self.lateral[3](levels[3])
        for level in (2, 1):
            x = _twice(x) + self.lateral[level](levels[level])
        x = _twice(self.narrow(self.merge(x))) + self.lateral[0](levels[0])
        logits = self.last(self.sharpen(torch.relu(x))).float()
        return logits if prior is None else logits + prior

    def decode(self, logits: Tensor) -> HeadOutput:
        whole = self.training or not self.peaked
        return HeadOutput(expected_coordinates(logits), logits) if whole else peak_answer(logits)


class RegressionHead(nn.Module):
    """The last level, averaged over the image, and a fully connected layer: 2K numbers (the paper's way)."""

    JOINT_LAYER = "last"

    def __init__(self, channels: tuple[int, ...], num_joints: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels[-1], 2 * num_joints)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)

    def forward(self, levels: list[Tensor], prior: Tensor | None = None) -> Tensor:
        """(B, K, 2) norm. There are no maps here, and no prior."""
        coordinates: Tensor = self.last(levels[-1].mean((2, 3))).float().unflatten(1, (-1, 2))
        return coordinates

    def decode(self, coordinates: Tensor) -> HeadOutput:
        return HeadOutput(coordinates)


def _twice(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
