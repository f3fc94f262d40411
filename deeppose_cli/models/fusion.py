"""A network as it is run once it is trained: the same answers in less time.

A trained batch normalisation is a scale and a shift for each channel: the convolution before it can do both. And a 1×1
convolution is a matrix product over the map's cells: as one it spares a CPU laying its weights out anew at every call.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)


class PointwiseLinear(nn.Module):
    """A 1×1 convolution: (B, C, H, W) → (B, C', H, W), channels-last in memory."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.flatten(1), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


@torch.no_grad()
def folded(module: Module) -> Module:
    """A copy in evaluation mode, for answers only. What is not folded shares its values with the original.

    A batch normalisation belongs to the convolution that is registered just before it, as in torchvision's models.
    """
    values = chain(module.parameters(), module.buffers())
    found = copy.deepcopy(module, {id(value): value for value in values}).eval()
    for parent in list(found.modules()):
        for (name, layer), (after, norm) in pairwise([*parent.named_children(), ("", None)]):
            if not isinstance(layer, nn.Conv2d):
                continue
            if isinstance(norm, nn.BatchNorm2d):
                layer = fuse_conv_bn_eval(layer, norm)
                setattr(parent, after, nn.Identity())
            setattr(parent, name, PointwiseLinear(layer) if _is_pointwise(layer) else layer)
    return found


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


@dataclass(frozen=True, eq=False)
class FusedCopy(Generic[Module]):
    """A folded copy, and what tells whether it still is one."""

    module: Module
    values: list[Tensor]
    """Of the original."""
    versions: list[int]

    @classmethod
    def of(cls, module: Module) -> FusedCopy[Module]:
        values = [value for value in chain(module.parameters(), module.buffers()) if not value.is_inference()]
        return cls(folded(module), values, _versions(values))

    def is_current(self) -> bool:
        """Whether no value of the original was written to since. Values that were exchanged for others, as by `.to`,
        are not noticed."""
        return _versions(self.values) == self.versions


def _versions(values: list[Tensor]) -> list[int]:
    return [value._version for value in values]
