"""What turns features at several scales into coordinates.

Shape letters: B batch, K joints, C channels, (H, W) map side. Every head maps four levels of features, strides 4 to 32,
to (B, K, 2) norm coordinates, and the logits of the maps behind them where there are any.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def cell_centres(side: int) -> Tensor:
    """(side) norm coordinates of the centres of a map's cells."""
    return (torch.arange(side) + 0.5) / side - 0.5


def expected_coordinates(logits: Tensor, cells: Tensor) -> Tensor:
    """(B, K, H, H) logits → (B, K, 2) norm: the mean of each map's distribution (Sun et al., ECCV 2018).

    Marginals over rows and columns, weighted with the cells' centres. Not a matrix product: mixed precision would round
    the coordinates to 8 bits.
    """
    share = logits.flatten(2).softmax(-1).view_as(logits)
    return torch.stack([(share.sum(2) * cells).sum(-1), (share.sum(3) * cells).sum(-1)], dim=-1)


class IntegralHead(nn.Module):
    """One soft map for each joint at stride 4, its expected coordinate the answer.

    The levels are merged upwards, at stride 8 with all channels, at stride 4 with half of them: most of the work would
    otherwise be done there.
    """

    def __init__(self, channels: tuple[int, ...], num_joints: int, input_size: int, width: int) -> None:
        super().__init__()
        fine = width // 2
        self.lateral = nn.ModuleList(
            nn.Conv2d(count, fine if level == 0 else width, 1) for level, count in enumerate(channels)
        )
        self.merge = _separable(width, width)
        self.narrow = nn.Conv2d(width, fine, 1)
        self.sharpen = _separable(fine, fine)
        self.last = nn.Conv2d(fine, num_joints, 1)
        nn.init.normal_(self.last.weight, std=0.001)
        self.register_buffer("cells", cell_centres(input_size // 4), persistent=False)

    cells: Tensor

    def forward(self, levels: list[Tensor], prior: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = self.lateral[3](levels[3])
        for level in (2, 1):
            x = _twice(x) + self.lateral[level](levels[level])
        x = _twice(self.narrow(self.merge(x))) + self.lateral[0](levels[0])
        logits = self.last(self.sharpen(torch.relu(x))).float()
        if prior is not None:
            logits = logits + prior
        return expected_coordinates(logits, self.cells), logits


class RegressionHead(nn.Module):
    """The last level, averaged over the picture, and a fully connected layer: 2K numbers (the paper's way)."""

    def __init__(self, channels: tuple[int, ...], num_joints: int) -> None:
        super().__init__()
        self.last = nn.Linear(channels[-1], 2 * num_joints)
        nn.init.normal_(self.last.weight, std=0.001)
        nn.init.zeros_(self.last.bias)

    def forward(self, levels: list[Tensor], prior: Tensor | None = None) -> tuple[Tensor, None]:
        """There are no maps here, and no prior."""
        return self.last(levels[-1].mean((2, 3))).float().unflatten(1, (-1, 2)), None


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
