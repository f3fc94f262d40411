"""PDJ, PCP and PCK as torchmetrics classes, for the training loop. Apart from `metrics` and `sticks` so that scoring
files needs no torch.

The states are counts, so that several processes' sums give exactly the score of all images together.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric

from deeppose_cli.config.defaults import PDJ_THRESHOLD
from deeppose_cli.core.skeleton import skeleton_by_name
from deeppose_cli.evaluation.metrics import HitCounts, mean_rate, pck_hits, pdj_hits, rate
from deeppose_cli.evaluation.pcp import PCP_RULES, PcpRule, limb_kind_rates, pcp_hits
from deeppose_cli.training.losses import labelled

Poses = NDArray[np.float64]


class _Rates(Metric):
    """A score that is made of the rates of joints or limbs. Subclasses say which are right, and what mean is taken."""

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: Tensor
    """(J) right so far."""
    counted: Tensor
    """(J) counted so far."""

    def __init__(self, skeleton_name: str) -> None:
        super().__init__()
        self.skeleton = skeleton_by_name(skeleton_name)
        for state in ("correct", "counted"):
            self.add_state(state, torch.zeros(self._columns(), dtype=torch.long), dist_reduce_fx="sum")

    @abstractmethod
    def tally(self, pred: Poses, truth: Poses) -> HitCounts:
        """(B, J) of poses (B, K, 2) px."""

    def _columns(self) -> int:
        return len(self.skeleton)

    def _mean(self, rates: Poses) -> Poses:
        """(J) → scalar."""
        return mean_rate(rates)

    def update(self, pred: Tensor, truth: Tensor) -> None:
        """Poses (B, K, 2) in px; NaN in the truth: not labelled."""
        # One small copy to the host a batch, for one definition of the score.
        hits, counted = self.tally(*(poses.detach().cpu().double().numpy() for poses in (pred, truth)))
        self.correct += torch.from_numpy(hits.sum(0)).to(self.correct)
        self.counted += torch.from_numpy(counted.sum(0)).to(self.counted)

    def compute(self) -> Tensor:
        """Scalar, a fraction of 1; NaN with no label at all."""
        rates = rate(self.correct.cpu().numpy(), self.counted.cpu().numpy())
        return torch.as_tensor(self._mean(rates), dtype=torch.float32, device=self.correct.device)


class PDJ(_Rates):
    """Percentage of detected joints at one threshold: the mean over the joints that ever had a label."""

    def __init__(self, skeleton_name: str, threshold: float = PDJ_THRESHOLD) -> None:
        super().__init__(skeleton_name)
        self.threshold = threshold

    def tally(self, pred: Poses, truth: Poses) -> HitCounts:
        return pdj_hits(pred, truth, self.skeleton, self.threshold)


class PCK(_Rates):
    """Percentage of correct keypoints at one α: the mean over the joints that ever had a label."""

    def __init__(self, skeleton_name: str, alpha: float) -> None:
        super().__init__(skeleton_name)
        self.alpha = alpha

    def tally(self, pred: Poses, truth: Poses) -> HitCounts:
        return pck_hits(pred, truth, self.alpha)


class PCP(_Rates):
    """Percentage of correct parts by one rule: the mean over limb kinds that ever had a label."""

    def __init__(self, skeleton_name: str, rule: PcpRule = "strict") -> None:
        if rule not in PCP_RULES:
            raise ValueError(f"PCP rule '{rule}' is unknown; valid: {', '.join(PCP_RULES)}")
        super().__init__(skeleton_name)
        self.rule = rule

    def tally(self, pred: Poses, truth: Poses) -> HitCounts:
        return pcp_hits(pred, truth, self.skeleton, self.rule)

    def _columns(self) -> int:
        return len(self.skeleton.limbs)

    def _mean(self, rates: Poses) -> Poses:
        return mean_rate(np.array(list(limb_kind_rates(rates, self.skeleton).values())))


class PredictionDiversity(Metric):
    """Standard deviation over images of the predicted joints, as a share of the labels' own: 0 is one pose for all.

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
