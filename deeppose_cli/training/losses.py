"""Losses. Labels are in normalized coordinates; NaN marks a joint without a label.

Every loss is a sum over labelled joints, so that processes can add it and the number of labels up and divide once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from deeppose_cli.models.heads import cell_centres, peak_coordinates, to_shares


def labelled(target: Tensor) -> Tensor:
    """(..., 2) → (...) bool: joints that have a label."""
    return ~target.isnan().any(-1)


WING_WIDTH, WING_CURVATURE = 10 / 64, 2 / 64
"""w and ε of the wing loss, normalized units: the 10 and 2 px of Feng et al., CVPR 2018, over the side of their
network's input of 64 px. Most errors of a pose are then in the logarithmic part: w is a sixth of the box."""


def coordinate_loss(prediction: Tensor, target: Tensor, kind: str = "l2") -> Tensor:
    """Sum over labelled joints of the cost of an error y − ψ, normalized units.

    `l2`: ‖y − ψ‖² (the paper, eq. 3). `l1`: |y − ψ|₁. `wing`: w ln(1 + |x| / ε) of each coordinate x within w, beyond
    it |x| less a constant that joins the two (Feng et al., CVPR 2018): small errors count more than in `l1`.

    prediction, target: (..., 2). No labelled joint gives 0 with a gradient of 0, never NaN. Raises ValueError for
    another kind.
    """
    valid = labelled(target).unsqueeze(-1)
    difference = torch.where(valid, prediction - torch.where(valid, target, 0.0), 0.0)
    if kind == "l2":
        return difference.square().sum()
    size = difference.abs()
    if kind == "l1":
        return size.sum()
    if kind == "wing":
        shift = WING_WIDTH * (1 - math.log1p(WING_WIDTH / WING_CURVATURE))
        near = WING_WIDTH * torch.log1p(size / WING_CURVATURE)
        return torch.where(size < WING_WIDTH, near, size - shift).sum()
    raise ValueError(f"coordinate loss '{kind}' is unknown")


def heatmap_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over labelled joints inside the box of the cross-entropy between heatmap and label.

    logits: (B, K, H, W); target: (B, K, 2), normalized. The label's heatmap is a Gaussian with a standard deviation of
    one cell. A joint outside the box has no cell and adds nothing.
    """
    height, width = logits.shape[-2:]
    inside = (target.abs() <= 0.5).all(-1)  # NaN compares false
    safe = torch.where(inside.unsqueeze(-1), target, 0.0)

    columns, rows = _gaussian(safe[..., 0], width), _gaussian(safe[..., 1], height)
    return torch.where(inside, _cross_entropy(rows.unsqueeze(-1) * columns.unsqueeze(-2), logits), 0.0).sum()


def distillation_loss(logits: Tensor, teacher: Tensor, joints: Tensor) -> Tensor:
    """Sum over chosen joints of the cross-entropy between heatmaps and a teacher's, each times the teacher's peak mass.

    logits, teacher: (B, K, H, H). joints: (B, K) bool. A teacher in doubt, such as of a joint outside the crop, counts
    little.
    """
    output = peak_coordinates(teacher)
    assert output.peak_mass is not None
    return torch.where(joints, _cross_entropy(to_shares(teacher), logits) * output.peak_mass, 0.0).sum()


def _cross_entropy(shares: Tensor, logits: Tensor) -> Tensor:
    """(B, K) of each heatmap: shares (B, K, H, W) that sum to 1 against logits."""
    return -(shares.flatten(2) * logits.flatten(2).log_softmax(-1)).sum(-1)


def _gaussian(position: Tensor, cells: int) -> Tensor:
    """(...) normalized → (..., cells): the shares of a Gaussian with a standard deviation of one cell."""
    centres = cell_centres(cells, position)
    return torch.softmax(-0.5 * ((centres - position.unsqueeze(-1)) * cells).square(), dim=-1)
