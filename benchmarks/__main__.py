"""python -m benchmarks [WHAT …] [--data-root DIR] [--rounds N]

Exit code 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from importlib import import_module
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.result import Options, Result

MEASUREMENTS = (
    *("help", "cold_start", "many", "memory", "reading", "scoring", "predicting", "examples", "crops", "training"),
)
"""In this order: what starts processes comes before what fills this one."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed and memory, as ratios.")
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--data-root", type=Path, default=Options.data_root, metavar="DIR", help="default: data")
    parser.add_argument(
        "--rounds", type=int, default=Options.rounds, metavar="N", help="turns of each side; default: 5"
    )
    given = parser.parse_args()
    unknown = [name for name in given.what if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"{unknown[0]}: unknown; valid: {', '.join(MEASUREMENTS)}")
    if given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: valid: 1 or more")

    console, progress = Console(), Console(stderr=True)
    options = Options(given.data_root, given.rounds, lambda line: progress.print(line, style="dim", highlight=False))
    chosen = [name for name in MEASUREMENTS if name in given.what or not given.what]
    results: list[Result] = []
    for name in chosen:
        found = import_module(f"benchmarks.{name}").measure(options)
        results += found if isinstance(found, list) else [found]

    table = Table("what", "ours", "bare", "ratio", "target", "")
    for row in results:
        verdict = {True: "met", False: "MISSED", None: ""}[row.met]
        table.add_row(row.what, row.ours, row.bare, row.ratio, row.target, verdict)
    console.print(table)
    for row in results:
        for note in row.notes:
            console.print(note, highlight=False)
    console.print(_machine(), highlight=False)
    return int(any(row.met is False for row in results))


def _machine() -> str:
    import cv2
    import torch

    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"machine: {platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}; "
        f"Python {platform.python_version()}, torch {torch.__version__}, OpenCV {cv2.__version__}"
    )


if __name__ == "__main__":
    sys.exit(main())
