"""Values and defaults of arguments. Imports nothing: the command line reads them before it loads anything."""

from __future__ import annotations

from typing import Literal, get_args

Metric = Literal["pdj", "pcp", "pck", "all"]
Split = Literal["train", "validation", "test"]
Centric = Literal["person", "observer"]
"""Whose left and right: the person's own, or those of an observer of the image."""
PcpRule = Literal["strict", "mean", "buffy"]

BATCH_SIZE = 32
"""Images in memory at a time."""
METRICS = ("pdj", "pcp", "pck")
PCP_RULES: tuple[PcpRule, ...] = get_args(PcpRule)
