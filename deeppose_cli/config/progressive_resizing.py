"""Smaller inputs at first: early epochs need no detail, and at 96 px they take a third of the time that they do at 160.

Progressive resizing, as in Tan & Le, EfficientNetV2, ICML 2021, section 4.
"""

from __future__ import annotations

from itertools import pairwise

from deeppose_cli.config.schema import StagePreset
from deeppose_cli.core.errors import UsageError

_VALID = "valid: PX:SHARE with commas between, both rising, shares below 1, as in 96:0.4,128:0.8"


def parse_schedule(text: str) -> list[tuple[int, float]]:
    """`96:0.4,128:0.8` → [(96, 0.4), (128, 0.8)]: the input's side, and until which share of the epochs.

    Raises UsageError, with what is valid, for anything else.
    """
    found: list[tuple[int, float]] = []
    for part in text.split(",") if text else ():
        size, _, until = part.partition(":")
        try:
            found.append((int(size), float(until)))
        except ValueError:
            raise UsageError(f"--progressive-size {text}: {_VALID}") from None
    shares = [0.0, *(share for _, share in found), 1.0]
    sides = [0, *(size for size, _ in found)]
    if not all(a < b for row in (shares, sides) for a, b in pairwise(row)):
        raise UsageError(f"--progressive-size {text}: {_VALID}")
    return found


def input_sizes(settings: StagePreset) -> list[int]:
    """All that the network sees in training; the last and largest is `input_size`. Raises UsageError if it is not."""
    smaller = [size for size, _ in parse_schedule(settings.progressive_size)]
    if smaller and smaller[-1] >= settings.input_size:
        raise UsageError(
            f"--progressive-size {settings.progressive_size}: valid: sizes below the input's, {settings.input_size} px"
        )
    return [*smaller, settings.input_size]


def input_size_at(settings: StagePreset, epoch: int) -> int:
    """Side of the input in an epoch, counted from 0. The last epoch has `input_size`, however few there are."""
    done = (epoch + 1) / settings.max_epochs
    smaller = (size for size, until in parse_schedule(settings.progressive_size) if done <= until)
    return next(smaller, settings.input_size)
