"""Limits of each kind of network, checked without building it. Needs no torch."""

from __future__ import annotations

from deeppose_cli.config.defaults import HEADS, NETWORKS
from deeppose_cli.config.progressive_resizing import input_sizes
from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import UsageError

TORCHVISION_BACKBONES = ("mobilenet_v3_small", "mobilenet_v3_large", "resnet18", "resnet50")
"""Those with published weights in torchvision."""
BACKBONES = ("mobilenet_v1", *TORCHVISION_BACKBONES)
DEEPPOSE_LEAST_SIDE = 79
"""px; of a smaller input the paper's network leaves nothing after its last pooling."""
LEAST_HEAD_CHANNELS = 2


def check_network(settings: StagePreset) -> None:
    """Raise UsageError, naming the flag, where no network has these settings."""
    if settings.network not in NETWORKS:
        raise UsageError(f"network '{settings.network}' is unknown; valid: {', '.join(NETWORKS)}")
    if settings.head not in HEADS:
        raise UsageError(f"--head {settings.head}: unknown; valid: {', '.join(HEADS)}")
    if settings.network != "backbone" and settings.head != "integral":
        raise UsageError(f"--head {settings.head}: needs a backbone, such as --preset modern has; valid: integral")
    if settings.network == "backbone" and settings.backbone not in BACKBONES:
        raise UsageError(f"--backbone {settings.backbone or 'none'}: unknown; valid: {', '.join(BACKBONES)}")
    if settings.init_weights == "torchvision" and settings.backbone == "mobilenet_v1":
        raise UsageError(
            f"--init-weights torchvision: torchvision has no {settings.backbone}; valid: random, or a file"
        )
    sizes = input_sizes(settings)
    if settings.network == "deeppose":
        if settings.input_size < DEEPPOSE_LEAST_SIDE:
            raise UsageError(
                f"--input-size {settings.input_size}: the paper's network needs at least {DEEPPOSE_LEAST_SIDE} px; its "
                "own is 220"
            )
        return
    for size in sizes:
        if size % 32 or size <= 0:
            nearest = max(32, round(size / 32) * 32)
            raise UsageError(f"--input-size {size}: this network takes multiples of 32, such as {nearest}")
    if settings.head != "regression" and settings.head_channels < LEAST_HEAD_CHANNELS:
        raise UsageError(f"--head-channels {settings.head_channels}: valid: {LEAST_HEAD_CHANNELS} or more")
