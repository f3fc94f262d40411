"""Faster copies of trained networks, with the same outputs up to rounding.

A trained batch normalization is a scale and a shift per channel: it is fused into the convolution before it. A 1×1
convolution is a matrix product over the cells: as one, a CPU need not rearrange its weights at every call.
"""

from __future__ import annotations

import copy
from itertools import chain, pairwise
from typing import TypeVar

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
    tensors = chain(module.parameters(), module.buffers())
    fused = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors}).eval()
    for parent in list(fused.modules()):
        for (name, layer), (next_name, next_layer) in pairwise([*parent.named_children(), ("", None)]):
            if not isinstance(layer, nn.Conv2d):
                continue
            if type(next_layer) is nn.BatchNorm2d:  # one of timm may hold the activation too
                layer = fuse_conv_bn_eval(layer, next_layer)
                setattr(parent, next_name, nn.Identity())
            is_pointwise = layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1
            setattr(parent, name, PointwiseLinear(layer) if is_pointwise else layer)
    return fused


def tensor_versions(module: nn.Module) -> list[int]:
    """How often each tensor of the module was written to; tensors of inference mode, which cannot be, are left out."""
    tensors = chain(module.parameters(), module.buffers())
    return [tensor._version for tensor in tensors if not tensor.is_inference()]
