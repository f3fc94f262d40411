"""PDJ as a torchmetrics class, for the training loop. Apart from `metrics` so that scoring files needs no torch."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from deeppose_cli.metrics import mean_rate, pdj_hits
from deeppose_cli.presets import PDJ_THRESHOLD
from deeppose_cli.skeleton import skeleton_by_name


class PDJ(Metric):
    """Percentage of detected joints at one threshold, the mean over the skeleton's joints, as a fraction of 1.

    The states are counts, so that several processes' sums give exactly the score of all images together. Joints that
    never had a label are left out of the mean; with no label at all the score is NaN.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    correct: Tensor
    """(K) detected so far."""
    counted: Tensor
    """(K) labelled so far, in images whose torso is labelled."""

    def __init__(self, skeleton_name: str, threshold: float = PDJ_THRESHOLD) -> None:
        super().__init__()
        self.skeleton = skeleton_by_name(skeleton_name)
        self.threshold = threshold
        for state in ("correct", "counted"):
            self.add_state(state, torch.zeros(len(self.skeleton), dtype=torch.long), dist_reduce_fx="sum")

    def update(self, pred: Tensor, truth: Tensor) -> None:
        """Poses (B, K, 2) in px; NaN in the truth: not labelled."""
        # One small copy to the host a batch, for one definition of the score.
        hits, counted = pdj_hits(
            pred.detach().cpu().double().numpy(), truth.detach().cpu().double().numpy(), self.skeleton, self.threshold
        )
        self.correct += torch.from_numpy(hits.sum(0)).to(self.correct)
        self.counted += torch.from_numpy(counted.sum(0)).to(self.counted)

    def compute(self) -> Tensor:
        """Scalar."""
        rates = self.correct.double() / self.counted  # 0 / 0 is NaN: left out of the mean
        return torch.as_tensor(mean_rate(rates.cpu().numpy()), dtype=torch.float32, device=self.correct.device)
