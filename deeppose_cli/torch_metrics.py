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

from deeppose_cli.metrics import Tally, mean_rate, pck_hits, pdj_hits, rate
from deeppose_cli.presets import PDJ_THRESHOLD
from deeppose_cli.skeleton import skeleton_by_name
from deeppose_cli.sticks import PCP_RULES, PcpRule, limb_kind_rates, pcp_hits

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
    def tally(self, pred: Poses, truth: Poses) -> Tally:
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

    def tally(self, pred: Poses, truth: Poses) -> Tally:
        return pdj_hits(pred, truth, self.skeleton, self.threshold)


class PCK(_Rates):
    """Percentage of correct keypoints at one α: the mean over the joints that ever had a label."""

    def __init__(self, skeleton_name: str, alpha: float) -> None:
        super().__init__(skeleton_name)
        self.alpha = alpha

    def tally(self, pred: Poses, truth: Poses) -> Tally:
        return pck_hits(pred, truth, self.alpha)


class PCP(_Rates):
    """Percentage of correct parts by one rule: the mean over limb kinds that ever had a label."""

    def __init__(self, skeleton_name: str, rule: PcpRule = "strict") -> None:
        if rule not in PCP_RULES:
            raise ValueError(f"PCP rule '{rule}' is unknown; valid: {', '.join(PCP_RULES)}")
        super().__init__(skeleton_name)
        self.rule = rule

    def tally(self, pred: Poses, truth: Poses) -> Tally:
        return pcp_hits(pred, truth, self.skeleton, self.rule)

    def _columns(self) -> int:
        return len(self.skeleton.limbs)

    def _mean(self, rates: Poses) -> Poses:
        return mean_rate(np.array(list(limb_kind_rates(rates, self.skeleton).values())))
