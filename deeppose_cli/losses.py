"""What training minimises. Labels are norm coordinates; NaN marks a joint without a label.

Every loss is a sum over labelled joints and the number of these, so that processes can add both up and divide once.
"""

from __future__ import annotations

import torch
from torch import Tensor


def labelled(target: Tensor) -> Tensor:
    """(..., 2) → (...) bool: joints that have a label."""
    return ~target.isnan().any(-1)


def coordinate_loss(prediction: Tensor, target: Tensor, kind: str = "l2") -> Tensor:
    """Sum over labelled joints of ‖y − ψ‖² (`l2`: the paper, eq. 3) or of |y − ψ|₁ (`l1`), norm units.

    prediction, target: (..., 2). No labelled joint gives 0 with a gradient of 0, never NaN.
    """
    known = labelled(target).unsqueeze(-1)
    difference = torch.where(known, prediction - torch.where(known, target, 0.0), 0.0)
    return difference.square().sum() if kind == "l2" else difference.abs().sum()


def map_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Sum over labelled joints inside the box of the cross-entropy between map and label.

    logits: (B, K, H, W); target: (B, K, 2) norm. The label's map is a Gaussian with a standard deviation of one cell.
    A joint outside the box has no cell and adds nothing here.
    """
    height, width = logits.shape[-2:]
    inside = (target.abs() <= 0.5).all(-1)  # NaN compares false
    safe = torch.where(inside.unsqueeze(-1), target, 0.0)

    def bell(position: Tensor, cells: int) -> Tensor:
        centres = (torch.arange(cells, device=logits.device) + 0.5) / cells - 0.5
        return torch.softmax(-0.5 * ((centres - position.unsqueeze(-1)) * cells).square(), dim=-1)

    share = bell(safe[..., 1], height).unsqueeze(-1) * bell(safe[..., 0], width).unsqueeze(-2)
    entropy = -(share.flatten(2) * logits.flatten(2).log_softmax(-1)).sum(-1)
    return torch.where(inside, entropy, 0.0).sum()
