"""Validation metrics of the training loop. Their states are sums, so that several processes' sums give exactly the
score of all images together."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.skeleton import Skeleton
from deeppose_cli.evaluation.metrics import kind_rates, mean_rate, pdj_hits, rate
from deeppose_cli.training.losses import labelled


class PDJ(Metric):
    """Percentage of detected joints at one threshold: the mean over the joints that ever had a label."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: Tensor
    """(K) hits so far."""
    counted: Tensor
    """(K) labels so far."""

    def __init__(self, skeleton: Skeleton, threshold: float = PDJ_THRESHOLD) -> None:
        super().__init__()
        self.skeleton, self.threshold = skeleton, threshold
        for state in ("correct", "counted"):
            self.add_state(state, torch.zeros(len(self.skeleton), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Poses (B, K, 2) in px; NaN in the truth: not labelled."""
        # One small copy to the host a batch, for one definition of the score.
        poses = [each.detach().cpu().double().numpy() for each in (prediction, truth)]
        hits, valid = pdj_hits(poses[0], poses[1], self.skeleton, self.threshold)
        self.correct += torch.from_numpy(hits.sum(0)).to(self.correct)
        self.counted += torch.from_numpy(valid.sum(0)).to(self.counted)

    def compute(self) -> Tensor:
        """Scalar, a fraction of 1; NaN with no label at all."""
        rates = rate(self.correct.cpu().numpy(), self.counted.cpu().numpy())
        return torch.as_tensor(mean_rate(rates), dtype=torch.float32, device=self.correct.device)

    def by_kind(self) -> dict[str, float]:
        """The same by kind of joint, left and right together, of this process; kinds without a label are left out."""
        rates = rate(self.correct.cpu().numpy(), self.counted.cpu().numpy())
        found = kind_rates(rates, self.skeleton.joint_kinds)
        return {kind: float(value) for kind, value in found.items() if not math.isnan(value)}


class PredictionDiversity(Metric):
    """Standard deviation over images of the predicted joints, as a share of the labels' own.

    0: one pose for all images. Joints without a label are left out on both sides.
    """

    full_state_update = False
    sums: Tensor

    def __init__(self, num_joints: int) -> None:
        super().__init__()
        # Rows: prediction, label. Columns: n, Σx, Σy, Σ(x² + y²), each per joint.
        precise = torch.float if torch.backends.mps.is_available() else torch.double  # Apple's GPU has no double
        self.add_state("sums", torch.zeros(2, 4, num_joints, dtype=precise), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """(B, K, 2), normalized; NaN in the target: not labelled."""
        valid = labelled(target)
        for row, points in enumerate((prediction, target)):
            values = torch.where(valid.unsqueeze(-1), points, 0.0).to(self.sums)
            self.sums[row, 0] += valid.sum(0)
            self.sums[row, 1:3] += values.sum(0).T
            self.sums[row, 3] += values.square().sum((0, 2))

    def compute(self) -> Tensor:
        """Scalar; NaN where the labels themselves do not vary."""
        n, x, y, squares = self.sums.unbind(1)
        n = n.clamp(min=1)
        variance = (squares / n - (x / n).square() - (y / n).square()).clamp(min=0)
        predicted, labels = variance.sum(-1).sqrt()
        return torch.where(labels > 0, predicted / labels, torch.nan).float()
