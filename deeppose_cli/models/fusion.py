"""Faster copies of trained networks, with the same outputs up to rounding.

A trained batch normalization is a scale and a shift per channel: it is fused into the convolution before it. A 1×1
convolution is a matrix product over the cells: as one, a CPU need not rearrange its weights at every call.
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
    """A 1×1 convolution as a matrix product: (B, C, H, W) → (B, C', H, W), channels-last in memory."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(convolution.weight.flatten(1), requires_grad=False)
        self.bias = convolution.bias

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


@torch.no_grad()
def fuse(module: Module) -> Module:
    """Make a fused copy in evaluation mode. Layers that are not fused share their weights with the original.

    A batch normalization belongs to the convolution that is registered just before it, as in torchvision's models.
    """
    values = chain(module.parameters(), module.buffers())
    fused = copy.deepcopy(module, {id(value): value for value in values}).eval()
    for parent in list(fused.modules()):
        for (name, layer), (next_name, next_layer) in pairwise([*parent.named_children(), ("", None)]):
            if not isinstance(layer, nn.Conv2d):
                continue
            if isinstance(next_layer, nn.BatchNorm2d):
                layer = fuse_conv_bn_eval(layer, next_layer)
                setattr(parent, next_name, nn.Identity())
            setattr(parent, name, PointwiseLinear(layer) if _is_pointwise(layer) else layer)
    return fused


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


@dataclass(frozen=True, eq=False)
class FusedCopy(Generic[Module]):
    """A fused copy, with the versions of the original's tensors that it was made from."""

    module: Module
    originals: list[Tensor]
    versions: list[int]

    @classmethod
    def of(cls, module: Module) -> FusedCopy[Module]:
        """Fuse a module."""
        originals = [value for value in chain(module.parameters(), module.buffers()) if not value.is_inference()]
        return cls(fuse(module), originals, _versions(originals))

    def is_current(self) -> bool:
        """Whether no tensor of the original was written to since. Tensors replaced by others, as by `.to`, are not
        noticed."""
        return _versions(self.originals) == self.versions


def _versions(values: list[Tensor]) -> list[int]:
    return [value._version for value in values]
