"""A normalising flow over the plane: the form of a network's errors, learned beside it (`--coordinate-loss rle`).

Used in training only; no answer needs it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

COUPLINGS = 6
HIDDEN = 64
"""Layers of the flow, and channels within each (as in the code of Li et al., ICCV 2021)."""


class ErrorDensity(nn.Module):
    """The density of standardised errors: a Laplace variable on each axis, bent by a RealNVP (Dinh et al., ICLR 2017).

    Li et al., ICCV 2021, learn what the errors' density is beyond a simple one: P = Q · G · s, Q a Laplace
    density, G a flow's, s what makes it integrate to 1; their code leaves s out. Here the flow starts from Q itself and
    at the identity. Its density is P, G = P / Q is the residual, and s is 1 always: as in their way, the network learns
    as with Q alone until the flow knows better.
    """

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.ModuleList(_perceptron() for _ in range(COUPLINGS))
        self.shift = nn.ModuleList(_perceptron() for _ in range(COUPLINGS))
        rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(COUPLINGS // 2, 1)
        self.register_buffer("mask", rows, persistent=False)

    def forward(self, errors: Tensor) -> Tensor:
        """(N, 2) → (N): the log-density, in float32 whatever the precision around it."""
        with torch.autocast(errors.device.type, enabled=False):
            z, volume = self.straighten(errors.float())
            return volume - (math.log(2) + z.abs()).sum(-1)

    def straighten(self, errors: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 2) errors → (N, 2) Laplace variables, and (N) the logarithm of the map's determinant."""
        z, volume = errors, errors.new_zeros(len(errors))
        for mask, scale, shift in zip(self.mask, self.scale, self.shift, strict=True):
            log_scale = torch.tanh(scale(mask * z)) * (1 - mask)
            z = mask * z + (1 - mask) * (z * log_scale.exp() + shift(mask * z))
            volume = volume + log_scale.sum(-1)
        return z, volume


def _perceptron() -> nn.Sequential:
    last = nn.Linear(HIDDEN, 2)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(2, HIDDEN), nn.LeakyReLU(), nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(), last)
