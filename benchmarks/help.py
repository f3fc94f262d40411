"""Time to print `deeppose --help` and the help of every verb, as whole processes, warm.

An absolute time: what a person waits. An empty Python process is timed beside it, as what nobody can do without.
"""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Any

from typer.main import get_command

from benchmarks.program import DEEPPOSE
from benchmarks.result import Options, Result
from deeppose_cli.cli.app import app

TARGET = 0.5
"""Seconds."""
RUNS = 5


def measure(options: Options) -> Result:
    helps = [[*DEEPPOSE, *verb, "--help"] for verb in _verbs()]
    bare = [sys.executable, "-c", "pass"]
    times: dict[int, list[float]] = {i: [] for i in range(-1, len(helps))}
    for turn in range(1 + RUNS):
        for i, command in ((-1, bare), *enumerate(helps)):
            began = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if turn:  # the first one warms up
                times[i].append(time.perf_counter() - began)
    medians = {i: median(seconds) for i, seconds in times.items()}
    empty = medians.pop(-1)
    slowest = max(medians, key=lambda i: medians[i])
    name = " ".join(["deeppose", *_verbs()[slowest], "--help"])
    options.say(f"help: {name} {medians[slowest]:.2f} s")
    return Result(
        what=f"help, slowest of {len(helps)}",
        ours=f"{medians[slowest]:.2f} s",
        bare=f"{empty:.2f} s",
        target=f"≤ {TARGET} s",
        met=medians[slowest] <= TARGET,
        notes=(f"help: {name}; medians of {RUNS} whole processes; bare is an empty Python process",),
    )


def _verbs() -> list[tuple[str, ...]]:
    """() for the program itself, then each verb, then the verbs' own verbs."""
    found: list[tuple[str, ...]] = [()]
    commands: list[tuple[tuple[str, ...], Any]] = [((), get_command(app))]
    for path, command in commands:  # grows as it goes
        for name, inner in getattr(command, "commands", {}).items():
            found.append((*path, name))
            commands.append(((*path, name), inner))
    return found
