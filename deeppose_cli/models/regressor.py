"""ψ of one stage as a torch module: what it is trained as, and how it answers for the cascade.

Shape letters: K joints, M crops.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from deeppose_cli.config.defaults import ERROR_CORE
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.geometry import FloatArray
from deeppose_cli.media.cropping import COLOR_SCALE, MEAN_COLOR
from deeppose_cli.models.cascade import CropBatch, StageOutput
from deeppose_cli.models.fusion import FusedCopy
from deeppose_cli.models.heads import HeadOutput, cell_centres
from deeppose_cli.models.networks import HEATMAP_STRIDE, Network, build_network


@dataclass(frozen=True)
class JointPrior:
    """Where a refinement stage may expect each joint in its crop: a Normal, as the crops are placed with an error that
    is known from images of a split. The joint lies where the error is undone: at −δ / σ. Ours, not the paper's."""

    mean: Sequence[Sequence[float]]
    """(K, 2) of δ, in units of diam."""
    std: Sequence[Sequence[float]]
    """(K, 2)"""
    sigma: float

    def log_density(self, side: int, share: float) -> Tensor:
        """(K, side, side) over the cells of a map, up to a constant; the deviation times `share`, one cell at least."""
        mean, std = -torch.tensor(self.mean) / self.sigma, share * torch.tensor(self.std) / self.sigma
        axes = -0.5 * ((cell_centres(side) - mean.unsqueeze(-1)) / std.clamp(min=1 / side).unsqueeze(-1)).square()
        return axes[:, 1, :, None] + axes[:, 0, None, :]


class Regressor(nn.Module):
    """ψ(·; θ_s) as a torch module: `shared`, one network with K pairs of outputs; `per-joint`, K networks with one."""

    mean: Tensor
    prior: Tensor | None
    """(K, side, side) for training, whose crops are drawn with the whole deviation."""
    core: Tensor | None
    """The same for answers: see `ERROR_CORE`."""

    def __init__(
        self, settings: StagePreset, num_joints: int, kind: str = "shared", expected: JointPrior | None = None
    ) -> None:
        super().__init__()
        self.num_joints, self.per_joint = num_joints, kind == "per-joint"
        count, outputs = (num_joints, 1) if self.per_joint else (1, num_joints)
        self.networks = nn.ModuleList(build_network(settings, outputs) for _ in range(count))
        self.register_buffer("mean", torch.tensor(MEAN_COLOR, dtype=torch.float32), persistent=False)
        side = settings.input_size // HEATMAP_STRIDE
        for name, share in (("prior", 1.0), ("core", ERROR_CORE)):
            density = None if expected is None else expected.log_density(side, share)
            self.register_buffer(name, density, persistent=False)
        self._folded: FusedCopy[Regressor] | None = None
        self.to(memory_format=torch.channels_last)  # convolutions on CPUs run about a fifth faster

    def prepare(self, pixels: Tensor) -> Tensor:
        """(M, size, size, 3) uint8 → (M, 3, size, size) float, channels-last in memory; the mean colour becomes 0."""
        return (pixels - self.mean).div_(COLOR_SCALE).permute(0, 3, 1, 2)

    def forward(self, pixels: Tensor) -> HeadOutput:
        """(M, size, size, 3) uint8 → all joints (M, K, 2) norm, and the maps' logits where there are any."""
        return self._network(0).with_heatmaps(self.prepare(pixels), self.expected())

    def of_joint(self, pixels: Tensor, joint: int) -> HeadOutput:
        """`per-joint` only: the network of one joint → (M, 1, 2) norm and its map's logits."""
        expected = self.expected()
        prior = None if expected is None else expected[joint : joint + 1]
        return self._network(joint).with_heatmaps(self.prepare(pixels), prior)

    def outputs(self, pixels: Tensor) -> Tensor:
        """(M, size, size, 3) uint8 → what is said of every joint, (M, K, …), for `decode`."""
        x, prior = self.prepare(pixels), self.expected()
        if not self.per_joint:
            return self._network(0).outputs(x, prior)
        priors = [None] * self.num_joints if prior is None else list(prior.split(1))
        return torch.cat([self._network(i).outputs(x, own) for i, own in enumerate(priors)], dim=1)

    def decode(self, outputs: Tensor) -> HeadOutput:
        """Of all joints, or some."""
        return self._network(0).decode(outputs)

    def expected(self) -> Tensor | None:
        """The log-density that is added to the maps now; None in stage 1."""
        return self.prior if self.training else self.core

    def _network(self, index: int) -> Network:
        return cast("Network", self.networks[index])

    def answer(self, cut: CropBatch) -> StageOutput:
        """ψ for the cascade: always without dropout, whatever mode the module is in, and by its folded copy."""
        return self._told(self._said(cut), cut)

    def predict_flipped(self, cut: CropBatch, mirrored: CropBatch, mirror: Sequence[int]) -> StageOutput:
        """As Psi says; where there are maps, by the mean of both distributions: between two peaks that disagree is
        nothing."""
        one, other = self._said(cut), self._said(mirrored)
        if cut.joints is None:
            other = other.each(lambda values: values[:, list(mirror)])
        if one.logits is None or other.logits is None:
            back = other.coordinates.new_tensor([-1.0, 1.0])
            return self._told(HeadOutput((one.coordinates + other.coordinates * back) / 2), cut)
        shares = [maps.flatten(2).softmax(-1).view_as(maps) for maps in (one.logits, other.logits.flip(-1))]
        logits = torch.log((shares[0] + shares[1]) / 2 + torch.finfo(torch.float32).tiny)
        return self._told(self.folded().decode(logits), cut)

    @contextmanager
    def single_threaded(self) -> Iterator[int]:
        """As Cascade says. The number of torch's threads is the process's, until this ends."""
        threads = torch.get_num_threads()
        if self.mean.is_cuda or threads == 1:
            yield 1
            return
        self.folded()  # once, not by each
        torch.set_num_threads(1)
        try:
            yield threads
        finally:
            torch.set_num_threads(threads)

    @torch.inference_mode()
    def _said(self, cut: CropBatch) -> HeadOutput:
        """Of all joints in stage 1; (M, 1, …), of each crop's own joint, later."""
        regressor = self.folded()
        pixels = torch.from_numpy(np.ascontiguousarray(cut.pixels)).to(self.mean.device)
        if cut.joints is None:
            return regressor(pixels)
        return regressor.joint_answers(pixels, torch.from_numpy(cut.joints).to(self.mean.device))

    @staticmethod
    def _told(answer: HeadOutput, cut: CropBatch) -> StageOutput:
        def told(values: Tensor) -> FloatArray:
            found: FloatArray = values.double().cpu().numpy()
            return found if cut.joints is None else found[:, 0]

        return StageOutput(told(answer.coordinates), None if answer.peak_mass is None else told(answer.peak_mass))

    def folded(self) -> Regressor:
        """A copy in evaluation mode that answers alike and faster; made once, and anew where a value has changed."""
        if self._folded is None or not self._folded.is_current():
            self._folded = None  # else it would be copied too
            self._folded = FusedCopy.of(self)
        return self._folded.module

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """What `.to` and the like do: the values are other tensors then."""
        self._folded = None
        return super()._apply(fn, recurse)

    def joint_answers(self, pixels: Tensor, joints: Tensor) -> HeadOutput:
        """(M, size, size, 3) uint8 and joints (M) → (M, 1, 2): for each crop the answer for its own joint."""
        if not self.per_joint:
            every = self.outputs(pixels)
            return self.decode(every[torch.arange(len(joints), device=joints.device), joints][:, None])
        groups = [joints == joint for joint in joints.unique()]
        said = [self.of_joint(pixels[rows], int(joints[rows][0])) for rows in groups]
        order = torch.cat([rows.nonzero()[:, 0] for rows in groups]).argsort()

        def joined(field: Sequence[Tensor | None]) -> Tensor | None:
            known = [values for values in field if values is not None]
            return torch.cat(known)[order] if known else None

        return HeadOutput(*map(joined, zip(*said, strict=True)))  # type: ignore[arg-type]
