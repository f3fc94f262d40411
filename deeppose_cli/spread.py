"""How much predictions vary from picture to picture, beside how much the labels do: finds a network that answers with
the mean pose whatever it sees."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from deeppose_cli.losses import labelled


class PoseSpread(Metric):
    """Standard deviation over pictures of the predicted joints, as a share of the labels' own: 0 is one pose for all.

    Sums only, so that processes add up. Joints without a label are left out on both sides.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, num_joints: int) -> None:
        super().__init__()
        # Rows: prediction, label. Columns: n, Σx, Σy, Σ(x² + y²), each per joint.
        precise = torch.float if torch.backends.mps.is_available() else torch.double  # Apple's GPU has no double
        self.add_state("sums", torch.zeros(2, 4, num_joints, dtype=precise), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """(B, K, 2) norm; NaN in the target: not labelled."""
        known = labelled(target)
        for row, points in enumerate((prediction, target)):
            values = torch.where(known.unsqueeze(-1), points, 0.0).to(self.sums)
            self.sums[row, 0] += known.sum(0)
            self.sums[row, 1:3] += values.sum(0).T
            self.sums[row, 3] += values.square().sum((0, 2))

    def compute(self) -> Tensor:
        """Scalar; NaN where the labels themselves do not vary."""
        n, x, y, squares = self.sums.unbind(1)
        n = n.clamp(min=1)
        variance = (squares / n - (x / n).square() - (y / n).square()).clamp(min=0)
        predicted, labels = variance.sum(-1).sqrt()
        return torch.where(labels > 0, predicted / labels, torch.nan).float()
