"""Time to read the labels of the classic sets: no image is decoded."""

from __future__ import annotations

import time
from statistics import median

from benchmarks.result import Options, Result
from deeppose_cli.data.datasets.registry import DATASETS, is_prepared

TARGETS = {"flic": 1.0, "lsp": 1.5}
"""Seconds; LSP with LSPET."""


def measure(options: Options) -> list[Result]:
    return [_measure(name, target, options) for name, target in TARGETS.items()]


def _measure(name: str, target: float, options: Options) -> Result:
    what = f"read {name}'s labels"
    if not is_prepared(name, options.data_root):
        return Result(what=what, ours="–", target=f"≤ {target} s", notes=(f"{name} is not in {options.data_root}",))
    seconds = []
    for _ in range(options.rounds):
        began = time.perf_counter()
        splits = DATASETS[name].read(options.data_root)
        seconds.append(time.perf_counter() - began)
    took, people = median(seconds), sum(map(len, splits.values()))
    options.say(f"{what}: {took:.2f} s")
    return Result(
        what=what,
        ours=f"{took:.2f} s",
        target=f"≤ {target} s",
        met=took <= target,
        notes=(f"{what}: {people:,} people, median of {options.rounds}",),
    )
